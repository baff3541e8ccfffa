/* An OpenGL that draws nothing: it keeps the state that the fixed functions have, keeps a journal of
   what would have been drawn, and counts every call that OpenGL would not allow. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { JOURNAL = 1 << 20, LEVELS = 32, FLAGS = 16 };

enum {
    CURRENT_BIT = 0x1,
    LINE_BIT = 0x4,
    POLYGON_BIT = 0x8,
    TRANSFORM_BIT = 0x1000,
    ENABLE_BIT = 0x2000,
    COLOR_BUFFER_BIT = 0x4000,
};

enum { INVALID_ENUM = 0x500, INVALID_OPERATION = 0x502, STACK_OVERFLOW = 0x503, STACK_UNDERFLOW };

struct flag {
    unsigned name;
    int on;
};

struct attributes {
    unsigned mask;
    float color[4];
    float line_width;
    unsigned polygon_mode;
    unsigned matrix_mode;
    unsigned blend[2];
    struct flag flags[FLAGS];
};

struct matrix {
    double scale[2], move[2];
};

static struct {
    const char *version;
    int profile, context_flags;
    struct attributes now, saved[LEVELS];
    struct matrix matrices[LEVELS];
    int attribute_depth, attribute_limit, modelview_depth, modelview_limit;
    int drawing;
    unsigned error, lasting_error;
    int faults;
    char journal[JOURNAL], state[4096];
    size_t written;
} gl;

static void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(gl.journal + gl.written, JOURNAL - gl.written, format, arguments);
    va_end(arguments);
    if (count > 0 && gl.written + (size_t)count < JOURNAL) gl.written += (size_t)count;
}

static void fault(unsigned error, const char *what) {
    gl.error = error;
    gl.faults++;
    note("fault %s\n", what);
}

/* For the test. */

void fake_gl_reset(const char *version, int profile, int context_flags) {
    memset(&gl, 0, sizeof gl);
    gl.version = version;
    gl.profile = profile;
    gl.context_flags = context_flags;
    gl.attribute_limit = gl.modelview_limit = LEVELS;
    /* A host leaves things as it likes: two levels used, a zoom, the projection being set up,
       lighting and stipples on. */
    gl.attribute_depth = 2;
    gl.modelview_depth = 2;
    for (int level = 0; level < LEVELS; level++)
        gl.matrices[level] = (struct matrix){{1, 1}, {0, 0}};
    gl.now = (struct attributes){
        .color = {0.1f, 0.2f, 0.3f, 0.4f},
        .line_width = 7,
        .polygon_mode = 0x1B01,
        .matrix_mode = 0x1701,
        .blend = {1, 0},
        .flags = {{0x0BE2, 0}, {0x0B20, 0}, {0x0B50, 1}, {0x0DE1, 1}, {0x0B71, 1}, {0x0B90, 1},
                  {0x0BC0, 1}, {0x0B44, 1}, {0x0B24, 1}, {0x0B42, 1}, {0x0BF2, 1}},
    };
}

void fake_gl_fill_stacks(int attributes, int matrices) {
    if (attributes) gl.attribute_depth = gl.attribute_limit;
    if (matrices) gl.modelview_depth = gl.modelview_limit - 1;
}

void fake_gl_set_error(unsigned error, int lasting) {
    gl.error = error;
    gl.lasting_error = lasting ? error : 0;
}

const char *fake_gl_journal(void) { return gl.journal; }

const char *fake_gl_state(void) {
    const struct attributes *now = &gl.now;
    int at = snprintf(gl.state, sizeof gl.state,
                      "depths %d %d drawing %d color %g %g %g %g width %g polygon %x mode %x "
                      "blend %x %x flags",
                      gl.attribute_depth, gl.modelview_depth, gl.drawing, now->color[0],
                      now->color[1], now->color[2], now->color[3], now->line_width,
                      now->polygon_mode, now->matrix_mode, now->blend[0], now->blend[1]);
    for (int flag = 0; flag < FLAGS; flag++)
        at += snprintf(gl.state + at, sizeof gl.state - (size_t)at, " %x=%d", now->flags[flag].name,
                       now->flags[flag].on);
    return gl.state;
}

/* For the plug-in. */

const unsigned char *glGetString(unsigned name) {
    if (name != 0x1F02) fault(INVALID_ENUM, "glGetString");
    return (const unsigned char *)gl.version;
}

unsigned glGetError(void) {
    unsigned error = gl.error;
    gl.error = gl.lasting_error;
    return error;
}

void glGetIntegerv(unsigned name, int *value) {
    switch (name) {
        case 0x0BB0: *value = gl.attribute_depth; break;
        case 0x0D35: *value = gl.attribute_limit; break;
        case 0x0BA3: *value = gl.modelview_depth; break;
        case 0x0D36: *value = gl.modelview_limit; break;
        case 0x9126: *value = gl.profile; break;
        case 0x821E: *value = gl.context_flags; break;
        default: fault(INVALID_ENUM, "glGetIntegerv");
    }
}

