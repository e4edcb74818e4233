/* engine.c - the life of an engine, and one call. See engine.h. */
#include "server/script/engine.h"

#include <stdlib.h>

#include "protocol/errors.h"

/* ---- life ---- */

static int open_state(lua_State *L)
{
    sandbox_open(L);
    return 0;
}

static void close_state(struct script_engine *e)
{
    if (!e->L)
        return;
    cache_clear(e);
    lua_close(e->L);
    e->L = NULL;
}

static int make_state(struct script_engine *e)
{
    e->L = lua_newstate(meter_allocate, e);
    if (!e->L)
        return ERR_NO_MEMORY;
    *(struct script_engine **)lua_getextraspace(e->L) = e;
    e->charged_count = 0;
    lua_pushcfunction(e->L, open_state);
    if (lua_pcall(e->L, 0, 0, 0) == LUA_OK)
        return ERR_OK;
    close_state(e);
    return ERR_NO_MEMORY; /* there is no other reason */
}

int script_engine_new(struct script_engine **ret_engine)
{
    struct script_engine *e = calloc(1, sizeof *e);
    if (!e)
        return ERR_NO_MEMORY;
    int err = make_state(e);
    if (err) {
        free(e);
        return err;
    }
    *ret_engine = e;
    return ERR_OK;
}

void script_engine_free(struct script_engine *e)
{
    if (!e)
        return;
    close_state(e);
    wire_buffer_free(&e->out);
    free(e);
}

/* ---- a call ---- */

/* Gives the function at index 1 its globals. */
static void set_globals(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    lua_createtable(L, 0, 1);
    value_push(L, e->call->arguments);
    lua_setfield(L, -2, "args");
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->shared_ref);
    lua_setmetatable(L, -2);
    lua_setupvalue(L, 1, 1);
}

static int run(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    cache_push(L);
    if (e->call->check_only) {
        lua_pushnil(L);
    } else {
        set_globals(L);
        lua_pushvalue(L, 1);
        lua_call(L, 0, LUA_MULTRET);
        int count = lua_gettop(L) - 1;
        if (count > 1)
            return luaL_error(L, "a function returns one value: this one has returned %d", count);
        if (count == 0)
            lua_pushnil(L);
    }
    (void)value_pull(L, 2, e->limits.result_size, "the result");
    return 0;
}

/* What the status of the call, and the verdict if there is one, say. */
static int outcome(struct script_engine *e, int status)
{
    if (e->is_out_of_memory)
        return ERR_NO_MEMORY;
    if (status == LUA_OK)
        return ERR_OK;
    if (status == LUA_ERRERR && e->verdict == VERDICT_NONE) {
        failure_begin(e, false);
        failure_add(e, "an error while an error was handled");
    }
    failure_clean(e);
    return e->verdict == VERDICT_HOST ? e->host_error : ERR_SCRIPT;
}

int script_call(struct script_engine *e, const struct script_call *call, struct bytes *ret_value)
{
    e->text_size = 0;
    e->text[0] = '\0';
    if (!e->L && make_state(e))
        return ERR_NO_MEMORY;
    e->call = call;
    e->current = NULL;
    lua_pushcfunction(e->L, failure_on_error);
    lua_pushcfunction(e->L, run);
    meter_begin(e);
    int status = lua_pcall(e->L, 0, 0, -2);
    meter_end(e);
    lua_settop(e->L, 0);
    int err = outcome(e, status);
    if (e->verdict != VERDICT_NONE || status == LUA_ERRMEM || status == LUA_ERRERR)
        close_state(e);
    else
        cache_release(e);
    e->call = NULL;
    if (err)
        return err;
    *ret_value = (struct bytes){e->out.data, e->out.size};
    return ERR_OK;
}

const char *script_error_text(struct script_engine *e, size_t size_max)
{
    if (e->text_size > size_max) {
        size_t size = size_max;
        while (size > 0 && size < sizeof e->text && ((uint8_t)e->text[size] & 0xc0) == 0x80)
            size--; /* not within a character */
        e->text[size] = '\0';
        e->text_size = size;
    }
    return e->text;
}
