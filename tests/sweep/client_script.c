#define _GNU_SOURCE
/* client_script.c - see client_script.h. */
#include "tests/sweep/client_script.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
    CONNECT_MS = 2000,
    CALL_MS_MAX = 15000, /* far more than any timeout here */
    SETTLE_MS = 40000,
    LARGE_SIZE = 200 * 1024,
    PIPELINE_PUTS = 5,
    RECEIVES_MAX = 64,
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

#define WRONG(script, ...) ((script)->good = sweep_wrong((script)->sweep, __VA_ARGS__))

/* An error is one of vigil.h, with a sentence, and comes in time. */
static int checked(struct client_script *s, const char *what, int err, int64_t started_ms)
{
    int64_t took_ms = now_ms() - started_ms;
    if (took_ms > CALL_MS_MAX)
        WRONG(s, "%s took %lld ms", what, (long long)took_ms);
    if (err < VIGIL_OK || err > VIGIL_CURSOR_TAKEN)
        WRONG(s, "%s returned %d", what, err);
    if (err != VIGIL_OK && vigil_failure_text(s->v)[0] == '\0')
        WRONG(s, "%s says nothing about %s", what, vigil_error_name(err));
    /* A server whose own calls fail may say so; a library has no business with these. */
    if (!s->is_over && (err == VIGIL_INTERNAL || err == VIGIL_CORRUPT || err == VIGIL_MALFORMED))
        WRONG(s, "%s: %s: %s", what, vigil_error_name(err), vigil_failure_text(s->v));
    s->refusals += err != VIGIL_OK && err != VIGIL_TIMEOUT && err != VIGIL_CONFLICT;
    return err;
}

