/* Records: layout, the gate (cuts, flipped bits, false structure), views. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "protocol/crc32c.h"
#include "protocol/errors.h"
#include "protocol/filter.h"
#include "protocol/limits.h"
#include "protocol/record.h"
#include "tests/support/sample_bytes.h"

static size_t write_sample(struct wire_buffer *b)
{
    struct record_writer w;
    record_begin(&w, b, 42, UINT64_C(1700000000000000), 0x11, 0x22);
    record_add(&w, &(struct change){.op = CHANGE_PUT,
                                    .prev_seq = 41,
                                    .key = bytes_of("a/one"),
                                    .value = bytes_of("\xa2hi")});
    record_add(&w, &(struct change){.op = CHANGE_DELETE, .prev_seq = 7, .key = bytes_of("b")});
    record_add(&w, &(struct change){.op = CHANGE_EXPIRE, .prev_seq = 1, .key = bytes_of("a/two")});
    return record_end(&w);
}

static void seal(uint8_t *record, size_t size)
{
    wire_store_u32(record, (uint32_t)size);
    wire_store_u32(record + 4, crc32c(0, record + 8, size - 8));
}

static int check_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = copy_exactly(data, size);
    struct record_header h;
    int err = record_check((struct bytes){copy, size}, &h);
    free(copy);
    return err;
}

static void test_layout(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    wire_write_u8(&b, 0xee); /* a record need not start its buffer */
    size_t size = write_sample(&b);
    assert_int_equal(size, 48 + 20 + 5 + 3 + 20 + 1 + 20 + 5);
    assert_int_equal(b.size, 1 + size);
    const uint8_t *p = b.data + 1;
    assert_int_equal(wire_load_u32(p), size);
    assert_int_equal(wire_load_u32(p + 4), crc32c(0, p + 8, size - 8));
    assert_int_equal(wire_load_u64(p + 8), 42);
    assert_true(wire_load_u64(p + 16) == UINT64_C(1700000000000000));
    assert_int_equal(wire_load_u64(p + 24), 0x11);
    assert_int_equal(wire_load_u64(p + 32), 0x22);
    assert_memory_equal(p + 40, "\x03\x00\x03\x00\x01\x00\x00\x00", 8);
    assert_memory_equal(p + 48, "\x01\x00\x01\x00\x05\x00\x00\x00\x03\x00\x00\x00", 12);
    assert_int_equal(wire_load_u64(p + 60), 41);
    assert_memory_equal(p + 68, "a/one\xa2hi", 8);

    struct record_header h;
    assert_int_equal(record_check((struct bytes){p, size}, &h), ERR_OK);
    assert_int_equal(h.size, size);
    assert_int_equal(h.seq, 42);
    assert_int_equal(h.session, 0x11);
    assert_int_equal(h.number, 0x22);
    assert_int_equal(h.parts, 3);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.flags, 0);

    struct change_iterator i = record_changes(p);
    struct change c;
    assert_true(change_next(&i, &c));
    assert_int_equal(c.op, CHANGE_PUT);
    assert_int_equal(c.part, 1);
    assert_true(bytes_equal(c.value, bytes_of("\xa2hi")));
    assert_true(change_next(&i, &c));
    assert_int_equal(c.op, CHANGE_DELETE);
    assert_int_equal(c.prev_seq, 7);
    assert_int_equal(c.value.size, 0);
    assert_true(change_next(&i, &c));
    assert_int_equal(c.part, 3);
    assert_true(bytes_equal(c.key, bytes_of("a/two")));
    assert_false(change_next(&i, &c));
    assert_false(change_next(&i, &c));
    wire_buffer_free(&b);
}

static void test_every_cut_and_what_follows(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    size_t size = write_sample(&b);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(check_copy(b.data, cut), ERR_CORRUPT);
        if (cut >= RECORD_HEADER_SIZE) { /* also where size and CRC claim that it is whole */
            uint8_t *copy = copy_exactly(b.data, cut);
            seal(copy, cut);
            assert_int_equal(check_copy(copy, cut), ERR_CORRUPT);
            free(copy);
        }
    }
    wire_write_u64(&b, 0); /* bytes may follow a record */
    assert_int_equal(check_copy(b.data, b.size), ERR_OK);
    seal(b.data, b.size); /* but not within its size */
    assert_int_equal(check_copy(b.data, b.size), ERR_CORRUPT);
    wire_buffer_free(&b);
}

