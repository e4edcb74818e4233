/*
 * failure.c - what a failure says: message, where, traceback. Written into the
 * engine's own buffer, without an allocation, so that a function that has run
 * out of memory or stack can be told about as well.
 */
#include "server/script/engine.h"

#include <stdarg.h>
#include <stdio.h>

#include "protocol/key.h"

enum {
    MESSAGE_MAX = SCRIPT_TEXT_MAX / 2, /* the rest is for the traceback */
    LEVELS_FIRST = 10,
    LEVELS_LAST = 11
};

/* ---- writing ---- */

static void add_bytes(struct script_engine *e, const char *text, size_t size, size_t end_max)
{
    size_t room = e->text_size < end_max ? end_max - e->text_size : 0;
    if (size > room)
        size = room;
    memcpy(e->text + e->text_size, text, size);
    e->text_size += size;
    e->text[e->text_size] = '\0';
}

void failure_add(struct script_engine *e, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = SCRIPT_TEXT_MAX - e->text_size;
    int size = vsnprintf(e->text + e->text_size, room + 1, format, arguments);
    va_end(arguments);
    if (size > 0)
        e->text_size += (size_t)size < room ? (size_t)size : room;
}

void failure_begin(struct script_engine *e, bool with_place)
{
    lua_Debug activation;
    e->text_size = 0;
    e->text[0] = '\0';
    if (!with_place)
        return;
    for (int level = 0; level < 4 && lua_getstack(e->L, level, &activation); level++) {
        lua_getinfo(e->L, "Sl", &activation);
        if (activation.currentline > 0) {
            failure_add(e, "%s:%d: ", activation.short_src, activation.currentline);
            return;
        }
    }
}

/* ---- the traceback ---- */

static int depth_of(lua_State *L)
{
    lua_Debug activation;
    int low = 0; /* is there, or nothing is */
    int high = 1;
    while (lua_getstack(L, high, &activation)) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        int middle = low + (high - low) / 2;
        if (lua_getstack(L, middle, &activation))
            low = middle;
        else
            high = middle;
    }
    return high;
}

static void add_level(struct script_engine *e, int level)
{
    lua_Debug activation;
    if (!lua_getstack(e->L, level, &activation))
        return;
    lua_getinfo(e->L, "Sln", &activation);
    bool is_c = *activation.what == 'C';
    if (is_c && !activation.name)
        return; /* of the engine */
    failure_add(e, "\n\t%s:", activation.short_src);
    if (activation.currentline > 0)
        failure_add(e, "%d:", activation.currentline);
    if (*activation.what == 'm')
        failure_add(e, " in main chunk");
    else if (activation.name)
        failure_add(e, " in %s '%s'",
                    *activation.namewhat != '\0' ? activation.namewhat : "function",
                    activation.name);
    else
        failure_add(e, " in function <%s:%d>", activation.short_src, activation.linedefined);
}

void failure_add_traceback(struct script_engine *e, int first)
{
    int depth = depth_of(e->L);
    failure_add(e, "\nstack traceback:");
    for (int level = first; level < depth; level++) {
        if (level == LEVELS_FIRST && depth > LEVELS_FIRST + LEVELS_LAST) {
            failure_add(e, "\n\t...\t(skipping %d levels)", depth - LEVELS_FIRST - LEVELS_LAST);
            level = depth - LEVELS_LAST;
        }
        add_level(e, level);
    }
}

/* ---- the error object ---- */

static void add_object(struct script_engine *e, int index)
{
    lua_State *L = e->L;
    size_t size;
    const char *text;
    struct bytes data;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, index, &size);
        add_bytes(e, text, size, MESSAGE_MAX);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            failure_add(e, LUA_INTEGER_FMT, lua_tointeger(L, index));
        else
            failure_add(e, LUA_NUMBER_FMT, lua_tonumber(L, index));
        break;
    case LUA_TBOOLEAN:
        failure_add(e, "%s", lua_toboolean(L, index) ? "true" : "false");
        break;
    default:
        if (value_is_null(L, index))
            failure_add(e, "null");
        else if (value_to_binary(L, index, &data))
            add_bytes(e, (const char *)data.data, data.size, MESSAGE_MAX);
        else
            failure_add(e, "(the error object is a %s)", luaL_typename(L, index));
    }
}

int failure_on_error(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    if (e->verdict != VERDICT_NONE)
        return 1;
    failure_begin(e, false);
    add_object(e, 1);
    if (!e->is_syntax_error)
        failure_add_traceback(e, 1); /* level 0 is this handler */
    return 1;
}

/* ---- clean ---- */

/* Bytes of the character at text, at most left; 0: it is none. */
static size_t character_size(const char *text, size_t left)
{
    for (size_t n = 1; n <= 4 && n <= left; n++) {
        if (utf8_valid((struct bytes){(const uint8_t *)text, n}))
            return n;
    }
    return 0;
}

void failure_clean(struct script_engine *e)
{
    size_t to = 0;
    for (size_t at = 0; at < e->text_size;) {
        uint8_t c = (uint8_t)e->text[at];
        size_t n = c < 0x80 ? 1 : character_size(e->text + at, e->text_size - at);
        /* U+0080 to U+009F are control characters as well. */
        bool is_control = (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f ||
                          (n == 2 && c == 0xc2 && (uint8_t)e->text[at + 1] < 0xa0);
        if (n == 0 || is_control) {
            e->text[to++] = '?';
            at += n ? n : 1;
        } else {
            memmove(e->text + to, e->text + at, n);
            to += n;
            at += n;
        }
    }
    e->text[to] = '\0';
    e->text_size = to;
}
