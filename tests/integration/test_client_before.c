/*
 * test_client_before.c - the values before: what a watch says that a key had been is what a model
 * of the store says, whatever the memory, the journal and the server go through; or it is unknown.
 *
 * ctest: TIMEOUT=180
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 30000, NO_MEMORY = 1 /* byte: nothing is remembered, all is looked up */ };

static struct client_fixture f;
static vigil_watch *watches[8]; /* open; a test that fails leaves them behind */

static int set_up(void **state)
{
    (void)state;
    client_fixture_open(&f, TEST_VIGILD, NULL);
    return 0;
}

static void close_watch(vigil_watch *w)
{
    for (size_t i = 0; i < sizeof watches / sizeof watches[0]; i++) {
        if (watches[i] == w)
            watches[i] = NULL;
    }
    vigil_watch_close(w);
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof watches / sizeof watches[0]; i++) {
        close_watch(watches[i]);
    }
    client_fixture_close(&f);
    return 0;
}

static vigil_watch *watch(const char *pattern, enum vigil_since since, size_t memory_bytes)
{
    vigil_watch *w = NULL;
    const char *patterns[] = {pattern};
    vigil_watch_options options = {.patterns = patterns,
                                   .pattern_count = pattern ? 1 : 0,
                                   .since = since,
                                   .before = true,
                                   .before_memory_bytes = memory_bytes};
    int err = vigil_watch_open(f.v, &options, &w);
    if (err)
        fail_msg("watch: %s", vigil_failure_text(f.v));
    size_t free_place = 0;
    while (watches[free_place])
        free_place++;
    watches[free_place] = w;
    return w;
}

static const vigil_record *next(vigil_watch *w)
{
    const vigil_event *event;
    int err = vigil_watch_next(w, PATIENCE_MS, &event);
    if (err)
        fail_msg("next: %s: %s", vigil_error_name(err), vigil_failure_text(f.v));
    return &event->record;
}

static void assert_before(const vigil_change *c, const char *key, enum vigil_before before,
                          int64_t value)
{
    assert_string_equal(c->key, key);
    assert_int_equal(c->before, before);
    assert_int_equal(c->before_value != NULL, before == VIGIL_BEFORE_VALUE);
    if (before == VIGIL_BEFORE_VALUE)
        assert_int_equal(integer_of(c->before_value, c->before_size), value);
    else
        assert_int_equal(c->before_size, 0);
}

static void expect(vigil_watch *w, const char *key, enum vigil_before before, int64_t value)
{
    const vigil_record *record = next(w);
    assert_int_equal(record->count, 1);
    assert_before(&record->changes[0], key, before, value);
}

static uint64_t lookups(const vigil_watch *w)
{
    vigil_watch_figures figures;
    vigil_watch_get_figures(w, &figures);
    return figures.lookups;
}

/* ---- single keys ---- */

static void the_life_of_a_key(void **state)
{
    (void)state;
    const size_t memories[] = {0, NO_MEMORY};
    for (size_t i = 0; i < 2; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%zu", i);
        vigil_watch *w = watch(key, VIGIL_SINCE_NOW, memories[i]);
        put_integer(f.v, key, 1);
        expect(w, key, VIGIL_BEFORE_ABSENT, 0);
        put_integer(f.v, key, 2);
        expect(w, key, VIGIL_BEFORE_VALUE, 1);
        assert_int_equal(vigil_incr(f.v, key, 5, NULL, NULL, NULL, NULL), VIGIL_OK);
        expect(w, key, VIGIL_BEFORE_VALUE, 2);
        assert_int_equal(vigil_delete(f.v, key, NULL, NULL), VIGIL_OK);
        expect(w, key, VIGIL_BEFORE_VALUE, 7);
        put_integer(f.v, key, 3);
        expect(w, key, VIGIL_BEFORE_ABSENT, 0);
        put_integer(f.v, key, 4);
        expect(w, key, VIGIL_BEFORE_VALUE, 3);
        assert_int_equal(lookups(w), memories[i] ? 5 : 0);
        close_watch(w);
    }
}

