/* The parts that the core stands on, each against the obvious: table, hashes, patterns, overlay. */
#include "server/core/checkpoint.h"
#include "server/core/pattern_index.h"
#include "server/core/undo.h"
#include "tests/support/sample_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- table ---- */

static bool same_number(const void *item, const void *key)
{
    return *(const uint64_t *)item == *(const uint64_t *)key;
}

static void test_table(void **state)
{
    (void)state;
    enum { ITEMS = 500, STEPS = 50000 };
    struct table t = {0};
    struct sample random = {21};
    static uint64_t items[ITEMS];
    static bool there[ITEMS];
    for (uint64_t i = 0; i < ITEMS; i++)
        items[i] = i;
    for (unsigned step = 0; step < STEPS; step++) {
        size_t i = sample_below(&random, ITEMS);
        uint64_t hash = i / 7; /* with collisions, and long runs */
        assert_ptr_equal(table_find(&t, hash, same_number, &items[i]), there[i] ? &items[i] : NULL);
        if (there[i])
            table_remove(&t, hash, &items[i]);
        else
            assert_int_equal(table_add(&t, hash, &items[i]), ERR_OK);
        there[i] = !there[i];
        if (step % 10000 == 9999) {
            assert_int_equal(table_reset(&t, step % 20000 == 9999 ? 1 : ITEMS), ERR_OK);
            memset(there, 0, sizeof there);
            assert_int_equal(t.count, 0);
        }
    }
    table_free(&t);
}

/* ---- hashes ---- */

static void test_key_hash_is_siphash(void **state)
{
    (void)state;
    /* SipHash-1-3 with the reference's key 00..0f, of the texts 00 01 02 ... of each size. */
    struct hash_seed seed = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    static const uint8_t bytes[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    static const uint64_t hashes[] = {
        UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93), UINT64_C(0x82cb9b024dc7d44d),
        UINT64_C(0x8bf80ab8e7ddf7fb), UINT64_C(0xcf75576088d38328), UINT64_C(0xdef9d52f49533b67),
        UINT64_C(0xc50d2b50c59f22a7), UINT64_C(0xd3927d989bb11140), UINT64_C(0x369095118d299a8e),
        UINT64_C(0x25a48eb36c063de4), UINT64_C(0x79de85ee92ff097f), UINT64_C(0x70c118c1f94dc352),
        UINT64_C(0x78a384b157b4d9a2), UINT64_C(0x306f760c1229ffa7), UINT64_C(0x605aa111c0f95d34),
        UINT64_C(0xd320d86d2a519956), UINT64_C(0xcc4fdd1a7d908b66), UINT64_C(0x9cf2689063dbd80c),
    };
    for (size_t size = 0; size < sizeof hashes / sizeof hashes[0]; size++)
        assert_true(key_hash(&seed, (struct bytes){bytes, size}) == hashes[size]);
}

static void test_prefix_hash_steps(void **state)
{
    (void)state;
    /* Against long division, also at the modulus' edge. */
    static const uint64_t multipliers[] = {256, 12345678901234567, PREFIX_HASH_MODULUS - 1};
    static const uint64_t hashes[] = {0, 1, PREFIX_HASH_MODULUS - 256, PREFIX_HASH_MODULUS - 1};
    for (size_t m = 0; m < 3; m++) {
        for (size_t h = 0; h < 4; h++) {
            for (unsigned byte = 0; byte < 256; byte += 51) {
                prefix_hash_product product =
                    (prefix_hash_product)(hashes[h] + byte + 1) * multipliers[m];
                assert_true(prefix_hash_step(hashes[h], (uint8_t)byte, multipliers[m]) ==
                            (uint64_t)(product % PREFIX_HASH_MODULUS));
            }
        }
    }
}

/* ---- patterns ---- */

enum { PATTERNS = 200, KEY_SIZE_MAX = 12 };

struct sample_pattern {
    struct pattern pattern;
    char text[KEY_SIZE_MAX];
    struct subscription subscription;
    bool there;
};

