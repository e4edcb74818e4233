/* test_client_value_memory.c - the bounded memory of previous values, beside a model of it, and what
 * is read out of a reply about a previous value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/before_answer.h"
#include "client/value_memory.h"
#include "protocol/errors.h"
#include "protocol/record.h"

#include <stdio.h>
#include <string.h>

static struct bytes text(const char *s)
{
    return (struct bytes){(const uint8_t *)s, strlen(s)};
}

static void assert_holds(const struct value_memory *m, const char *key, uint64_t seq,
                         const char *value)
{
    const struct remembered *r = value_memory_find(m, text(key), seq);
    assert_non_null(r);
    assert_int_equal(r->present, value != NULL);
    if (value)
        assert_true(bytes_equal(remembered_value(r), text(value)));
}

/* ---- the memory ---- */

static void it_answers_for_the_last_change_alone(void **state)
{
    (void)state;
    struct value_memory m;
    value_memory_init(&m, 4096);
    assert_null(value_memory_find(&m, text("a"), 1));
    value_memory_put(&m, text("a"), 1, true, text("one"));
    assert_holds(&m, "a", 1, "one");
    value_memory_put(&m, text("a"), 5, true, text("five"));
    assert_null(value_memory_find(&m, text("a"), 1));
    assert_null(value_memory_find(&m, text("a"), 6));
    assert_null(value_memory_find(&m, text("b"), 5));
    assert_holds(&m, "a", 5, "five");
    value_memory_put(&m, text("a"), 6, false, text("ignored"));
    assert_holds(&m, "a", 6, NULL);
    assert_int_equal(m.count, 1);
    value_memory_clear(&m);
    assert_null(value_memory_find(&m, text("a"), 6));
    assert_int_equal(m.bytes, 0);
}

static void what_was_not_changed_for_longest_goes_first(void **state)
{
    (void)state;
    struct value_memory m;
    value_memory_init(&m, 4096);
    value_memory_put(&m, text("a"), 1, true, text("v"));
    size_t each = m.bytes;
    value_memory_clear(&m);
    value_memory_init(&m, each * 3);
    value_memory_put(&m, text("a"), 1, true, text("v"));
    value_memory_put(&m, text("b"), 2, true, text("v"));
    value_memory_put(&m, text("c"), 3, true, text("v"));
    value_memory_put(&m, text("a"), 4, true, text("w"));
    value_memory_put(&m, text("d"), 5, true, text("v"));
    assert_int_equal(m.count, 3);
    assert_null(value_memory_find(&m, text("b"), 2));
    assert_holds(&m, "c", 3, "v");
    assert_holds(&m, "a", 4, "w");
    assert_holds(&m, "d", 5, "v");
    value_memory_clear(&m);
}

/* A key whose new value has no room is forgotten; the others stay. */
static void what_is_too_large_is_not_kept(void **state)
{
    (void)state;
    static uint8_t large[5000];
    struct value_memory m;
    value_memory_init(&m, 4096);
    value_memory_put(&m, text("a"), 1, true, text("v"));
    value_memory_put(&m, text("b"), 2, true, text("v"));
    value_memory_put(&m, text("a"), 3, true, (struct bytes){large, sizeof large});
    assert_null(value_memory_find(&m, text("a"), 1));
    assert_null(value_memory_find(&m, text("a"), 3));
    assert_holds(&m, "b", 2, "v");
    value_memory_clear(&m);
    value_memory_init(&m, 1);
    value_memory_put(&m, text("a"), 1, true, text("v"));
    assert_int_equal(m.count, 0);
    value_memory_clear(&m);
}

enum { MODEL_KEYS = 300, MODEL_STEPS = 100000, MODEL_BOUND = 30000, MODEL_VALUE_MAX = 2000 };

struct model_entry {
    uint64_t seq;
    bool present;
    size_t size;
};

static void model_key(unsigned key, char name[16])
{
    snprintf(name, 16, "key/%u", key);
}

/* The value of the change at seq. */
static uint8_t model_byte(uint64_t seq)
{
    return (uint8_t)(seq * 7);
}