static void test_every_flipped_bit(void **state)
{
    (void)state;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    size_t size = write_sample(&b);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        assert_int_equal(check_copy(b.data, size), ERR_CORRUPT);
        b.data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
    }
    struct sample s = {8};
    for (int round = 0; round < 20000; round++) { /* two anywhere: any burst is seen */
        size_t first = sample_below(&s, 8 * size);
        size_t second = sample_below(&s, 8 * size);
        if (first == second)
            continue;
        uint8_t *copy = copy_exactly(b.data, size);
        copy[first / 8] ^= (uint8_t)(1 << (first % 8));
        copy[second / 8] ^= (uint8_t)(1 << (second % 8));
        struct record_header h;
        assert_int_equal(record_check((struct bytes){copy, size}, &h), ERR_CORRUPT);
        free(copy);
    }
    assert_int_equal(check_copy(b.data, size), ERR_OK);
    wire_buffer_free(&b);
}

/* One byte false, the CRC right: what the structure alone must tell. */
static void test_false_structure(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        int err;
    } cases[] = {
        {8, 0, ERR_CORRUPT},     /* seq 0 */
        {8, 41, ERR_CORRUPT},    /* prev_seq is not before seq */
        {40, 0, ERR_CORRUPT},    /* parts */
        {40, 4, ERR_CORRUPT},    /* more parts than changes, but not a view */
        {41, 0x80, ERR_CORRUPT}, /* more parts than a record may have */
        {42, 0, ERR_CORRUPT},    /* count */
        {42, 2, ERR_CORRUPT},    {42, 4, ERR_CORRUPT},
        {44, 0, ERR_CORRUPT}, /* format */
        {44, 2, ERR_FOREIGN},    {44, 255, ERR_FOREIGN},
        {45, 1, ERR_CORRUPT},                          /* a view of everything is not a view */
        {45, 2, ERR_CORRUPT},                          /* a result that is not there */
        {45, 4, ERR_CORRUPT},                          /* unknown flag */
        {46, 7, ERR_OK},                               /* the session's request was a txn */
        {47, 1, ERR_CORRUPT},    {48, 0, ERR_CORRUPT}, /* op */
        {48, 2, ERR_CORRUPT},                          /* a delete with a value */
        {48, 4, ERR_CORRUPT},    {49, 1, ERR_CORRUPT},
        {50, 0, ERR_CORRUPT}, /* part */
        {50, 2, ERR_CORRUPT}, /* the next has 2 too */
        {52, 0, ERR_CORRUPT}, /* key size */
        {52, 4, ERR_CORRUPT},    {52, 255, ERR_CORRUPT},
        {54, 1, ERR_CORRUPT},    {56, 0, ERR_CORRUPT}, /* value size */
        {56, 4, ERR_CORRUPT},    {59, 0xff, ERR_CORRUPT},
        {60, 42, ERR_CORRUPT},                         /* prev_seq */
        {67, 1, ERR_CORRUPT},    {68, 0, ERR_CORRUPT}, /* a NUL in the key */
        {68, 0xff, ERR_CORRUPT},                       /* not UTF-8 */
        {76, 1, ERR_CORRUPT},                          /* a put without a value */
        {121, 'x', ERR_OK}, /* the last byte of a key may be anything fit */
    };
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    size_t size = write_sample(&b);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *copy = copy_exactly(b.data, size);
        struct record_header h;
        copy[cases[i].at] = cases[i].value;
        seal(copy, size);
        assert_int_equal(check_copy(copy, size), cases[i].err);
        copy[4] ^= 1; /* peek decides the same without the CRC */
        assert_int_equal(record_check((struct bytes){copy, size}, &h), ERR_CORRUPT);
        assert_int_equal(record_peek((struct bytes){copy, size}, &h), cases[i].err);
        free(copy);
    }
    wire_buffer_free(&b);
}

