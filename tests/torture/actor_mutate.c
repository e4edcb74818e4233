#define _GNU_SOURCE
/* actor_mutate.c - puts, deletes, increments, compares, transactions and reads, one by one and pipelined. */
#include "tests/torture/actor_requests.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FILLING = 400000, READ_KEYS = 3 };

static int one_put(struct actor *a)
{
    static struct request_value value;
    char key[ACTOR_KEY_SIZE];
    vigil_result result = {0};
    actor_key(a, key);
    vigil_condition condition = request_condition(a, key);
    uint64_t id = request_put(a, key, &value, &condition);
    int err = vigil_put(a->v, key, value.bytes, value.size, &condition, &result);
    request_told(a, id, err, &result, NULL, 0);
    return err;
}

static int one_delete(struct actor *a)
{
    char key[ACTOR_KEY_SIZE];
    vigil_result result = {0};
    actor_key(a, key);
    vigil_condition condition = request_condition(a, key);
    uint64_t id = request_delete(a, key, &condition);
    int err = vigil_delete(a->v, key, &condition, &result);
    request_told(a, id, err, &result, NULL, 0);
    return err;
}

static int one_increment(struct actor *a)
{
    char key[ACTOR_KEY_SIZE];
    vigil_result result = {0};
    const void *value = NULL;
    size_t size = 0;
    uint64_t id = request_increment(a, key);
    int err = vigil_incr(a->v, key, 1, NULL, &value, &size, &result);
    request_told(a, id, err, &result, err ? NULL : value, size);
    return err;
}

static int one_txn(struct actor *a)
{
    uint64_t id, seq = 0;
    bool succeeded = false;
    vigil_txn *txn = request_txn(a, true, &id);
    if (!txn)
        return VIGIL_NO_MEMORY;
    int err = vigil_txn_commit(a->v, txn, &succeeded, &seq, NULL, NULL);
    request_txn_told(a, id, err, seq, succeeded);
    vigil_txn_free(txn);
    return err;
}

static void write_entry(struct actor *a, const vigil_entry *entry)
{
    history_word(&a->history, entry->key);
    history_u64(&a->history, entry->present);
    history_u64(&a->history, entry->modified);
    history_u64(&a->history, entry->created);
    history_u64(&a->history, entry->version);
    history_value(&a->history, entry->present ? entry->value : NULL, entry->size);
}

static int one_read(struct actor *a)
{
    char keys[READ_KEYS][ACTOR_KEY_SIZE];
    const char *names[READ_KEYS];
    vigil_entry entries[READ_KEYS];
    size_t count = 1 + actor_draw(a, READ_KEYS);
    for (size_t i = 0; i < count; i++) {
        actor_key(a, keys[i]);
        names[i] = keys[i];
    }
    uint64_t id = actor_asks(a, "get");
    history_end(&a->history);
    int err = count == 1 ? vigil_get(a->v, names[0], entries)
                         : vigil_get_many(a->v, names, count, entries);
    actor_told(a, 'G', id, err);
    history_u64(&a->history, err ? 0 : entries[0].seq);
    history_u64(&a->history, err ? 0 : count);
    for (size_t i = 0; i < count && !err; i++)
        write_entry(a, &entries[i]);
    history_end(&a->history);
    return err;
}

struct listing {
    uint64_t count, digest;
};

static bool on_listed(void *context, const vigil_entry *entry)
{
    struct listing *l = context;
    l->count++;
    l->digest += digest_of(entry->key, entry->modified, value_mark(entry->value, entry->size));
    return true;
}

static int one_list(struct actor *a)
{
    static const char *const prefixes[] = {"", "a/", "b/1", "deep/", "nothing/"};
    const char *prefix = prefixes[actor_draw(a, sizeof prefixes / sizeof *prefixes)];
    char pattern[ACTOR_KEY_SIZE];
    struct listing listing = {0};
    uint64_t seq = 0;
    snprintf(pattern, sizeof pattern, "%s*", prefix);
    uint64_t id = actor_asks(a, "list");
    history_end(&a->history);
    int err = vigil_list(a->v, prefix, true, 0, on_listed, &listing, &seq);
    actor_told(a, 'L', id, err);
    history_u64(&a->history, seq);
    history_word(&a->history, pattern);
    history_u64(&a->history, listing.count);
    history_u64(&a->history, listing.digest);
    history_end(&a->history);
    return err;
}

