/* streams.c - the requests that open streams, keep them and let them go. */
#include "server/core/core_state.h"

#include <assert.h>

enum { TOPIC_TRIES = 16 };

/* A topic that no stream has. */
static bool draw_topic(struct core *core, uint8_t topic[TOPIC_SIZE])
{
    for (int i = 0; i < TOPIC_TRIES; i++) {
        core->source.random(core->source.context, topic, TOPIC_SIZE);
        if (!stream_table_find_topic(&core->streams, (struct bytes){topic, TOPIC_SIZE}))
            return true;
    }
    return false;
}

static int add_stream(struct core *core, struct request *q, struct stream **ret_stream)
{
    uint8_t topic[TOPIC_SIZE];
    if (stream_table_count(&core->streams) >= core->limits.streams_max)
        return request_fail(q, ERR_LIMIT, "the server has %u streams, as many as it may",
                            (unsigned)core->limits.streams_max);
    if (!draw_topic(core, topic))
        return request_fail(q, ERR_INTERNAL, "found no topic that is not in use");
    /* Records of this batch that come later are published on it, earlier ones are not. */
    return stream_table_add(&core->streams, topic, core->batch.last_seq, core->now_ms, ret_stream);
}

static int fail_lease_limit(struct core *core, struct request *q)
{
    return request_fail(q, ERR_LIMIT,
                        "this peer has %u streams open, or the server %u peers with streams: as "
                        "many as there may be",
                        (unsigned)core->limits.streams_per_peer_max,
                        (unsigned)core->limits.peers_max);
}

int apply_stream_open(struct core *core, struct request *q)
{
    int err = stream_table_read_filter(&core->streams, &q->body);
    if (err)
        return err;
    struct stream *s = stream_table_find_filter(&core->streams);
    bool is_new = s == NULL;
    if (is_new) {
        err = add_stream(core, q, &s);
        if (err)
            return err;
    }
    assert(s);
    err = lease_take(&core->leases, q->peer, s, core->now_ms);
    if (err) {
        if (is_new)
            stream_table_drop(&core->streams, s);
        return err == ERR_LIMIT ? fail_lease_limit(core, q) : err;
    }
    struct reply_stream_open reply = {.topic = {s->topic, TOPIC_SIZE},
                                      .last = s->last,
                                      .interval_ms = bookmark_interval_ms(core)};
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_stream_open_write(&core->batch.replies, &reply);
    return request_reply_end(core, q, begin);
}

/* How many topics of the list would need a new lease of this peer. */
static size_t leases_wanted(const struct core *core, const struct request *q, struct wire_reader r,
                            uint16_t count)
{
    size_t wanted = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct stream *s =
            stream_table_find_topic(&core->streams, wire_read_raw(&r, TOPIC_SIZE));
        wanted += s && !lease_held(&core->leases, q->peer, s);
    }
    return wanted;
}

int apply_stream_renew(struct core *core, struct request *q)
{
    struct wire_buffer *replies = &core->batch.replies;
    uint16_t count = wire_read_u16(&q->body);
    if (q->body.failed || wire_left(&q->body) != (size_t)count * TOPIC_SIZE)
        return ERR_MALFORMED;
    size_t begin = request_reply(core, q, core->batch.last_seq);
    wire_write_u16(replies, count);
    size_t known_at = replies->size;
    (void)wire_extend(replies, count);
    int err = request_reply_end(core, q, begin);
    if (err)
        return err;
    if (leases_wanted(core, q, q->body, count) > lease_room(&core->leases, q->peer))
        return fail_lease_limit(core, q);
    for (unsigned i = 0; i < count; i++) {
        struct bytes topic = wire_read_raw(&q->body, TOPIC_SIZE);
        struct stream *s = stream_table_find_topic(&core->streams, topic);
        replies->data[known_at + i] = s != NULL;
        if (s && !lease_held(&core->leases, q->peer, s)) {
            err = lease_take(&core->leases, q->peer, s, core->now_ms);
            if (err)
                return err == ERR_LIMIT ? fail_lease_limit(core, q) : err;
        }
    }
    return ERR_OK;
}

int apply_stream_close(struct core *core, struct request *q)
{
    if (wire_left(&q->body) != TOPIC_SIZE)
        return ERR_MALFORMED;
    struct stream *s = stream_table_find_topic(&core->streams, wire_read_raw(&q->body, TOPIC_SIZE));
    if (!s)
        return ERR_NO_STREAM;
    int err = lease_drop(&core->leases, q->peer, s);
    if (err)
        return err;
    return request_reply_end(core, q, request_reply(core, q, core->batch.last_seq));
}
