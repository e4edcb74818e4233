#define _GNU_SOURCE
/* actor_requests.c - see actor_requests.h. */
#include "tests/torture/actor_requests.h"

#include <stdio.h>
#include <string.h>

enum { TXN_KEYS_MAX = 12, COUNTERS = 3 };

/* A string that no other request of the run puts; now and then too large to be broadcast. */
static void draw_value(struct actor *a, uint64_t id, struct request_value *v)
{
    static char text[REQUEST_VALUE_MAX];
    size_t size =
        (size_t)snprintf(text, sizeof text, "%u.%llu.", a->number, (unsigned long long)id);
    size_t padding = actor_draw(a, 60) == 0 ? 8000 + actor_draw(a, 11000) : actor_draw(a, 100);
    memset(text + size, 'x', padding);
    v->size = vigil_pack_string(v->bytes, sizeof v->bytes, text, size + padding);
}

static void write_condition(struct actor *a, const vigil_condition *c)
{
    char word[32];
    if (c->if_seq)
        snprintf(word, sizeof word, "s%llu", (unsigned long long)c->seq);
    else if (c->if_value)
        snprintf(word, sizeof word, "v%llu",
                 (unsigned long long)value_mark(c->if_value, c->if_value_size));
    else
        snprintf(word, sizeof word, "-");
    history_word(&a->history, word);
}

uint64_t request_put(struct actor *a, char key[ACTOR_KEY_SIZE], struct request_value *value,
                     const vigil_condition *condition)
{
    uint64_t id = actor_asks(a, "put");
    draw_value(a, id, value);
    history_word(&a->history, key);
    history_value(&a->history, value->bytes, value->size);
    write_condition(a, condition);
    history_end(&a->history);
    return id;
}

uint64_t request_delete(struct actor *a, const char *key, const vigil_condition *condition)
{
    uint64_t id = actor_asks(a, "del");
    history_word(&a->history, key);
    write_condition(a, condition);
    history_end(&a->history);
    return id;
}

static void draw_counter(struct actor *a, char key[ACTOR_KEY_SIZE])
{
    snprintf(key, ACTOR_KEY_SIZE, "n/%zu", actor_draw(a, COUNTERS));
}

uint64_t request_increment(struct actor *a, char key[ACTOR_KEY_SIZE])
{
    draw_counter(a, key);
    uint64_t id = actor_asks(a, "incr");
    history_word(&a->history, key);
    history_u64(&a->history, 1);
    history_end(&a->history);
    return id;
}

uint64_t request_peek(struct actor *a, char key[ACTOR_KEY_SIZE])
{
    actor_key(a, key);
    uint64_t id = actor_asks(a, "peek");
    history_word(&a->history, key);
    history_end(&a->history);
    return id;
}

vigil_condition request_condition(struct actor *a, const char *key)
{
    static uint8_t bytes[REQUEST_VALUE_MAX + 8];
    vigil_condition condition = {0};
    vigil_entry entry;
    size_t kind = actor_draw(a, 6);
    if (kind > 1 || vigil_get(a->v, key, &entry) != VIGIL_OK)
        return condition;
    if (kind == 1 && entry.present && entry.size <= sizeof bytes) {
        memcpy(bytes, entry.value, entry.size);
        condition.if_value = bytes;
        condition.if_value_size = entry.size;
    } else {
        condition.if_seq = true;
        condition.seq = entry.present ? entry.modified : 0;
    }
    return condition;
}

/* One change of the transaction; a put if it must be one. */
static void add_change(struct actor *a, vigil_txn *txn, uint64_t id, size_t index, const char *key)
{
    static struct request_value value;
    bool deletes = index > 0 && actor_draw(a, 4) == 0;
    history_word(&a->history, deletes ? "d" : "p");
    history_word(&a->history, key);
    if (deletes) {
        vigil_txn_delete(txn, key);
        return;
    }
    draw_value(a, id * 16 + index, &value);
    history_value(&a->history, value.bytes, value.size);
    vigil_txn_put(txn, key, value.bytes, value.size);
}

vigil_txn *request_txn(struct actor *a, bool reads, uint64_t *ret_id)
{
    char keys[TXN_KEYS_MAX + 1][ACTOR_KEY_SIZE];
    vigil_txn *txn;
    vigil_entry entry;
    size_t count = 1 + actor_draw(a, TXN_KEYS_MAX);
    for (size_t i = 0; i < count; i++)
        snprintf(keys[i], sizeof keys[i], "%s/%zu", i % 3 ? "b" : "a", actor_draw(a, 2) + 2 * i);
    bool compares = reads && actor_draw(a, 3) == 0 && vigil_get(a->v, keys[0], &entry) == VIGIL_OK;
    uint64_t compared = compares && entry.present ? entry.modified : 0;
    bool counts = actor_draw(a, 4) == 0;
    if (vigil_txn_new(&txn) != VIGIL_OK)
        return NULL;
    *ret_id = actor_asks(a, "txn");
    history_u64(&a->history, compares);
    if (compares) {
        history_word(&a->history, keys[0]);
        history_u64(&a->history, compared);
        vigil_txn_if_seq(txn, keys[0], VIGIL_EQUAL, compared);
    }
    history_u64(&a->history, count + counts);
    for (size_t i = 0; i < count; i++)
        add_change(a, txn, *ret_id, i, keys[i]);
    if (counts) {
        draw_counter(a, keys[count]);
        history_word(&a->history, "i");
        history_word(&a->history, keys[count]);
        history_u64(&a->history, 1);
        vigil_txn_incr(txn, keys[count], 1);
    }
    history_end(&a->history);
    return txn;
}

void request_told(struct actor *a, uint64_t id, int error, const vigil_result *result,
                  const void *value, size_t size)
{
    actor_told(a, 'R', id, error);
    history_u64(&a->history, result->seq);
    history_u64(&a->history, result->prev_seq);
    history_u64(&a->history, result->version);
    history_value(&a->history, value, size);
    history_end(&a->history);
}

void request_txn_told(struct actor *a, uint64_t id, int error, uint64_t seq, bool succeeded)
{
    actor_told(a, 'S', id, error);
    history_u64(&a->history, seq);
    history_u64(&a->history, succeeded);
    history_end(&a->history);
}