static void only_who_asks_gets_it(void **state)
{
    (void)state;
    vigil_watch *w = NULL;
    put_integer(f.v, "k", 1);
    put_integer(f.v, "k", 2);
    assert_int_equal(vigil_watch_open(f.v, &(vigil_watch_options){.since = VIGIL_SINCE_OLDEST}, &w),
                     VIGIL_OK);
    for (int i = 0; i < 2; i++)
        assert_before(&next(w)->changes[0], "k", VIGIL_BEFORE_NOT_ASKED, 0);
    assert_int_equal(lookups(w), 0);
    close_watch(w);
}

/* A key that was not changed since the watch was opened costs one question, and no second one. */
static void a_cold_key_is_asked_for_once(void **state)
{
    (void)state;
    put_integer(f.v, "k", 1);
    vigil_watch *w = watch(NULL, VIGIL_SINCE_NOW, 0);
    put_integer(f.v, "k", 2);
    put_integer(f.v, "k", 3);
    expect(w, "k", VIGIL_BEFORE_VALUE, 1);
    expect(w, "k", VIGIL_BEFORE_VALUE, 2);
    assert_int_equal(lookups(w), 1);
    close_watch(w);
}

static void large_values(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20, ROUNDS = 4 };
    uint8_t *data = malloc(SIZE);
    assert_non_null(data);
    vigil_watch *cold = watch(NULL, VIGIL_SINCE_NOW, NO_MEMORY);
    vigil_watch *warm = watch(NULL, VIGIL_SINCE_NOW, 0);
    for (int i = 0; i < ROUNDS; i++) {
        memset(data, i, SIZE);
        size_t size = vigil_pack_binary(NULL, 0, data, SIZE - 16);
        uint8_t *value = malloc(size);
        assert_non_null(value);
        vigil_pack_binary(value, size, data, SIZE - 16);
        assert_int_equal(vigil_put(f.v, "large", value, size, NULL, NULL), VIGIL_OK);
        free(value);
    }
    for (int i = 0; i < ROUNDS; i++) {
        vigil_watch *both[] = {cold, warm};
        for (size_t j = 0; j < 2; j++) {
            const vigil_change *c = &next(both[j])->changes[0];
            assert_int_equal(c->before, i == 0 ? VIGIL_BEFORE_ABSENT : VIGIL_BEFORE_VALUE);
            if (i == 0)
                continue;
            const void *bytes;
            size_t size;
            assert_int_equal(vigil_unpack_binary(c->before_value, c->before_size, &bytes, &size),
                             VIGIL_OK);
            assert_int_equal(size, SIZE - 16);
            memset(data, i - 1, SIZE);
            assert_memory_equal(bytes, data, size);
        }
    }
    assert_int_equal(lookups(cold), ROUNDS - 1);
    assert_int_equal(lookups(warm), 0);
    close_watch(cold);
    close_watch(warm);
    free(data);
}

/* ---- compaction ---- */

static void what_compaction_took_is_unknown(void **state)
{
    (void)state;
    uint64_t oldest;
    put_integer(f.v, "kept", 1);
    put_integer(f.v, "deleted", 2);
    assert_int_equal(vigil_delete(f.v, "deleted", NULL, NULL), VIGIL_OK);
    put_integer(f.v, "late", 3);
    uint64_t seq = put_integer(f.v, "other", 4);
    assert_int_equal(vigil_compact(f.v, seq, PATIENCE_MS, &oldest), VIGIL_OK);
    assert_int_equal(oldest, seq);
    vigil_watch *w = watch(NULL, VIGIL_SINCE_NOW, 0);
    put_integer(f.v, "kept", 11);
    put_integer(f.v, "kept", 12);
    put_integer(f.v, "new", 13);
    put_integer(f.v, "other", 14);
    assert_int_equal(vigil_delete(f.v, "late", NULL, NULL), VIGIL_OK);
    expect(w, "kept", VIGIL_BEFORE_UNKNOWN, 0);
    expect(w, "kept", VIGIL_BEFORE_VALUE, 11);
    expect(w, "new", VIGIL_BEFORE_ABSENT, 0);
    expect(w, "other", VIGIL_BEFORE_VALUE, 4);
    expect(w, "late", VIGIL_BEFORE_UNKNOWN, 0);
    /* Its deletion is compacted, which the server may know or have forgotten. */
    put_integer(f.v, "deleted", 15);
    const vigil_change *c = &next(w)->changes[0];
    assert_true(c->before == VIGIL_BEFORE_ABSENT || c->before == VIGIL_BEFORE_UNKNOWN);
    close_watch(w);
}

