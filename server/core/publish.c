/*
 * publish.c - the records of a committed batch, to the streams that see them.
 *
 * For each record: which streams its changes match (each stream once), then to
 * each the record itself, or the view that its filter leaves, behind what is
 * pending for it. A stream's pending records go out as one message, when it is
 * full and at the end of the batch.
 *
 * 1. A record is published on a stream only if its seq is above the stream's
 *    last, and last moves with it: prev is right however the stream came to be.
 * 2. Whatever memory is missing, a matching record leaves at least a notice.
 */
#include "server/core/core_state.h"

#include <assert.h>
#include <stdlib.h>

enum {
    PENDING_MAX = 1024, /* messages under way at once; one more sends the oldest */
    VIEW_SIZE_MAX = LIMIT_STREAM_MESSAGE_SIZE - STREAM_HEADER_SIZE - STREAM_ENTRY_OVERHEAD,
    MATCHES_MAX = 1 << 20, /* places of changes kept for one record's views */
    MATCHES_KEEP = 1 << 14
};

struct publication {
    struct core *core;
    core_emit *emit;
    void *context;
};

void publisher_init(struct core *core)
{
    wire_buffer_init(&core->publisher.view, VIEW_SIZE_MAX);
}

static void free_pending_list(struct pending *p)
{
    while (p) {
        struct pending *next = p->next;
        wire_buffer_free(&p->message);
        free(p);
        p = next;
    }
}

void publisher_free(struct publisher *p)
{
    free_pending_list(p->unused);
    free_pending_list(p->first_pending);
    wire_buffer_free(&p->view);
    free(p->matches);
    *p = (struct publisher){0};
}

/* ---- messages ---- */

static void write_header(const struct core *core, struct wire_buffer *b, const struct stream *s,
                         uint8_t kind, uint16_t count)
{
    struct stream_header h = {
        .kind = kind, .count = count, .epoch = core->epoch, .incarnation = core->incarnation};
    memcpy(h.topic, s->topic, TOPIC_SIZE);
    stream_write_header(b, &h);
}

static void emit(const struct publication *to, const struct wire_buffer *b)
{
    to->core->stream_messages++;
    to->emit(to->context, (struct bytes){b->data, b->size});
}

/* Sends what is pending for a stream; the message stays with it, empty. */
static void send_pending(const struct publication *to, struct pending *p)
{
    if (p->count == 0)
        return;
    stream_set_count(&p->message, 0, p->count);
    emit(to, &p->message);
    wire_buffer_clear(&p->message);
    write_header(to->core, &p->message, p->stream, STREAM_RECORDS, 0);
    p->count = 0;
}

static struct pending *new_pending(struct publisher *p)
{
    struct pending *made = calloc(1, sizeof *made);
    if (!made)
        return NULL;
    wire_buffer_init(&made->message, LIMIT_STREAM_MESSAGE_SIZE);
    if (!wire_extend(&made->message, LIMIT_STREAM_MESSAGE_SIZE)) {
        free(made);
        return NULL;
    }
    p->pending_allocated++;
    return made;
}

/* Sends the oldest one and takes it out of the list. */
static struct pending *finish_oldest(const struct publication *to)
{
    struct publisher *p = &to->core->publisher;
    struct pending *oldest = p->first_pending;
    if (!oldest)
        return NULL;
    send_pending(to, oldest);
    oldest->stream->pending = NULL;
    p->first_pending = oldest->next;
    if (!p->first_pending)
        p->last_pending = NULL;
    return oldest;
}

/* An empty message for the stream; NULL: no memory. */
static struct pending *take_pending(const struct publication *to, struct stream *s)
{
    struct publisher *p = &to->core->publisher;
    struct pending *taken = p->unused;
    if (taken)
        p->unused = taken->next;
    else if (p->pending_allocated < PENDING_MAX)
        taken = new_pending(p);
    if (!taken)
        taken = finish_oldest(to);
    if (!taken)
        return NULL;
    taken->stream = s;
    taken->count = 0;
    taken->next = NULL;
    wire_buffer_clear(&taken->message);
    write_header(to->core, &taken->message, s, STREAM_RECORDS, 0);
    if (p->last_pending)
        p->last_pending->next = taken;
    else
        p->first_pending = taken;
    p->last_pending = taken;
    s->pending = taken;
    return taken;
}

static void send_notice(const struct publication *to, struct stream *s, uint64_t seq)
{
    uint8_t data[STREAM_HEADER_SIZE + 16];
    struct wire_buffer notice = {.data = data, .capacity = sizeof data, .size_max = sizeof data};
    if (s->pending)
        send_pending(to, s->pending);
    write_header(to->core, &notice, s, STREAM_NOTICE, 1);
    stream_write_notice(&notice, s->last, seq);
    assert(!notice.failed);
    emit(to, &notice);
}

/* The record or view goes behind what is pending for the stream. data NULL: a notice instead. */
static void append(const struct publication *to, struct stream *s, struct bytes part, uint64_t seq)
{
    struct pending *p = NULL;
    if (part.data && part.size <= VIEW_SIZE_MAX)
        p = s->pending ? s->pending : take_pending(to, s);
    if (!p) {
        send_notice(to, s, seq);
    } else {
        if (part.size + STREAM_ENTRY_OVERHEAD > LIMIT_STREAM_MESSAGE_SIZE - p->message.size)
            send_pending(to, p);
        wire_write_u64(&p->message, s->last);
        wire_write_raw(&p->message, part.data, part.size);
        p->count++;
    }
    s->last = seq;
    to->core->records_published++;
    bookmark_after_traffic(to->core, s);
}