#define CALL(script, function, ...) \
    checked(script, #function, function((script)->v, __VA_ARGS__), now_ms())

static bool is_over(struct client_script *s)
{
    return !s->v || (s->is_over && s->is_over(s));
}

static const char *key_name(const struct client_script *s, const char *name,
                            char out[SCRIPT_KEY_SIZE])
{
    snprintf(out, SCRIPT_KEY_SIZE, "%s%s", s->prefix, name);
    return out;
}

static void acknowledge(struct client_script *s, const char *key, uint64_t seq)
{
    struct acknowledged *a = &s->acknowledged[s->acknowledged_count];
    if (s->acknowledged_count == SCRIPT_ACKNOWLEDGED_MAX)
        return;
    snprintf(a->key, sizeof a->key, "%s", key);
    a->seq = seq;
    s->acknowledged_count++;
}

static size_t integer(int64_t n, uint8_t out[16])
{
    return vigil_pack_int(out, 16, n);
}

/* ---- mutations and reads ---- */

static void put(struct client_script *s, const char *name, int64_t n)
{
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    vigil_result result = {0};
    key_name(s, name, key);
    if (CALL(s, vigil_put, key, value, integer(n, value), NULL, &result) == VIGIL_OK)
        acknowledge(s, key, result.seq);
}

static void increment(struct client_script *s)
{
    char key[SCRIPT_KEY_SIZE];
    int64_t n = 0;
    vigil_result result = {0};
    key_name(s, "n", key);
    s->increments_attempted++;
    if (CALL(s, vigil_incr, key, 1, &n, NULL, NULL, &result) != VIGIL_OK)
        return;
    s->increments++;
    acknowledge(s, key, result.seq);
    if (n < s->increments || n > s->increments_attempted)
        WRONG(s, "an increment gives %lld", (long long)n);
}

static void mutate(struct client_script *s)
{
    static uint8_t large[LARGE_SIZE];
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    vigil_result result = {0};
    vigil_condition absent = {.if_seq = true};
    put(s, "w/a", 1);
    put(s, "w/b", 1);
    increment(s);
    key_name(s, "gone", key);
    if (CALL(s, vigil_put, key, value, integer(1, value), &absent, NULL) == VIGIL_OK)
        (void)CALL(s, vigil_put, key, value, integer(2, value), &absent, &result);
    (void)CALL(s, vigil_delete, key, NULL, &result);
    size_t head = vigil_pack_binary(large, sizeof large, NULL, 0);
    large[0] = 0xc6; /* binary, 32 bits of size */
    head = 5;
    large[1] = 0;
    large[2] = (uint8_t)((sizeof large - head) >> 16);
    large[3] = (uint8_t)((sizeof large - head) >> 8);
    large[4] = (uint8_t)(sizeof large - head);
    key_name(s, "large", key);
    if (CALL(s, vigil_put, key, large, sizeof large, NULL, &result) == VIGIL_OK)
        acknowledge(s, key, result.seq);
}

static bool count_entry(void *context, const vigil_entry *entry)
{
    size_t *count = context;
    *count += entry->present;
    return true;
}

static bool count_record(void *context, const vigil_record *record)
{
    size_t *count = context;
    *count += record->count;
    return true;
}

static void read_back(struct client_script *s)
{
    char names[3][SCRIPT_KEY_SIZE];
    const char *keys[3] = {key_name(s, "w/a", names[0]), key_name(s, "large", names[1]),
                           key_name(s, "none", names[2])};
    vigil_entry entries[3];
    const void *map = NULL;
    size_t size = 0;
    size_t count = 0;
    bool complete = false;
    (void)checked(s, "vigil_ping", vigil_ping(s->v), now_ms());
    (void)CALL(s, vigil_status, &map, &size);
    int err = CALL(s, vigil_get, keys[1], &entries[0]);
    if (err == VIGIL_OK && entries[0].present && entries[0].size != LARGE_SIZE)
        WRONG(s, "the large value has %zu bytes", entries[0].size);
    err = CALL(s, vigil_get_many, keys, 3, entries);
    if (err == VIGIL_OK && entries[2].present)
        WRONG(s, "a key is there that never was");
    err = CALL(s, vigil_list, s->prefix, true, 0, count_entry, &count, NULL);
    if (err == VIGIL_OK && s->refusals == 0 && count < 4)
        WRONG(s, "the list has %zu keys", count);
    count = 0;
    err = CALL(s, vigil_history, keys[0], 0, count_record, &count, &complete);
    if (err == VIGIL_OK && s->refusals == 0 && count < 1)
        WRONG(s, "the history is empty");
}

/* ---- transactions and the pipeline ---- */

static int fill_txn(const struct client_script *s, vigil_txn *t)
{
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    size_t size = integer(2, value);
    (void)vigil_txn_if_exists(t, key_name(s, "none", key), false);
    (void)vigil_txn_if_seq(t, key_name(s, "none", key), VIGIL_EQUAL, 0);
    (void)vigil_txn_if_version(t, key_name(s, "w/a", key), VIGIL_LESS, 1000);
    (void)vigil_txn_if_value(t, key_name(s, "w/a", key), VIGIL_NOT_EQUAL, value, size);
    (void)vigil_txn_put(t, key_name(s, "w/b", key), value, size);
    (void)vigil_txn_delete(t, key_name(s, "gone", key));
    (void)vigil_txn_incr(t, key_name(s, "t", key), 1);
    int err = vigil_txn_get(t, key_name(s, "w/a", key));
    vigil_txn_otherwise(t);
    (void)vigil_txn_put(t, key_name(s, "w/a", key), value, size);
    return err;
}

static void transact(struct client_script *s)
{
    char key[SCRIPT_KEY_SIZE];
    vigil_txn *t = NULL;
    const vigil_txn_result *results = NULL;
    uint64_t seq = 0;
    size_t count = 0;
    bool succeeded = false;
    if (vigil_txn_new(&t) != VIGIL_OK)
        return;
    (void)fill_txn(s, t);
    int err = CALL(s, vigil_txn_commit, t, &succeeded, &seq, &results, &count);
    if (err == VIGIL_OK && count != (succeeded ? 4u : 1u))
        WRONG(s, "a transaction has %zu results", count);
    if (err == VIGIL_OK)
        acknowledge(s, key_name(s, succeeded ? "w/b" : "w/a", key), seq);
    vigil_txn_clear(t);
    vigil_txn_free(t);
}

static void send_all(struct client_script *s, uint64_t *ret_sent, int64_t *ret_increments)
{
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    vigil_txn *t = NULL;
    uint64_t sent = 0;
    for (int i = 0; i < PIPELINE_PUTS; i++)
        sent += CALL(s, vigil_send_put, key_name(s, "w/a", key), value, integer(i, value), NULL,
                     NULL) == VIGIL_OK;
    for (int i = 0; i < 2; i++) {
        bool queued = CALL(s, vigil_send_incr, key_name(s, "n", key), 1, NULL) == VIGIL_OK;
        sent += queued;
        *ret_increments += queued;
    }
    vigil_stop_on_error(s->v, true);
    sent += CALL(s, vigil_send_delete, key_name(s, "none", key), NULL, NULL) == VIGIL_OK;
    sent += CALL(s, vigil_send_get, key_name(s, "w/a", key), NULL) == VIGIL_OK;
    vigil_stop_on_error(s->v, false);
    if (vigil_txn_new(&t) == VIGIL_OK && fill_txn(s, t) == VIGIL_OK)
        sent += CALL(s, vigil_send_txn, t, NULL) == VIGIL_OK;
    vigil_txn_free(t);
    *ret_sent = sent;
}

static void pipeline(struct client_script *s)
{
    uint64_t sent = 0;
    uint64_t received = 0;
    uint64_t last = 0;
    int64_t increments = 0;
    size_t before = vigil_pending(s->v);
    (void)vigil_fd(s->v);
    send_all(s, &sent, &increments);
    s->increments_attempted += increments;
    if (vigil_pending(s->v) != before + sent)
        WRONG(s, "%zu requests are under way, not %llu", vigil_pending(s->v),
              (unsigned long long)sent);
    (void)checked(s, "vigil_flush", vigil_flush(s->v), now_ms());
    for (int i = 0; i < RECEIVES_MAX && vigil_pending(s->v) > 0 && !is_over(s); i++) {
        vigil_completion c = {0};
        int64_t started_ms = now_ms();
        int err = vigil_receive(s->v, s->request_timeout_ms, &c);
        if (err != VIGIL_OK && err != VIGIL_DISCONNECTED) {
            (void)checked(s, "vigil_receive", err, started_ms);
            continue;
        }
        received++;
        if (c.id <= last)
            WRONG(s, "request %llu ends after %llu", (unsigned long long)c.id,
                  (unsigned long long)last);
        last = c.id;
    }
    if (vigil_pending(s->v) == 0 && received != before + sent)
        WRONG(s, "%llu requests were sent, %llu have ended", (unsigned long long)sent,
              (unsigned long long)received);
}

/* ---- watching ---- */

static void see_change(struct client_script *s, struct watching *w, const vigil_record *r,
                       const vigil_change *c)
{
    size_t i = 0;
    while (i < SCRIPT_WATCHED_KEYS && w->last[i].seq != 0 && strcmp(w->last[i].key, c->key) != 0)
        i++;
    if (i == SCRIPT_WATCHED_KEYS)
        return;
    /* The chain of a key's changes tells whether one is missing. */
    if (w->last[i].seq != 0 && c->prev_seq != w->last[i].seq)
        WRONG(s, "a watcher saw %s at %llu and then at %llu, but not at %llu", c->key,
              (unsigned long long)w->last[i].seq, (unsigned long long)r->seq,
              (unsigned long long)c->prev_seq);
    snprintf(w->last[i].key, sizeof w->last[i].key, "%s", c->key);
    w->last[i].seq = r->seq;
}

static int see_next(struct client_script *s, struct watching *w, int timeout_ms)
{
    const vigil_event *e = NULL;
    int64_t started_ms = now_ms();
    int err = vigil_watch_next(w->watch, timeout_ms, &e);
    (void)checked(s, "vigil_watch_next", err, started_ms);
    if (err == VIGIL_COMPACTED || err == VIGIL_EPOCH_CHANGED || err == VIGIL_POSITION_AHEAD)
        WRONG(s, "a watch ended with %s", vigil_error_name(err));
    if (err != VIGIL_OK || e->kind != VIGIL_EVENT_RECORD)
        return err;
    if (e->record.seq <= w->seq)
        WRONG(s, "a watcher saw %llu after %llu", (unsigned long long)e->record.seq,
              (unsigned long long)w->seq);
    w->seq = e->record.seq;
    for (uint16_t i = 0; i < e->record.count; i++)
        see_change(s, w, &e->record, &e->record.changes[i]);
    return VIGIL_OK;
}

static void see_what_is_there(struct client_script *s, struct watching *w)
{
    for (int i = 0; i < RECEIVES_MAX && w->watch && !is_over(s); i++)
        if (see_next(s, w, 30) == VIGIL_TIMEOUT)
            break;
}

static void open_watch(struct client_script *s, struct watching *w, enum vigil_since since,
                       uint64_t seq)
{
    char pattern[SCRIPT_KEY_SIZE];
    const char *patterns[] = {key_name(s, "w/*", pattern)};
    vigil_watch_options options = {.patterns = patterns,
                                   .pattern_count = 1,
                                   .since = since,
                                   .position = {0, seq},
                                   .bookmarks = true};
    (void)CALL(s, vigil_watch_open, &options, &w->watch);
    if (!w->watch)
        return;
    (void)vigil_watch_fd(w->watch);
    (void)vigil_watch_connected(w->watch);
}

/* All that was there before, by replay. */
static void watch_again(struct client_script *s)
{
    struct watching w = {0};
    if (s->acknowledged_count == 0)
        return;
    open_watch(s, &w, VIGIL_SINCE_POSITION, s->acknowledged[0].seq - 1);
    see_what_is_there(s, &w);
    vigil_watch_close(w.watch);
}

static bool never(void *context, const void *value, size_t size, const vigil_change *change)
{
    (void)context;
    (void)value;
    (void)size;
    (void)change;
    return false;
}

static void wait_for(struct client_script *s)
{
    char key[SCRIPT_KEY_SIZE];
    vigil_wait_options options = VIGIL_WAIT_OPTIONS_INIT;
    vigil_wait_result result;
    key_name(s, "w/a", key);
    (void)CALL(s, vigil_wait, key, &options, s->request_timeout_ms, &result);
    options.until = never;
    (void)CALL(s, vigil_wait, key, &options, 30, NULL);
    if (s->acknowledged_count == 0)
        return;
    options = (vigil_wait_options){
        .change = true, .since = VIGIL_SINCE_POSITION, .position = {0, s->acknowledged[0].seq - 1}};
    (void)CALL(s, vigil_wait, key, &options, s->request_timeout_ms, &result);
}

static void mirror(struct client_script *s)
{
    char pattern[SCRIPT_KEY_SIZE];
    const char *patterns[] = {key_name(s, "w/*", pattern)};
    vigil_mirror *m = NULL;
    size_t count = 0;
    if (CALL(s, vigil_mirror_open, patterns, 1, s->request_timeout_ms, &m) != VIGIL_OK)
        return;
    (void)vigil_mirror_fd(m);
    put(s, "w/c", 1);
    uint64_t seq = s->acknowledged_count ? s->acknowledged[s->acknowledged_count - 1].seq : 0;
    int64_t started_ms = now_ms();
    int err = checked(s, "vigil_mirror_wait_seq",
                      vigil_mirror_wait_seq(m, seq, s->request_timeout_ms), started_ms);
    vigil_mirror_each(m, count_entry, &count);
    if (count != vigil_mirror_count(m))
        WRONG(s, "a mirror of %zu keys shows %zu", vigil_mirror_count(m), count);
    if (err == VIGIL_OK && s->refusals == 0 && count < 3)
        WRONG(s, "a mirror has %zu keys", count);
    (void)checked(s, "vigil_mirror_update", vigil_mirror_update(m, 0, NULL), now_ms());
    vigil_mirror_close(m);
}

/* ---- the whole ---- */

static vigil *connect_to(struct client_script *s, bool no_session)
{
    vigil *v = NULL;
    vigil_options options = {.endpoint = s->endpoint,
                             .connect_timeout_ms = CONNECT_MS,
                             .request_timeout_ms = s->request_timeout_ms,
                             .client_name = "sweep",
                             .no_session = no_session};
    int64_t started_ms = now_ms();
    (void)checked(s, "vigil_open", vigil_open(&options, &v), started_ms);
    return v;
}

static void without_session(struct client_script *s)
{
    vigil *first = s->v;
    s->v = NULL;
    vigil *second = connect_to(s, true);
    s->v = second;
    if (second)
        put(s, "w/d", 1);
    s->v = first;
    vigil_close(second);
}

static void compact(struct client_script *s)
{
    uint64_t oldest = 0;
    if (s->acknowledged_count > 0)
        (void)CALL(s, vigil_compact, s->acknowledged[0].seq, s->request_timeout_ms, &oldest);
}

static void open_live(struct client_script *s)
{
    open_watch(s, &s->live, VIGIL_SINCE_NOW, 0);
}

static void see_live(struct client_script *s)
{
    see_what_is_there(s, &s->live);
}

void client_script_run(struct client_script *s)
{
    static void (*const steps[])(struct client_script * s) = {
        open_live,   mutate,   read_back, pipeline, see_live,  transact,       compact,
        watch_again, wait_for, mirror,    see_live, increment, without_session};
    s->good = true;
    snprintf(s->prefix, sizeof s->prefix, "%u/", s->sweep->number);
    s->v = connect_to(s, false);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !is_over(s); i++)
        steps[i](s);
}