/* What the watch has seen itself it knows, whatever the journal has lost since. */
static void the_memory_outlives_compaction(void **state)
{
    (void)state;
    vigil_watch *w = watch(NULL, VIGIL_SINCE_NOW, 0);
    put_integer(f.v, "k", 1);
    expect(w, "k", VIGIL_BEFORE_ABSENT, 0);
    uint64_t seq = put_integer(f.v, "other", 4);
    expect(w, "other", VIGIL_BEFORE_ABSENT, 0);
    assert_int_equal(vigil_compact(f.v, seq, PATIENCE_MS, NULL), VIGIL_OK);
    put_integer(f.v, "k", 2);
    expect(w, "k", VIGIL_BEFORE_VALUE, 1);
    assert_int_equal(lookups(w), 0);
    close_watch(w);
}

/* ---- a record of many changes ---- */

static void a_large_record_of_cold_keys(void **state)
{
    (void)state;
    enum { KEYS = 10000 };
    char key[16];
    vigil_txn *t = NULL;
    vigil *mutator = NULL; /* without a session, for so many results in a reply */
    assert_int_equal(
        vigil_open(&(vigil_options){.endpoint = f.endpoint, .no_session = true}, &mutator),
        VIGIL_OK);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k/%05d", i);
        if (i % 7 != 0)
            send_integer(f.v, key, i);
    }
    receive_all(f.v);
    vigil_watch *w = watch("k/*", VIGIL_SINCE_NOW, 0);
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    for (int i = 0; i < KEYS; i++) {
        uint8_t value[16];
        snprintf(key, sizeof key, "k/%05d", i);
        if (i % 7 != 0 && i % 5 == 0)
            assert_int_equal(vigil_txn_delete(t, key), VIGIL_OK);
        else
            assert_int_equal(vigil_txn_put(t, key, value, vigil_pack_int(value, sizeof value, -i)),
                             VIGIL_OK);
    }
    assert_int_equal(vigil_txn_commit(mutator, t, NULL, NULL, NULL, NULL), VIGIL_OK);
    vigil_txn_free(t);
    vigil_close(mutator);
    const vigil_record *record = next(w);
    assert_int_equal(record->count, KEYS);
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "k/%05d", i);
        assert_before(&record->changes[i], key,
                      i % 7 == 0 ? VIGIL_BEFORE_ABSENT : VIGIL_BEFORE_VALUE, i);
    }
    close_watch(w);
}

/* ---- random changes beside a model ---- */

enum { MODEL_KEYS = 60, MODEL_RECORDS = 6000, MODEL_CHANGES_MAX = 5, MODEL_VALUE_MAX = 300 };

struct model_change {
    uint16_t key;
    uint32_t value; /* 0: absent */
    uint32_t before;
};

struct model {
    uint32_t random;
    uint32_t values; /* given so far */
    uint32_t now[MODEL_KEYS];
    uint64_t first; /* seq of records[0] */
    size_t count;
    struct {
        uint16_t count;
        struct model_change changes[MODEL_CHANGES_MAX];
    } records[MODEL_RECORDS];
};

static struct model model;

static uint32_t draw(uint32_t below)
{
    model.random = model.random * 1103515245u + 12345u;
    return (model.random >> 12) % below;
}

static void model_key(unsigned key, char text[16])
{
    snprintf(text, 16, "k/%u", key);
}

/* Each value is another one, and tells its number. */
static size_t model_value(uint32_t number, uint8_t out[MODEL_VALUE_MAX])
{
    static const char filling[MODEL_VALUE_MAX] = "";
    size_t at = vigil_pack_array(out, MODEL_VALUE_MAX, 2);
    at += vigil_pack_uint(out + at, MODEL_VALUE_MAX - at, number);
    return at + vigil_pack_string(out + at, MODEL_VALUE_MAX - at, filling, number * 37 % 250);
}

static void change_one(vigil_txn *t, struct model_change *c)
{
    char key[16];
    uint8_t value[MODEL_VALUE_MAX];
    model_key(c->key, key);
    c->before = model.now[c->key];
    c->value = c->before && draw(4) == 0 ? 0 : ++model.values;
    model.now[c->key] = c->value;
    if (c->value == 0)
        assert_int_equal(vigil_txn_delete(t, key), VIGIL_OK);
    else
        assert_int_equal(vigil_txn_put(t, key, value, model_value(c->value, value)), VIGIL_OK);
}