/* What is held is right, and is what was changed last. */
static void check_model(const struct value_memory *m, const struct model_entry *model)
{
    uint64_t oldest_held = UINT64_MAX;
    uint64_t newest_gone = 0;
    size_t held = 0;
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        char name[16];
        model_key(k, name);
        const struct remembered *r = value_memory_find(m, text(name), model[k].seq);
        if (!r) {
            newest_gone = model[k].seq > newest_gone ? model[k].seq : newest_gone;
            continue;
        }
        held++;
        oldest_held = model[k].seq < oldest_held ? model[k].seq : oldest_held;
        assert_int_equal(r->present, model[k].present);
        assert_int_equal(r->value_size, model[k].size);
        for (size_t i = 0; i < r->value_size; i++)
            assert_int_equal(remembered_value(r).data[i], model_byte(model[k].seq));
    }
    assert_int_equal(held, m->count);
    assert_true(newest_gone < oldest_held);
    assert_true(m->bytes <= MODEL_BOUND);
}

/* Random sizes, among them much larger and much smaller ones than before for the same key. */
static void it_is_what_a_model_says(void **state)
{
    (void)state;
    static struct model_entry model[MODEL_KEYS];
    uint8_t value[MODEL_VALUE_MAX];
    struct value_memory m;
    uint32_t random = 1;
    value_memory_init(&m, MODEL_BOUND);
    for (uint64_t seq = 1; seq <= MODEL_STEPS; seq++) {
        char name[16];
        random = random * 1103515245u + 12345u;
        unsigned key = (random >> 8) % MODEL_KEYS;
        bool present = (random >> 20) % 5 != 0;
        size_t size = (random >> 16) % ((random >> 28) == 0 ? MODEL_VALUE_MAX : 60);
        model_key(key, name);
        memset(value, model_byte(seq), size);
        value_memory_put(&m, text(name), seq, present, (struct bytes){value, size});
        model[key] = (struct model_entry){seq, present, present ? size : 0};
        if (seq % 100 == 0)
            check_model(&m, model);
    }
    assert_true(m.count > 10);
    assert_true(m.count < MODEL_KEYS);
    value_memory_clear(&m);
}

/* ---- answers ---- */

static void what_needs_no_looking(void **state)
{
    (void)state;
    assert_int_equal(before_without_looking(0, 0), VIGIL_BEFORE_ABSENT);
    assert_int_equal(before_without_looking(0, 9), VIGIL_BEFORE_ABSENT);
    assert_int_equal(before_without_looking(8, 9), VIGIL_BEFORE_UNKNOWN);
    assert_int_equal(before_without_looking(9, 9), VIGIL_BEFORE_NOT_ASKED);
    assert_int_equal(before_without_looking(1, 0), VIGIL_BEFORE_NOT_ASKED);
}

struct page {
    struct wire_buffer buffer;
    struct reply_header header;
    uint8_t end;
    uint64_t next_seq;
    uint32_t count;
};

/* A reply with one record at seq, which does op to key; op 0: without a record. */
static void make_page(struct page *p, uint64_t seq, uint8_t op, const char *key)
{
    struct wire_buffer record;
    wire_buffer_init(&record, 4096);
    if (op != 0) {
        struct record_writer w;
        struct change c = {.op = op, .prev_seq = 1, .key = text(key)};
        if (op == CHANGE_PUT)
            c.value = (struct bytes){(const uint8_t *)"\xa3new", 4};
        record_begin(&w, &record, seq, 0, 0, 0);
        record_add(&w, &c);
        assert_true(record_end(&w) > 0);
    }
    *p = (struct page){.header = {.op = OP_HISTORY}};
    wire_buffer_init(&p->buffer, 8192);
    struct reply_history body = {.end = op ? HISTORY_MORE : HISTORY_COMPACTED,
                                 .next_seq = op ? 1 : seq,
                                 .count = op ? 1 : 0,
                                 .records = {record.data, record.size}};
    reply_history_write(&p->buffer, &body);
    assert_false(p->buffer.failed);
    wire_buffer_free(&record);
}

