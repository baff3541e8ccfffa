/* The functions of OpenFX that take variable arguments. Each collects its arguments by the layout
 * that Rust tells and hands them on with their types. Handles are pointers of no type here. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { OK = 0, FAILED = 1, ERR_MEMORY = 8 };
enum { KIND_INT = 1, KIND_DOUBLE = 2, KIND_TEXT = 3 };
enum { FORMATTED = 0, FORMATTED_WITH_A_LIST = 1, AS_GIVEN = 2 };
enum { PLAIN = 0, AT_TIME = 1, DERIVATIVE = 2, INTEGRAL = 3 };

struct value {
    int whole;
    double number;
    const char *text;
};

/* What Rust gives: `layout` answers (kind << 4 | count), or the negated status. */
struct typed {
    int (*layout)(void *param, int is_set);
    int (*get)(void *param, int how, double time, double until, void **places);
    int (*set)(void *param, int how, double time, const struct value *values);
    int (*message)(void *effect, int is_persistent, const char *type, const char *id,
                   const char *format, const char *text);
    int (*formatting)(void *effect);
};

static struct typed typed;

void wan_alpha_host_variable(const struct typed *functions)
{
    typed = *functions;
}

static int get(void *param, int how, double time, double until, va_list *arguments)
{
    void *places[4] = {NULL, NULL, NULL, NULL};
    int layout = typed.layout(param, 0);
    if (layout <= 0)
        return -layout;
    for (int i = 0; i < (layout & 15); i++)
        places[i] = va_arg(*arguments, void *);
    return typed.get(param, how, time, until, places);
}

static int set(void *param, int how, double time, va_list *arguments)
{
    struct value values[4] = {{0, 0.0, NULL}, {0, 0.0, NULL}, {0, 0.0, NULL}, {0, 0.0, NULL}};
    int layout = typed.layout(param, 1);
    if (layout <= 0)
        return -layout;
    for (int i = 0; i < (layout & 15); i++) {
        switch (layout >> 4) {
        case KIND_INT:
            values[i].whole = va_arg(*arguments, int);
            break;
        case KIND_DOUBLE:
            values[i].number = va_arg(*arguments, double);
            break;
        default:
            values[i].text = va_arg(*arguments, const char *);
            break;
        }
    }
    return typed.set(param, how, time, values);
}

int wan_alpha_host_param_get_value(void *param, ...)
{
    va_list arguments;
    va_start(arguments, param);
    int status = get(param, PLAIN, 0.0, 0.0, &arguments);
    va_end(arguments);
    return status;
}

int wan_alpha_host_param_get_value_at_time(void *param, double time, ...)
{
    va_list arguments;
    va_start(arguments, time);
    int status = get(param, AT_TIME, time, 0.0, &arguments);
    va_end(arguments);
    return status;
}

int wan_alpha_host_param_get_derivative(void *param, double time, ...)
{
    va_list arguments;
    va_start(arguments, time);
    int status = get(param, DERIVATIVE, time, 0.0, &arguments);
    va_end(arguments);
    return status;
}

int wan_alpha_host_param_get_integral(void *param, double from, double until, ...)
{
    va_list arguments;
    va_start(arguments, until);
    int status = get(param, INTEGRAL, from, until, &arguments);
    va_end(arguments);
    return status;
}

int wan_alpha_host_param_set_value(void *param, ...)
{
    va_list arguments;
    va_start(arguments, param);
    int status = set(param, PLAIN, 0.0, &arguments);
    va_end(arguments);
    return status;
}

int wan_alpha_host_param_set_value_at_time(void *param, double time, ...)
{
    va_list arguments;
    va_start(arguments, time);
    int status = set(param, AT_TIME, time, &arguments);
    va_end(arguments);
    return status;
}

/* Puts a text together into `place`, and tells its length, as vsnprintf does. */
static int formatted(int how, char *place, size_t room, const char *format, va_list *arguments)
{
    if (how == AS_GIVEN)
        return snprintf(place, room, "%s", format);
    /* Such a host hands its list of arguments on as if it were one argument: a string conversion
     * prints the first bytes of the list, which are a blank and a zero. */
    if (how == FORMATTED_WITH_A_LIST)
        return snprintf(place, room, format, " ", " ", " ", " ");
    va_list again;
    va_copy(again, *arguments);
    int length = vsnprintf(place, room, format, again);
    va_end(again);
    return length;
}

static int message(void *effect, int is_persistent, const char *type, const char *id,
                   const char *format, va_list *arguments)
{
    char *text = NULL;
    if (format) {
        int how = typed.formatting(effect);
        int length = formatted(how, NULL, 0, format, arguments);
        if (length < 0)
            return FAILED;
        text = malloc((size_t)length + 1);
        if (!text)
            return ERR_MEMORY;
        formatted(how, text, (size_t)length + 1, format, arguments);
    }
    int status = typed.message(effect, is_persistent, type, id, format, text);
    free(text);
    return status;
}

int wan_alpha_host_message(void *effect, const char *type, const char *id, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int status = message(effect, 0, type, id, format, &arguments);
    va_end(arguments);
    return status;
}

int wan_alpha_host_set_persistent_message(void *effect, const char *type, const char *id,
                                          const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int status = message(effect, 1, type, id, format, &arguments);
    va_end(arguments);
    return status;
}