/* Few letters, so that much is a prefix of much. */
static size_t sample_text(struct sample *random, char text[KEY_SIZE_MAX], size_t size_min)
{
    size_t size = size_min + sample_below(random, KEY_SIZE_MAX - size_min);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + sample_below(random, 2));
    return size;
}

static bool matches(const struct pattern *p, struct bytes key)
{
    if (p->kind == PATTERN_EXACT)
        return bytes_equal(p->text, key);
    return p->text.size <= key.size && memcmp(p->text.data, key.data, p->text.size) == 0;
}

static void check_match(const struct pattern_index *index, const struct hash_seed *seed,
                        const struct sample_pattern *patterns, struct bytes key)
{
    struct pattern_entry *entries[PATTERN_MATCHES_MAX];
    size_t found = pattern_index_match(index, key, key_hash(seed, key), entries);
    size_t subscriptions = 0;
    for (size_t e = 0; e < found; e++) {
        for (const struct subscription *s = entries[e]->first; s; s = s->next) {
            const struct sample_pattern *p = (const struct sample_pattern *)(const void *)s->stream;
            assert_true(p->there && matches(&p->pattern, key));
            subscriptions++;
        }
    }
    size_t expected = 0;
    for (size_t i = 0; i < PATTERNS; i++)
        expected += patterns[i].there && matches(&patterns[i].pattern, key);
    assert_int_equal(subscriptions, expected);
}

static void test_patterns(void **state)
{
    (void)state;
    struct pattern_index index;
    struct hash_seed seed = {1, 2};
    struct sample random = {22};
    struct sample_pattern *patterns = calloc(PATTERNS, sizeof *patterns);
    pattern_index_init(&index, &seed, sample_u64(&random));
    for (size_t i = 0; i < PATTERNS; i++) {
        struct sample_pattern *p = &patterns[i];
        uint8_t kind = sample_below(&random, 2) ? PATTERN_EXACT : PATTERN_PREFIX;
        size_t size = sample_text(&random, p->text, kind == PATTERN_EXACT);
        p->pattern = (struct pattern){kind, {(const uint8_t *)p->text, size}};
        p->subscription.stream = (struct stream *)(void *)p; /* just to be known again */
    }
    for (unsigned step = 0; step < 20000; step++) {
        struct sample_pattern *p = &patterns[sample_below(&random, PATTERNS)];
        char text[KEY_SIZE_MAX];
        size_t size = sample_text(&random, text, 1);
        check_match(&index, &seed, patterns, (struct bytes){(const uint8_t *)text, size});
        if (p->there)
            pattern_index_remove(&index, &p->subscription);
        else
            assert_int_equal(pattern_index_add(&index, &p->pattern, &p->subscription), ERR_OK);
        p->there = !p->there;
    }
    for (size_t i = 0; i < PATTERNS; i++) {
        if (patterns[i].there)
            pattern_index_remove(&index, &patterns[i].subscription);
    }
    assert_int_equal(index.exact_count, 0);
    assert_int_equal(index.prefix_size_max, 0);
    pattern_index_free(&index);
    free(patterns);
}

/* ---- overlay, undo, checkpoint ---- */

static void test_values_grow_and_shrink(void **state)
{
    (void)state;
    struct overlay *o;
    struct overlay_entry *e;
    struct sample random = {23};
    static uint8_t data[20000];
    assert_int_equal(overlay_new(1, &o), ERR_OK);
    assert_int_equal(overlay_add(o, bytes_of("key"), 9, 10, &e), ERR_OK);
    for (unsigned step = 0; step < 2000; step++) {
        static const size_t bounds[] = {16, 64, 1100, 5000, sizeof data};
        struct bytes value = {data, sample_below(&random, bounds[sample_below(&random, 5)])};
        sample_fill(&random, data, value.size < 32 ? value.size : 32);
        assert_int_equal(overlay_set_value(o, e, value), ERR_OK);
        assert_true(bytes_equal(overlay_entry_value(e), value));
        assert_int_equal(o->bytes, 3 + value.size);
        assert_true(e->value_capacity >= value.size);
        assert_true(e->value_capacity <= 4096 || e->value_capacity <= 4 * value.size + 64);
    }
    overlay_free(o);
}