void glPushAttrib(unsigned mask) {
    if (gl.drawing) fault(INVALID_OPERATION, "glPushAttrib between glBegin and glEnd");
    if (gl.attribute_depth >= gl.attribute_limit) {
        fault(STACK_OVERFLOW, "glPushAttrib");
        return;
    }
    gl.now.mask = mask;
    gl.saved[gl.attribute_depth++] = gl.now;
}

void glPopAttrib(void) {
    if (gl.drawing) fault(INVALID_OPERATION, "glPopAttrib between glBegin and glEnd");
    if (gl.attribute_depth <= 2) {
        fault(STACK_UNDERFLOW, "glPopAttrib of what the host pushed");
        return;
    }
    const struct attributes *saved = &gl.saved[--gl.attribute_depth];
    if (saved->mask & CURRENT_BIT) memcpy(gl.now.color, saved->color, sizeof saved->color);
    if (saved->mask & LINE_BIT) gl.now.line_width = saved->line_width;
    if (saved->mask & POLYGON_BIT) gl.now.polygon_mode = saved->polygon_mode;
    if (saved->mask & TRANSFORM_BIT) gl.now.matrix_mode = saved->matrix_mode;
    if (saved->mask & COLOR_BUFFER_BIT) memcpy(gl.now.blend, saved->blend, sizeof saved->blend);
    if (saved->mask & ENABLE_BIT) memcpy(gl.now.flags, saved->flags, sizeof saved->flags);
}

void glMatrixMode(unsigned mode) {
    if (gl.drawing) fault(INVALID_OPERATION, "glMatrixMode between glBegin and glEnd");
    gl.now.matrix_mode = mode;
}

static struct matrix *modelview(const char *caller) {
    if (gl.drawing || gl.now.matrix_mode != 0x1700) fault(INVALID_OPERATION, caller);
    return &gl.matrices[gl.modelview_depth];
}

void glPushMatrix(void) {
    struct matrix top = *modelview("glPushMatrix of another stack");
    if (gl.modelview_depth + 1 >= gl.modelview_limit) {
        fault(STACK_OVERFLOW, "glPushMatrix");
        return;
    }
    gl.matrices[++gl.modelview_depth] = top;
}

void glPopMatrix(void) {
    modelview("glPopMatrix of another stack");
    if (gl.modelview_depth <= 2)
        fault(STACK_UNDERFLOW, "glPopMatrix of what the host pushed");
    else
        gl.modelview_depth--;
}

void glTranslated(double x, double y, double z) {
    struct matrix *top = modelview("glTranslated of another stack");
    top->move[0] += top->scale[0] * x;
    top->move[1] += top->scale[1] * y;
    (void)z;
}

void glScaled(double x, double y, double z) {
    struct matrix *top = modelview("glScaled of another stack");
    top->scale[0] *= x;
    top->scale[1] *= y;
    (void)z;
}

static void set(unsigned name, int on) {
    for (int flag = 0; flag < FLAGS; flag++)
        if (name && gl.now.flags[flag].name == name) {
            gl.now.flags[flag].on = on;
            return;
        }
    fault(INVALID_ENUM, "glEnable or glDisable");
}

void glEnable(unsigned name) { set(name, 1); }
void glDisable(unsigned name) { set(name, 0); }

void glBlendFunc(unsigned source, unsigned destination) {
    gl.now.blend[0] = source;
    gl.now.blend[1] = destination;
}

void glPolygonMode(unsigned face, unsigned mode) {
    if (face != 0x0408) fault(INVALID_ENUM, "glPolygonMode");
    gl.now.polygon_mode = mode;
}

void glLineWidth(float width) {
    if (gl.drawing) fault(INVALID_OPERATION, "glLineWidth between glBegin and glEnd");
    gl.now.line_width = width;
}

void glColor4f(float red, float green, float blue, float alpha) {
    gl.now.color[0] = red;
    gl.now.color[1] = green;
    gl.now.color[2] = blue;
    gl.now.color[3] = alpha;
}

void glBegin(unsigned mode) {
    if (gl.drawing) fault(INVALID_OPERATION, "glBegin between glBegin and glEnd");
    gl.drawing = 1;
    const float *color = gl.now.color;
    note("figure %u width %g color %g %g %g %g\n", mode, gl.now.line_width, color[0], color[1],
         color[2], color[3]);
    for (int flag = 0; flag < FLAGS; flag++)
        if (gl.now.flags[flag].on && gl.now.flags[flag].name != 0x0BE2 &&
            gl.now.flags[flag].name != 0x0B20)
            fault(INVALID_OPERATION, "drawing with something in the way");
}

void glVertex2d(double x, double y) {
    if (!gl.drawing) fault(INVALID_OPERATION, "glVertex2d outside glBegin and glEnd");
    const struct matrix *top = &gl.matrices[gl.modelview_depth];
    note("%.17g %.17g\n", top->move[0] + top->scale[0] * x, top->move[1] + top->scale[1] * y);
}

void glEnd(void) {
    if (!gl.drawing) fault(INVALID_OPERATION, "glEnd without glBegin");
    gl.drawing = 0;
}
