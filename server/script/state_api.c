/*
 * state_api.c - what a function does to the state: get, put, delete, incr, list;
 * the record's time; and the makers of values that Lua has no literal for.
 */
#include "server/script/engine.h"

#include "protocol/errors.h"

enum { LIST_MAX = 1 << 20 }; /* far beyond any call's operations */

/* ---- the host ---- */

/* Steps that an operation on the state counts for. */
enum { STEPS_READ = 20, STEPS_WRITE = 50 };

static const struct script_host *host_of(lua_State *L)
{
    return engine_of(L)->call->host;
}

/* Errors that are about what the script asked for. */
static bool is_catchable(int err)
{
    return err == ERR_BAD_KEY || err == ERR_BAD_VALUE || err == ERR_TOO_LARGE ||
           err == ERR_NOT_AN_INTEGER || err == ERR_OUT_OF_RANGE || err == ERR_INVALID ||
           err == ERR_NOT_FOUND;
}

static void check_outcome(lua_State *L, int err)
{
    struct script_engine *e = engine_of(L);
    const struct script_host *host = host_of(L);
    if (err == ERR_OK)
        return;
    if (!is_catchable(err)) {
        e->host_error = err;
        meter_stop(L, VERDICT_HOST);
    }
    const char *text = host->error_text ? host->error_text(host->context) : NULL;
    luaL_error(L, "%s", text ? text : error_text(err));
}

/* A string, not a number: keys are text. */
static struct bytes check_text(lua_State *L, int index)
{
    struct bytes text;
    luaL_checktype(L, index, LUA_TSTRING);
    text.data = (const uint8_t *)lua_tolstring(L, index, &text.size);
    return text;
}

static void begin_operation(lua_State *L, uint64_t steps)
{
    meter_operations(L, 1);
    meter_charge(L, steps);
}

/* ---- operations ---- */

static int state_get(lua_State *L)
{
    struct bytes key = check_text(L, 1);
    struct bytes value = {NULL, 0};
    bool is_present = false;
    begin_operation(L, STEPS_READ);
    check_outcome(L, host_of(L)->get(host_of(L)->context, key, &is_present, &value));
    if (is_present)
        value_push(L, value);
    else
        lua_pushnil(L);
    return 1;
}

static int state_put(lua_State *L)
{
    struct bytes key = check_text(L, 1);
    lua_Integer ttl_ms = luaL_optinteger(L, 3, 0);
    if (lua_isnoneornil(L, 2))
        return luaL_argerror(L, 2, "nil is no value: null is, and delete(key) removes the key");
    luaL_argcheck(L, lua_isnoneornil(L, 3) || ttl_ms > 0, 3, "a time to live is at least 1 ms");
    begin_operation(L, STEPS_WRITE);
    struct bytes value = value_pull(L, 2, engine_of(L)->limits.value_size, "the value");
    check_outcome(L, host_of(L)->put(host_of(L)->context, key, value, (uint64_t)ttl_ms));
    return 0;
}

static int state_delete(lua_State *L)
{
    struct bytes key = check_text(L, 1);
    bool was_present = false;
    begin_operation(L, STEPS_WRITE);
    check_outcome(L, host_of(L)->remove(host_of(L)->context, key, &was_present));
    lua_pushboolean(L, was_present);
    return 1;
}

static int state_incr(lua_State *L)
{
    struct bytes key = check_text(L, 1);
    lua_Integer by = luaL_optinteger(L, 2, 1);
    struct bytes value = {NULL, 0};
    begin_operation(L, STEPS_WRITE);
    check_outcome(L, host_of(L)->incr(host_of(L)->context, key, by, &value));
    value_push(L, value);
    return 1;
}

static int state_list(lua_State *L)
{
    struct bytes prefix = check_text(L, 1);
    lua_Integer limit = luaL_optinteger(L, 2, LIST_MAX);
    const struct bytes *keys = NULL;
    size_t count = 0;
    luaL_argcheck(L, limit >= 0, 2, "a limit is not negative");
    begin_operation(L, STEPS_READ);
    check_outcome(L, host_of(L)->list(host_of(L)->context, prefix,
                                      limit < LIST_MAX ? (size_t)limit : LIST_MAX, &keys, &count));
    meter_operations(L, count);
    meter_charge(L, STEPS_READ * (uint64_t)count);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        lua_pushlstring(L, (const char *)keys[i].data, keys[i].size);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, engine_of(L)->array_ref);
    lua_setmetatable(L, -2);
    return 1;
}

static int state_now(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)engine_of(L)->call->now_us);
    return 1;
}

/* ---- values without a literal ---- */

static int make_bytes(lua_State *L)
{
    struct bytes data;
    if (value_to_binary(L, 1, &data))
        lua_pushvalue(L, 1);
    else
        value_push_binary(L, check_text(L, 1));
    return 1;
}

static int mark(lua_State *L, int marker_ref)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, marker_ref);
    lua_setmetatable(L, 1);
    return 1;
}

static int make_array(lua_State *L)
{
    return mark(L, engine_of(L)->array_ref);
}

static int make_map(lua_State *L)
{
    return mark(L, engine_of(L)->map_ref);
}

void state_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"get", state_get},   {"put", state_put}, {"delete", state_delete}, {"incr", state_incr},
        {"list", state_list}, {"now", state_now}, {"bytes", make_bytes},    {"array", make_array},
        {"map", make_map},    {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
