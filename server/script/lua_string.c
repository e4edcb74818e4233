/*
 * lua_string.c - the functions of the string library that are not Lua's own,
 * because those would run for as long as their arguments make them, or tell
 * addresses: find, match, gmatch, gsub, rep, format.
 */
#define _GNU_SOURCE
#include "server/script/engine.h"

#include <ctype.h>

#include "server/script/pattern.h"

enum { FORMAT_CHARGED = 1 }; /* upvalue of format: Lua's own, in the engine's list */

static struct bytes check_bytes(lua_State *L, int index)
{
    struct bytes b;
    b.data = (const uint8_t *)luaL_checklstring(L, index, &b.size);
    return b;
}

/* Lua's start positions: from 1 on, from the end if negative. */
static size_t start_from(lua_Integer position, size_t size)
{
    if (position > 0)
        return (size_t)position - 1;
    if (position == 0 || position < -(lua_Integer)size)
        return 0;
    return size - (size_t)-position;
}

/* ---- matching ---- */

static bool spend(void *context, uint32_t steps)
{
    return meter_spend(context, steps / 4 + 1);
}

static void match_begin(lua_State *L, struct pattern_match *m, struct bytes subject,
                        struct bytes pattern)
{
    m->subject = subject;
    m->pattern = pattern;
    m->spend = spend;
    m->context = engine_of(L);
    m->steps = 0;
}

static bool match_at(lua_State *L, struct pattern_match *m, size_t at, size_t *ret_end)
{
    switch (pattern_match_at(m, at, ret_end)) {
    case PATTERN_FOUND:
        return true;
    case PATTERN_INVALID:
        luaL_error(L, "%s", m->error);
        return false;
    case PATTERN_STOPPED:
        meter_check(L);
        luaL_error(L, "the match was stopped");
        return false;
    default:
        return false;
    }
}

/* The first match from at on. */
static bool match_from(lua_State *L, struct pattern_match *m, size_t at, bool is_anchored,
                       size_t *ret_begin, size_t *ret_end)
{
    for (; at <= m->subject.size; at++) {
        if (match_at(L, m, at, ret_end)) {
            *ret_begin = at;
            return true;
        }
        if (is_anchored)
            break;
    }
    return false;
}

static bool take_anchor(struct bytes *pattern)
{
    if (pattern->size == 0 || pattern->data[0] != '^')
        return false;
    pattern->data++;
    pattern->size--;
    return true;
}

/* Of a match from begin to end; without captures the whole is the first one. */
static void push_capture(lua_State *L, const struct pattern_match *m, unsigned i, size_t begin,
                         size_t end)
{
    const char *subject = (const char *)m->subject.data;
    if (i >= m->capture_count) {
        if (i != 0)
            luaL_error(L, "invalid capture index %%%d", (int)i + 1);
        lua_pushlstring(L, subject + begin, end - begin);
        return;
    }
    const struct pattern_capture *c = &m->captures[i];
    if (c->kind == CAPTURE_OPEN)
        luaL_error(L, "unfinished capture");
    else if (c->kind == CAPTURE_POSITION)
        lua_pushinteger(L, (lua_Integer)c->start + 1);
    else
        lua_pushlstring(L, subject + c->start, c->size);
}

static int push_captures(lua_State *L, const struct pattern_match *m, bool or_whole, size_t begin,
                         size_t end)
{
    unsigned count = m->capture_count == 0 && or_whole ? 1 : m->capture_count;
    luaL_checkstack(L, (int)count, "too many captures");
    for (unsigned i = 0; i < count; i++)
        push_capture(L, m, i, begin, end);
    return (int)count;
}

/* ---- find, match ---- */

static int find_plain(lua_State *L, struct bytes subject, struct bytes wanted, size_t at)
{
    const uint8_t *found = subject.data + at;
    meter_charge_bytes(L, subject.size - at);
    if (wanted.size > 0)
        found = memmem(subject.data + at, subject.size - at, wanted.data, wanted.size);
    if (!found) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, (lua_Integer)(found - subject.data) + 1);
    lua_pushinteger(L, (lua_Integer)(found - subject.data) + (lua_Integer)wanted.size);
    return 2;
}

