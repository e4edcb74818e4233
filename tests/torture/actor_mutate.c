#define _GNU_SOURCE
/* actor_mutate.c - puts, deletes, increments, compares, transactions and reads, one by one and pipelined. */
#include "tests/torture/actor.h"

#include <stdio.h>
#include <string.h>

enum {
    VALUE_MAX = 20000,
    FILLING = 400000,
    BURST_MAX = 150,
    TXN_KEYS_MAX = 12,
    COUNTERS = 3,
    READ_KEYS = 3
};

struct value {
    uint8_t bytes[VALUE_MAX + 8];
    size_t size;
};

/* A string that no other request of the run puts; now and then too large to be broadcast. */
static void draw_value(struct actor *a, uint64_t id, struct value *v)
{
    static char text[VALUE_MAX];
    size_t size =
        (size_t)snprintf(text, sizeof text, "%u.%llu.", a->number, (unsigned long long)id);
    size_t padding = actor_draw(a, 60) == 0 ? 8000 + actor_draw(a, 11000) : actor_draw(a, 100);
    memset(text + size, 'x', padding);
    v->size = vigil_pack_string(v->bytes, sizeof v->bytes, text, size + padding);
}

static void write_condition(struct actor *a, const vigil_condition *c)
{
    char word[32];
    if (!c->if_seq) {
        history_word(&a->history, "-");
        return;
    }
    snprintf(word, sizeof word, "s%llu", (unsigned long long)c->seq);
    history_word(&a->history, word);
}

static void write_result(struct actor *a, uint64_t id, int error, const vigil_result *result,
                         const void *value, size_t size)
{
    actor_told(a, 'R', id, error);
    history_u64(&a->history, result->seq);
    history_u64(&a->history, result->prev_seq);
    history_u64(&a->history, result->version);
    history_value(&a->history, value, size);
    history_end(&a->history);
}

/* Mostly none; else what the key may have been changed at, as a read says. */
static vigil_condition draw_condition(struct actor *a, const char *key)
{
    vigil_condition condition = {0};
    vigil_entry entry;
    if (actor_draw(a, 4) > 0 || vigil_get(a->v, key, &entry) != VIGIL_OK)
        return condition;
    condition.if_seq = true;
    condition.seq = entry.present ? entry.modified : 0;
    return condition;
}

static int one_put(struct actor *a)
{
    static struct value value;
    char key[ACTOR_KEY_SIZE];
    vigil_result result = {0};
    actor_key(a, key);
    vigil_condition condition = draw_condition(a, key);
    uint64_t id = actor_asks(a, "put");
    draw_value(a, id, &value);
    history_word(&a->history, key);
    history_value(&a->history, value.bytes, value.size);
    write_condition(a, &condition);
    history_end(&a->history);
    int err = vigil_put(a->v, key, value.bytes, value.size, &condition, &result);
    write_result(a, id, err, &result, NULL, 0);
    return err;
}

static int one_delete(struct actor *a)
{
    char key[ACTOR_KEY_SIZE];
    vigil_result result = {0};
    actor_key(a, key);
    vigil_condition condition = draw_condition(a, key);
    uint64_t id = actor_asks(a, "del");
    history_word(&a->history, key);
    write_condition(a, &condition);
    history_end(&a->history);
    int err = vigil_delete(a->v, key, &condition, &result);
    write_result(a, id, err, &result, NULL, 0);
    return err;
}

static uint64_t ask_increment(struct actor *a, char key[ACTOR_KEY_SIZE])
{
    snprintf(key, ACTOR_KEY_SIZE, "n/%zu", actor_draw(a, COUNTERS));
    uint64_t id = actor_asks(a, "incr");
    history_word(&a->history, key);
    history_u64(&a->history, 1);
    history_end(&a->history);
    return id;
}

static int one_increment(struct actor *a)
{
    char key[ACTOR_KEY_SIZE];
    vigil_result result = {0};
    const void *value = NULL;
    size_t size = 0;
    uint64_t id = ask_increment(a, key);
    int err = vigil_incr(a->v, key, 1, NULL, &value, &size, &result);
    write_result(a, id, err, &result, err ? NULL : value, size);
    return err;
}

