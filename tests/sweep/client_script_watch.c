/* client_script_watch.c - watching, waiting and mirrors in the client's script; see client_script.h. */
#include "tests/sweep/client_script_parts.h"

#include <stdio.h>
#include <string.h>

enum { RECEIVES_MAX = 64, NOTHING_NEW_MS = 30 };

/* ---- watching ---- */

/* The put of key at seq; NULL: it was another change, or not acknowledged. */
static const struct acknowledged *find_put(const struct client_script *s, const char *key,
                                           uint64_t seq)
{
    for (size_t i = 0; i < s->acknowledged_count; i++)
        if (s->acknowledged[i].is_put && s->acknowledged[i].seq == seq &&
            strcmp(s->acknowledged[i].key, key) == 0)
            return &s->acknowledged[i];
    return NULL;
}

/* The script deletes nothing that it looks at, and discards only what came before the first that was
 * acknowledged to it: a put whose answer was lost, at most. */
static bool may_be_discarded(const struct client_script *s, uint64_t seq)
{
    return s->acknowledged_count > 0 && seq < s->acknowledged[0].seq;
}

static void check_before(struct client_script *s, const struct watched_key *last,
                         const vigil_change *c)
{
    const struct acknowledged *put = find_put(s, c->key, c->prev_seq);
    int64_t n = 0;
    if (c->before == VIGIL_BEFORE_UNKNOWN && may_be_discarded(s, c->prev_seq))
        return;
    if (c->before != (c->prev_seq == 0 ? VIGIL_BEFORE_ABSENT : VIGIL_BEFORE_VALUE)) {
        WRONG(s, "%s was of the kind %d before, and had changed at %llu", c->key, (int)c->before,
              (unsigned long long)c->prev_seq);
        return;
    }
    if (c->before != VIGIL_BEFORE_VALUE)
        return;
    int err = vigil_unpack_int(c->before_value, c->before_size, &n);
    if (err != VIGIL_OK || (last->seq != 0 && n != last->n) || (put && n != put->n))
        WRONG(s, "%s was %lld before %lld", c->key, (long long)n, (long long)last->n);
}

static void see_change(struct client_script *s, struct watching *w, const vigil_record *r,
                       const vigil_change *c)
{
    size_t i = 0;
    while (i < SCRIPT_WATCHED_KEYS && w->last[i].seq != 0 && strcmp(w->last[i].key, c->key) != 0)
        i++;
    if (i == SCRIPT_WATCHED_KEYS)
        return;
    struct watched_key *last = &w->last[i];
    /* The chain of a key's changes tells whether one is missing. */
    if (last->seq != 0 && c->prev_seq != last->seq)
        WRONG(s, "a watcher saw %s at %llu and then at %llu, but not at %llu", c->key,
              (unsigned long long)last->seq, (unsigned long long)r->seq,
              (unsigned long long)c->prev_seq);
    if (w->before)
        check_before(s, last, c);
    snprintf(last->key, sizeof last->key, "%s", c->key);
    last->seq = r->seq;
    if (vigil_unpack_int(c->value, c->size, &last->n) != VIGIL_OK)
        WRONG(s, "%s has another value than was put", c->key);
}