/* One record of several keys; a few are changed often, most of them seldom. */
static void add_record(vigil_txn *t)
{
    uint16_t count = (uint16_t)(1 + (draw(3) == 0 ? draw(MODEL_CHANGES_MAX) : 0));
    bool taken[MODEL_KEYS] = {false};
    assert_true(model.count < MODEL_RECORDS);
    vigil_txn_clear(t);
    model.records[model.count].count = count;
    for (uint16_t i = 0; i < count; i++) {
        struct model_change *c = &model.records[model.count].changes[i];
        do {
            c->key = (uint16_t)(draw(2) ? draw(MODEL_KEYS) : draw(6));
        } while (taken[c->key]);
        taken[c->key] = true;
        change_one(t, c);
    }
    assert_int_equal(vigil_send_txn(f.v, t, NULL), VIGIL_OK);
    model.count++;
}

static void add_records(size_t count)
{
    vigil_txn *t = NULL;
    uint64_t last = 0;
    assert_int_equal(vigil_txn_new(&t), VIGIL_OK);
    for (size_t i = 0; i < count; i++)
        add_record(t);
    while (vigil_pending(f.v) > 0) {
        vigil_completion completion;
        assert_int_equal(vigil_receive(f.v, PATIENCE_MS, &completion), VIGIL_OK);
        assert_int_equal(completion.error, VIGIL_OK);
        last = completion.result.seq;
    }
    vigil_txn_free(t);
    model.first = last + 1 - model.count;
}

static void start_model(uint32_t seed)
{
    model.random = seed;
    model.values = 0;
    model.count = 0;
    memset(model.now, 0, sizeof model.now);
}

static bool is_value(const void *data, size_t size, uint32_t number)
{
    uint8_t value[MODEL_VALUE_MAX];
    size_t expected = model_value(number, value);
    return size == expected && memcmp(data, value, size) == 0;
}

struct tally {
    uint64_t values;
    uint64_t absent;
    uint64_t unknown;
};

static void check_change(const vigil_record *record, const vigil_change *c,
                         const struct model_change *expected, struct tally *tally)
{
    char key[16];
    model_key(expected->key, key);
    assert_string_equal(c->key, key);
    bool right = false;
    if (c->before == VIGIL_BEFORE_VALUE)
        right = expected->before && is_value(c->before_value, c->before_size, expected->before);
    else if (c->before == VIGIL_BEFORE_ABSENT)
        right = expected->before == 0;
    else if (c->before == VIGIL_BEFORE_UNKNOWN)
        right = true;
    assert_int_equal(c->op, expected->value ? VIGIL_PUT : VIGIL_DELETE);
    if (expected->value)
        assert_true(is_value(c->value, c->size, expected->value));
    if (!right)
        fail_msg("seq %llu, %s: before is %d, not the value %u", (unsigned long long)record->seq,
                 key, (int)c->before, expected->before);
    tally->values += c->before == VIGIL_BEFORE_VALUE;
    tally->absent += c->before == VIGIL_BEFORE_ABSENT;
    tally->unknown += c->before == VIGIL_BEFORE_UNKNOWN;
}

/* only_prefix: of the keys, what the watch sees. Returns whether it sees anything of it. */
static bool is_seen(size_t index, const char *only_prefix)
{
    for (uint16_t i = 0; i < model.records[index].count; i++) {
        char key[16];
        model_key(model.records[index].changes[i].key, key);
        if (strncmp(key, only_prefix, strlen(only_prefix)) == 0)
            return true;
    }
    return false;
}

static void check_record(const vigil_record *record, const char *only_prefix, struct tally *tally)
{
    size_t index = (size_t)(record->seq - model.first);
    uint16_t n = 0;
    assert_true(index < model.count);
    assert_int_equal(record->parts, model.records[index].count);
    for (uint16_t i = 0; i < record->parts; i++) {
        const struct model_change *expected = &model.records[index].changes[i];
        char key[16];
        model_key(expected->key, key);
        if (strncmp(key, only_prefix, strlen(only_prefix)) != 0)
            continue;
        assert_true(n < record->count);
        check_change(record, &record->changes[n++], expected, tally);
    }
    assert_int_equal(n, record->count);
}