/* Random damage under a right CRC: whatever passes can be walked. */
static void test_what_passes_can_be_walked(void **state)
{
    (void)state;
    struct sample s = {9};
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    size_t size = write_sample(&b);
    size_t passed = 0;
    for (int round = 0; round < 100000; round++) {
        uint8_t *copy = copy_exactly(b.data, size);
        for (size_t i = 0; i <= sample_below(&s, 3); i++)
            copy[8 + sample_below(&s, size - 8)] = (uint8_t)sample_below(&s, 6);
        seal(copy, size);
        struct record_header h;
        if (record_check((struct bytes){copy, size}, &h) == ERR_OK) {
            struct change c;
            size_t sum = RECORD_HEADER_SIZE;
            uint16_t changes = 0;
            for (struct change_iterator i = record_changes(copy); change_next(&i, &c); changes++)
                sum += CHANGE_HEADER_SIZE + c.key.size + c.value.size;
            assert_int_equal(sum, size);
            assert_int_equal(changes, h.count);
            passed++;
        }
        free(copy);
    }
    assert_true(passed > 1000);
    wire_buffer_free(&b);
}

static size_t write_with_result(struct wire_buffer *b, struct bytes result)
{
    struct record_writer w;
    record_begin(&w, b, 42, 1, 0x11, 0x22);
    record_add(&w,
               &(struct change){.op = CHANGE_PUT, .key = bytes_of("a"), .value = bytes_of("\x01")});
    record_add(&w, &(struct change){.op = CHANGE_DELETE, .prev_seq = 7, .key = bytes_of("b")});
    record_set_request(&w, 7, result);
    return record_end(&w);
}

/* A result is read back, checked in its size, and shown to nobody else. */
static void test_result(void **state)
{
    (void)state;
    struct wire_buffer b;
    struct wire_buffer shown;
    struct record_header h;
    wire_buffer_init(&b, 4096);
    wire_buffer_init(&shown, 4096);
    size_t size = write_with_result(&b, bytes_of("result"));
    assert_int_equal(size, 48 + 20 + 2 + 20 + 1 + 4 + 6);
    assert_int_equal(check_copy(b.data, size), ERR_OK);
    assert_int_equal(record_check((struct bytes){b.data, size}, &h), ERR_OK);
    assert_int_equal(h.flags, RECORD_FLAG_RESULT);
    assert_int_equal(h.request_op, 7);
    assert_true(bytes_equal(record_result(b.data), bytes_of("result")));

    static const struct {
        size_t at;
        uint8_t value;
    } cases[] = {{45, 0}, {45, 1}, {45, 3}, {46, 0},    {24, 0}, {32, 0},
                 {91, 0}, {91, 5}, {91, 7}, {94, 0x80}, {42, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *copy = copy_exactly(b.data, size);
        copy[cases[i].at] = cases[i].value;
        seal(copy, size);
        assert_int_equal(check_copy(copy, size), ERR_CORRUPT);
        free(copy);
    }
    for (size_t cut = RECORD_HEADER_SIZE; cut < size; cut++) {
        uint8_t *copy = copy_exactly(b.data, cut);
        seal(copy, cut);
        assert_int_equal(check_copy(copy, cut), ERR_CORRUPT);
        free(copy);
    }

    assert_int_equal(record_write_shown(&shown, b.data), size - 10);
    assert_int_equal(record_check((struct bytes){shown.data, shown.size}, &h), ERR_OK);
    assert_int_equal(h.flags, 0);
    assert_int_equal(h.request_op, 7);
    assert_int_equal(record_result(shown.data).size, 0);
    wire_buffer_clear(&shown);
    struct filter *f = calloc(1, sizeof *f);
    struct pattern patterns[] = {{PATTERN_PREFIX, {NULL, 0}}, {PATTERN_EXACT, bytes_of("b")}};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(filter_init(f, &patterns[i], 1), ERR_OK);
        wire_buffer_clear(&shown);
        size = record_write_view(&shown, b.data, f);
        assert_int_equal(size, i == 0 ? 48 + 20 + 2 + 20 + 1 : 48 + 20 + 1);
        assert_int_equal(record_check((struct bytes){shown.data, size}, &h), ERR_OK);
        assert_int_equal(h.flags, i == 0 ? 0 : RECORD_FLAG_VIEW);
    }
    free(f);
    wire_buffer_free(&shown);
    wire_buffer_free(&b);
}