int script_see_next(struct client_script *s, struct watching *w, int timeout_ms)
{
    const vigil_event *e = NULL;
    int64_t started_ms = script_now_ms();
    int err = vigil_watch_next(w->watch, timeout_ms, &e);
    (void)script_checked(s, "vigil_watch_next", err, started_ms);
    if (err == VIGIL_COMPACTED || err == VIGIL_EPOCH_CHANGED || err == VIGIL_POSITION_AHEAD ||
        err == VIGIL_CURSOR_TAKEN || err == VIGIL_NOT_FOUND)
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

/* The newest change that a watcher has to see. */
static uint64_t newest_watched(const struct client_script *s)
{
    char prefix[SCRIPT_KEY_SIZE];
    size_t size = strlen(script_key(s, "w/", prefix));
    for (size_t i = s->acknowledged_count; i > 0; i--)
        if (strncmp(s->acknowledged[i - 1].key, prefix, size) == 0)
            return s->acknowledged[i - 1].seq;
    return 0;
}

void script_see_what_is_there(struct client_script *s, struct watching *w)
{
    uint64_t newest = newest_watched(s);
    for (int i = 0; i < RECEIVES_MAX && w->watch && !script_is_over(s); i++)
        if (w->seq >= newest || script_see_next(s, w, NOTHING_NEW_MS) == VIGIL_TIMEOUT)
            break;
}

void script_open_watch(struct client_script *s, struct watching *w, enum vigil_since since,
                       uint64_t seq)
{
    char pattern[SCRIPT_KEY_SIZE];
    const char *patterns[] = {script_key(s, "w/*", pattern)};
    vigil_watch_options options = {.patterns = patterns,
                                   .pattern_count = 1,
                                   .since = since,
                                   .position = {0, seq},
                                   .bookmarks = true,
                                   .before = w->before};
    (void)CALL(s, vigil_watch_open, &options, &w->watch);
    if (!w->watch)
        return;
    (void)vigil_watch_fd(w->watch);
    (void)vigil_watch_connected(w->watch);
}

/* By replay; the server is asked for what the first changes replaced. */
void script_watch_again(struct client_script *s)
{
    struct watching w = {.before = true};
    if (s->acknowledged_count < 2)
        return;
    script_open_watch(s, &w, VIGIL_SINCE_POSITION, s->acknowledged[1].seq);
    script_see_what_is_there(s, &w);
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

void script_wait_for(struct client_script *s)
{
    char key[SCRIPT_KEY_SIZE];
    vigil_wait_options options = VIGIL_WAIT_OPTIONS_INIT;
    vigil_wait_result result;
    script_key(s, "w/a", key);
    (void)CALL(s, vigil_wait, key, &options, s->request_timeout_ms, &result);
    options.until = never;
    (void)CALL(s, vigil_wait, key, &options, 30, NULL);
    if (s->acknowledged_count == 0)
        return;
    options = (vigil_wait_options){
        .change = true, .since = VIGIL_SINCE_POSITION, .position = {0, s->acknowledged[0].seq - 1}};
    (void)CALL(s, vigil_wait, key, &options, s->request_timeout_ms, &result);
}

/* Each row is the key's last change, as far as that was acknowledged. */
static void check_mirror(struct client_script *s, const vigil_mirror *m, uint64_t seq)
{
    for (size_t i = 0; i < s->acknowledged_count; i++) {
        const struct acknowledged *a = &s->acknowledged[i];
        vigil_entry entry;
        int64_t n = 0;
        if (!a->is_put || a->seq > seq) /* what is put is watched */
            continue;
        if (vigil_mirror_get(m, a->key, &entry) != VIGIL_OK || !entry.present ||
            entry.modified < a->seq ||
            (entry.modified == a->seq &&
             (vigil_unpack_int(entry.value, entry.size, &n) != VIGIL_OK || n != a->n)))
            WRONG(s, "a mirror at %llu lacks the change of %s at %llu", (unsigned long long)seq,
                  a->key, (unsigned long long)a->seq);
    }
}

void script_mirror(struct client_script *s)
{
    char pattern[SCRIPT_KEY_SIZE];
    const char *patterns[] = {script_key(s, "w/*", pattern)};
    vigil_mirror *m = NULL;
    size_t count = 0;
    if (CALL(s, vigil_mirror_open, patterns, 1, s->request_timeout_ms, &m) != VIGIL_OK)
        return;
    (void)vigil_mirror_fd(m);
    script_put(s, "w/c", 1);
    uint64_t seq = s->acknowledged_count ? s->acknowledged[s->acknowledged_count - 1].seq : 0;
    int64_t started_ms = script_now_ms();
    int err = script_checked(s, "vigil_mirror_wait_seq",
                             vigil_mirror_wait_seq(m, seq, s->request_timeout_ms), started_ms);
    vigil_mirror_each(m, script_count_entry, &count);
    if (count != vigil_mirror_count(m))
        WRONG(s, "a mirror of %zu keys shows %zu", vigil_mirror_count(m), count);
    if (err == VIGIL_OK)
        check_mirror(s, m, seq);
    (void)script_checked(s, "vigil_mirror_update", vigil_mirror_update(m, 0, NULL),
                         script_now_ms());
    vigil_mirror_close(m);
}

void script_open_live(struct client_script *s)
{
    script_open_watch(s, &s->live, VIGIL_SINCE_NOW, 0);
}

void script_see_live(struct client_script *s)
{
    script_see_what_is_there(s, &s->live);
}
