/*
 * stream_table.h - the streams: what each distinct filter sees, under which topic.
 *
 * 1. Equal filters share one stream; filters and topics are unique.
 * 2. A stream is on exactly one of two lists: busy (there was traffic since its
 *    last bookmark) or idle (ordered by when that was).
 * 3. Whoever drops a stream knows that nothing points to it: no lease, no
 *    pending message, no bookmark asked for.
 */
#ifndef VIGIL_SERVER_CORE_STREAM_TABLE_H
#define VIGIL_SERVER_CORE_STREAM_TABLE_H

#include "server/core/pattern_index.h"

struct pending;

struct stream {
    uint8_t topic[TOPIC_SIZE];
    uint64_t hash; /* of the filter's bytes */
    uint64_t last; /* seq of its newest record, or of the head when it was opened */
    size_t leases; /* how many leases exist on it */
    /* On busy or idle. */
    struct stream *next;
    struct stream *previous;
    bool is_busy;
    bool is_subscribed; /* a bookmark has been asked for */
    struct stream *next_subscribed;
    uint64_t bookmark_ms; /* when the last one went out, or the stream was opened */
    /* Of the record that is being published, if mark is the publisher's. */
    uint64_t mark;
    struct stream *next_matched;
    size_t view_size;
    uint32_t matches;
    uint32_t first_match; /* 1 + the number of a match; 0: none */
    uint32_t last_match;
    bool matches_incomplete;
    struct pending *pending; /* records that wait to be sent */
    struct bytes filter;     /* canonical wire form, at the end of this block */
    size_t subscription_count;
    struct subscription subscriptions[];
};

struct stream_list {
    struct stream *first;
    struct stream *last;
    size_t count;
};

struct stream_table {
    struct hash_seed seed;
    struct table by_filter;
    struct table by_topic;
    struct pattern_index patterns;
    struct stream_list busy;
    struct stream_list idle;
    struct stream *first_subscribed;
    struct filter *filter;      /* of the request at hand */
    struct wire_buffer written; /* its canonical bytes */
};

int stream_table_init(struct stream_table *t, const struct hash_seed *seed, uint64_t random);
void stream_table_free(struct stream_table *t);
static inline size_t stream_table_count(const struct stream_table *t)
{
    return t->by_topic.count;
}

/* Reads a filter into t->filter and t->written. ERR_OK, ERR_NO_MEMORY, or what filter_read says. */
int stream_table_read_filter(struct stream_table *t, struct wire_reader *r);
/* What was read last, in canonical form; valid until the next reading. */
struct bytes stream_table_last_filter(const struct stream_table *t);
/* The stream of the filter that was read last, or NULL. */
struct stream *stream_table_find_filter(const struct stream_table *t);
/* Makes one for it, idle, with this topic, which nobody has. ERR_OK, ERR_NO_MEMORY. */
int stream_table_add(struct stream_table *t, const uint8_t topic[TOPIC_SIZE], uint64_t last,
                     uint64_t now_ms, struct stream **ret_stream);
struct stream *stream_table_find_topic(const struct stream_table *t, struct bytes topic);
void stream_table_drop(struct stream_table *t, struct stream *s);

/* A bookmark is asked for; once, however often. */
void stream_subscribed(struct stream_table *t, struct stream *s);
/* Takes one of those off its list; NULL: none. */
struct stream *stream_table_take_subscribed(struct stream_table *t);

/* To the end of the busy list, of the idle list. */
void stream_make_busy(struct stream_table *t, struct stream *s);
void stream_make_idle(struct stream_table *t, struct stream *s);

#endif
