/* dial.c - see dial.h. */
#define _POSIX_C_SOURCE 200809L
#include "client/dial.h"

#include <errno.h>

#include "protocol/errors.h"

enum {
    LOOKUP_MS = 30000,
    /* To connect and to introduce each other. With another address to be tried not too long: a server
     * that has one address too many is to be found within the time that vigil_open has. */
    ATTEMPT_MS = 1500,
    LAST_ATTEMPT_MS = 10000
};

int dial_start(struct dial *d, const struct endpoint *e, int64_t now_ms)
{
    *d = (struct dial){.due_ms = now_ms + LOOKUP_MS};
    if (address_of(e, &d->addresses))
        return ERR_OK;
    d->lookup = address_lookup_start(e);
    return d->lookup ? ERR_OK : ERR_LIMIT;
}

void dial_stop(struct dial *d)
{
    address_lookup_drop(d->lookup);
    d->lookup = NULL;
}

int dial_fd(const struct dial *d)
{
    return d->lookup ? address_lookup_fd(d->lookup) : -1;
}

static enum dial_progress go_on_looking_up(struct dial *d, int64_t now_ms)
{
    if (address_lookup_take(d->lookup, &d->addresses)) {
        dial_stop(d);
        return DIAL_UP;
    }
    if (now_ms < d->due_ms)
        return DIAL_WAITS;
    errno = ETIMEDOUT;
    return DIAL_FAILED;
}

/* To the next address that takes it. */
static bool try_next(struct dial *d, struct link *l, int64_t now_ms)
{
    while (d->next < d->addresses.count) {
        const struct address *a = &d->addresses.each[d->next++];
        bool is_last = d->next == d->addresses.count;
        d->due_ms = now_ms + (is_last ? (int64_t)LAST_ATTEMPT_MS : (int64_t)ATTEMPT_MS);
        if (link_open(l, a))
            return true;
    }
    return false;
}

enum dial_progress dial_go(struct dial *d, struct link *l, int64_t now_ms)
{
    if (d->lookup) {
        errno = EHOSTUNREACH;
        enum dial_progress looked_up = go_on_looking_up(d, now_ms);
        if (looked_up != DIAL_UP)
            return looked_up;
    }
    for (;;) {
        if (l->state == LINK_CLOSED && !try_next(d, l, now_ms))
            return DIAL_FAILED;
        int error = ETIMEDOUT;
        if (!link_advance(l))
            error = errno;
        else if (l->state == LINK_UP)
            return DIAL_UP;
        else if (now_ms < d->due_ms)
            return DIAL_WAITS;
        link_close(l);
        errno = error;
    }
}
