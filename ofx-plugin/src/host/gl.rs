//! Drawing by OpenGL's fixed functions, for hosts without the Draw Suite.
//!
//! OpenGL is never linked and never loaded: a host that draws by it has it in the process already,
//! and where there is none, or no context that knows the fixed functions, nothing is drawn. What is
//! found is let go after each drawing, since a host may change its mind.

mod bitmap_font;

use std::ffi::{CStr, c_char, c_double, c_float, c_int, c_uint};

#[cfg(unix)]
use libloading::os::unix::Library;
#[cfg(windows)]
use libloading::os::windows::Library;

use crate::surface::{Color, Figure, OverlayCanvas, Point};
use bitmap_font::text_pixels;

/// Defines a struct of function pointers, each loaded by its C name and with its C type.
macro_rules! functions {
    ($($field:ident: $name:literal = fn($($argument:ty),*) $(-> $result:ty)?;)+) => {
        struct Functions {
            $($field: unsafe extern "system" fn($($argument),*) $(-> $result)?,)+
        }

        impl Functions {
            /// None unless all are there.
            fn of(library: &Library) -> Option<Self> {
                // SAFETY: these are the types that OpenGL gives the functions of these names.
                unsafe { Some(Self { $($field: *library.get($name).ok()?,)+ }) }
            }
        }
    };
}

functions! {
    get_string: "glGetString" = fn(c_uint) -> *const c_char;
    get_error: "glGetError" = fn() -> c_uint;
    get_integer: "glGetIntegerv" = fn(c_uint, *mut c_int);
    push_attributes: "glPushAttrib" = fn(c_uint);
    pop_attributes: "glPopAttrib" = fn();
    matrix_mode: "glMatrixMode" = fn(c_uint);
    push_matrix: "glPushMatrix" = fn();
    pop_matrix: "glPopMatrix" = fn();
    translate: "glTranslated" = fn(c_double, c_double, c_double);
    scale: "glScaled" = fn(c_double, c_double, c_double);
    enable: "glEnable" = fn(c_uint);
    disable: "glDisable" = fn(c_uint);
    blend: "glBlendFunc" = fn(c_uint, c_uint);
    polygon_mode: "glPolygonMode" = fn(c_uint, c_uint);
    line_width: "glLineWidth" = fn(c_float);
    color: "glColor4f" = fn(c_float, c_float, c_float, c_float);
    begin: "glBegin" = fn(c_uint);
    end: "glEnd" = fn();
    vertex: "glVertex2d" = fn(c_double, c_double);
}

const VERSION: c_uint = 0x1F02;
const CONTEXT_FLAGS: c_uint = 0x821E;
const FORWARD_COMPATIBLE: c_int = 1;
const CONTEXT_PROFILE_MASK: c_uint = 0x9126;
const CORE_PROFILE: c_int = 1;
const ATTRIBUTE_DEPTH: [c_uint; 2] = [0x0BB0, 0x0D35];
const MODELVIEW_DEPTH: [c_uint; 2] = [0x0BA3, 0x0D36];

/// Current color, lines, polygons, transform, enable flags, color buffer.
const TOUCHED: c_uint = 0x0001 | 0x0004 | 0x0008 | 0x1000 | 0x2000 | 0x4000;
const MODELVIEW: c_uint = 0x1700;
const BLEND: c_uint = 0x0BE2;
const LINE_SMOOTH: c_uint = 0x0B20;
/// Lighting, flat textures, depth, stencil and alpha tests, culling, stipples, logic operation:
/// whatever a host may have left on that would change lines.
const IN_THE_WAY: [c_uint; 9] =
    [0x0B50, 0x0DE1, 0x0B71, 0x0B90, 0x0BC0, 0x0B44, 0x0B24, 0x0B42, 0x0BF2];
const SOURCE_ALPHA: c_uint = 0x0302;
const ONE_MINUS_SOURCE_ALPHA: c_uint = 0x0303;
const FRONT_AND_BACK: c_uint = 0x0408;
const FILL: c_uint = 0x1B02;
const QUADS: c_uint = 0x0007;

/// The host's OpenGL context, for the length of one draw action. Dropping it puts back what was.
pub(crate) struct OpenGl {
    gl: Functions,
    /// Size of a pixel of the screen on the canvas.
    pixel: [f64; 2],
    _library: Library,
}

impl OpenGl {
    /// None where there is nothing to draw by. For draw actions: where a host draws by OpenGL it has
    /// made its context current then.
    pub(crate) fn begin(pixel: [f64; 2]) -> Option<Self> {
        let (library, gl) = loaded_libraries().find_map(|library| {
            let gl = has_context(&library).then(|| Functions::of(&library)).flatten()?;
            Some((library, gl))
        })?;
        // SAFETY: the functions are OpenGL's, and a context is current or they do nothing. One
        // level of either stack is used up here and another matrix for text; both are there.
        unsafe {
            if !gl.is_fixed_function()
                || !gl.has_room(ATTRIBUTE_DEPTH)
                || !gl.has_room(MODELVIEW_DEPTH)
            {
                return None;
            }
            (gl.push_attributes)(TOUCHED);
            // The matrix is left as it is: hosts have put their zoom into it.
            (gl.matrix_mode)(MODELVIEW);
            (gl.push_matrix)();
            IN_THE_WAY.into_iter().for_each(|flag| (gl.disable)(flag));
            (gl.enable)(BLEND);
            (gl.enable)(LINE_SMOOTH);
            (gl.blend)(SOURCE_ALPHA, ONE_MINUS_SOURCE_ALPHA);
            (gl.polygon_mode)(FRONT_AND_BACK, FILL);
        }
        Some(Self { gl, pixel, _library: library })
    }
}

