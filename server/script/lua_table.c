/*
 * lua_table.c - the table library. As Lua's, but each function charges for the
 * elements that it goes through, and works on tables alone, raw: none that a
 * script can get hold of has metamethods.
 */
#include "server/script/engine.h"

#include <limits.h>

static lua_Integer length_of(lua_State *L, int index)
{
    luaL_checktype(L, index, LUA_TTABLE);
    return (lua_Integer)lua_rawlen(L, index);
}

/* ---- insert, remove, move ---- */

/* Copies count elements, from above or from below so that none is lost. */
static void copy_elements(lua_State *L, int from_table, lua_Integer from, int to_table,
                          lua_Integer to, lua_Integer count, bool from_above)
{
    for (lua_Integer i = 0; i < count; i++) {
        lua_Integer at = from_above ? count - 1 - i : i;
        lua_rawgeti(L, from_table, from + at);
        lua_rawseti(L, to_table, to + at);
    }
}

static int table_insert(lua_State *L)
{
    lua_Integer end = length_of(L, 1) + 1;
    lua_Integer at = end;
    switch (lua_gettop(L)) {
    case 2:
        break;
    case 3:
        at = luaL_checkinteger(L, 2);
        luaL_argcheck(L, at >= 1 && at <= end, 2, "position out of bounds");
        meter_charge(L, (uint64_t)(end - at));
        copy_elements(L, 1, at, 1, at + 1, end - at, true);
        break;
    default:
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_rawseti(L, 1, at);
    return 0;
}

static int table_remove(lua_State *L)
{
    lua_Integer size = length_of(L, 1);
    lua_Integer at = luaL_optinteger(L, 2, size);
    if (at != size)
        luaL_argcheck(L, at >= 1 && at <= size + 1, 2, "position out of bounds");
    lua_rawgeti(L, 1, at);
    if (at < size) {
        meter_charge(L, (uint64_t)(size - at));
        copy_elements(L, 1, at + 1, 1, at, size - at, false);
        at = size;
    }
    lua_pushnil(L);
    lua_rawseti(L, 1, at);
    return 1;
}

static int table_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2);
    lua_Integer last = luaL_checkinteger(L, 3);
    lua_Integer to = luaL_checkinteger(L, 4);
    int to_table = lua_isnoneornil(L, 5) ? 1 : 5;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, to_table, LUA_TTABLE);
    if (last >= from) {
        luaL_argcheck(L, from > 0 || last < LUA_MAXINTEGER + from, 3, "too many elements to move");
        lua_Integer count = last - from + 1;
        luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
        meter_charge(L, (uint64_t)count);
        bool overlaps = to > from && to <= last && lua_rawequal(L, 1, to_table);
        copy_elements(L, 1, from, to_table, to, count, overlaps);
    }
    lua_pushvalue(L, to_table);
    return 1;
}

/* ---- concat, pack, unpack ---- */

static void add_element(lua_State *L, luaL_Buffer *out, lua_Integer i)
{
    lua_rawgeti(L, 1, i);
    if (!lua_isstring(L, -1))
        luaL_error(L, "invalid value (at index %I) in table for 'concat'", (LUAI_UACINT)i);
    luaL_addvalue(out);
}

static int table_concat(lua_State *L)
{
    size_t separator_size;
    lua_Integer last = length_of(L, 1);
    const char *separator = luaL_optlstring(L, 2, "", &separator_size);
    lua_Integer i = luaL_optinteger(L, 3, 1);
    last = luaL_optinteger(L, 4, last);
    luaL_Buffer out;
    luaL_buffinit(L, &out);
    for (; i < last; i++) {
        meter_charge(L, 1);
        add_element(L, &out, i);
        luaL_addlstring(&out, separator, separator_size);
    }
    if (i == last)
        add_element(L, &out, i);
    luaL_pushresult(&out);
    return 1;
}

static int table_pack(lua_State *L)
{
    int count = lua_gettop(L);
    lua_createtable(L, count, 1);
    lua_insert(L, 1);
    for (int i = count; i >= 1; i--)
        lua_rawseti(L, 1, i);
    lua_pushinteger(L, count);
    lua_setfield(L, 1, "n");
    return 1;
}

static int table_unpack(lua_State *L)
{
    lua_Integer last = length_of(L, 1);
    lua_Integer i = luaL_optinteger(L, 2, 1);
    last = luaL_optinteger(L, 3, last);
    if (i > last)
        return 0;
    lua_Unsigned count = (lua_Unsigned)last - (lua_Unsigned)i;
    if (count >= INT_MAX || !lua_checkstack(L, (int)++count))
        return luaL_error(L, "too many results to unpack");
    meter_charge(L, count);
    for (lua_Unsigned n = 0; n < count; n++)
        lua_rawgeti(L, 1, i + (lua_Integer)n);
    return (int)count;
}

/* ---- sort ---- */

enum { VALUES = 1, ORDER = 2, MERGED = 3 }; /* on the stack */

/* Whether the second of the two values at the top belongs before the first. */
static bool second_is_first(lua_State *L)
{
    if (lua_isnil(L, ORDER)) {
        size_t size = 0;
        if (lua_type(L, -1) == LUA_TSTRING && lua_type(L, -2) == LUA_TSTRING)
            size = lua_rawlen(L, -1) < lua_rawlen(L, -2) ? lua_rawlen(L, -1) : lua_rawlen(L, -2);
        meter_charge_bytes(L, size);
        return lua_compare(L, -1, -2, LUA_OPLT);
    }
    meter_charge(L, 1);
    lua_pushvalue(L, ORDER);
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -4);
    lua_call(L, 2, 1);
    bool before = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return before;
}

static bool is_before(lua_State *L, lua_Integer a, lua_Integer b)
{
    lua_rawgeti(L, VALUES, b);
    lua_rawgeti(L, VALUES, a);
    bool before = second_is_first(L);
    lua_pop(L, 2);
    return before;
}

/* The runs from low and from middle, up to end, become one. The values change only after all
 * comparisons: an order function that raises leaves none out. */
static void merge_runs(lua_State *L, lua_Integer low, lua_Integer middle, lua_Integer end)
{
    if (!is_before(L, middle, middle - 1))
        return;
    lua_Integer a = low;
    lua_Integer b = middle;
    for (lua_Integer to = low; to < end; to++) {
        bool take_b = a == middle || (b < end && is_before(L, b, a));
        lua_rawgeti(L, VALUES, take_b ? b++ : a++);
        lua_rawseti(L, MERGED, to);
    }
    meter_charge(L, (uint64_t)(end - low));
    copy_elements(L, MERGED, low, VALUES, low, end - low, false);
}

static int table_sort(lua_State *L)
{
    lua_Integer size = length_of(L, 1);
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    luaL_argcheck(L, size < INT_MAX, 1, "array too big");
    lua_settop(L, 2);
    if (size < 2)
        return 0;
    lua_createtable(L, (int)size, 0);
    for (lua_Integer width = 1; width < size; width *= 2) {
        for (lua_Integer low = 1; low + width <= size; low += 2 * width) {
            lua_Integer end = low + 2 * width;
            merge_runs(L, low, low + width, end <= size ? end : size + 1);
        }
    }
    return 0;
}

void table_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {{"concat", table_concat}, {"insert", table_insert},
                                         {"move", table_move},     {"pack", table_pack},
                                         {"remove", table_remove}, {"sort", table_sort},
                                         {"unpack", table_unpack}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
