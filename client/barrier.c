/*
 * barrier.c - nobody goes on before a number of others have come.
 *
 * Each puts a key of his own under the name, once, learns how many are there at the
 * seq of that very record, and counts on from there. All see the same records in the
 * same order, so all agree at which one the number was reached, though it may have
 * held for a moment only.
 */
#include "client/contender.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/clock.h"

struct vigil_barrier {
    struct contender contender;
};

/* The count after each record, until it is reached. */
static int follow(vigil_watch *w, const struct contender *c, uint64_t there, size_t count,
                  int64_t deadline)
{
    while (there < count) {
        const vigil_event *event;
        int timeout_ms = contender_patience_ms(c, deadline);
        int err = vigil_watch_next(w, timeout_ms, &event);
        if ((err == ERR_TIMEOUT || err == ERR_DISCONNECTED) && timeout_ms > 0)
            continue;
        if (err)
            return err;
        for (uint16_t i = 0; i < event->record.count && event->kind == VIGIL_EVENT_RECORD; i++)
            there += event->record.changes[i].op == VIGIL_PUT ? 1 : UINT64_MAX;
    }
    return ERR_OK;
}

static int wait_for(struct contender *c, uint64_t there, size_t count, int64_t deadline)
{
    char pattern[LIMIT_KEY_SIZE + 2];
    const char *const patterns[] = {pattern};
    const vigil_watch_options options = {.patterns = patterns,
                                         .pattern_count = 1,
                                         .since = VIGIL_SINCE_POSITION,
                                         .position = {c->epoch, c->seq}};
    vigil_watch *w;
    if (there >= count)
        return ERR_OK;
    (void)snprintf(pattern, sizeof pattern, "%s*", c->prefix);
    int err = vigil_watch_open(c->v, &options, &w);
    if (err)
        return err;
    err = follow(w, c, there, count, deadline);
    if (err && vigil_lease_has_ended(c->lease))
        err = contender_has_ended(c);
    vigil_watch_close(w);
    return err;
}

int vigil_barrier_enter(vigil *v, const char *name, size_t count, uint32_t ttl_ms, int timeout_ms,
                        vigil_barrier **ret_barrier)
{
    static const uint8_t nil = 0xc0;
    char full[CONTENDER_NAME_SIZE];
    int64_t deadline = deadline_after(timeout_ms);
    uint64_t there;
    if (!ret_barrier || count == 0)
        return connection_fail(v, ERR_INVALID, NULL);
    int err = contender_name(v, "barrier", name, full);
    if (err)
        return err;
    vigil_barrier *b = calloc(1, sizeof *b);
    if (!b)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    err = contender_enter(&b->contender, v, full, &nil, sizeof nil, ttl_ms, &there);
    if (!err)
        err = wait_for(&b->contender, there, count, deadline);
    if (err) {
        vigil_barrier_leave(b);
        return err;
    }
    *ret_barrier = b;
    return ERR_OK;
}

void vigil_barrier_leave(vigil_barrier *b)
{
    if (!b)
        return;
    contender_leave(&b->contender);
    free(b);
}