impl Drop for OpenGl {
    fn drop(&mut self) {
        let gl = &self.gl;
        // SAFETY: `begin` pushed both in this context, and every drawing leaves both stacks as it
        // finds them.
        unsafe {
            (gl.matrix_mode)(MODELVIEW);
            (gl.pop_matrix)();
            (gl.pop_attributes)();
            // A host would take an error of ours for its own. Without a context there would be one
            // each time, so this ends after some.
            for _ in 0..32 {
                if (gl.get_error)() == 0 {
                    break;
                }
            }
        }
    }
}

impl OverlayCanvas for OpenGl {
    fn preferred_color(&self) -> Option<Color> {
        None
    }

    fn set_color(&mut self, Color([red, green, blue, alpha]): Color) {
        // SAFETY: the context of `begin` is current.
        unsafe { (self.gl.color)(red, green, blue, alpha) };
    }

    fn set_line_width(&mut self, pixels: f32) {
        // SAFETY: as above.
        unsafe { (self.gl.line_width)(pixels) };
    }

    fn draw_figure(&mut self, figure: Figure, points: &[Point]) {
        self.draw_primitive(mode(figure), points.iter().copied());
    }

    fn draw_text(&mut self, [x, y]: Point, text: &str) {
        let runs = text_pixels(text);
        let corners = runs.iter().flat_map(|&[left, bottom, right, top]| {
            [[left, bottom], [right, bottom], [right, top], [left, top]]
        });
        // SAFETY: as above; the matrix that is pushed is popped, with nothing between that ends
        // early.
        unsafe {
            (self.gl.push_matrix)();
            (self.gl.translate)(x, y, 0.0);
            (self.gl.scale)(self.pixel[0], self.pixel[1], 1.0);
            self.draw_primitive(QUADS, corners.map(|corner| corner.map(f64::from)));
            (self.gl.pop_matrix)();
        }
    }
}

impl OpenGl {
    /// Draws points as one primitive of OpenGL.
    fn draw_primitive(&self, mode: c_uint, points: impl Iterator<Item = Point>) {
        let points: Vec<Point> = points.collect();
        // SAFETY: the context of `begin` is current, and only vertices come between begin and end.
        unsafe {
            (self.gl.begin)(mode);
            points.iter().for_each(|&[x, y]| (self.gl.vertex)(x, y));
            (self.gl.end)();
        }
    }
}

impl Functions {
    /// Whether the current context, if any, has the functions of OpenGL 2.1 rather than only those
    /// of a core profile or of OpenGL ES.
    unsafe fn is_fixed_function(&self) -> bool {
        // SAFETY: asking a context, or none, for its version; the answer is null or a C string.
        let version = unsafe {
            let version = (self.get_string)(VERSION);
            if version.is_null() {
                return false;
            }
            CStr::from_ptr(version).to_string_lossy().into_owned()
        };
        match version_numbers(&version) {
            None => false,
            Some(number) if number >= (3, 2) => {
                self.integer(CONTEXT_PROFILE_MASK) & CORE_PROFILE == 0
            }
            Some(number) if number >= (3, 0) => {
                self.integer(CONTEXT_FLAGS) & FORWARD_COMPATIBLE == 0
            }
            Some(_) => true,
        }
    }

    /// Whether two more levels fit on a stack, given as its depth and its greatest depth.
    unsafe fn has_room(&self, [depth, greatest]: [c_uint; 2]) -> bool {
        self.integer(depth) + 2 <= self.integer(greatest)
    }

    fn integer(&self, name: c_uint) -> c_int {
        let mut value = 0;
        // SAFETY: each name that is asked for has one number for an answer.
        unsafe { (self.get_integer)(name, &raw mut value) };
        value
    }
}

/// Major and minor version of desktop OpenGL; that of OpenGL ES begins with letters.
fn version_numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn mode(figure: Figure) -> c_uint {
    match figure {
        Figure::Lines => 0x0001,
        Figure::Loop => 0x0002,
        Figure::Strip => 0x0003,
        Figure::Polygon => 0x0009,
    }
}

/// What may hold OpenGL in this process already, best first: what everybody sees, then libraries
/// that were loaded for somebody only.
#[cfg(all(unix, not(target_os = "macos")))]
fn loaded_libraries() -> impl Iterator<Item = Library> {
    std::iter::once_with(|| Some(Library::this()))
        .chain(["libGL.so.1", "libOpenGL.so.0"].into_iter().map(open_if_loaded))
        .flatten()
}

#[cfg(target_os = "macos")]
fn loaded_libraries() -> impl Iterator<Item = Library> {
    open_if_loaded("/System/Library/Frameworks/OpenGL.framework/OpenGL").into_iter()
}

#[cfg(windows)]
fn loaded_libraries() -> impl Iterator<Item = Library> {
    Library::open_already_loaded("opengl32.dll").into_iter()
}

#[cfg(unix)]
fn open_if_loaded(name: &str) -> Option<Library> {
    use libloading::os::unix::RTLD_LAZY;
    // SAFETY: nothing is loaded, so nothing of it runs: the library is in use already, or refused.
    unsafe { Library::open(Some(name), RTLD_LAZY | libc::RTLD_NOLOAD) }.ok()
}

/// Elsewhere than on Linux even asking for the version ends badly without a context.
fn has_context(library: &Library) -> bool {
    let name = if cfg!(target_os = "macos") {
        "CGLGetCurrentContext"
    } else if cfg!(windows) {
        "wglGetCurrentContext"
    } else {
        return true;
    };
    type Current = unsafe extern "system" fn() -> *const ();
    // SAFETY: both functions take nothing and give a pointer, null without a context.
    unsafe { library.get::<Current>(name).is_ok_and(|current| !current().is_null()) }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