static void test_result_size(void **state)
{
    (void)state;
    struct wire_buffer b;
    uint8_t *large = calloc(1, LIMIT_SESSION_RESULT + 1);
    wire_buffer_init(&b, 1 << 20);
    assert_int_equal(write_with_result(&b, (struct bytes){large, LIMIT_SESSION_RESULT}),
                     48 + 43 + 4 + LIMIT_SESSION_RESULT);
    assert_int_equal(check_copy(b.data, b.size), ERR_OK);
    wire_buffer_clear(&b);
    assert_int_equal(write_with_result(&b, (struct bytes){large, LIMIT_SESSION_RESULT + 1}), 0);
    assert_true(b.failed);
    assert_int_equal(b.size, 0);
    free(large);
    wire_buffer_free(&b);
}

static void test_writer_failures(void **state)
{
    (void)state;
    struct record_writer w;
    struct wire_buffer b;
    wire_buffer_init(&b, 4096);
    write_sample(&b);
    size_t size = b.size;
    for (size_t bound = 0; bound < size; bound++) { /* no room at any point */
        struct wire_buffer small;
        wire_buffer_init(&small, bound);
        assert_int_equal(write_sample(&small), 0);
        assert_true(small.failed);
        assert_int_equal(small.size, 0);
        wire_buffer_free(&small);
    }
    record_begin(&w, &b, 1, 1, 0, 0); /* a record has a change at least */
    assert_int_equal(record_end(&w), 0);
    assert_int_equal(b.size, size);
    assert_true(b.failed);
    wire_buffer_free(&b);

    wire_buffer_init(&b, 1 << 20);
    record_begin(&w, &b, 1, 1, 0, 0);
    for (size_t i = 0; i <= LIMIT_RECORD_CHANGES; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%zu", i);
        assert_false(b.failed);
        record_add(&w, &(struct change){.op = CHANGE_DELETE, .key = bytes_of(key)});
    }
    assert_true(b.failed); /* the last was one too many */
    assert_int_equal(record_end(&w), 0);
    wire_buffer_free(&b);
}

static void test_largest_count(void **state)
{
    (void)state;
    struct record_writer w;
    struct record_header h;
    struct wire_buffer b;
    wire_buffer_init(&b, 1 << 20);
    record_begin(&w, &b, 1, 1, 0, 0);
    for (size_t i = 0; i < LIMIT_RECORD_CHANGES; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%zu", i);
        record_add(&w, &(struct change){.op = CHANGE_DELETE, .key = bytes_of(key)});
    }
    size_t size = record_end(&w);
    assert_true(size > 0);
    assert_int_equal(record_check((struct bytes){b.data, size}, &h), ERR_OK);
    assert_int_equal(h.count, LIMIT_RECORD_CHANGES);
    wire_buffer_free(&b);
}

/* ---- views ---- */

enum { RANDOM_CHANGES_MAX = 12 };

struct random_record {
    struct change changes[RANDOM_CHANGES_MAX];
    char keys[RANDOM_CHANGES_MAX][8];
    uint8_t values[RANDOM_CHANGES_MAX][16];
    size_t count;
};

static void draw_record(struct sample *s, struct random_record *r)
{
    r->count = 1 + sample_below(s, RANDOM_CHANGES_MAX);
    for (size_t i = 0; i < r->count; i++) {
        int size = snprintf(r->keys[i], sizeof r->keys[i], "%c/%c%zu",
                            (char)('a' + (int)sample_below(s, 3)),
                            (char)('x' + (int)sample_below(s, 3)), i);
        uint8_t op = (uint8_t)(CHANGE_PUT + sample_below(s, 3));
        size_t value_size = op == CHANGE_PUT ? 1 + sample_below(s, 16) : 0;
        sample_fill(s, r->values[i], value_size);
        r->changes[i] = (struct change){
            .op = op,
            .part = (uint16_t)(i + 1),
            .prev_seq = sample_below(s, 100),
            .key = {(const uint8_t *)r->keys[i], (size_t)size},
            .value = {r->values[i], value_size},
        };
    }
}

