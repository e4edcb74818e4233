/*
 * script_fixture.h - a script engine over a state of a few keys, for tests of
 * server/script without the core.
 *
 * Tests hand over MessagePack, or compute in Lua and look at what comes out.
 */
#ifndef VIGIL_TESTS_SUPPORT_SCRIPT_FIXTURE_H
#define VIGIL_TESTS_SUPPORT_SCRIPT_FIXTURE_H

#include "protocol/errors.h"
#include "server/script/script.h"

enum { SCRIPT_FIXTURE_KEYS = 64 };

struct script_fixture_key {
    struct bytes key; /* owned */
    struct bytes value;
    uint64_t ttl_ms;
};

struct script_fixture {
    struct script_engine *engine;
    struct script_host host;
    struct script_limits limits;
    struct script_fixture_key keys[SCRIPT_FIXTURE_KEYS]; /* in order */
    size_t count;
    struct bytes listed[SCRIPT_FIXTURE_KEYS];
    uint8_t number[16];
    uint64_t now_us;
    uint64_t fake_clock_us; /* 0: the machine's */
    uint64_t fake_clock_step_us;
    int fail_with; /* what the next put returns */
    struct bytes result;
    bool check_only;
    char text[SCRIPT_TEXT_MAX + 1]; /* of the last failure that was expected */
};

void script_fixture_start(struct script_fixture *f);
void script_fixture_stop(struct script_fixture *f);
/* Errors of script_call. arguments: MessagePack; NULL: an empty array. */
int script_fixture_run(struct script_fixture *f, const char *source, const struct bytes *arguments);
int script_fixture_run_bytes(struct script_fixture *f, struct bytes source,
                             const struct bytes *arguments);
void script_fixture_set(struct script_fixture *f, const char *key, struct bytes value);
const struct script_fixture_key *script_fixture_find(const struct script_fixture *f,
                                                     const char *key);

/* With cmocka's checks: it succeeds, and its result is this MessagePack. */
void script_expect(struct script_fixture *f, const char *source, const char *result, size_t size);
/* It succeeds and returns this integer. */
void script_expect_integer(struct script_fixture *f, const char *source, int64_t value);
/* It succeeds and returns true. */
void script_expect_true(struct script_fixture *f, const char *source);
/* It fails as ERR_SCRIPT, with a text that contains this; and the engine serves the next call. */
void script_expect_failure(struct script_fixture *f, const char *source, const char *text);

#endif
