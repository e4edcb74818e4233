/*
 * meter.c - what a call may use: steps, time, memory, depth, operations.
 *
 * Lua calls the hook each so many instructions, but not within a C function and
 * not within one long instruction: comparing or converting two megabytes is one.
 * So the hook comes the more often, the larger a block the call has allocated,
 * and C functions charge for what they go through.
 *
 * 1. Every verdict is raised where its traceback can still be told.
 * 2. No function of the script runs within a hook: Lua calls no hooks there. So
 *    whatever a hook raises is a verdict, after which pcall and xpcall run
 *    nothing more.
 */
#include "server/script/engine.h"

#include <stdlib.h>

#include "protocol/errors.h"

enum {
    INTERVAL = 100,
    BYTES_PER_STEP = 32,
    CHECK_STEPS = 1000 /* between two looks at the clock */
};

/* The larger the blocks, the longer an instruction may take. */
static const struct {
    size_t size;
    int interval;
} hurries[] = {{64 << 10, 25}, {512 << 10, 8}};

static void on_count(lua_State *L, lua_Debug *activation);

/* ---- memory ---- */

static void hurry(struct script_engine *e, size_t size)
{
    int interval = e->interval;
    for (size_t i = 0; i < sizeof hurries / sizeof hurries[0]; i++) {
        if (size >= hurries[i].size && hurries[i].interval < interval)
            interval = hurries[i].interval;
    }
    if (interval == e->interval || e->verdict != VERDICT_NONE)
        return;
    e->interval = interval;
    lua_sethook(e->L, on_count, LUA_MASKCOUNT, interval);
}

/* Lua now collects all its garbage and asks again; a second refusal raises without a message
 * handler. So the place is noted here, in case: nothing of this allocates. */
static void refuse(struct script_engine *e)
{
    e->steps_left -= (int64_t)(e->used / BYTES_PER_STEP);
    if (e->verdict != VERDICT_NONE)
        return;
    failure_begin(e, true);
    failure_add(e, "the memory limit of %zu bytes is reached", e->limits.memory);
    failure_add_traceback(e, 0);
}

void *meter_allocate(void *context, void *block, size_t size_before, size_t size)
{
    struct script_engine *e = context;
    size_t before = block ? size_before : 0; /* of a new block Lua tells its kind there */
    if (size == 0) {
        free(block);
        e->used -= before;
        return NULL;
    }
    if (size > before && e->is_running) {
        size_t more = size - before;
        e->steps_left -= (int64_t)(more / BYTES_PER_STEP);
        if (e->used > e->memory_max || more > e->memory_max - e->used) {
            refuse(e);
            return NULL;
        }
        if (size >= hurries[0].size)
            hurry(e, size);
    }
    void *place = realloc(block, size);
    if (!place) {
        if (size <= before)
            return block; /* Lua relies on it that shrinking succeeds */
        e->is_out_of_memory = true;
        return NULL;
    }
    e->used = e->used - before + size;
    return place;
}

/* ---- verdicts ---- */

static void describe(struct script_engine *e, enum script_verdict verdict)
{
    failure_begin(e, true);
    switch (verdict) {
    case VERDICT_STEPS:
        failure_add(e, "the limit of %llu steps is reached", (unsigned long long)e->limits.steps);
        break;
    case VERDICT_TIME:
        failure_add(e, "the time limit of %u ms is reached", (unsigned)e->limits.time_ms);
        break;
    case VERDICT_MEMORY:
        failure_add(e, "the memory limit of %zu bytes is reached", e->limits.memory);
        break;
    case VERDICT_DEPTH:
        failure_add(e, "calls are nested deeper than %d", SCRIPT_DEPTH_MAX);
        break;
    case VERDICT_OPERATIONS:
        failure_add(e, "more than %u operations on the state: at most so many may be",
                    (unsigned)e->limits.operations);
        break;
    default: {
        const struct script_host *host = e->call->host;
        const char *text = host->error_text ? host->error_text(host->context) : NULL;
        failure_add(e, "%s", text ? text : error_text(e->host_error));
    }
    }
    failure_add_traceback(e, 0);
}

void meter_pass_on(lua_State *L)
{
    if (engine_of(L)->verdict == VERDICT_NONE)
        return;
    lua_pushnil(L); /* the engine has the text */
    (void)lua_error(L);
}

