/*
 * sandbox.c - which globals a function finds, and the basic functions that are
 * not Lua's own.
 *
 * 1. Each call's table of globals is its own. What all calls share is found
 *    through its metatable's __index, and is never a value that a script holds.
 * 2. A library is a userdata without contents whose metatable finds the
 *    library's functions: nothing can be written into it, not even raw.
 * 3. What is not named here is not there.
 */
#include "server/script/engine.h"

#include <lualib.h>

/* ---- basic functions ---- */

void sandbox_tostring(lua_State *L, int index)
{
    struct bytes data;
    switch (lua_type(L, index)) {
    case LUA_TSTRING:
        lua_pushvalue(L, index);
        break;
    case LUA_TNUMBER:
        lua_pushvalue(L, index);
        (void)lua_tostring(L, -1);
        break;
    case LUA_TBOOLEAN:
        lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
        break;
    case LUA_TUSERDATA:
    case LUA_TLIGHTUSERDATA:
        if (value_is_null(L, index))
            lua_pushliteral(L, "null");
        else if (value_to_binary(L, index, &data))
            lua_pushlstring(L, (const char *)data.data, data.size);
        else
            lua_pushliteral(L, "library");
        break;
    default:
        lua_pushstring(L, luaL_typename(L, index));
    }
}

static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    sandbox_tostring(L, 1);
    return 1;
}

/* What a protected call has come to: its status below its results, or below what it raised. */
static int protected_end(lua_State *L, int status, int first)
{
    struct script_engine *e = engine_of(L);
    if (e->is_out_of_memory || e->verdict != VERDICT_NONE || status == LUA_ERRMEM) {
        if (e->verdict == VERDICT_NONE)
            e->verdict = VERDICT_MEMORY; /* its text was made when memory was refused */
        meter_pass_on(L);
    }
    lua_pushboolean(L, status == LUA_OK);
    lua_replace(L, first);
    return lua_gettop(L) - first + 1;
}

static int base_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    return protected_end(L, status, 1);
}

/* The handler that was given does not run after a verdict: within a hook nothing would stop it. */
static int on_protected_error(lua_State *L)
{
    if (engine_of(L)->verdict != VERDICT_NONE)
        return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static int base_xpcall(lua_State *L)
{
    int count = lua_gettop(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, on_protected_error, 1);
    lua_replace(L, 2);
    lua_pushboolean(L, 1); /* the place of the status */
    lua_pushvalue(L, 1);
    lua_rotate(L, 3, 2);
    int status = lua_pcall(L, count - 2, LUA_MULTRET, 2);
    return protected_end(L, status, 3);
}

static const luaL_Reg base_functions[] = {
    {"tostring", base_tostring}, {"pcall", base_pcall}, {"xpcall", base_xpcall}, {NULL, NULL}};

/* ---- what takes as long as its argument ---- */

static int charged_function(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    if (lua_type(L, 1) == LUA_TSTRING)
        meter_charge_bytes(L, lua_rawlen(L, 1));
    return e->charged[lua_tointeger(L, lua_upvalueindex(1))](L);
}

void sandbox_charge_for(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    size_t i = e->charged_count;
    if (i == CHARGED_FUNCTIONS)
        luaL_error(L, "too many functions are charged");
    e->charged[i] = lua_tocfunction(L, -1);
    e->charged_count++;
    lua_pop(L, 1);
    lua_pushinteger(L, (lua_Integer)i);
    lua_pushcclosure(L, charged_function, 1);
}

/* In the table at the top. */
static void charge_for_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    sandbox_charge_for(L);
    lua_setfield(L, -2, name);
}

/* ---- libraries ---- */

static int refuse_write(lua_State *L)
{
    return luaL_error(L, "a library cannot be changed");
}

/* Replaces the table at the top by what a script sees of it, and names it in the table below. */
static void offer_library(lua_State *L, const char *name)
{
    lua_newuserdatauv(L, 0, 0);
    lua_createtable(L, 0, 3);
    lua_rotate(L, -3, -1); /* shared, userdata, metatable, functions */
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse_write);
    lua_setfield(L, -2, "__newindex");
    lua_pushliteral(L, "library");
    lua_setfield(L, -2, "__name");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, name);
}

static void remove_fields(lua_State *L, const char *const *names)
{
    for (; *names; names++) {
        lua_pushnil(L);
        lua_setfield(L, -2, *names);
    }
}

static void open_library(lua_State *L, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
}

static void open_libraries(lua_State *L)
{
    open_library(L, luaopen_string); /* also the metatable of strings */
    remove_fields(L, (const char *const[]){"dump", NULL});
    string_functions(L);
    offer_library(L, "string");

    lua_newtable(L);
    table_functions(L);
    offer_library(L, "table");

    open_library(L, luaopen_math);
    /* The others are of older versions, and there if Lua was built so. */
    remove_fields(L, (const char *const[]){"random", "randomseed", "atan2", "cosh", "sinh", "tanh",
                                           "pow", "frexp", "ldexp", "log10", NULL});
    offer_library(L, "math");

    open_library(L, luaopen_utf8);
    charge_for_field(L, "len");
    charge_for_field(L, "offset");
    offer_library(L, "utf8");
}

/* ---- the globals ---- */

/* Some of Lua's own basic functions; luaopen_base puts all of them into Lua's global table, which
 * no script sees. */
static void open_basic(lua_State *L)
{
    static const char *const names[] = {"assert", "error",  "ipairs",   "next",
                                        "pairs",  "select", "tonumber", "type"};
    open_library(L, luaopen_base);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lua_getfield(L, -1, names[i]);
        lua_setfield(L, -3, names[i]);
    }
    lua_pop(L, 1);
    lua_newtable(L);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
    charge_for_field(L, "tonumber");
    luaL_setfuncs(L, base_functions, 0);
}

static void open_values(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    lua_newtable(L);
    e->array_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    e->map_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    value_binary_functions(L);
    e->bytes_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    value_push_null(L);
    lua_setfield(L, -2, "null");
}

void sandbox_open(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    lua_createtable(L, 0, 1); /* the metatable of each call's globals */
    lua_newtable(L);
    open_basic(L);
    open_libraries(L);
    open_values(L);
    state_functions(L);
    lua_setfield(L, -2, "__index");
    e->shared_ref = luaL_ref(L, LUA_REGISTRYINDEX);
}