/* Frees the page. */
static int answer(struct page *p, const char *key, uint64_t prev_seq, enum vigil_before *ret)
{
    struct before_answer found = {.before = VIGIL_BEFORE_NOT_ASKED};
    int err = before_read_answer(&p->header, wire_reader_of(p->buffer.data, p->buffer.size),
                                 text(key), prev_seq, &found);
    if (err == ERR_OK && found.before == VIGIL_BEFORE_VALUE)
        assert_true(bytes_equal(found.value, (struct bytes){(const uint8_t *)"\xa3new", 4}));
    *ret = found.before;
    wire_buffer_free(&p->buffer);
    return err;
}

static void an_answer_is_the_change_asked_for(void **state)
{
    (void)state;
    struct page p;
    enum vigil_before before;
    make_page(&p, 7, CHANGE_PUT, "a");
    assert_int_equal(answer(&p, "a", 7, &before), ERR_OK);
    assert_int_equal(before, VIGIL_BEFORE_VALUE);
    make_page(&p, 7, CHANGE_DELETE, "a");
    assert_int_equal(answer(&p, "a", 7, &before), ERR_OK);
    assert_int_equal(before, VIGIL_BEFORE_ABSENT);
    make_page(&p, 7, CHANGE_EXPIRE, "a");
    assert_int_equal(answer(&p, "a", 7, &before), ERR_OK);
    assert_int_equal(before, VIGIL_BEFORE_ABSENT);
    make_page(&p, 7, 0, NULL);
    assert_int_equal(answer(&p, "a", 7, &before), ERR_OK);
    assert_int_equal(before, VIGIL_BEFORE_UNKNOWN);
}

static void anything_else_is_no_answer(void **state)
{
    (void)state;
    struct page p;
    enum vigil_before before;
    make_page(&p, 7, CHANGE_PUT, "a");
    assert_int_equal(answer(&p, "a", 6, &before), ERR_CORRUPT); /* another record */
    make_page(&p, 7, CHANGE_PUT, "a");
    assert_int_equal(answer(&p, "b", 7, &before), ERR_CORRUPT); /* another key */
    make_page(&p, 7, 0, NULL);
    assert_int_equal(answer(&p, "a", 8, &before), ERR_CORRUPT); /* another one was compacted */
    make_page(&p, 7, CHANGE_PUT, "a");
    p.buffer.data[p.buffer.size - 1] ^= 1; /* within the value: the CRC tells */
    assert_int_equal(answer(&p, "a", 7, &before), ERR_CORRUPT);
    make_page(&p, 7, CHANGE_PUT, "a");
    p.header.op = OP_REPLAY;
    assert_int_equal(answer(&p, "a", 7, &before), ERR_CORRUPT);
    assert_int_equal(before, VIGIL_BEFORE_NOT_ASKED);
}

static void a_status_is_what_it_says(void **state)
{
    (void)state;
    const struct {
        uint16_t status;
        int err;
    } cases[] = {{ERR_COMPACTED, ERR_OK},
                 {ERR_INVALID, ERR_CORRUPT}, /* the record does not change the key */
                 {ERR_CORRUPT, ERR_CORRUPT},
                 {ERR_EPOCH_CHANGED, ERR_EPOCH_CHANGED},
                 {ERR_NO_MEMORY, ERR_NO_MEMORY}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct page p;
        enum vigil_before before;
        make_page(&p, 7, CHANGE_PUT, "a");
        p.header.status = cases[i].status;
        assert_int_equal(answer(&p, "a", 7, &before), cases[i].err);
        assert_int_equal(before, cases[i].err ? VIGIL_BEFORE_NOT_ASKED : VIGIL_BEFORE_UNKNOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_for_the_last_change_alone),
        cmocka_unit_test(what_was_not_changed_for_longest_goes_first),
        cmocka_unit_test(what_is_too_large_is_not_kept),
        cmocka_unit_test(it_is_what_a_model_says),
        cmocka_unit_test(what_needs_no_looking),
        cmocka_unit_test(an_answer_is_the_change_asked_for),
        cmocka_unit_test(anything_else_is_no_answer),
        cmocka_unit_test(a_status_is_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