/* ---- matching ---- */

static bool match_reserve(struct publisher *p)
{
    if (p->match_count < p->match_capacity)
        return true;
    size_t capacity = p->match_capacity ? p->match_capacity * 2 : 1024;
    if (capacity > MATCHES_MAX)
        return false;
    struct view_match *matches = realloc(p->matches, capacity * sizeof *matches);
    if (!matches)
        return false;
    p->matches = matches;
    p->match_capacity = capacity;
    return true;
}

/* Remembers the change for the stream's view, as long as that may still be sent. */
static void note_match(struct publisher *p, struct stream *s, struct change_span span)
{
    s->view_size += span.size;
    if (s->view_size > VIEW_SIZE_MAX || s->matches_incomplete)
        return;
    if (!match_reserve(p)) {
        s->matches_incomplete = true;
        return;
    }
    p->matches[p->match_count++] = (struct view_match){.span = span};
    uint32_t number = (uint32_t)p->match_count;
    if (s->last_match)
        p->matches[s->last_match - 1].next = number;
    else
        s->first_match = number;
    s->last_match = number;
}

static void note_stream(struct publisher *p, struct stream *s)
{
    s->mark = p->mark;
    s->matches = 0;
    s->first_match = 0;
    s->last_match = 0;
    s->matches_incomplete = false;
    s->view_size = RECORD_HEADER_SIZE;
    s->next_matched = NULL;
    if (p->last_matched)
        p->last_matched->next_matched = s;
    else
        p->first_matched = s;
    p->last_matched = s;
}

/* Lists the streams that see any change of the record. A filter's patterns do not
 * overlap, so each change counts once a stream. Returns how many changes there are. */
static uint16_t match_record(struct core *core, const uint8_t *record, const uint64_t *hashes)
{
    struct publisher *p = &core->publisher;
    struct pattern_entry *entries[PATTERN_MATCHES_MAX];
    struct change_iterator i = record_changes(record);
    uint16_t count = i.left;
    struct change c;
    p->mark++;
    p->match_count = 0;
    p->first_matched = NULL;
    p->last_matched = NULL;
    while (change_next(&i, &c)) {
        size_t found = pattern_index_match(&core->streams.patterns, c.key, *hashes++, entries);
        for (size_t e = 0; e < found; e++) {
            for (const struct subscription *n = entries[e]->first; n; n = n->next) {
                struct stream *s = n->stream;
                if (s->mark != p->mark)
                    note_stream(p, s);
                s->matches++;
                if (count > 1)
                    note_match(p, s, change_span_of(record, &c));
            }
        }
    }
    return count;
}

/* The record without its result: data NULL if that is too large, or memory is short. */
static struct bytes shown_of(struct publisher *p, struct bytes record)
{
    if (!record_has_result(record.data))
        return record;
    wire_buffer_clear(&p->view);
    (void)record_write_shown(&p->view, record.data);
    if (p->view.failed)
        return (struct bytes){NULL, 0};
    return (struct bytes){p->view.data, p->view.size};
}

/* What the stream sees of the record: data NULL if that is too large, or memory is short. */
static struct bytes view_of(struct core *core, const struct stream *s, const uint8_t *record)
{
    struct publisher *p = &core->publisher;
    wire_buffer_clear(&p->view);
    if (s->view_size > VIEW_SIZE_MAX)
        return (struct bytes){NULL, 0};
    if (s->matches_incomplete) {
        /* Too many places to remember: find them again. */
        struct wire_reader r = wire_reader_of(s->filter.data, s->filter.size);
        if (filter_read(&r, core->streams.filter))
            return (struct bytes){NULL, 0};
        (void)record_write_view(&p->view, record, core->streams.filter);
    } else {
        struct view_writer w;
        view_begin(&w, &p->view, record);
        for (uint32_t number = s->first_match; number; number = p->matches[number - 1].next)
            view_add(&w, p->matches[number - 1].span);
        (void)view_end(&w);
    }
    if (p->view.failed)
        return (struct bytes){NULL, 0};
    return (struct bytes){p->view.data, p->view.size};
}

static void publish_record(const struct publication *to, struct bytes record, uint64_t seq,
                           const uint64_t **hashes)
{
    struct core *core = to->core;
    uint16_t count = match_record(core, record.data, *hashes);
    *hashes += count;
    for (struct stream *s = core->publisher.first_matched; s; s = s->next_matched) {
        if (seq <= s->last)
            continue;
        struct bytes part = s->matches == count ? shown_of(&core->publisher, record)
                                                : view_of(core, s, record.data);
        append(to, s, part, seq);
    }
}

void core_publish(struct core *core, core_emit *emit_message, void *context)
{
    struct batch *b = &core->batch;
    struct publisher *p = &core->publisher;
    struct publication to = {core, emit_message, context};
    assert(!b->is_open);
    if (!b->is_published && stream_table_count(&core->streams) > 0) {
        const uint64_t *hashes = b->key_hashes;
        for (size_t i = 0; i < b->record_count; i++)
            publish_record(&to, core_batch_record_at(core, i), b->first_seq + i, &hashes);
        struct pending *done;
        while ((done = finish_oldest(&to)) != NULL) {
            done->next = p->unused;
            p->unused = done;
        }
        if (p->match_capacity > MATCHES_KEEP) {
            free(p->matches);
            p->matches = NULL;
            p->match_capacity = 0;
        }
    }
    b->is_published = true;
    p->head = core->head;
}