static bool settle_connection(struct client_script *s, int64_t deadline_ms)
{
    int err = vigil_ping(s->v);
    while (err != VIGIL_OK && now_ms() < deadline_ms)
        err = vigil_ping(s->v);
    return err == VIGIL_OK || WRONG(s, "the connection does not recover: %s: %s",
                                    vigil_error_name(err), vigil_failure_text(s->v));
}

/* What is still under way has ended once the server has answered something later. */
static void settle_pipeline(struct client_script *s, int64_t deadline_ms)
{
    vigil_completion c;
    while (vigil_pending(s->v) > 0 && now_ms() < deadline_ms)
        (void)vigil_receive(s->v, s->request_timeout_ms, &c);
    if (vigil_pending(s->v) > 0)
        WRONG(s, "%zu requests never end", vigil_pending(s->v));
}

static void settle_increments(struct client_script *s, int64_t deadline_ms)
{
    char key[SCRIPT_KEY_SIZE];
    vigil_entry entry;
    int64_t n = 0;
    int err = vigil_get(s->v, key_name(s, "n", key), &entry);
    while (err != VIGIL_OK && now_ms() < deadline_ms) /* the machine may be slow */
        err = vigil_get(s->v, key, &entry);
    if (err == VIGIL_OK && entry.present)
        err = vigil_unpack_int(entry.value, entry.size, &n);
    if (err != VIGIL_OK || n < s->increments || n > s->increments_attempted)
        WRONG(s, "the sum is %lld, with %lld increments acknowledged and %lld attempted",
              (long long)n, (long long)s->increments, (long long)s->increments_attempted);
}

