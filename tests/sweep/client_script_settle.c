/* client_script_settle.c - what must hold once nothing fails any more; see client_script.h. */
#include "tests/sweep/client_script_parts.h"

#include <string.h>

enum { SETTLE_MS = 40000 };

static bool settle_connection(struct client_script *s, int64_t deadline_ms)
{
    int err = vigil_ping(s->v);
    while (err != VIGIL_OK && script_now_ms() < deadline_ms) {
        /* The server had been about to end, which it may: the next one is looked at instead. */
        if (s->is_over && s->is_over(s))
            return false;
        err = vigil_ping(s->v);
    }
    return err == VIGIL_OK || WRONG(s, "the connection does not recover: %s: %s",
                                    vigil_error_name(err), vigil_failure_text(s->v));
}

/* What is still under way has ended once the server has answered something later. */
static void settle_pipeline(struct client_script *s, int64_t deadline_ms)
{
    vigil_completion c;
    while (vigil_pending(s->v) > 0 && script_now_ms() < deadline_ms)
        (void)vigil_receive(s->v, s->request_timeout_ms, &c);
    if (vigil_pending(s->v) > 0)
        WRONG(s, "%zu requests never end", vigil_pending(s->v));
}

static void settle_increments(struct client_script *s, int64_t deadline_ms)
{
    char key[SCRIPT_KEY_SIZE];
    vigil_entry entry;
    int64_t n = 0;
    int err = vigil_get(s->v, script_key(s, "n", key), &entry);
    while (err != VIGIL_OK && script_now_ms() < deadline_ms) /* the machine may be slow */
        err = vigil_get(s->v, key, &entry);
    if (err == VIGIL_OK && entry.present)
        err = vigil_unpack_int(entry.value, entry.size, &n);
    if (err != VIGIL_OK || n < s->increments || n > s->increments_attempted)
        WRONG(s, "the sum is %lld, with %lld increments acknowledged and %lld attempted",
              (long long)n, (long long)s->increments, (long long)s->increments_attempted);
}

struct history {
    struct client_script *script;
    const char *key;
    size_t found;
};

static bool look_for_acknowledged(void *context, const vigil_record *record)
{
    struct history *h = context;
    struct client_script *s = h->script;
    for (size_t i = 0; i < s->acknowledged_count; i++) {
        const struct acknowledged *a = &s->acknowledged[i];
        const vigil_change *c = &record->changes[0];
        int64_t n = 0;
        if (a->seq != record->seq || strcmp(a->key, h->key) != 0)
            continue;
        h->found++;
        if (a->is_put && (vigil_unpack_int(c->value, c->size, &n) != VIGIL_OK || n != a->n))
            WRONG(s, "%s was put as %lld at %llu, and there is %lld", a->key, (long long)a->n,
                  (unsigned long long)a->seq, (long long)n);
    }
    return true;
}

/* The script discards nothing that was acknowledged to it. */
static void settle_key(struct client_script *s, const char *key, int64_t deadline_ms)
{
    struct history h = {.script = s, .key = key};
    size_t expected = 0;
    bool complete = false;
    for (size_t i = 0; i < s->acknowledged_count; i++)
        expected += strcmp(s->acknowledged[i].key, key) == 0;
    int err = vigil_history(s->v, key, 0, look_for_acknowledged, &h, &complete);
    while (err != VIGIL_OK && script_now_ms() < deadline_ms) {
        h.found = 0;
        err = vigil_history(s->v, key, 0, look_for_acknowledged, &h, &complete);
    }
    if (err != VIGIL_OK)
        WRONG(s, "%s has no history afterwards: %s", key, vigil_failure_text(s->v));
    else if (h.found != expected)
        WRONG(s, "%zu changes of %s were acknowledged, %zu of them are there", expected, key,
              h.found);
}

static void settle_acknowledged(struct client_script *s, int64_t deadline_ms)
{
    for (size_t i = 0; i < s->acknowledged_count && s->good; i++) {
        size_t first = 0;
        while (strcmp(s->acknowledged[first].key, s->acknowledged[i].key) != 0)
            first++;
        if (first == i)
            settle_key(s, s->acknowledged[i].key, deadline_ms);
        if (i > 0 && s->acknowledged[i].seq <= s->acknowledged[i - 1].seq)
            WRONG(s, "%s was acknowledged as %llu, after %llu", s->acknowledged[i].key,
                  (unsigned long long)s->acknowledged[i].seq,
                  (unsigned long long)s->acknowledged[i - 1].seq);
    }
}

static void settle_watch(struct client_script *s, int64_t deadline_ms)
{
    size_t before = s->acknowledged_count;
    for (int64_t n = 1000; s->acknowledged_count == before && script_now_ms() < deadline_ms; n++)
        script_put(s, "w/a", n);
    if (s->acknowledged_count == before) {
        WRONG(s, "a put fails afterwards: %s", vigil_failure_text(s->v));
        return;
    }
    uint64_t seq = s->acknowledged[before].seq;
    while (s->good && s->live.seq < seq && script_now_ms() < deadline_ms)
        (void)script_see_next(s, &s->live, s->request_timeout_ms);
    if (s->live.seq < seq)
        WRONG(s, "the watch does not go on");
}

/* The server replays. */
static void settle_replay(struct client_script *s, int64_t deadline_ms)
{
    struct watching w = {0};
    while (!w.watch && script_now_ms() < deadline_ms)
        script_open_watch(s, &w, VIGIL_SINCE_OLDEST, 0);
    while (s->good && w.watch && w.seq < s->live.seq && script_now_ms() < deadline_ms)
        (void)script_see_next(s, &w, s->request_timeout_ms);
    if (w.seq < s->live.seq)
        WRONG(s, "a replay does not come to its end");
    vigil_watch_close(w.watch);
}

void client_script_settle(struct client_script *s)
{
    char key[SCRIPT_KEY_SIZE];
    if (!s->v)
        return;
    int64_t deadline_ms = script_now_ms() + SETTLE_MS;
    if (!settle_connection(s, deadline_ms))
        return;
    settle_pipeline(s, deadline_ms);
    settle_increments(s, deadline_ms);
    settle_acknowledged(s, deadline_ms);
    script_settle_cursor(s, deadline_ms);
    (void)vigil_delete(s->v, script_key(s, "large", key), NULL, NULL); /* for later backups */
    if (s->live.watch) {
        settle_watch(s, deadline_ms);
        settle_replay(s, deadline_ms);
    }
}