/* All records from the first to the last, each once. */
static void check_all(vigil_watch *w, const char *only_prefix, struct tally *tally)
{
    *tally = (struct tally){0};
    for (size_t i = 0; i < model.count; i++) {
        if (!is_seen(i, only_prefix))
            continue;
        const vigil_record *record = next(w);
        assert_int_equal(record->seq, model.first + i);
        check_record(record, only_prefix, tally);
    }
}

/* From the first record on nothing is unknown, whatever the memory can hold. */
static void every_memory_says_the_same(void **state)
{
    (void)state;
    const size_t memories[] = {0, 2000, NO_MEMORY};
    const char *prefixes[] = {"k/", "k/1", "k/3"};
    const char *patterns[] = {"k/*", "k/1*", "k/3*"};
    vigil_watch *live[3];
    struct tally tally;
    start_model(20261122);
    for (size_t m = 0; m < 3; m++)
        live[m] = watch(patterns[m], VIGIL_SINCE_NOW, memories[m]);
    add_records(MODEL_RECORDS);
    for (size_t m = 0; m < 3; m++) {
        check_all(live[m], prefixes[m], &tally);
        assert_int_equal(tally.unknown, 0);
        assert_true(tally.values > 1000);
        assert_true(tally.absent > 100);
        close_watch(live[m]);
    }
    for (size_t m = 0; m < 3; m++) {
        vigil_watch *w = watch(NULL, VIGIL_SINCE_OLDEST, memories[m]);
        check_all(w, "k/", &tally);
        assert_int_equal(tally.unknown, 0);
        if (m == 0)
            assert_int_equal(lookups(w), 0);
        if (m == 2)
            assert_true(lookups(w) >= tally.values);
        close_watch(w);
    }
}

/* With the journal compacted in the middle, and further while it is read. */
static void compaction_makes_unknown_and_never_wrong(void **state)
{
    (void)state;
    struct tally tally = {0};
    start_model(4711);
    add_records(MODEL_RECORDS);
    uint64_t first = model.first + model.count / 3;
    assert_int_equal(vigil_compact(f.v, first, PATIENCE_MS, NULL), VIGIL_OK);
    for (int with_memory = 0; with_memory < 2; with_memory++) {
        tally = (struct tally){0};
        vigil_watch *w = watch(NULL, VIGIL_SINCE_OLDEST, with_memory ? 0 : NO_MEMORY);
        for (uint64_t seq = first; seq < model.first + model.count; seq++) {
            const vigil_record *record = next(w);
            assert_int_equal(record->seq, seq);
            check_record(record, "k/", &tally);
        }
        close_watch(w);
        assert_true(tally.unknown > 10);
        assert_true(tally.unknown <= MODEL_KEYS);
        assert_true(tally.values > 1000);
    }
    vigil_watch *w = watch(NULL, VIGIL_SINCE_OLDEST, NO_MEMORY);
    for (uint64_t seq = first; seq < model.first + model.count; seq++) {
        const vigil_record *record = next(w);
        assert_int_equal(record->seq, seq);
        check_record(record, "k/", &tally);
        if (seq % 200 == 0)
            assert_int_equal(vigil_compact(f.v, seq, PATIENCE_MS, NULL), VIGIL_OK);
    }
    close_watch(w);
}

/* ---- the server goes away ---- */

/* Until a previous value is being asked for, and the record that it belongs to waits. */
static void drive_to_a_lookup(vigil_watch *w, uint64_t *handed, struct tally *tally)
{
    const vigil_event *event;
    vigil_watch_figures figures;
    vigil_position position;
    for (;;) {
        uint64_t before = lookups(w);
        int err = vigil_watch_next(w, 0, &event);
        vigil_watch_get_figures(w, &figures);
        if (err == VIGIL_OK) {
            assert_int_equal(event->record.seq, *handed + 1);
            check_record(&event->record, "k/", tally);
            *handed = event->record.seq;
        } else {
            assert_int_equal(err, VIGIL_TIMEOUT);
        }
        vigil_watch_position(w, &position);
        assert_int_equal(position.seq, *handed); /* not what waits */
        if (err == VIGIL_TIMEOUT && lookups(w) > before)
            return;
    }
}

