/*
 * cursor_rule.h - where a watch's named cursor may stand, and when it is moved.
 * Pure: time comes in as now_ms.
 *
 *   handed    the last record that the application has got
 *   said      the application has dealt with everything up to here
 *   passed    everything up to here has been handed out: by records, by bookmarks
 *   moved     here the server has it, durably
 *
 * 1. The cursor moves to passed if all that was handed out has been dealt with,
 *    otherwise to what was said: never beyond a record that is still in the
 *    application's hands.
 * 2. None of the four falls. At most one move is under way.
 * 3. What was said is sent at once; what only bookmarks have passed, now and
 *    then, so that an idle watch does not hold up the retention.
 * 4. A move that failed in passing is sent again: to where the cursor stands
 *    already it does nothing.
 */
#ifndef VIGIL_CLIENT_CURSOR_RULE_H
#define VIGIL_CLIENT_CURSOR_RULE_H

#include <stdbool.h>
#include <stdint.h>

enum { CURSOR_IDLE_MS = 1000, CURSOR_RETRY_FIRST_MS = 50, CURSOR_RETRY_MOST_MS = 2000 };

struct cursor_rule {
    uint64_t handed;
    uint64_t said;
    uint64_t passed;
    uint64_t moved;
    uint64_t under_way; /* 0: none */
    int64_t idle_ms;    /* bookmarks move it from then on */
    int64_t retry_ms;   /* nothing is sent until then */
    uint32_t retry_delay_ms;
    int trouble; /* why the last move failed, in passing; 0 */
    int error;   /* the cursor is no longer this watch's to move: why; 0 */
};

/* The cursor stands at position. */
void cursor_rule_init(struct cursor_rule *c, uint64_t position, int64_t now_ms);

/* The application gets the record with seq. */
void cursor_rule_handed(struct cursor_rule *c, uint64_t seq);
/* The watch stands at position. */
void cursor_rule_passed(struct cursor_rule *c, uint64_t position);
/* The application has dealt with everything up to seq; UINT64_MAX: that was handed out. */
void cursor_rule_say(struct cursor_rule *c, uint64_t seq);

/* True: send a move to *ret_position, then call cursor_rule_sent. */
bool cursor_rule_wants_move(const struct cursor_rule *c, int64_t now_ms, uint64_t *ret_position);
void cursor_rule_sent(struct cursor_rule *c, uint64_t position, int64_t now_ms);
/* The move under way is done. */
void cursor_rule_moved(struct cursor_rule *c);
/* It is not, or could not be sent. final: nothing can mend that. */
void cursor_rule_failed(struct cursor_rule *c, int64_t now_ms, int code, bool final);
/* When it wants to be moved; INT64_MAX: not by itself. */
int64_t cursor_rule_due_ms(const struct cursor_rule *c);

#endif
