/*
 * core_watchers.h - watchers of a core, as a client's are: each follows the rule
 * of the protocol over a stream that loses messages, replays from the journal
 * what it misses, and fails the test if it gets anything but each matching
 * record once, whole and in order.
 *
 * Beside them an observer sees every message that is emitted, and checks it
 * against the reference: chain, content, bookmarks.
 */
#ifndef VIGIL_TESTS_SUPPORT_CORE_WATCHERS_H
#define VIGIL_TESTS_SUPPORT_CORE_WATCHERS_H

#include "tests/support/core_reference.h"

enum { WATCHERS = 10, WATCHER_QUEUE = 16 };

struct watcher {
    size_t filter;
    size_t peer;
    bool is_open;
    bool is_opening; /* the request is in the batch at hand */
    bool has_position;
    uint8_t topic[TOPIC_SIZE];
    uint64_t incarnation;
    uint64_t position;
    uint64_t delivered; /* seq of the newest record handed over */
    uint64_t checked;   /* nothing that matches is missing up to here */
    uint64_t heard_ms;
    uint32_t interval_ms;
    struct bytes queue[WATCHER_QUEUE];
    size_t queued;
    unsigned losing; /* messages that are still going to be lost */
    uint64_t records, replays, losses, reopens, compacted;
};

struct watchers {
    struct reference *ref;
    struct core_fixture *f;
    struct sample random;
    bool lossless;
    struct watcher all[WATCHERS];
    uint64_t bookmarks;
};

void watchers_open(struct watchers *w, struct reference *ref, struct core_fixture *f,
                   uint64_t seed);
void watchers_close(struct watchers *w);
/* Within a batch: watchers that are closed send the request that opens their stream. */
void watchers_send_opens(struct watchers *w);
/* After the replies were checked: they read theirs. committed: the batch was. */
void watchers_take_opens(struct watchers *w, bool committed);
/* All that was emitted since the last call: to the observer, and into queues. */
void watchers_take_emitted(struct watchers *w);
/* Every stream has emitted what it must have. */
void watchers_check_streams(const struct watchers *w);
/* Some of them handle some of what waits for them. */
void watchers_work(struct watchers *w, bool everything);

#endif