void meter_stop(lua_State *L, enum script_verdict verdict)
{
    struct script_engine *e = engine_of(L);
    if (e->verdict == VERDICT_NONE) {
        describe(e, verdict);
        e->verdict = verdict;
        lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
    }
    meter_pass_on(L);
    abort(); /* lua_error does not return */
}

/* ---- steps and time ---- */

/* The first look is where the time begins: a call of a small function takes none. */
static bool is_time_over(struct script_engine *e)
{
    const struct script_host *host = e->call->host;
    bool looks_often = e->interval < INTERVAL;
    if (e->is_late || (e->unchecked < CHECK_STEPS && !looks_often))
        return e->is_late;
    e->unchecked = 0;
    uint64_t now_us = host->clock_us(host->context);
    if (e->deadline_us == 0)
        e->deadline_us = now_us + (uint64_t)e->limits.time_ms * 1000;
    e->is_late = now_us > e->deadline_us;
    return e->is_late;
}

void meter_check(lua_State *L)
{
    struct script_engine *e = engine_of(L);
    lua_Debug activation;
    if (e->verdict != VERDICT_NONE)
        meter_pass_on(L);
    if (e->steps_left < 0)
        meter_stop(L, VERDICT_STEPS);
    if (is_time_over(e))
        meter_stop(L, VERDICT_TIME);
    if (lua_getstack(L, SCRIPT_DEPTH_MAX, &activation))
        meter_stop(L, VERDICT_DEPTH);
}

static void on_count(lua_State *L, lua_Debug *activation)
{
    struct script_engine *e = engine_of(L);
    (void)activation;
    e->steps_left -= e->interval;
    e->unchecked += (uint32_t)e->interval;
    meter_check(L);
}

bool meter_spend(struct script_engine *e, uint64_t steps)
{
    if (steps > (uint64_t)e->limits.steps)
        e->steps_left = -1;
    else
        e->steps_left -= (int64_t)steps;
    e->unchecked += steps < CHECK_STEPS ? (uint32_t)steps : CHECK_STEPS;
    return e->steps_left >= 0 && !is_time_over(e);
}

void meter_charge(lua_State *L, uint64_t steps)
{
    struct script_engine *e = engine_of(L);
    if (e->is_running && !meter_spend(e, steps))
        meter_check(L);
}

void meter_look(lua_State *L)
{
    engine_of(L)->unchecked = CHECK_STEPS;
    meter_check(L);
}

void meter_charge_bytes(lua_State *L, size_t size)
{
    meter_charge(L, 1 + size / BYTES_PER_STEP);
}

void meter_operations(lua_State *L, size_t n)
{
    struct script_engine *e = engine_of(L);
    if (n > e->operations_left)
        meter_stop(L, VERDICT_OPERATIONS);
    e->operations_left -= (uint32_t)n;
}

/* ---- a call ---- */

static void fill_in(struct script_limits *limits)
{
    if (limits->steps == 0)
        limits->steps = LIMIT_FUNCTION_STEPS;
    if (limits->steps > INT64_MAX / 2)
        limits->steps = INT64_MAX / 2;
    if (limits->time_ms == 0)
        limits->time_ms = LIMIT_FUNCTION_TIME_MS;
    if (limits->operations == 0)
        limits->operations = LIMIT_TXN_OPS;
    if (limits->memory == 0)
        limits->memory = LIMIT_FUNCTION_MEMORY;
    if (limits->value_size == 0)
        limits->value_size = LIMIT_VALUE_SIZE;
    if (limits->result_size == 0)
        limits->result_size = LIMIT_VALUE_SIZE;
}

void meter_begin(struct script_engine *e)
{
    e->limits = e->call->limits;
    fill_in(&e->limits);
    e->verdict = VERDICT_NONE;
    e->host_error = ERR_OK;
    e->is_out_of_memory = false;
    e->is_syntax_error = false;
    e->steps_left = (int64_t)e->limits.steps;
    e->unchecked = 0;
    e->interval = INTERVAL;
    e->operations_left = e->limits.operations;
    e->memory_max = e->used + e->limits.memory;
    e->deadline_us = 0;
    e->is_late = false;
    e->is_running = true;
    lua_sethook(e->L, on_count, LUA_MASKCOUNT, INTERVAL);
}

void meter_end(struct script_engine *e)
{
    e->is_running = false;
    lua_sethook(e->L, NULL, 0, 0);
}
