/* lease.c - keeps the streams of a connection's watches alive. */
#include "client/lease.h"

#include <stdlib.h>

#include "client/clock.h"
#include "client/watch.h"

enum {
    TOPICS_MAX = 60000 /* what one request can name; more streams than a server gives to one peer */
};

static int64_t interval_ms(const struct vigil *v)
{
    return v->lease_ms >= 300 ? v->lease_ms / 3 : 100;
}

void lease_started(struct vigil *v)
{
    if (v->renew_ms == DEADLINE_NEVER)
        v->renew_ms = clock_now_ms() + interval_ms(v);
}

void lease_forget(struct vigil *v)
{
    pending_abandon(&v->pending, v);
    free(v->renewing);
    v->renewing = NULL;
    v->renew_ms = DEADLINE_NEVER;
}

static void on_renewed(void *context, const struct reply *reply)
{
    struct vigil *v = context;
    struct wire_reader body = reply->body;
    uint16_t count = reply->error ? 0 : wire_read_u16(&body);
    for (uint16_t i = 0; i < count && i < v->renewing_count; i++) {
        if (wire_read_u8(&body) == 0 && !body.failed)
            watch_topic_gone(v, v->renewing[i]);
    }
    free(v->renewing);
    v->renewing = NULL;
}

/* The topics of all open streams, up to TOPICS_MAX; one that two watches share stands there twice.
 */
static uint16_t gather_topics(struct vigil *v)
{
    uint16_t count = 0;
    size_t all = 0;
    for (struct vigil_watch *w = v->watches; w; w = w->next)
        all += w->has_topic;
    if (all == 0)
        return 0;
    v->renewing = malloc((all < TOPICS_MAX ? all : TOPICS_MAX) * sizeof *v->renewing);
    if (!v->renewing)
        return 0;
    for (struct vigil_watch *w = v->watches; w && count < TOPICS_MAX; w = w->next) {
        if (w->has_topic)
            memcpy(v->renewing[count++], w->topic, TOPIC_SIZE);
    }
    return count;
}

void lease_renew(struct vigil *v)
{
    struct wire_buffer *b;
    if (v->state != CHANNEL_READY || v->renewing || v->stepped_ms < v->renew_ms)
        return;
    v->renewing_count = gather_topics(v);
    v->renew_ms = v->renewing ? v->stepped_ms + interval_ms(v) : DEADLINE_NEVER;
    if (!v->renewing)
        return;
    size_t topics_size = (size_t)v->renewing_count * TOPIC_SIZE;
    if (connection_request_begin(v, OP_STREAM_RENEW, 0, 2 + topics_size, &b) != ERR_OK)
        goto fail;
    wire_write_u16(b, v->renewing_count);
    wire_write_raw(b, v->renewing, topics_size);
    if (connection_request_end(v, on_renewed, v, NULL) != ERR_OK)
        goto fail;
    return;
fail: /* at the next step again */
    free(v->renewing);
    v->renewing = NULL;
    v->renew_ms = v->stepped_ms + 100;
}
