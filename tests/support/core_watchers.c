/* core_watchers.c - see core_watchers.h. */
#include "tests/support/core_watchers.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void free_bytes(struct bytes b)
{
    free((void *)(uintptr_t)b.data);
}

void watchers_open(struct watchers *w, struct reference *ref, struct core_fixture *f, uint64_t seed)
{
    *w = (struct watchers){.ref = ref, .f = f, .random = {seed}};
    for (size_t i = 0; i < WATCHERS; i++) {
        w->all[i].filter = i % REF_FILTERS;
        w->all[i].peer = i % REF_PEERS;
    }
}

static void drop_queue(struct watcher *one)
{
    for (size_t i = 0; i < one->queued; i++)
        free_bytes(one->queue[i]);
    one->queued = 0;
}

void watchers_close(struct watchers *w)
{
    for (size_t i = 0; i < WATCHERS; i++)
        drop_queue(&w->all[i]);
}

/* ---- opening ---- */

void watchers_send_opens(struct watchers *w)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        struct watcher *one = &w->all[i];
        if (one->is_open || sample_below(&w->random, 3) == 0)
            continue;
        reference_message_open(w->ref, w->f, one->peer, one->filter);
        core_fixture_send(w->f, ref_peer_name(one->peer));
        one->is_opening = true;
        if (!one->has_position) {
            one->position = w->ref->last; /* the reply's seq: from now on */
            one->delivered = one->position;
            one->checked = one->position;
        }
    }
}

void watchers_take_opens(struct watchers *w, bool committed)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        struct watcher *one = &w->all[i];
        if (!one->is_opening)
            continue;
        one->is_opening = false;
        if (!committed)
            continue;
        const struct ref_stream *s = &w->ref->streams[one->filter];
        memcpy(one->topic, s->topic, TOPIC_SIZE);
        one->is_open = true;
        one->has_position = true;
        one->incarnation = w->f->incarnation;
        one->heard_ms = w->f->now_ms;
        one->interval_ms = BOOKMARK_IDLE_MS;
        core_subscribed(w->f->core, (struct bytes){one->topic, TOPIC_SIZE});
    }
}

/* ---- the observer ---- */

static struct ref_stream *stream_of(struct reference *ref, const uint8_t topic[TOPIC_SIZE],
                                    size_t *ret_filter)
{
    bool any_unknown = false;
    for (size_t i = 0; i < REF_FILTERS; i++) {
        struct ref_stream *s = &ref->streams[i];
        if (s->exists && s->topic_known && memcmp(s->topic, topic, TOPIC_SIZE) == 0) {
            *ret_filter = i;
            return s;
        }
        any_unknown = any_unknown || (s->exists && !s->topic_known);
    }
    /* Opened in a batch that was aborted: nobody was told its topic. */
    assert_true(any_unknown);
    return NULL;
}

static void observe_entry(const struct watchers *w, struct ref_stream *s, size_t filter,
                          uint64_t prev, uint64_t seq)
{
    assert_int_equal(prev, s->emitted_last);
    assert_int_equal(seq, ref_next(w->ref, w->ref->filters[filter].keys, prev));
    s->emitted_last = seq;
}

static void observe(struct watchers *w, struct bytes message)
{
    struct stream_header h;
    size_t filter;
    uint64_t prev;
    uint64_t seq;
    struct wire_reader r = wire_reader_of(message.data, message.size);
    assert_true(message.size <= LIMIT_STREAM_MESSAGE_SIZE);
    assert_int_equal(stream_read_header(&r, &h), ERR_OK);
    assert_int_equal(h.epoch, w->f->epoch);
    assert_int_equal(h.incarnation, w->f->incarnation);
    struct ref_stream *s = stream_of(w->ref, h.topic, &filter);
    if (!s)
        return;
    if (h.kind == STREAM_BOOKMARK) {
        struct stream_bookmark m;
        assert_int_equal(stream_read_bookmark(&r, &m), ERR_OK);
        assert_int_equal(m.head, w->ref->head);
        assert_int_equal(m.last, s->last);
        assert_int_equal(m.oldest, w->f->oldest);
        assert_int_equal(s->emitted_last, s->last);
        w->bookmarks++;
    } else if (h.kind == STREAM_NOTICE) {
        assert_int_equal(stream_read_notice(&r, &prev, &seq), ERR_OK);
        observe_entry(w, s, filter, prev, seq);
    } else {
        for (uint16_t i = 0; i < h.count; i++) {
            struct bytes record;
            struct record_header header;
            assert_int_equal(stream_read_entry(&r, &prev, &record, &header), ERR_OK);
            observe_entry(w, s, filter, prev, header.seq);
            ref_check_view(w->ref, w->ref->filters[filter].keys, header.seq, record);
        }
        assert_true(wire_read_complete(&r));
    }
}

void watchers_check_streams(const struct watchers *w)
{
    size_t exist = 0;
    for (size_t i = 0; i < REF_FILTERS; i++) {
        struct ref_stream *s = &w->ref->streams[i];
        exist += s->exists;
        if (s->exists && !s->topic_known)
            s->emitted_last = s->last; /* not observed */
        assert_int_equal(s->emitted_last, s->last);
    }
    struct core_figures figures;
    core_figures(w->f->core, &figures);
    assert_int_equal(figures.streams, exist);
}

/* ---- a lossy way to the watchers ---- */

