/*
 * pattern.h - Lua's patterns (Lua 5.4 reference manual, section 6.4.1), matched
 * with a bound on the work: Lua's own matcher runs for as long as a pattern
 * makes it, and no hook fires within it.
 *
 * 1. Neither the subject nor the pattern is read beyond its end.
 * 2. Each step is told to spend, at most PATTERN_STEPS_AT_ONCE late; when it
 *    says no, the match ends as PATTERN_STOPPED.
 * 3. The C stack used is bounded by PATTERN_DEPTH_MAX.
 *
 * Threads: no state of its own.
 */
#ifndef VIGIL_SERVER_SCRIPT_PATTERN_H
#define VIGIL_SERVER_SCRIPT_PATTERN_H

#include "protocol/wire.h"

enum { PATTERN_CAPTURES_MAX = 32, PATTERN_DEPTH_MAX = 200, PATTERN_STEPS_AT_ONCE = 1024 };

enum pattern_capture_kind { CAPTURE_OPEN, CAPTURE_CLOSED, CAPTURE_POSITION };

struct pattern_capture {
    enum pattern_capture_kind kind;
    size_t start; /* within the subject */
    size_t size;
};

struct pattern_match {
    struct bytes subject;
    struct bytes pattern; /* a '^' at its beginning is an ordinary character here */
    /* May be NULL: no bound. */
    bool (*spend)(void *context, uint32_t steps);
    void *context;
    /* What came out: */
    unsigned capture_count;
    struct pattern_capture captures[PATTERN_CAPTURES_MAX];
    char error[64]; /* of PATTERN_INVALID */
    /* The matcher's own: */
    unsigned depth;
    uint32_t steps;
    bool is_stopped;
};

enum pattern_result { PATTERN_NONE, PATTERN_FOUND, PATTERN_INVALID, PATTERN_STOPPED };

/* Matches at this very place of the subject; *ret_end: behind what was matched. */
enum pattern_result pattern_match_at(struct pattern_match *m, size_t at, size_t *ret_end);
/* Whether the pattern says no more than its characters do. */
bool pattern_is_plain(struct bytes pattern);

#endif