static int find_or_match(lua_State *L, bool is_find)
{
    struct bytes subject = check_bytes(L, 1);
    struct bytes pattern = check_bytes(L, 2);
    size_t at = start_from(luaL_optinteger(L, 3, 1), subject.size);
    struct pattern_match m;
    size_t begin;
    size_t end;
    if (at > subject.size) {
        luaL_pushfail(L);
        return 1;
    }
    if (is_find && (lua_toboolean(L, 4) || pattern_is_plain(pattern)))
        return find_plain(L, subject, pattern, at);
    bool is_anchored = take_anchor(&pattern);
    match_begin(L, &m, subject, pattern);
    if (!match_from(L, &m, at, is_anchored, &begin, &end)) {
        luaL_pushfail(L);
        return 1;
    }
    if (!is_find)
        return push_captures(L, &m, true, begin, end);
    lua_pushinteger(L, (lua_Integer)begin + 1);
    lua_pushinteger(L, (lua_Integer)end);
    return 2 + push_captures(L, &m, false, begin, end);
}

static int string_find(lua_State *L)
{
    return find_or_match(L, true);
}

static int string_match(lua_State *L)
{
    return find_or_match(L, false);
}

/* ---- gmatch ---- */

enum { GMATCH_SUBJECT = 1, GMATCH_PATTERN, GMATCH_AT, GMATCH_LAST_END }; /* upvalues */

static int gmatch_next(lua_State *L)
{
    struct pattern_match m;
    size_t end;
    match_begin(L, &m, check_bytes(L, lua_upvalueindex(GMATCH_SUBJECT)),
                check_bytes(L, lua_upvalueindex(GMATCH_PATTERN)));
    lua_Integer last_end = lua_tointeger(L, lua_upvalueindex(GMATCH_LAST_END));
    size_t at = (size_t)lua_tointeger(L, lua_upvalueindex(GMATCH_AT));
    for (; at <= m.subject.size; at++) {
        if (!match_at(L, &m, at, &end) || (lua_Integer)end == last_end)
            continue;
        lua_pushinteger(L, (lua_Integer)end);
        lua_copy(L, -1, lua_upvalueindex(GMATCH_AT));
        lua_replace(L, lua_upvalueindex(GMATCH_LAST_END));
        return push_captures(L, &m, true, at, end);
    }
    return 0;
}

static int string_gmatch(lua_State *L)
{
    struct bytes subject = check_bytes(L, 1);
    (void)check_bytes(L, 2);
    size_t at = start_from(luaL_optinteger(L, 3, 1), subject.size);
    lua_settop(L, 2);
    lua_pushinteger(L, (lua_Integer)(at <= subject.size ? at : subject.size + 1));
    lua_pushinteger(L, -1);
    lua_pushcclosure(L, gmatch_next, 4);
    return 1;
}

/* ---- gsub ---- */

enum { GSUB_REPLACEMENT = 3 }; /* on the stack */

/* The replacement is a string with %0 to %9 in it. */
static void add_string(lua_State *L, luaL_Buffer *out, const struct pattern_match *m, size_t begin,
                       size_t end)
{
    struct bytes text = check_bytes(L, GSUB_REPLACEMENT);
    size_t i = 0;
    while (i < text.size) {
        const uint8_t *escape = memchr(text.data + i, '%', text.size - i);
        size_t plain = escape ? (size_t)(escape - text.data) - i : text.size - i;
        luaL_addlstring(out, (const char *)text.data + i, plain);
        i += plain;
        if (!escape)
            break;
        uint8_t c = i + 1 < text.size ? text.data[i + 1] : 0;
        i += 2;
        if (c == '%') {
            luaL_addchar(out, '%');
        } else if (c == '0') {
            luaL_addlstring(out, (const char *)m->subject.data + begin, end - begin);
        } else if (isdigit(c)) {
            push_capture(L, m, c - (unsigned)'1', begin, end);
            luaL_addvalue(out);
        } else {
            luaL_error(L, "invalid use of '%%' in replacement string");
        }
    }
}

