/*
 * engine.h - what struct script_engine is made of, and the functions by which
 * the files of this folder call each other. Only server/script includes it, and
 * the tests that look into the sandbox.
 *
 *   engine.c        life, one call
 *   cache.c         compiled functions, by their source
 *   meter.c         steps, time, memory, depth: the limits of a call
 *   failure.c       what a failure says: message, where, traceback
 *   sandbox.c       which globals there are; the basic functions
 *   lua_string.c    find, match, gmatch, gsub, rep, format
 *   lua_table.c     the table library
 *   state_api.c     get, put, delete, incr, list, now
 *   value_read.c    MessagePack to Lua
 *   value_write.c   Lua to MessagePack
 *   pattern.c       Lua's patterns, bounded
 *
 * How a limit ends a call: whoever notices it calls meter_stop, which records the
 * verdict with its traceback and raises. From then on the hook raises again at
 * every instruction, and pcall passes on whatever comes while there is a verdict.
 */
#ifndef VIGIL_SERVER_SCRIPT_ENGINE_H
#define VIGIL_SERVER_SCRIPT_ENGINE_H

#include <lauxlib.h>
#include <lua.h>

#include "server/script/script.h"

enum { CACHE_ENTRIES = 128, CHARGED_FUNCTIONS = 8 };

/* A function that is compiled. */
struct cached_function {
    uint64_t hash;
    struct bytes name; /* kept, as the source is */
    struct bytes source;
    int ref;          /* in the registry */
    size_t cost;      /* bytes that compiling has taken */
    uint64_t used_at; /* 0: the entry is free */
};

enum script_verdict {
    VERDICT_NONE,
    VERDICT_STEPS,
    VERDICT_TIME,
    VERDICT_MEMORY,
    VERDICT_DEPTH,
    VERDICT_OPERATIONS,
    VERDICT_HOST /* host_error */
};

struct script_engine {
    lua_State *L; /* NULL: none as yet, or thrown away */

    /* The call that is under way. */
    const struct script_call *call;
    struct script_limits limits; /* with the defaults filled in */
    enum script_verdict verdict;
    int host_error;
    bool is_running;
    bool is_out_of_memory; /* malloc's, not the limit's */
    bool is_syntax_error;
    int64_t steps_left;
    uint32_t unchecked;   /* steps since the clock was looked at */
    int interval;         /* instructions between two hooks */
    uint64_t deadline_us; /* 0: the clock has not been looked at yet */
    bool is_late;
    uint32_t operations_left;
    size_t memory_max; /* what used may come to */

    size_t used; /* bytes that Lua holds */

    /* References in the registry. */
    int shared_ref; /* metatable of each call's globals, whose __index has what all share */
    int array_ref;  /* metatables that mark tables */
    int map_ref;
    int bytes_ref; /* metatable of bytes and extensions */

    lua_CFunction charged[CHARGED_FUNCTIONS];
    size_t charged_count;

    struct cached_function cache[CACHE_ENTRIES];
    size_t cache_cost;
    uint64_t cache_clock;
    struct cached_function *current; /* of the call; NULL: not cached */

    struct wire_buffer out; /* a value on its way to the host, or the result */
    size_t text_size;
    char text[SCRIPT_TEXT_MAX + 1];
};

static inline struct script_engine *engine_of(lua_State *L)
{
    return *(struct script_engine **)lua_getextraspace(L);
}

/* ---- meter.c ---- */

/* The allocator of Lua; the context is the engine. */
void *meter_allocate(void *context, void *block, size_t size_before, size_t size);
/* Begins to count, from the call's limits on. */
void meter_begin(struct script_engine *e);
void meter_end(struct script_engine *e);
/* Steps that a C function is about to take. Does not return when they are too many. */
void meter_charge(lua_State *L, uint64_t steps);
/* The same for a string, or any run of bytes, that is gone through. */
void meter_charge_bytes(lua_State *L, size_t size);
/* The same without raising: false when it is time to stop, by meter_charge(L, 0). */
bool meter_spend(struct script_engine *e, uint64_t steps);
/* n operations on the state. */
void meter_operations(lua_State *L, size_t n);
/* Ends the call. */
_Noreturn void meter_stop(lua_State *L, enum script_verdict verdict);
/* Looks at all limits, but at the clock only if it is time to. */
void meter_check(lua_State *L);
/* Also at the clock. */
void meter_look(lua_State *L);
/* Goes on ending it, where there is a verdict. */
void meter_pass_on(lua_State *L);

/* ---- failure.c ---- */

/* Message handler of a call: the error object to the engine's text. */
int failure_on_error(lua_State *L);
/* Begins the text, with where the script is if it is within a function. */
void failure_begin(struct script_engine *e, bool with_place);
void failure_add(struct script_engine *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* first: the level of the stack to begin with. */
void failure_add_traceback(struct script_engine *e, int first);
/* Text without control characters, valid UTF-8. */
void failure_clean(struct script_engine *e);

/* ---- cache.c ---- */

/* Pushes the main function of the call's source, compiled; raises if it is not Lua. */
void cache_push(lua_State *L);
/* The globals of the call that is over can go. */
void cache_release(struct script_engine *e);
/* Forgets everything, before the state goes. */
void cache_clear(struct script_engine *e);

/* ---- sandbox.c, lua_string.c, lua_table.c, state_api.c: at the making of a state ---- */

/* Fills the registry and the engine's references. */
void sandbox_open(lua_State *L);
/* Each expects a table at the top, and adds its functions to it. */
void string_functions(lua_State *L);
void table_functions(lua_State *L);
void state_functions(lua_State *L);
/* As lua's, but for tables and functions, whose address it does not tell. Pushes a string. */
void sandbox_tostring(lua_State *L, int index);
/* Replaces the function at the top by one that first charges for the length of its first string. */
void sandbox_charge_for(lua_State *L);

/* ---- value_read.c, value_write.c ---- */

/* Pushes the value, nil as null. Raises if Lua cannot hold it. */
void value_push(lua_State *L, struct bytes value);
/* Pushes null, which stands for MessagePack's nil within a value. */
void value_push_null(lua_State *L);
bool value_is_null(lua_State *L, int index);
/* A userdata of MessagePack's bin with these bytes. */
void value_push_binary(lua_State *L, struct bytes data);
/* The bytes within a userdata of bin or ext; false if it is none. */
bool value_to_binary(lua_State *L, int index, struct bytes *ret_data);
/* Whether it is an ext, of which type. */
bool value_is_extension(lua_State *L, int index, int8_t *ret_type);
/* The functions of their metatable, into the table at the top. */
void value_binary_functions(lua_State *L);

/* Writes what is at index into the engine's out, whose bytes are returned: at most size_max, or it
 * raises. what: how messages call it. */
struct bytes value_pull(lua_State *L, int index, size_t size_max, const char *what);

#endif