/* The keys' places, all read at one time, are compared; a counter may be among the changes. */
static int one_txn(struct actor *a)
{
    static struct value value;
    char keys[TXN_KEYS_MAX][ACTOR_KEY_SIZE];
    vigil_txn *txn;
    vigil_entry entry;
    size_t count = 1 + actor_draw(a, TXN_KEYS_MAX);
    for (size_t i = 0; i < count; i++)
        snprintf(keys[i], sizeof keys[i], "%s/%zu", i % 3 ? "b" : "a", actor_draw(a, 2) + 2 * i);
    bool compares = actor_draw(a, 3) == 0 && vigil_get(a->v, keys[0], &entry) == VIGIL_OK;
    uint64_t compared = compares && entry.present ? entry.modified : 0;
    if (vigil_txn_new(&txn) != VIGIL_OK)
        return VIGIL_NO_MEMORY;
    uint64_t id = actor_asks(a, "txn");
    history_u64(&a->history, compares);
    if (compares) {
        history_word(&a->history, keys[0]);
        history_u64(&a->history, compared);
        vigil_txn_if_seq(txn, keys[0], VIGIL_EQUAL, compared);
    }
    history_u64(&a->history, count);
    for (size_t i = 0; i < count; i++) {
        bool deletes = i > 0 && actor_draw(a, 4) == 0;
        history_word(&a->history, deletes ? "d" : "p");
        history_word(&a->history, keys[i]);
        if (deletes) {
            vigil_txn_delete(txn, keys[i]);
            continue;
        }
        draw_value(a, id * 16 + i, &value);
        history_value(&a->history, value.bytes, value.size);
        vigil_txn_put(txn, keys[i], value.bytes, value.size);
    }
    history_end(&a->history);
    bool succeeded = false;
    uint64_t seq = 0;
    int err = vigil_txn_commit(a->v, txn, &succeeded, &seq, NULL, NULL);
    actor_told(a, 'S', id, err);
    history_u64(&a->history, seq);
    history_u64(&a->history, succeeded);
    history_end(&a->history);
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

/* ---- pipelined ---- */

struct sent {
    uint64_t id;      /* in the history */
    uint64_t request; /* in the library */
};

static bool send_one(struct actor *a, struct sent *sent)
{
    static struct value value;
    char key[ACTOR_KEY_SIZE];
    int err;
    if (actor_draw(a, 3) == 0) {
        sent->id = ask_increment(a, key);
        err = vigil_send_incr(a->v, key, 1, &sent->request);
    } else {
        actor_key(a, key);
        sent->id = actor_asks(a, "put");
        draw_value(a, sent->id, &value);
        history_word(&a->history, key);
        history_value(&a->history, value.bytes, value.size);
        history_word(&a->history, "-");
        history_end(&a->history);
        err = vigil_send_put(a->v, key, value.bytes, value.size, NULL, &sent->request);
    }
    if (err) {
        vigil_result none = {0};
        write_result(a, sent->id, err, &none, NULL, 0);
    }
    return err == VIGIL_OK;
}

static int receive_all(struct actor *a, const struct sent *sent, size_t count)
{
    int err = VIGIL_OK;
    size_t next = 0;
    uint64_t deadline = history_now_us() + 10000000;
    while (vigil_pending(a->v) > 0 && history_now_us() < deadline) {
        vigil_completion done = {0};
        err = vigil_receive(a->v, 1000, &done);
        if (err == VIGIL_TIMEOUT || err == VIGIL_INTERRUPTED)
            continue;
        while (next < count && sent[next].request != done.id)
            next++;
        if (next == count)
            return VIGIL_INTERNAL; /* an answer to nothing */
        write_result(a, sent[next].id, done.error, &done.result, done.error ? NULL : done.value,
                     done.size);
        next++;
    }
    return vigil_pending(a->v) > 0 ? VIGIL_DISCONNECTED : VIGIL_OK;
}

static int burst(struct actor *a)
{
    struct sent sent[BURST_MAX];
    size_t count = 1 + actor_draw(a, BURST_MAX);
    size_t sent_count = 0;
    vigil_stop_on_error(a->v, actor_draw(a, 3) == 0);
    while (sent_count < count && send_one(a, &sent[sent_count]))
        sent_count++;
    int err = receive_all(a, sent, sent_count);
    if (err == VIGIL_OK)
        vigil_stop_on_error(a->v, false);
    return err;
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
    if (choice < 90)
        return one_list(a);
    return burst(a);
}

int actor_mutate(struct actor *a)
{
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        int err = step(a);
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
        int err = actor_draw(a, 20) > 0 ? one_increment(a) : burst(a);
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
        write_result(a, id, err, &result, NULL, 0);
    }
    return 0;
}