struct past {
    const char *key;
    uint64_t count, first, last, digest;
};

static bool on_past(void *context, const vigil_record *record)
{
    struct past *p = context;
    const vigil_change *change = &record->changes[0];
    if (p->count++ == 0)
        p->first = record->seq;
    p->last = record->seq;
    p->digest += digest_of(p->key, record->seq,
                           change->op == VIGIL_PUT ? value_mark(change->value, change->size) : 0);
    return true;
}

static int one_history(struct actor *a)
{
    char key[ACTOR_KEY_SIZE];
    struct past past = {.key = key};
    bool complete = false;
    actor_key(a, key);
    uint64_t id = actor_asks(a, "history");
    history_word(&a->history, key);
    history_end(&a->history);
    int err = vigil_history(a->v, key, 0, on_past, &past, &complete);
    actor_told(a, 'K', id, err);
    history_u64(&a->history, complete);
    history_u64(&a->history, past.count);
    history_u64(&a->history, past.first);
    history_u64(&a->history, past.last);
    history_u64(&a->history, past.digest);
    history_end(&a->history);
    return err;
}

static void pause_a_while(struct actor *a)
{
    uint32_t us = atomic_load(&a->control->pace_us);
    struct timespec pause = {.tv_nsec = (long)us * 1000};
    if (us > 0)
        nanosleep(&pause, NULL);
}

static int step(struct actor *a)
{
    size_t choice = actor_draw(a, 100);
    if (choice < 30)
        return one_put(a);
    if (choice < 40)
        return one_delete(a);
    if (choice < 60)
        return one_increment(a);
    if (choice < 70)
        return one_txn(a);
    if (choice < 85)
        return one_read(a);
    if (choice < 88)
        return one_list(a);
    if (choice < 90)
        return one_history(a);
    return actor_burst(a);
}

int actor_mutate(struct actor *a)
{
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        int err = step(a);
        pause_a_while(a);
        if (err == VIGIL_INTERNAL || err == VIGIL_INVALID || err == VIGIL_MALFORMED) {
            fprintf(stderr, "torture_actor: %s: %s\n", vigil_error_name(err),
                    vigil_failure_text(a->v));
            return 1;
        }
        /* The library connects again by itself; an application may as well. */
        if ((err == VIGIL_DISCONNECTED || err == VIGIL_TIMEOUT) && actor_draw(a, 3) == 0 &&
            !actor_connect(a))
            return 0;
    }
    return 0;
}

/* Nothing but increments, each of which must succeed in the end. */
int actor_increment(struct actor *a)
{
    a->is_patient = true;
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        int err = actor_draw(a, 20) > 0 ? one_increment(a) : actor_burst_of_increments(a);
        if (err == VIGIL_INTERNAL || err == VIGIL_INVALID || err == VIGIL_MALFORMED)
            return 1;
    }
    return 0;
}

/* Fills the disk that is not there: large values, as long as the run wants them. */
int actor_fill(struct actor *a)
{
    static uint8_t large[FILLING + 8];
    static char text[FILLING];
    if (!actor_connect(a))
        return 0;
    memset(text, 'x', sizeof text);
    while (!actor_stopping) {
        vigil_result result = {0};
        uint64_t id = actor_asks(a, "put");
        int used = snprintf(text, sizeof text, "fill.%llu.", (unsigned long long)id);
        text[used] = 'x';
        size_t size = vigil_pack_string(large, sizeof large, text, sizeof text);
        history_word(&a->history, "b/39");
        history_value(&a->history, large, size);
        history_word(&a->history, "-");
        history_end(&a->history);
        int err = vigil_put(a->v, "b/39", large, size, NULL, &result);
        request_told(a, id, err, &result, NULL, 0);
    }
    return 0;
}