static void test_undo_restores_every_value(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 1000, 1024, 1025, 3000, 5000, 20000};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    static uint8_t before[20000];
    static uint8_t after[20000];
    memset(before, 1, sizeof before);
    memset(after, 2, sizeof after);
    struct undo_log undo;
    struct overlay *o;
    undo_init(&undo);
    /* A value that came to be in one step or in two, then one or two writes, then back. */
    for (unsigned i = 0; i < SIZES * SIZES * SIZES * SIZES; i++) {
        struct overlay_entry *e;
        struct bytes grown = {before, sizes[i % SIZES]};
        struct bytes kept = {before, sizes[i / SIZES % SIZES]};
        struct bytes first = {after, sizes[i / SIZES / SIZES % SIZES]};
        struct bytes second = {after, sizes[i / SIZES / SIZES / SIZES]};
        assert_int_equal(overlay_new(1, &o), ERR_OK);
        assert_int_equal(overlay_add(o, bytes_of("key"), 9, grown.size, &e), ERR_OK);
        assert_int_equal(overlay_set_value(o, e, grown), ERR_OK);
        assert_int_equal(overlay_set_value(o, e, kept), ERR_OK);
        e->meta = (struct key_meta){1, 2, 3, false};
        assert_int_equal(undo_save(&undo, o, e, 7), ERR_OK);
        assert_int_equal(overlay_set_value(o, e, first), ERR_OK);
        assert_int_equal(undo_save(&undo, o, e, 7), ERR_OK);
        assert_int_equal(overlay_set_value(o, e, second), ERR_OK);
        e->meta = (struct key_meta){4, 5, 6, true};
        undo_rollback(&undo, o);
        assert_true(bytes_equal(overlay_entry_value(e), kept));
        assert_int_equal(e->meta.modified, 2);
        assert_int_equal(o->bytes, 3 + kept.size);
        overlay_free(o);
    }
    undo_free(&undo);
}

static void test_checkpoint_order(void **state)
{
    (void)state;
    struct sample random = {24};
    for (unsigned count = 1; count < 3000; count = count * 3 + 1) {
        struct overlay *o;
        struct overlay_entry *e;
        struct checkpoint c = {.random = count};
        assert_int_equal(overlay_new(count, &o), ERR_OK);
        for (unsigned i = 0; i < count; i++) {
            char key[40];
            (void)snprintf(key, sizeof key, "%s%u", i % 2 ? "a/common/start/" : "",
                           (unsigned)(i * 2654435761u) ^ (unsigned)count);
            assert_int_equal(overlay_add(o, bytes_of(key), i, 0, &e), ERR_OK);
        }
        checkpoint_freeze(&c, o, 5);
        struct bytes last = {NULL, 0};
        unsigned seen = 0;
        while (checkpoint_next(&c, &e)) {
            assert_true(bytes_compare(last, overlay_entry_key(e)) < 0);
            last = overlay_entry_key(e);
            seen++;
            /* Back to an earlier place, now and then. */
            if (sample_below(&random, 100) == 0) {
                c.confirmed = c.written;
            } else if (sample_below(&random, 1000) == 0) {
                seen -= (unsigned)(c.written - c.confirmed);
                checkpoint_take_back(&c);
                last = (struct bytes){NULL, 0};
            }
        }
        assert_int_equal(seen, count);
        assert_true(checkpoint_confirm(&c, true));
        while (c.retired)
            checkpoint_free_some(&c);
        checkpoint_free(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_key_hash_is_siphash),
        cmocka_unit_test(test_prefix_hash_steps),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_values_grow_and_shrink),
        cmocka_unit_test(test_undo_restores_every_value),
        cmocka_unit_test(test_checkpoint_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
