#define _GNU_SOURCE
/* actor_sights.c - see actor_sights.h. */
#include "tests/torture/actor_sights.h"

void actor_saw_opening(struct actor *a, enum vigil_since since, const vigil_position *position,
                       const char *const *patterns, size_t count)
{
    static const char *const names[] = {"now", "oldest", "position"};
    history_begin(&a->history, 'W');
    history_u64(&a->history, history_now_us());
    history_word(&a->history, names[since]);
    history_u64(&a->history, position->epoch);
    history_u64(&a->history, position->seq);
    history_u64(&a->history, count);
    for (size_t i = 0; i < count; i++)
        history_word(&a->history, patterns[i]);
    history_end(&a->history);
}

void actor_saw_record(struct actor *a, const vigil_event *event)
{
    const vigil_record *r = &event->record;
    struct history *h = &a->history;
    uint64_t now_us = history_now_us();
    bool expired = false;
    history_begin(h, 'E');
    history_u64(h, event->position.seq);
    history_u64(h, r->seq);
    history_u64(h, r->time_us);
    history_u64(h, r->session);
    history_u64(h, r->number);
    history_u64(h, r->parts);
    history_u64(h, r->count);
    for (uint16_t i = 0; i < r->count; i++) {
        const vigil_change *c = &r->changes[i];
        history_u64(h, (uint64_t)c->op);
        history_u64(h, c->part);
        history_word(h, c->key);
        history_u64(h, c->prev_seq);
        history_value(h, c->op == VIGIL_PUT ? c->value : NULL, c->size);
        expired |= c->op == VIGIL_EXPIRE;
    }
    history_end(h);
    if (!expired)
        return;
    history_begin(h, 'C');
    history_u64(h, now_us);
    history_u64(h, r->seq);
    history_end(h);
}

void actor_saw_before(struct actor *a, const vigil_record *r)
{
    history_begin(&a->history, 'U');
    history_u64(&a->history, r->seq);
    history_u64(&a->history, r->count);
    for (uint16_t i = 0; i < r->count; i++) {
        const vigil_change *c = &r->changes[i];
        history_u64(&a->history, (uint64_t)c->before);
        history_value(&a->history, c->before == VIGIL_BEFORE_VALUE ? c->before_value : NULL,
                      c->before_size);
    }
    history_end(&a->history);
}

void actor_saw_bookmark(struct actor *a, const vigil_event *event)
{
    history_begin(&a->history, 'B');
    history_u64(&a->history, event->position.seq);
    history_u64(&a->history, event->head);
    history_u64(&a->history, event->oldest);
    history_end(&a->history);
}

void actor_saw_end(struct actor *a, const vigil_watch *watch, int error)
{
    vigil_position position;
    uint64_t epoch = 0, head = 0, oldest = 0;
    vigil_watch_position(watch, &position);
    vigil_watch_bounds(watch, &epoch, &head, &oldest);
    history_begin(&a->history, 'X');
    history_u64(&a->history, (uint64_t)error);
    history_u64(&a->history, epoch);
    history_u64(&a->history, position.seq);
    history_u64(&a->history, oldest);
    history_u64(&a->history, head);
    history_end(&a->history);
}
