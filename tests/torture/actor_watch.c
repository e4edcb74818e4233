#define _GNU_SOURCE
/*
 * actor_watch.c - watches one filter. A process that begins goes on at the last position in its history;
 * so does one that closes its watch now and then on purpose.
 */
#include "tests/torture/actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/torture/actor_sights.h"

struct watcher {
    vigil_watch *watch;
    bool before;             /* it tells values before, too */
    vigil_position position; /* where to go on; epoch 0: it has never been open */
};

/* Where a watch goes on that has seen this line (history.h). */
static void take_line(const char *line, vigil_position *position)
{
    char *rest;
    if (line[0] == 'E' || line[0] == 'B') {
        position->seq = strtoull(line + 1, NULL, 10);
    } else if (strncmp(line, "X 5 ", 4) == 0) {
        *position = (vigil_position){0, 0}; /* compacted: from what there is */
    } else if (line[0] == 'W') {
        const char *since = strchr(line + 2, ' ');
        const char *epoch = since ? strchr(since + 1, ' ') : NULL;
        if (epoch) {
            position->epoch = strtoull(epoch, &rest, 10);
            position->seq = strtoull(rest, NULL, 10);
        }
    }
}

/* The last position that the history tells of. */
static void find_position(const struct actor *a, vigil_position *ret_position)
{
    static char line[HISTORY_LINE_MAX];
    FILE *file = fopen(a->history_path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        size_t size = strlen(line);
        if (size > 3 && strcmp(line + size - 3, " .\n") == 0)
            take_line(line, ret_position);
    }
    fclose(file);
}

/* An end before there was a watch. */
static void write_refused(struct actor *a, const struct watcher *w, int error)
{
    vigil_info info;
    vigil_get_info(a->v, &info);
    history_begin(&a->history, 'X');
    history_u64(&a->history, (uint64_t)error);
    history_u64(&a->history, info.epoch);
    history_u64(&a->history, w->position.seq);
    history_u64(&a->history, info.oldest);
    history_u64(&a->history, info.head);
    history_end(&a->history);
}

/* A position that is none has to be refused, as what it is. */
static void try_nonsense(struct actor *a, vigil_position position)
{
    bool other_epoch = actor_draw(a, 2) == 0;
    vigil_watch *watch = NULL;
    vigil_watch_options options = {.since = VIGIL_SINCE_POSITION, .position = position};
    if (other_epoch)
        options.position.epoch ^= 1;
    else
        options.position.seq += UINT64_C(1) << 40;
    int err = vigil_watch_open(a->v, &options, &watch);
    if (err == VIGIL_OK) {
        const vigil_event *event;
        err = vigil_watch_next(watch, 1000, &event);
    }
    vigil_watch_close(watch);
    history_begin(&a->history, 'Z');
    history_u64(&a->history, other_epoch ? VIGIL_EPOCH_CHANGED : VIGIL_POSITION_AHEAD);
    history_u64(&a->history, (uint64_t)err);
    history_end(&a->history);
}

static int open_watch(struct actor *a, struct watcher *w)
{
    const char *patterns[16];
    size_t count = actor_filter(a->number, patterns);
    static const size_t memories[] = {1, 2000, 0};
    w->before = actor_draw(a, 3) == 0;
    vigil_watch_options options = {.patterns = patterns,
                                   .pattern_count = count,
                                   .bookmarks = true,
                                   .before = w->before,
                                   .before_memory_bytes = memories[actor_draw(a, 3)]};
    if (w->position.epoch != 0 && actor_draw(a, 6) == 0)
        try_nonsense(a, w->position);
    if (w->position.epoch != 0) {
        options.since = VIGIL_SINCE_POSITION;
        options.position = w->position;
    } else {
        options.since = actor_draw(a, 3) == 0 ? VIGIL_SINCE_NOW : VIGIL_SINCE_OLDEST;
    }
    int err = vigil_watch_open(a->v, &options, &w->watch);
    if (err) {
        w->watch = NULL;
        if (err == VIGIL_COMPACTED || err == VIGIL_EPOCH_CHANGED || err == VIGIL_POSITION_AHEAD)
            write_refused(a, w, err);
        if (err == VIGIL_COMPACTED)
            w->position = (vigil_position){0, 0};
        return err;
    }
    vigil_position position;
    vigil_watch_position(w->watch, &position);
    if (options.since == VIGIL_SINCE_POSITION)
        position.seq = options.position.seq; /* what it was asked for is what it is judged by */
    actor_saw_opening(a, options.since, &position, patterns, count);
    w->position = position;
    return VIGIL_OK;
}

