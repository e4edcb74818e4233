/*
 * script.h - functions in Lua 5.4 that run on the state, in a sandbox
 * (docs/functions.md says what they see).
 *
 * A call has arguments and a result in MessagePack, and reaches the state through
 * the callbacks of struct script_host alone. No I/O, no clock of its own.
 *
 * 1. Whatever the function does, script_call returns: within its steps, its
 *    time and its memory, and with the engine fit for the next call.
 * 2. Nothing of a call is there in the next one: each has its own globals, and
 *    what is shared cannot be changed.
 * 3. After a call that came to a limit the interpreter's state is made anew.
 *
 * Threads: an engine belongs to one thread at a time.
 */
#ifndef VIGIL_SERVER_SCRIPT_SCRIPT_H
#define VIGIL_SERVER_SCRIPT_SCRIPT_H

#include "protocol/limits.h"
#include "protocol/wire.h"

enum {
    SCRIPT_SOURCE_MAX = LIMIT_FUNCTION_SOURCE,
    SCRIPT_DEPTH_MAX = LIMIT_FUNCTION_DEPTH,
    SCRIPT_TEXT_MAX = LIMIT_SCRIPT_ERROR_TEXT,
    SCRIPT_NAME_MAX = LIMIT_KEY_SIZE
};

/* 0 in any field: the default of protocol/limits.h. */
struct script_limits {
    uint64_t steps;      /* about one an instruction; what takes longer counts for more */
    uint32_t time_ms;    /* of the processor; looked at every 1000 steps, or where each may take
                          * long more often */
    uint32_t operations; /* get, put, delete, incr, and each key that list returns */
    size_t memory;       /* bytes that the call may have allocated at once */
    size_t value_size;   /* bytes of a value that is put */
    size_t result_size;  /* bytes of the call's result */
};

/* The state that a function works on. Each returns ERR_OK or an error; the script can catch those
 * that are about what it asked for (BAD_KEY, BAD_VALUE, TOO_LARGE, NOT_AN_INTEGER, OUT_OF_RANGE,
 * INVALID, NOT_FOUND), any other one ends the call. Bytes that it returns are valid until its next
 * callback, or the call's end. */
struct script_host {
    void *context;
    int (*get)(void *context, struct bytes key, bool *ret_present, struct bytes *ret_value);
    /* ttl_ms 0: without end. */
    int (*put)(void *context, struct bytes key, struct bytes value, uint64_t ttl_ms);
    int (*remove)(void *context, struct bytes key, bool *ret_was_present);
    int (*incr)(void *context, struct bytes key, int64_t by, struct bytes *ret_value);
    /* The live keys with this prefix in bytewise order, at most limit. */
    int (*list)(void *context, struct bytes prefix, size_t limit, const struct bytes **ret_keys,
                size_t *ret_count);
    /* What to say about the error just returned; NULL: its general text. */
    const char *(*error_text)(void *context);
    /* The time that this thread has had of a processor: a call that has to wait for one is not late. */
    uint64_t (*clock_us)(void *context);
};

struct script_call {
    struct bytes name; /* what messages call it */
    struct bytes source;
    struct bytes arguments; /* one MessagePack array; checked to be a valid value */
    uint64_t now_us;        /* what now() tells */
    const struct script_host *host;
    struct script_limits limits;
    bool check_only; /* compiles, runs nothing; the result is nil */
};

struct script_engine;

/* ERR_OK, ERR_NO_MEMORY. */
int script_engine_new(struct script_engine **ret_engine);
void script_engine_free(struct script_engine *e);

/* ERR_OK: *ret_value is the result, valid until the next call.
 * ERR_SCRIPT: the function failed or came to a limit, or is none.
 * ERR_NO_MEMORY, or an error of the host that the script cannot catch.
 * After an error script_error_text tells all about it: message, then traceback, as UTF-8 without
 * control characters but newlines and tabs; cut at size_max bytes. Valid until the next call. */
int script_call(struct script_engine *e, const struct script_call *call, struct bytes *ret_value);
const char *script_error_text(struct script_engine *e, size_t size_max);

#endif