static void settle_watch(struct client_script *s, int64_t deadline_ms)
{
    size_t before = s->acknowledged_count;
    for (int64_t n = 1000; s->acknowledged_count == before && now_ms() < deadline_ms; n++)
        put(s, "w/a", n);
    if (s->acknowledged_count == before) {
        WRONG(s, "a put fails afterwards: %s", vigil_failure_text(s->v));
        return;
    }
    uint64_t seq = s->acknowledged[before].seq;
    while (s->good && s->live.seq < seq && now_ms() < deadline_ms)
        (void)see_next(s, &s->live, s->request_timeout_ms);
    if (s->live.seq < seq)
        WRONG(s, "the watch does not go on");
}

/* The server replays. */
static void settle_replay(struct client_script *s, int64_t deadline_ms)
{
    struct watching w = {0};
    while (!w.watch && now_ms() < deadline_ms)
        open_watch(s, &w, VIGIL_SINCE_OLDEST, 0);
    while (s->good && w.watch && w.seq < s->live.seq && now_ms() < deadline_ms)
        (void)see_next(s, &w, s->request_timeout_ms);
    if (w.seq < s->live.seq)
        WRONG(s, "a replay does not come to its end");
    vigil_watch_close(w.watch);
}

void client_script_settle(struct client_script *s)
{
    if (!s->v)
        return;
    int64_t deadline_ms = now_ms() + SETTLE_MS;
    if (!settle_connection(s, deadline_ms))
        return;
    settle_pipeline(s, deadline_ms);
    settle_increments(s, deadline_ms);
    if (s->live.watch) {
        settle_watch(s, deadline_ms);
        settle_replay(s, deadline_ms);
    }
}

void client_script_close(struct client_script *s)
{
    vigil_watch_close(s->live.watch);
    vigil_close(s->v);
}