static void a_server_that_is_killed_during_lookups(void **state)
{
    (void)state;
    struct tally tally = {0};
    start_model(99);
    add_records(3000);
    vigil_watch *w = watch(NULL, VIGIL_SINCE_OLDEST, NO_MEMORY);
    uint64_t handed = model.first - 1;
    for (int kill = 0; kill < 6; kill++) {
        int told = 0;
        drive_to_a_lookup(w, &handed, &tally);
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
        for (int i = 0; i < 300; i++) {
            const vigil_event *event;
            int err = vigil_watch_next(w, PATIENCE_MS, &event);
            if (err == VIGIL_DISCONNECTED) {
                told++;
                continue;
            }
            assert_int_equal(err, VIGIL_OK);
            assert_int_equal(event->record.seq, handed + 1);
            check_record(&event->record, "k/", &tally);
            handed++;
        }
        assert_int_equal(told, 1);
    }
    while (handed + 1 < model.first + model.count) {
        const vigil_record *record = next(w);
        assert_int_equal(record->seq, handed + 1);
        check_record(record, "k/", &tally);
        handed++;
    }
    assert_int_equal(tally.unknown, 0);
    close_watch(w);
}

/* The journal is replaced by another while a record waits: it is never completed from there. */
static void another_history_during_a_lookup(void **state)
{
    (void)state;
    struct tally tally = {0};
    const vigil_event *event;
    int err;
    start_model(5);
    add_records(500);
    vigil_watch *w = watch(NULL, VIGIL_SINCE_OLDEST, NO_MEMORY);
    uint64_t handed = model.first - 1;
    drive_to_a_lookup(w, &handed, &tally);
    client_fixture_kill_server(&f);
    client_fixture_replace_data(&f);
    client_fixture_start_server(&f);
    while ((err = vigil_watch_next(w, PATIENCE_MS, &event)) == VIGIL_DISCONNECTED) {
    }
    assert_int_equal(err, VIGIL_EPOCH_CHANGED);
    vigil_position position;
    vigil_watch_position(w, &position);
    assert_int_equal(position.seq, handed);
    close_watch(w);
}

/* A server that does not answer holds nobody up for longer than the time given. */
static void a_stopped_server_ends_no_call_late(void **state)
{
    (void)state;
    const vigil_event *event;
    put_integer(f.v, "k", 1);
    put_integer(f.v, "k", 2);
    vigil_watch *w = watch(NULL, VIGIL_SINCE_OLDEST, NO_MEMORY);
    expect(w, "k", VIGIL_BEFORE_ABSENT, 0);
    assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(vigil_watch_next(w, i % 2 ? 10 : 0, &event), VIGIL_TIMEOUT);
    assert_int_equal(lookups(w), 1);
    assert_int_equal(kill(f.server.pid, SIGCONT), 0);
    expect(w, "k", VIGIL_BEFORE_VALUE, 1);
    close_watch(w);
}

/* From an event loop: what is looked up wakes it, and nothing is left lying. */
static void driven_through_the_descriptor(void **state)
{
    (void)state;
    struct tally tally = {0};
    start_model(31);
    vigil_watch *w = watch(NULL, VIGIL_SINCE_NOW, NO_MEMORY);
    vigil_watch *beside =
        watch(NULL, VIGIL_SINCE_NOW, NO_MEMORY); /* takes replies off the socket */
    struct pollfd fd = {.fd = vigil_watch_fd(w), .events = POLLIN};
    assert_true(fd.fd >= 0);
    add_records(1000);
    uint64_t handed = model.first - 1;
    while (handed + 1 < model.first + model.count) {
        const vigil_event *event;
        int err;
        assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
        while ((err = vigil_watch_next(w, 0, &event)) == VIGIL_OK) {
            assert_int_equal(event->record.seq, handed + 1);
            check_record(&event->record, "k/", &tally);
            handed++;
            if (handed % 3 == 0)
                (void)vigil_watch_next(beside, 0, &event);
        }
        assert_int_equal(err, VIGIL_TIMEOUT);
        (void)vigil_watch_next(beside, 0, &event);
    }
    assert_int_equal(tally.unknown, 0);
    close_watch(beside);
    close_watch(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_life_of_a_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_who_asks_gets_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_cold_key_is_asked_for_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_compaction_took_is_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_memory_outlives_compaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_large_record_of_cold_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_memory_says_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(compaction_makes_unknown_and_never_wrong, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_is_killed_during_lookups, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_history_during_a_lookup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_server_ends_no_call_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(driven_through_the_descriptor, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
