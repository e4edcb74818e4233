/*
 * cache.c - compiled functions, by name and source, so that a call of a function
 * that was called before compiles nothing.
 *
 * 1. At most CACHE_ENTRIES, of COST_MAX bytes together; the one that was not
 *    used for longest goes.
 * 2. Two sources with one hash are told apart by their bytes.
 * 3. Compiling is bounded by the call's time and memory, but takes no steps: a
 *    call does not fail for the reason that it was the first.
 */
#define _GNU_SOURCE
#include "server/script/engine.h"

#include <stdlib.h>

enum {
    COST_MAX = 16 << 20,
    COST_OF_ONE_MAX = 4 << 20, /* a larger one is compiled anew each time */
    SLICE = 256                /* bytes that Lua's parser gets at once */
};

/* ---- finding ---- */

static uint64_t mix(uint64_t hash, struct bytes b)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    hash ^= b.size;
    while (b.size >= 8) {
        uint64_t word;
        memcpy(&word, b.data, sizeof word);
        hash = (hash ^ word) * factor;
        hash ^= hash >> 29;
        b.data += 8;
        b.size -= 8;
    }
    for (size_t i = 0; i < b.size; i++)
        hash = (hash ^ b.data[i]) * factor;
    return hash ^ hash >> 32;
}

static struct cached_function *find(struct script_engine *e, uint64_t hash)
{
    for (size_t i = 0; i < CACHE_ENTRIES; i++) {
        struct cached_function *f = &e->cache[i];
        if (f->hash == hash && f->used_at != 0 && bytes_equal(f->source, e->call->source) &&
            bytes_equal(f->name, e->call->name))
            return f;
    }
    return NULL;
}

/* ---- keeping ---- */

static void drop(struct script_engine *e, struct cached_function *f)
{
    if (f->used_at == 0)
        return;
    luaL_unref(e->L, LUA_REGISTRYINDEX, f->ref);
    free((void *)f->name.data);
    free((void *)f->source.data);
    e->cache_cost -= f->cost;
    *f = (struct cached_function){0};
}

/* A free entry, or the oldest. */
static struct cached_function *oldest(struct script_engine *e)
{
    struct cached_function *found = &e->cache[0];
    for (size_t i = 1; i < CACHE_ENTRIES; i++) {
        if (e->cache[i].used_at < found->used_at)
            found = &e->cache[i];
    }
    return found;
}

static struct cached_function *oldest_kept(struct script_engine *e)
{
    struct cached_function *found = NULL;
    for (size_t i = 0; i < CACHE_ENTRIES; i++) {
        struct cached_function *f = &e->cache[i];
        if (f->used_at != 0 && (!found || f->used_at < found->used_at))
            found = f;
    }
    return found;
}

static uint8_t *copy_of(struct bytes b)
{
    uint8_t *copy = malloc(b.size + 1);
    if (copy && b.size > 0)
        memcpy(copy, b.data, b.size);
    return copy;
}

/* The function at the top stays there. */
static void keep(lua_State *L, uint64_t hash, size_t cost)
{
    struct script_engine *e = engine_of(L);
    const struct script_call *call = e->call;
    if (cost > COST_OF_ONE_MAX)
        return;
    while (e->cache_cost + cost > COST_MAX)
        drop(e, oldest_kept(e));
    struct cached_function *f = oldest(e);
    drop(e, f);
    lua_pushvalue(L, -1);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    uint8_t *name = copy_of(call->name);
    uint8_t *source = copy_of(call->source);
    if (!name || !source) {
        free(name);
        free(source);
        luaL_unref(L, LUA_REGISTRYINDEX, ref);
        return;
    }
    *f = (struct cached_function){.hash = hash,
                                  .name = {name, call->name.size},
                                  .source = {source, call->source.size},
                                  .ref = ref,
                                  .cost = cost,
                                  .used_at = ++e->cache_clock};
    e->cache_cost += cost;
    e->current = f;
}

/* ---- compiling ---- */

static const char *feed(lua_State *L, void *context, size_t *ret_size)
{
    struct bytes *left = context;
    meter_look(L); /* the parser calls no hook */
    const uint8_t *slice = left->data;
    size_t size = left->size < SLICE ? left->size : SLICE;
    left->data += size;
    left->size -= size;
    *ret_size = size;
    return size > 0 ? (const char *)slice : NULL;
}

static void compile(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    struct bytes source = e->call->source;
    char name[SCRIPT_NAME_MAX + 2];
    size_t name_size = e->call->name.size < SCRIPT_NAME_MAX ? e->call->name.size : SCRIPT_NAME_MAX;
    e->is_syntax_error = true;
    if (source.size > SCRIPT_SOURCE_MAX)
        luaL_error(L, "the source has %d bytes: at most %d are allowed",
                   source.size < INT32_MAX ? (int)source.size : INT32_MAX, (int)SCRIPT_SOURCE_MAX);
    /* What a function can do with its table of globals by this name is of no use to it, and of much
     * to whoever looks for faults in the compiler. */
    if (memmem(source.data, source.size, "_ENV", 4))
        luaL_error(L, "the source mentions _ENV, which is not allowed");
    name[0] = '='; /* as it is, not quoted */
    if (name_size > 0)
        memcpy(name + 1, e->call->name.data, name_size);
    name[1 + name_size] = '\0';
    int64_t steps_left = e->steps_left;
    int status = lua_load(L, feed, &source, name, "t");
    if (status == LUA_ERRMEM && !e->is_out_of_memory)
        meter_stop(L, VERDICT_MEMORY);
    if (status != LUA_OK)
        lua_error(L);
    e->steps_left = steps_left;
    e->is_syntax_error = false;
}

void cache_push(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    uint64_t hash = mix(mix(0, e->call->name), e->call->source);
    struct cached_function *f = find(e, hash);
    e->current = f;
    if (f) {
        f->used_at = ++e->cache_clock;
        lua_rawgeti(L, LUA_REGISTRYINDEX, f->ref);
        return;
    }
    size_t used = e->used;
    compile(L);
    keep(L, hash, e->call->source.size + (e->used > used ? e->used - used : 0));
}

void cache_release(struct script_engine *e)
{
    if (!e->current)
        return;
    lua_rawgeti(e->L, LUA_REGISTRYINDEX, e->current->ref);
    lua_pushnil(e->L);
    lua_setupvalue(e->L, -2, 1);
    lua_pop(e->L, 1);
}

void cache_clear(struct script_engine *e)
{
    for (size_t i = 0; i < CACHE_ENTRIES; i++)
        drop(e, &e->cache[i]);
    e->current = NULL;
}
