/* atomic_turn.c - queueing up for a turn, where conflicts do not end. */
#include "client/atomic.h"
#include "client/clock.h"

#include <stdlib.h>

#include "protocol/filter.h"

enum { PAUSE_MIN_MS = 1, PAUSE_MAX_MS = 5, AHEAD_AT_ONCE = 4 };

void atomic_note_conflict(struct vigil_atomic *a, uint8_t kind, struct bytes text)
{
    for (size_t i = 0; i < a->conflict_count; i++) {
        if (a->conflicts[i].kind == kind && bytes_equal(a->conflicts[i].text, text))
            return;
    }
    if (a->conflict_count == LIMIT_FILTER_PATTERNS)
        return;
    char *copy = a->conflict_texts[a->conflict_count];
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    a->conflicts[a->conflict_count++] = (struct pattern){kind, {(const uint8_t *)copy, text.size}};
}

bool atomic_has_turn(const struct vigil_atomic *a)
{
    return a->turn_count > 0 && a->turn_count == a->conflict_count &&
           clock_now_ms() < a->turn_ends_ms;
}

/* Lets the connection do what it has to do. */
static void pause_ms(struct vigil *v, int ms)
{
    int64_t end = clock_now_ms() + ms;
    for (int64_t now = clock_now_ms(); now < end; now = clock_now_ms()) {
        (void)connection_wait(v, NULL, (int)(end - now));
        connection_step(v);
    }
}

/* So that those who wait do not ask all at once; those further behind ask less often. */
static int next_pause_ms(struct vigil *v, uint32_t ahead)
{
    v->backoff.random = v->backoff.random * 6364136223846793005u + 1442695040888963407u;
    int jitter =
        PAUSE_MIN_MS + (int)((v->backoff.random >> 33) % (PAUSE_MAX_MS - PAUSE_MIN_MS + 1));
    if (ahead <= 1)
        return PAUSE_MIN_MS + jitter / PAUSE_MAX_MS;
    return ahead > AHEAD_AT_ONCE ? jitter + (int)(ahead < 64 ? ahead : 64) : jitter;
}

void atomic_pause(struct vigil_atomic *a)
{
    pause_ms(a->v, next_pause_ms(a->v, AHEAD_AT_ONCE));
}

static int ask(struct vigil *v, const struct filter *f, struct reply_turn *ret_reply)
{
    struct call call;
    struct wire_buffer *b;
    size_t size = 3;
    for (size_t i = 0; i < f->count; i++)
        size += 3 + f->patterns[i].text.size;
    int err = connection_request_begin(v, OP_TURN, 0, size, &b);
    if (err)
        return err;
    wire_write_u8(b, TURN_TAKE);
    filter_write(b, f);
    err = connection_call(v, &call, v->request_timeout_ms);
    if (err)
        return err;
    return reply_turn_read(&call.reply.body, ret_reply) ? ERR_OK : connection_malformed(v);
}

int atomic_take_turn(struct vigil_atomic *a, int64_t deadline)
{
    struct reply_turn reply = {0};
    struct filter *f = malloc(sizeof *f);
    if (!f)
        return connection_fail(a->v, ERR_NO_MEMORY, NULL);
    int err = a->conflict_count > 0 ? filter_init(f, a->conflicts, a->conflict_count) : ERR_LIMIT;
    while (err == ERR_OK) {
        err = ask(a->v, f, &reply);
        if (err)
            break;
        a->turn_count = a->conflict_count;
        a->turn_ends_ms = clock_now_ms() + reply.left_ms;
        if (reply.granted)
            break;
        if (clock_now_ms() >= deadline)
            err = connection_fail(a->v, ERR_CONFLICT, NULL);
        else
            pause_ms(a->v, next_pause_ms(a->v, reply.ahead));
    }
    free(f);
    if (err == ERR_LIMIT || err == ERR_UNKNOWN_OP) {
        a->turn_count = 0;
        atomic_pause(a);
        err = ERR_OK;
    }
    return err;
}

static void ignore_reply(void *context, const struct reply *reply)
{
    (void)context;
    (void)reply;
}

void atomic_leave_turn(struct vigil_atomic *a)
{
    struct wire_buffer *b;
    if (a->turn_count == 0)
        return;
    a->turn_count = 0;
    /* Whatever goes wrong here, the place ends by itself. What the caller is to be told stays. */
    struct connection_failure failure = a->v->failure;
    if (connection_request_begin(a->v, OP_TURN, 0, 1, &b) == ERR_OK) {
        wire_write_u8(b, TURN_LEAVE);
        if (connection_request_end(a->v, ignore_reply, NULL, NULL) == ERR_OK)
            connection_send(a->v);
    }
    a->v->failure = failure;
}
