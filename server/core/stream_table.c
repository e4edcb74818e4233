/* stream_table.c - finding, adding and dropping streams. */
#include "server/core/stream_table.h"

#include <assert.h>
#include <stdlib.h>

enum { FILTER_BYTES_MAX = 2 + LIMIT_FILTER_PATTERNS * (3 + LIMIT_KEY_SIZE) };

int stream_table_init(struct stream_table *t, const struct hash_seed *seed, uint64_t random)
{
    *t = (struct stream_table){.seed = *seed};
    pattern_index_init(&t->patterns, seed, random);
    wire_buffer_init(&t->written, FILTER_BYTES_MAX);
    t->filter = malloc(sizeof *t->filter);
    return t->filter ? ERR_OK : ERR_NO_MEMORY;
}

void stream_table_free(struct stream_table *t)
{
    while (t->busy.first)
        stream_table_drop(t, t->busy.first);
    while (t->idle.first)
        stream_table_drop(t, t->idle.first);
    pattern_index_free(&t->patterns);
    table_free(&t->by_filter);
    table_free(&t->by_topic);
    wire_buffer_free(&t->written);
    free(t->filter);
    t->filter = NULL;
}

int stream_table_read_filter(struct stream_table *t, struct wire_reader *r)
{
    int err = filter_read(r, t->filter);
    if (err)
        return err;
    if (!wire_read_complete(r))
        return ERR_MALFORMED;
    wire_buffer_clear(&t->written);
    filter_write(&t->written, t->filter);
    return t->written.failed ? ERR_NO_MEMORY : ERR_OK;
}

struct bytes stream_table_last_filter(const struct stream_table *t)
{
    return (struct bytes){t->written.data, t->written.size};
}

static bool stream_has_filter(const void *item, const void *key)
{
    return bytes_equal(((const struct stream *)item)->filter, *(const struct bytes *)key);
}

struct stream *stream_table_find_filter(const struct stream_table *t)
{
    struct bytes filter = stream_table_last_filter(t);
    return table_find(&t->by_filter, key_hash(&t->seed, filter), stream_has_filter, &filter);
}

static bool stream_has_topic(const void *item, const void *key)
{
    return memcmp(((const struct stream *)item)->topic, key, TOPIC_SIZE) == 0;
}

/* Topics are drawn at random: their bytes are a hash already. */
static uint64_t topic_hash(const uint8_t *topic)
{
    return wire_load_u64(topic);
}

struct stream *stream_table_find_topic(const struct stream_table *t, struct bytes topic)
{
    if (topic.size != TOPIC_SIZE)
        return NULL;
    return table_find(&t->by_topic, topic_hash(topic.data), stream_has_topic, topic.data);
}

/* ---- the two lists ---- */

static void list_append(struct stream_list *list, struct stream *s)
{
    s->next = NULL;
    s->previous = list->last;
    if (list->last)
        list->last->next = s;
    else
        list->first = s;
    list->last = s;
    list->count++;
}

static void list_remove(struct stream_list *list, struct stream *s)
{
    if (s->previous)
        s->previous->next = s->next;
    else
        list->first = s->next;
    if (s->next)
        s->next->previous = s->previous;
    else
        list->last = s->previous;
    list->count--;
}

static struct stream_list *list_of(struct stream_table *t, const struct stream *s)
{
    return s->is_busy ? &t->busy : &t->idle;
}

void stream_make_busy(struct stream_table *t, struct stream *s)
{
    if (s->is_busy)
        return;
    list_remove(&t->idle, s);
    s->is_busy = true;
    list_append(&t->busy, s);
}

void stream_make_idle(struct stream_table *t, struct stream *s)
{
    list_remove(list_of(t, s), s);
    s->is_busy = false;
    list_append(&t->idle, s);
}

void stream_subscribed(struct stream_table *t, struct stream *s)
{
    if (s->is_subscribed)
        return;
    s->is_subscribed = true;
    s->next_subscribed = t->first_subscribed;
    t->first_subscribed = s;
}

struct stream *stream_table_take_subscribed(struct stream_table *t)
{
    struct stream *s = t->first_subscribed;
    if (s) {
        t->first_subscribed = s->next_subscribed;
        s->is_subscribed = false;
    }
    return s;
}

/* ---- adding, dropping ---- */

static struct stream *make(const struct stream_table *t, const uint8_t topic[TOPIC_SIZE])
{
    size_t count = t->filter->count;
    struct bytes filter = stream_table_last_filter(t);
    struct stream *s = calloc(1, sizeof *s + count * sizeof s->subscriptions[0] + filter.size);
    if (!s)
        return NULL;
    uint8_t *bytes = (uint8_t *)&s->subscriptions[count];
    memcpy(bytes, filter.data, filter.size);
    s->filter = (struct bytes){bytes, filter.size};
    s->hash = key_hash(&t->seed, filter);
    memcpy(s->topic, topic, TOPIC_SIZE);
    return s;
}

static void unsubscribe(struct stream_table *t, struct stream *s)
{
    while (s->subscription_count > 0)
        pattern_index_remove(&t->patterns, &s->subscriptions[--s->subscription_count]);
}

static int subscribe(struct stream_table *t, struct stream *s)
{
    for (size_t i = 0; i < t->filter->count; i++) {
        struct subscription *subscription = &s->subscriptions[i];
        subscription->stream = s;
        if (pattern_index_add(&t->patterns, &t->filter->patterns[i], subscription))
            return ERR_NO_MEMORY;
        s->subscription_count++;
    }
    return ERR_OK;
}

int stream_table_add(struct stream_table *t, const uint8_t topic[TOPIC_SIZE], uint64_t last,
                     uint64_t now_ms, struct stream **ret_stream)
{
    bool in_filters = false;
    struct stream *s = make(t, topic);
    if (!s)
        return ERR_NO_MEMORY;
    if (subscribe(t, s) || table_add(&t->by_filter, s->hash, s))
        goto fail;
    in_filters = true;
    if (table_add(&t->by_topic, topic_hash(topic), s))
        goto fail;
    s->last = last;
    s->bookmark_ms = now_ms;
    list_append(&t->idle, s);
    *ret_stream = s;
    return ERR_OK;
fail:
    if (in_filters)
        table_remove(&t->by_filter, s->hash, s);
    unsubscribe(t, s);
    free(s);
    return ERR_NO_MEMORY;
}

void stream_table_drop(struct stream_table *t, struct stream *s)
{
    assert(!s->pending && !s->is_subscribed && s->leases == 0);
    list_remove(list_of(t, s), s);
    table_remove(&t->by_topic, topic_hash(s->topic), s);
    table_remove(&t->by_filter, s->hash, s);
    unsubscribe(t, s);
    free(s);
}