/* Whether the match was replaced. */
static bool add_replacement(lua_State *L, luaL_Buffer *out, const struct pattern_match *m,
                            size_t begin, size_t end)
{
    switch (lua_type(L, GSUB_REPLACEMENT)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, GSUB_REPLACEMENT);
        lua_call(L, push_captures(L, m, true, begin, end), 1);
        break;
    case LUA_TTABLE:
        push_capture(L, m, 0, begin, end);
        lua_rawget(L, GSUB_REPLACEMENT);
        break;
    default:
        add_string(L, out, m, begin, end);
        return true;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(out, (const char *)m->subject.data + begin, end - begin);
        return false;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(out);
    return true;
}

static int string_gsub(lua_State *L)
{
    struct bytes subject = check_bytes(L, 1);
    struct bytes pattern = check_bytes(L, 2);
    int kind = lua_type(L, GSUB_REPLACEMENT);
    lua_Integer count_max = luaL_optinteger(L, 4, (lua_Integer)subject.size + 1);
    luaL_argexpected(L,
                     kind == LUA_TNUMBER || kind == LUA_TSTRING || kind == LUA_TFUNCTION ||
                         kind == LUA_TTABLE,
                     GSUB_REPLACEMENT, "string/function/table");
    bool is_anchored = take_anchor(&pattern);
    struct pattern_match m;
    match_begin(L, &m, subject, pattern);
    lua_Integer count = 0;
    bool is_changed = false;
    size_t at = 0;
    size_t last_end = SIZE_MAX;
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    while (count < count_max) {
        size_t end;
        if (match_at(L, &m, at, &end) && end != last_end) {
            count++;
            is_changed |= add_replacement(L, &out, &m, at, end);
            at = last_end = end;
        } else if (at < subject.size) {
            luaL_addchar(&out, (char)subject.data[at]);
            at++;
        } else {
            break;
        }
        if (is_anchored)
            break;
    }
    if (is_changed) {
        luaL_addlstring(&out, (const char *)subject.data + at, subject.size - at);
        luaL_pushresult(&out);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, count);
    return 2;
}

/* ---- rep ---- */

static int string_rep(lua_State *L)
{
    struct bytes text = check_bytes(L, 1);
    lua_Integer count = luaL_checkinteger(L, 2);
    size_t separator_size;
    const char *separator = luaL_optlstring(L, 3, "", &separator_size);
    size_t part = text.size + separator_size;
    luaL_Buffer out;
    if (count <= 0 || part == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (part > engine_of(L)->limits.memory / (uint64_t)count)
        meter_stop(L, VERDICT_MEMORY);
    luaL_buffinitsize(L, &out, part * (size_t)count);
    meter_charge(L, (uint64_t)count);
    while (count-- > 0) {
        luaL_addlstring(&out, (const char *)text.data, text.size);
        if (count > 0)
            luaL_addlstring(&out, separator, separator_size);
    }
    luaL_pushresult(&out);
    return 1;
}

/* ---- format ---- */

/* Lua's own does the work. It would tell the addresses of tables and functions. */
static int string_format(lua_State *L)
{
    struct bytes format = check_bytes(L, 1);
    int count = lua_gettop(L);
    int argument = 1;
    meter_charge_bytes(L, format.size);
    for (size_t i = 0; i < format.size; i++) {
        if (format.data[i] != '%')
            continue;
        i++;
        if (i < format.size && format.data[i] == '%')
            continue;
        while (i < format.size && format.data[i] != 0 && strchr("-+ #0123456789.", format.data[i]))
            i++;
        argument++;
        if (i < format.size && format.data[i] == 'p')
            return luaL_error(L,
                              "invalid conversion '%%p' to 'format': no function sees addresses");
        if (i < format.size && format.data[i] == 's' && argument <= count) {
            sandbox_tostring(L, argument);
            lua_replace(L, argument);
        }
    }
    return engine_of(L)->charged[lua_tointeger(L, lua_upvalueindex(FORMAT_CHARGED))](L);
}

/* The wrapper of Lua's own is the engine's, see sandbox_charge_for. */
static void offer_format(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    lua_getfield(L, -1, "format");
    sandbox_charge_for(L);
    lua_pop(L, 1);
    lua_pushinteger(L, (lua_Integer)e->charged_count - 1);
    lua_pushcclosure(L, string_format, 1);
    lua_setfield(L, -2, "format");
}

void string_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"find", string_find},     {"match", string_match},
                                         {"gmatch", string_gmatch}, {"gsub", string_gsub},
                                         {"rep", string_rep},       {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    offer_format(L);
}
