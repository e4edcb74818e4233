#define _GNU_SOURCE
/*
 * actor_cursor.c - one of those who share a named cursor: takes it, watches, acknowledges some of what it
 * sees, and loses it to another, by a takeover or its own death.
 */
#include "tests/torture/actor.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/torture/actor_sights.h"

enum { NAME_SIZE = 32 };

struct holder {
    vigil_watch *watch;
    unsigned cursor;
    uint32_t life;
    char name[NAME_SIZE];
    uint64_t position;     /* of the watch */
    uint64_t acknowledged; /* by this holder */
};

static void pause_ms(size_t ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static void write_answer(struct actor *a, uint64_t id, int error, uint64_t position)
{
    actor_told(a, 'R', id, error);
    history_u64(&a->history, position);
    history_u64(&a->history, 0);
    history_u64(&a->history, 0);
    history_word(&a->history, "-");
    history_end(&a->history);
}

/* Compaction has passed it: all who share it go on with another. */
static void give_up(struct actor *a, const struct holder *h)
{
    uint32_t life = h->life;
    (void)atomic_compare_exchange_strong(&a->control->cursor_lives[h->cursor], &life, life + 1);
}

static void let_go(struct holder *h)
{
    vigil_watch_close(h->watch);
    h->watch = NULL;
}

static bool take(struct actor *a, struct holder *h)
{
    const char *patterns[16];
    vigil_position position = {0, 0};
    h->life = atomic_load(&a->control->cursor_lives[h->cursor]);
    snprintf(h->name, sizeof h->name, "cursor-%u-%u", h->cursor, (unsigned)h->life);
    size_t count = actor_filter(h->cursor * 5, patterns);
    vigil_watch_options options = {.patterns = patterns,
                                   .pattern_count = count,
                                   .bookmarks = true,
                                   .cursor = h->name,
                                   .since = h->life % 2 ? VIGIL_SINCE_NOW : VIGIL_SINCE_POSITION};
    if (options.since == VIGIL_SINCE_POSITION) { /* and not "oldest", which may leave some out */
        vigil_info info;
        vigil_get_info(a->v, &info);
        options.position = (vigil_position){info.epoch, info.oldest > 0 ? info.oldest - 1 : 0};
    }
    uint64_t id = actor_asks(a, "open");
    history_word(&a->history, h->name);
    history_u64(&a->history, count);
    for (size_t i = 0; i < count; i++)
        history_word(&a->history, patterns[i]);
    history_end(&a->history);
    int err = vigil_watch_open(a->v, &options, &h->watch);
    if (err == VIGIL_OK)
        vigil_watch_position(h->watch, &position);
    else
        h->watch = NULL;
    write_answer(a, id, err, position.seq);
    if (err == VIGIL_OK)
        actor_saw_opening(a, VIGIL_SINCE_POSITION, &position, patterns, count);
    if (err == VIGIL_COMPACTED)
        give_up(a, h);
    h->position = h->acknowledged = position.seq;
    return err == VIGIL_OK;
}

/* All of it, or only some of what is in hand; waiting for the server's word, or not. */
static int acknowledge(struct actor *a, struct holder *h, bool all, int timeout_ms)
{
    uint64_t seq = h->position;
    if (!all && seq > h->acknowledged)
        seq = h->acknowledged + actor_draw(a, seq - h->acknowledged + 1);
    uint64_t id = actor_asks(a, "ack");
    history_word(&a->history, h->name);
    history_u64(&a->history, seq);
    history_u64(&a->history, timeout_ms > 0);
    history_end(&a->history);
    int err = all ? vigil_watch_acknowledge(h->watch, timeout_ms)
                  : vigil_watch_acknowledge_to(h->watch, seq, timeout_ms);
    write_answer(a, id, err, seq);
    if (seq > h->acknowledged)
        h->acknowledged = seq;
    return err;
}

struct looking {
    const char *name;
    uint64_t position;
    bool found;
};

static bool on_cursor(void *context, const vigil_cursor *cursor)
{
    struct looking *l = context;
    l->found = strcmp(cursor->name, l->name) == 0;
    l->position = cursor->position.seq;
    return !l->found;
}

/* passed: compaction has taken what comes after the watch's place. If the cursor stands there as well, it is
 * told so, and true comes back. */
static bool look(struct actor *a, const struct holder *h, bool passed)
{
    struct looking looking = {.name = h->name};
    uint64_t id = actor_asks(a, "look");
    history_word(&a->history, h->name);
    history_end(&a->history);
    int err = vigil_cursor_each(a->v, on_cursor, &looking);
    if (err == VIGIL_INTERRUPTED && looking.found)
        err = VIGIL_OK;
    else if (err == VIGIL_OK)
        err = VIGIL_NOT_FOUND;
    if (err == VIGIL_OK && passed && looking.position <= h->position)
        err = VIGIL_COMPACTED;
    write_answer(a, id, err, looking.position);
    return err == VIGIL_COMPACTED;
}

/* Looks at what a call has returned; false: this watch is at its end. */
static bool goes_on(struct actor *a, struct holder *h, int err)
{
    switch (err) {
    case VIGIL_COMPACTED:
    case VIGIL_EPOCH_CHANGED:
    case VIGIL_POSITION_AHEAD:
    case VIGIL_CORRUPT:
    case VIGIL_NOT_FOUND:
    case VIGIL_CURSOR_TAKEN:
        actor_saw_end(a, h->watch, err);
        let_go(h);
        if (err == VIGIL_COMPACTED && look(a, h, true))
            give_up(a, h);
        return false;
    default:
        return true;
    }
}

static bool take_one(struct actor *a, struct holder *h, int timeout_ms)
{
    const vigil_event *event = NULL;
    int err = vigil_watch_next(h->watch, timeout_ms, &event);
    if (err != VIGIL_OK)
        return goes_on(a, h, err);
    if (event->kind == VIGIL_EVENT_RECORD)
        actor_saw_record(a, event);
    else
        actor_saw_bookmark(a, event);
    h->position = event->position.seq;
    return true;
}

static bool hold(struct actor *a, struct holder *h)
{
    size_t whim = actor_draw(a, 1000);
    if (whim < 100)
        return goes_on(a, h, acknowledge(a, h, whim < 50, 0));
    if (whim < 110)
        return goes_on(a, h, acknowledge(a, h, whim < 105, 1000));
    if (whim < 112)
        (void)look(a, h, false);
    if (whim == 112)
        let_go(h);
    return whim != 112 && take_one(a, h, 100);
}

/* The first of those who share it sees to it that all of it is seen. */
static int drain(struct actor *a, struct holder *h)
{
    uint64_t deadline = history_now_us() + (uint64_t)DRAIN_SECONDS * 1000000;
    uint64_t head = 0;
    bool is_first = a->number < CONTROL_CURSORS;
    if (is_first && !actor_final_head(a, deadline, &head)) {
        fprintf(stderr, "torture_actor: cursor %u: no server to drain from\n", a->number);
        return 1;
    }
    while (is_first && history_now_us() < deadline) {
        if (!h->watch && !take(a, h))
            continue;
        if (h->position >= head && acknowledge(a, h, true, 5000) == VIGIL_OK) {
            history_begin(&a->history, 'F');
            history_u64(&a->history, head);
            history_end(&a->history);
            (void)look(a, h, false);
            let_go(h);
            return 0;
        }
        (void)take_one(a, h, 200);
    }
    if (is_first)
        fprintf(stderr, "torture_actor: %s: at %llu of %llu after %d s: %s\n", h->name,
                (unsigned long long)h->position, (unsigned long long)head, DRAIN_SECONDS,
                vigil_failure_text(a->v));
    let_go(h);
    return is_first ? 1 : 0;
}

int actor_cursor(struct actor *a)
{
    struct holder h = {.cursor = a->number % CONTROL_CURSORS};
    while (!actor_stopping) {
        if (!a->v && !actor_connect(a))
            break;
        if (!h.watch && !take(a, &h))
            continue;
        if (!hold(a, &h))
            pause_ms(actor_draw(a, 1500)); /* it is another's for a while */
        if (!h.watch && actor_draw(a, 4) == 0 && !actor_connect(a))
            break;
    }
    return drain(a, &h);
}
