/*
 * wait.c - blocking until a condition holds, or held for a moment.
 *
 * The present state is read at seq N, then every record after N is looked at:
 * so nothing between the two can be missed. The watch is kept, because the
 * result points into it and because the next wait is often on the same key.
 */
#include "client/wait.h"

#include <stdlib.h>

#include "client/arguments.h"
#include "client/clock.h"
#include "client/read.h"
#include "client/watch.h"

struct waiting {
    struct vigil *v;
    const char *key;
    struct bytes key_bytes;
    const vigil_wait_options *options;
    int64_t deadline;
    bool only_looks; /* the time given is 0: a round trip may take what a request may */
    bool reads_state;
    vigil_watch_options watch;
    uint64_t skip_to; /* records up to it are part of the state that was looked at */
};

void wait_forget(struct vigil *v)
{
    vigil_watch_close(v->wait_watch);
    v->wait_watch = NULL;
}

static bool state_satisfies(const struct waiting *w, const vigil_entry *e)
{
    if (!w->options->until)
        return e->present;
    return w->options->until(w->options->context, e->value, e->size, NULL);
}

static bool change_satisfies(const struct waiting *w, const vigil_change *c)
{
    if (w->options->until)
        return w->options->until(w->options->context, c->value, c->size, c);
    return w->options->change || c->op == VIGIL_PUT;
}

/* What is left, in calls that are repeated until the deadline; -1: for ever, in such calls. */
static int trip_timeout_ms(const struct waiting *w)
{
    int trip_ms = w->v->request_timeout_ms;
    return w->only_looks ? trip_ms : deadline_trip_ms(w->deadline, trip_ms);
}

/* The server may come back, as long as there is time. */
static bool may_retry(const struct waiting *w, int err)
{
    return (err == ERR_DISCONNECTED || err == ERR_TIMEOUT) && clock_now_ms() < w->deadline;
}

/* If the present state does not satisfy, the watch is to go on from there. */
static int look_at_state(struct waiting *w, bool *ret_satisfied, vigil_wait_result *ret_result)
{
    vigil_entry entry;
    uint64_t epoch;
    int err;
    do {
        err = read_entry(w->v, w->key, trip_timeout_ms(w), &entry, &epoch);
    } while (err && may_retry(w, err));
    if (err)
        return err;
    *ret_satisfied = state_satisfies(w, &entry);
    *ret_result = (vigil_wait_result){.from_state = true, .entry = entry};
    w->watch.since = VIGIL_SINCE_POSITION;
    w->watch.position = (vigil_position){epoch, entry.seq};
    return ERR_OK;
}

/* The kept watch serves again if it is of this key and has not gone beyond the position, which must
 * be one that the server has reached: whether it is ahead, only the server can tell. */
static bool kept_watch_serves(const struct waiting *w)
{
    const struct vigil_watch *kept = w->v->wait_watch;
    if (w->watch.since != VIGIL_SINCE_POSITION || w->watch.position.seq > w->v->head)
        return false;
    return kept && bytes_equal(kept->filter->patterns[0].text, w->key_bytes) &&
           kept->rule.state != WATCH_ENDED && kept->rule.epoch == w->watch.position.epoch &&
           kept->rule.position <= w->watch.position.seq;
}

static int open_watch(struct waiting *w)
{
    struct vigil *v = w->v;
    struct pattern exact = {.kind = PATTERN_EXACT, .text = w->key_bytes};
    int err;
    if (kept_watch_serves(w)) {
        w->skip_to = w->watch.position.seq;
        return ERR_OK;
    }
    wait_forget(v);
    do {
        struct filter *filter = malloc(sizeof *filter);
        err = filter ? filter_init(filter, &exact, 1) : ERR_NO_MEMORY;
        if (err) {
            free(filter);
            return connection_fail(v, err, NULL);
        }
        err = watch_open(v, filter, NULL, &w->watch, trip_timeout_ms(w), &v->wait_watch);
    } while (err && may_retry(w, err));
    return err;
}

static bool take_record(const struct waiting *w, const vigil_event *event,
                        vigil_wait_result *ret_result)
{
    const vigil_record *record = &event->record;
    if (event->kind != VIGIL_EVENT_RECORD || record->seq <= w->skip_to)
        return false;
    for (uint16_t i = 0; i < record->count; i++) {
        if (!change_satisfies(w, &record->changes[i]))
            continue;
        *ret_result = (vigil_wait_result){.from_state = false, .record = *record};
        ret_result->record.count = 1;
        ret_result->record.changes = &record->changes[i];
        return true;
    }
    return false;
}

static int look_at_changes(struct waiting *w, vigil_wait_result *ret_result)
{
    struct vigil_watch *watch = w->v->wait_watch;
    for (;;) {
        const vigil_event *event;
        int err = vigil_watch_next(watch, deadline_timeout_ms(w->deadline), &event);
        if (err == ERR_OK && take_record(w, event, ret_result))
            return ERR_OK;
        if (err == ERR_TIMEOUT && !vigil_watch_connected(watch))
            return connection_fail(w->v, ERR_DISCONNECTED, "%s: the server is not there",
                                   w->v->endpoint_text);
        if (err && err != ERR_DISCONNECTED)
            return err;
        if (err && clock_now_ms() >= w->deadline)
            return err;
        if (!err && clock_now_ms() >= w->deadline)
            return connection_fail(w->v, ERR_TIMEOUT, NULL);
    }
}

int vigil_wait(vigil *v, const char *key, const vigil_wait_options *options, int timeout_ms,
               vigil_wait_result *ret_result)
{
    const vigil_wait_options defaults = VIGIL_WAIT_OPTIONS_INIT;
    struct waiting w = {.v = v,
                        .key = key,
                        .options = options ? options : &defaults,
                        .deadline = deadline_after(timeout_ms),
                        .only_looks = timeout_ms == 0};
    vigil_wait_result result;
    bool satisfied = false;
    int err = arguments_key(v, key, &w.key_bytes);
    if (err)
        return err;
    w.watch.since = w.options->since;
    w.watch.position = w.options->position;
    w.reads_state = w.options->since == VIGIL_SINCE_NOW && !w.options->change;
    if (w.reads_state)
        err = look_at_state(&w, &satisfied, &result);
    if (err == ERR_OK && !satisfied && w.reads_state && w.only_looks)
        err = connection_fail(v, ERR_TIMEOUT, NULL);
    if (err == ERR_OK && !satisfied)
        err = open_watch(&w);
    if (err == ERR_OK && !satisfied)
        err = look_at_changes(&w, &result);
    if (err == ERR_OK && ret_result)
        *ret_result = result;
    return err;
}