static void draw_filter(struct sample *s, struct filter *f)
{
    char texts[4][8];
    struct pattern patterns[4];
    size_t n = 1 + sample_below(s, 4);
    for (size_t i = 0; i < n; i++) {
        bool is_prefix = sample_below(s, 2);
        int size =
            snprintf(texts[i], sizeof texts[i], "%c/%c%zu", (char)('a' + (int)sample_below(s, 3)),
                     (char)('x' + (int)sample_below(s, 3)), sample_below(s, 12));
        size_t kept = is_prefix ? sample_below(s, (size_t)size) : (size_t)size;
        patterns[i] = (struct pattern){is_prefix ? PATTERN_PREFIX : PATTERN_EXACT,
                                       {(const uint8_t *)texts[i], kept}};
    }
    assert_int_equal(filter_init(f, patterns, n), ERR_OK);
}

/* The view holds exactly the changes that match, as they were. */
static void check_view(const struct random_record *r, const uint8_t *view, size_t size,
                       const struct filter *f, const uint8_t *record)
{
    struct record_header h;
    struct record_header original;
    assert_int_equal(record_check((struct bytes){view, size}, &h), ERR_OK);
    assert_int_equal(h.size, size);
    assert_int_equal(record_peek((struct bytes){record, wire_load_u32(record)}, &original), ERR_OK);
    assert_true(h.seq == original.seq && h.time_us == original.time_us &&
                h.session == original.session && h.number == original.number);
    assert_int_equal(h.parts, r->count);
    assert_int_equal(h.flags, h.count == r->count ? 0 : RECORD_FLAG_VIEW);
    struct change_iterator i = record_changes(view);
    struct change c;
    for (size_t k = 0; k < r->count; k++) {
        const struct change *expected = &r->changes[k];
        if (!filter_match(f, expected->key))
            continue;
        assert_true(change_next(&i, &c));
        assert_int_equal(c.op, expected->op);
        assert_int_equal(c.part, expected->part);
        assert_true(c.prev_seq == expected->prev_seq);
        assert_true(bytes_equal(c.key, expected->key));
        assert_true(bytes_equal(c.value, expected->value));
    }
    assert_false(change_next(&i, &c));
}

static void test_views_like_the_naive_model(void **state)
{
    (void)state;
    struct sample s = {10};
    struct filter *f = calloc(1, sizeof *f);
    struct wire_buffer b;
    struct wire_buffer v;
    wire_buffer_init(&b, 1 << 16);
    wire_buffer_init(&v, 1 << 16);
    size_t partial = 0;
    for (int round = 0; round < 20000; round++) {
        struct random_record r;
        struct record_writer w;
        draw_record(&s, &r);
        draw_filter(&s, f);
        wire_buffer_clear(&b);
        record_begin(&w, &b, 1000, (uint64_t)round, 5, 6);
        for (size_t i = 0; i < r.count; i++)
            record_add(&w, &r.changes[i]);
        assert_true(record_end(&w) > 0);

        uint16_t expected = 0;
        for (size_t i = 0; i < r.count; i++)
            expected = (uint16_t)(expected + filter_match(f, r.changes[i].key));
        assert_int_equal(record_match(b.data, f), expected);
        wire_buffer_clear(&v);
        size_t size = record_write_view(&v, b.data, f);
        assert_int_equal(size > 0, expected > 0);
        assert_int_equal(v.size, size);
        if (expected == 0)
            continue;
        check_view(&r, v.data, size, f, b.data);
        if (expected == r.count)
            assert_memory_equal(v.data, b.data, size);
        else
            partial++;
        /* A view of the view by the same filter is the same bytes. */
        uint8_t *first = copy_exactly(v.data, size);
        wire_buffer_clear(&v);
        assert_int_equal(record_write_view(&v, first, f), size);
        assert_memory_equal(v.data, first, size);
        /* No room: nothing is left behind. */
        struct wire_buffer small;
        wire_buffer_init(&small, size - 1);
        assert_int_equal(record_write_view(&small, b.data, f), 0);
        assert_true(small.failed);
        assert_int_equal(small.size, 0);
        wire_buffer_free(&small);
        free(first);
    }
    assert_true(partial > 1000);
    wire_buffer_free(&b);
    wire_buffer_free(&v);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_every_cut_and_what_follows),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_false_structure),
        cmocka_unit_test(test_what_passes_can_be_walked),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_result_size),
        cmocka_unit_test(test_writer_failures),
        cmocka_unit_test(test_largest_count),
        cmocka_unit_test(test_views_like_the_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