static void enqueue(struct watchers *w, struct watcher *one, struct bytes message)
{
    if (!w->lossless && sample_below(&w->random, 40) == 0)
        one->losing = 1 + (unsigned)sample_below(&w->random, 6);
    if (w->lossless)
        one->losing = 0;
    if (one->losing > 0 || one->queued == WATCHER_QUEUE) {
        one->losing -= one->losing > 0;
        one->losses++;
        return;
    }
    one->queue[one->queued++] =
        (struct bytes){copy_exactly(message.data, message.size), message.size};
}

void watchers_take_emitted(struct watchers *w)
{
    for (size_t m = 0; m < w->f->emitted.count; m++) {
        struct bytes message = w->f->emitted.items[m];
        observe(w, message);
        for (size_t i = 0; i < WATCHERS; i++) {
            struct watcher *one = &w->all[i];
            if (one->is_open && memcmp(one->topic, message.data, TOPIC_SIZE) == 0)
                enqueue(w, one, message);
        }
    }
    core_fixture_clear_emitted(w->f);
}

/* ---- the rule ---- */

static uint64_t watched_keys(const struct watchers *w, const struct watcher *one)
{
    return w->ref->filters[one->filter].keys;
}

/* The application gets the record at seq. */
static void deliver(struct watchers *w, struct watcher *one, uint64_t seq, struct bytes record)
{
    assert_int_equal(seq, ref_next(w->ref, watched_keys(w, one), one->delivered));
    ref_check_view(w->ref, watched_keys(w, one), seq, record);
    one->delivered = seq;
    one->checked = seq;
    one->records++;
}

/* The application is told that everything up to position has been handed over. */
static void move_on(struct watchers *w, struct watcher *one, uint64_t position)
{
    if (position <= one->position)
        return;
    uint64_t next = ref_next(w->ref, watched_keys(w, one), one->checked);
    assert_true(next == 0 || next > position);
    one->checked = position > one->checked ? position : one->checked;
    one->position = position;
}

/* What the replay socket answers: the view of the record at seq, if the filter sees any of it. */
static void replay_record(struct watchers *w, struct watcher *one, uint64_t seq,
                          struct wire_buffer *view, struct filter *filter)
{
    const struct ref_filter *ref_filter = &w->ref->filters[one->filter];
    wire_buffer_clear(view);
    assert_int_equal(filter_init(filter, ref_filter->patterns, ref_filter->count), ERR_OK);
    if (record_write_view(view, core_fixture_record(w->f, seq).data, filter) > 0)
        deliver(w, one, seq, (struct bytes){view->data, view->size});
}

static void replay(struct watchers *w, struct watcher *one)
{
    struct filter *filter = malloc(sizeof *filter);
    struct wire_buffer view;
    wire_buffer_init(&view, 1 << 24);
    one->replays++;
    if (one->position + 1 < w->f->oldest) {
        /* COMPACTED: the application is told, and goes on from there. */
        one->compacted++;
        one->position = w->f->oldest - 1;
        one->delivered = one->position;
        one->checked = one->position;
    }
    while (one->position < w->ref->head) {
        uint64_t to = one->position + 1 + sample_below(&w->random, 20);
        if (to > w->ref->head)
            to = w->ref->head;
        for (uint64_t seq = one->position + 1; seq <= to; seq++)
            replay_record(w, one, seq, &view, filter);
        move_on(w, one, to);
    }
    wire_buffer_free(&view);
    free(filter);
}

static void handle_records(struct watchers *w, struct watcher *one, struct wire_reader *r,
                           uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        uint64_t prev;
        struct bytes record;
        struct record_header h;
        assert_int_equal(stream_read_entry(r, &prev, &record, &h), ERR_OK);
        if (h.seq <= one->position)
            continue;
        if (prev <= one->position) {
            deliver(w, one, h.seq, record);
            move_on(w, one, h.seq);
        } else {
            replay(w, one);
        }
    }
}

static void handle(struct watchers *w, struct watcher *one, struct bytes message)
{
    struct stream_header h;
    struct wire_reader r = wire_reader_of(message.data, message.size);
    assert_int_equal(stream_read_header(&r, &h), ERR_OK);
    one->heard_ms = w->f->now_ms;
    if (h.kind == STREAM_RECORDS) {
        handle_records(w, one, &r, h.count);
    } else if (h.kind == STREAM_NOTICE) {
        uint64_t prev;
        uint64_t seq;
        assert_int_equal(stream_read_notice(&r, &prev, &seq), ERR_OK);
        if (seq > one->position)
            replay(w, one);
    } else {
        struct stream_bookmark m;
        assert_int_equal(stream_read_bookmark(&r, &m), ERR_OK);
        one->interval_ms = m.interval_ms;
        if (m.last <= one->position)
            move_on(w, one, m.head);
        else
            replay(w, one);
    }
}

void watchers_work(struct watchers *w, bool everything)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        struct watcher *one = &w->all[i];
        if (!everything && sample_below(&w->random, 4) == 0)
            continue;
        size_t count = everything ? one->queued : sample_below(&w->random, one->queued + 1);
        for (size_t n = 0; n < count; n++) {
            handle(w, one, one->queue[n]);
            free_bytes(one->queue[n]);
        }
        one->queued -= count;
        memmove(one->queue, one->queue + count, one->queued * sizeof one->queue[0]);
        /* Bookmarks missing for several intervals: the stream, or the server, is another. */
        if (one->is_open && w->f->now_ms - one->heard_ms > 3 * (uint64_t)one->interval_ms) {
            one->is_open = false;
            one->reopens++;
            drop_queue(one);
        }
    }
}