static void close_watch(struct watcher *w)
{
    if (w->watch)
        vigil_watch_position(w->watch, &w->position);
    vigil_watch_close(w->watch);
    w->watch = NULL;
}

/* One event. Returns what next returned. */
static int take_one(struct actor *a, struct watcher *w, int timeout_ms)
{
    const vigil_event *event = NULL;
    int err = vigil_watch_next(w->watch, timeout_ms, &event);
    if (err == VIGIL_OK && event->kind == VIGIL_EVENT_RECORD)
        actor_saw_record(a, event);
    if (err == VIGIL_OK && event->kind == VIGIL_EVENT_RECORD && w->before)
        actor_saw_before(a, &event->record);
    if (err == VIGIL_OK && event->kind == VIGIL_EVENT_BOOKMARK)
        actor_saw_bookmark(a, event);
    if (err == VIGIL_OK)
        w->position = event->position;
    bool final = err == VIGIL_COMPACTED || err == VIGIL_EPOCH_CHANGED ||
                 err == VIGIL_POSITION_AHEAD || err == VIGIL_CORRUPT;
    if (!final)
        return err;
    actor_saw_end(a, w->watch, err);
    close_watch(w);
    if (err == VIGIL_COMPACTED)
        w->position = (vigil_position){0, 0};
    return err;
}

/* An application that is slow, now and then: the watch has to live with it. */
static void dawdle(struct actor *a)
{
    struct timespec pause = {.tv_nsec = (long)(1 + actor_draw(a, 300)) * 1000000};
    if (actor_draw(a, 3000) == 0)
        nanosleep(&pause, NULL);
}

static int drain(struct actor *a, struct watcher *w)
{
    uint64_t deadline = history_now_us() + (uint64_t)DRAIN_SECONDS * 1000000;
    uint64_t head = 0;
    if (!actor_final_head(a, deadline, &head)) {
        fprintf(stderr, "torture_actor: watcher %u: no server to drain from\n", a->number);
        return 1;
    }
    while (history_now_us() < deadline) {
        if (!w->watch && open_watch(a, w) != VIGIL_OK)
            continue;
        if (w->position.seq >= head) {
            history_begin(&a->history, 'F');
            history_u64(&a->history, head);
            history_end(&a->history);
            close_watch(w);
            return 0;
        }
        (void)take_one(a, w, 200);
    }
    fprintf(stderr, "torture_actor: watcher %u: at %llu of %llu after %d s: %s\n", a->number,
            (unsigned long long)w->position.seq, (unsigned long long)head, DRAIN_SECONDS,
            vigil_failure_text(a->v));
    close_watch(w);
    return 1;
}

int actor_watch(struct actor *a)
{
    struct watcher w = {0};
    find_position(a, &w.position);
    while (!actor_stopping) {
        if (!a->v && !actor_connect(a))
            break;
        if (!w.watch && open_watch(a, &w) != VIGIL_OK)
            continue;
        (void)take_one(a, &w, 100);
        dawdle(a);
        size_t whim = actor_draw(a, 4000);
        if (whim < 2)
            close_watch(&w);
        if (whim == 0 && !actor_connect(a))
            break;
    }
    return drain(a, &w);
}
