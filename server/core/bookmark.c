/*
 * bookmark.c - the tick: bookmarks that are due, leases that ended, and what
 * else is done in steps.
 *
 * Busy streams all get one at BOOKMARK_TICK_MS after the first had traffic. Idle
 * ones stand in a queue by the time of their last one: each gets its next after
 * BOOKMARK_IDLE_MS at the earliest, and no more than BOOKMARK_IDLE_PER_SECOND go
 * out. Who stands at the end of the queue therefore knows how long it can take,
 * because nobody ever gets in before him.
 */
#include "server/core/core_state.h"

#include <assert.h>

enum {
    IDLE_STEP_MS = 50, /* idle bookmarks are sent in groups rather than one by one */
    CREDIT_MAX = BOOKMARK_IDLE_PER_SECOND / 4,
    BUSY_PER_CALL = 4096,
    SWEEP_PER_CALL = 4096,
    /* How late the tick may come without an interval being exceeded. */
    INTERVAL_SLACK_MS = 2 * BOOKMARK_TICK_MS,
    TICK_WAIT_MAX_MS = 1000
};

uint32_t bookmark_interval_ms(const struct core *core)
{
    uint64_t queue = core->streams.idle.count + core->streams.busy.count;
    return (uint32_t)(BOOKMARK_IDLE_MS + queue * 1000 / BOOKMARK_IDLE_PER_SECOND +
                      INTERVAL_SLACK_MS);
}

void bookmark_after_traffic(struct core *core, struct stream *s)
{
    if (s->is_busy)
        return;
    if (core->streams.busy.count == 0)
        core->bookmarks.busy_due_ms = core->now_ms + BOOKMARK_TICK_MS;
    stream_make_busy(&core->streams, s);
}

static void send(struct core *core, const struct stream *s, core_emit *emit, void *context)
{
    uint8_t data[STREAM_HEADER_SIZE + 28];
    struct wire_buffer b = {.data = data, .capacity = sizeof data, .size_max = sizeof data};
    struct stream_header h = {
        .kind = STREAM_BOOKMARK, .epoch = core->epoch, .incarnation = core->incarnation};
    memcpy(h.topic, s->topic, TOPIC_SIZE);
    struct stream_bookmark m = {.head = core->publisher.head,
                                .last = s->last,
                                .oldest = core->oldest,
                                .interval_ms = bookmark_interval_ms(core)};
    stream_write_header(&b, &h);
    stream_write_bookmark(&b, &m);
    assert(!b.failed);
    core->bookmarks_sent++;
    core->stream_messages++;
    emit(context, (struct bytes){b.data, b.size});
}

/* The bookmark after which the stream waits at the end of the queue. */
static void send_and_queue(struct core *core, struct stream *s, core_emit *emit, void *context)
{
    send(core, s, emit, context);
    s->bookmark_ms = core->now_ms;
    stream_make_idle(&core->streams, s);
}

bool core_subscribed(struct core *core, struct bytes topic)
{
    struct stream *s = stream_table_find_topic(&core->streams, topic);
    if (s)
        stream_subscribed(&core->streams, s);
    return s != NULL;
}

static void answer_subscriptions(struct core *core, core_emit *emit, void *context)
{
    struct stream *s;
    while ((s = stream_table_take_subscribed(&core->streams)) != NULL)
        send(core, s, emit, context);
}

static void tick_busy(struct core *core, core_emit *emit, void *context)
{
    struct stream_table *t = &core->streams;
    if (core->now_ms < core->bookmarks.busy_due_ms)
        return;
    for (size_t i = 0; i < BUSY_PER_CALL && t->busy.first; i++)
        send_and_queue(core, t->busy.first, emit, context);
}

static void tick_idle(struct core *core, core_emit *emit, void *context)
{
    struct bookmarks *b = &core->bookmarks;
    struct stream_table *t = &core->streams;
    uint64_t earned = (core->now_ms - b->credit_ms) * BOOKMARK_IDLE_PER_SECOND / 1000;
    if (earned > 0) {
        b->credit = b->credit + earned < CREDIT_MAX ? b->credit + earned : CREDIT_MAX;
        b->credit_ms = core->now_ms;
    }
    while (b->credit > 0 && t->idle.first &&
           t->idle.first->bookmark_ms + BOOKMARK_IDLE_MS <= core->now_ms) {
        b->credit--;
        send_and_queue(core, t->idle.first, emit, context);
    }
}

static uint64_t at_most(uint64_t wait_ms, uint64_t other_ms)
{
    return wait_ms < other_ms ? wait_ms : other_ms;
}

static uint64_t ms_until(uint64_t now_ms, uint64_t due_ms)
{
    return due_ms > now_ms ? due_ms - now_ms : 0;
}

static uint32_t next_tick_ms(const struct core *core, bool swept)
{
    const struct stream_table *t = &core->streams;
    uint64_t now_ms = core->now_ms;
    uint64_t wait_ms = TICK_WAIT_MAX_MS;
    if (!swept)
        return 0;
    if (t->busy.first)
        wait_ms = at_most(wait_ms, ms_until(now_ms, core->bookmarks.busy_due_ms));
    if (t->idle.first) {
        uint64_t due_ms = t->idle.first->bookmark_ms + BOOKMARK_IDLE_MS;
        uint64_t idle_ms = ms_until(now_ms, due_ms);
        wait_ms = at_most(wait_ms, idle_ms > IDLE_STEP_MS ? idle_ms : IDLE_STEP_MS);
    }
    wait_ms = at_most(wait_ms, ms_until(now_ms, lease_next_end_ms(&core->leases)));
    if (core->checkpoint.retired)
        wait_ms = at_most(wait_ms, IDLE_STEP_MS);
    return (uint32_t)wait_ms;
}

uint32_t core_tick(struct core *core, uint64_t now_ms, core_emit *emit, void *context)
{
    assert(!core->batch.is_open);
    assert(core->batch.is_published);
    if (now_ms > core->now_ms)
        core->now_ms = now_ms;
    answer_subscriptions(core, emit, context);
    tick_busy(core, emit, context);
    tick_idle(core, emit, context);
    bool swept = lease_sweep(&core->leases, core->now_ms, SWEEP_PER_CALL);
    checkpoint_free_some(&core->checkpoint);
    turns_sweep(&core->turns, core->now_ms);
    return next_tick_ms(core, swept);
}
