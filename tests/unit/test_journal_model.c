/*
 * Random batches, checkpoints, compactions, aborts and restarts, on a journal and
 * on a plain model of it beside; after each step both have to agree in all that
 * can be seen.
 *
 * ctest: TIMEOUT=120
 */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>

#include "protocol/record.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

enum { STEPS = 1500, KEYS = 40, RECORDS_MAX = STEPS * 12, CHANGES_MAX = 4, VALUE_MAX = 6000 };

/* What a key is, or was at a checkpoint; modified 0: nothing was ever stored. */
struct model_row {
    uint64_t created;
    uint64_t modified;
    uint64_t version;
    bool deleted;
    uint16_t value_size;
};

/* Plain values only: a batch works on a copy. */
struct model {
    uint64_t head;
    uint64_t oldest;
    uint64_t trimmed;
    uint64_t applied;
    uint64_t bytes;
    struct model_row now[KEYS];
    struct model_row stored[KEYS];
    bool tombstone[KEYS]; /* of stored[], not yet passed */
    /* A checkpoint under way. */
    struct model_row frozen[KEYS];
    uint64_t freeze_at; /* 0: none */
    size_t written;
};

struct run {
    struct journal_fixture *f;
    struct sample random;
    struct model model;
    struct bytes records[RECORDS_MAX + 1]; /* by seq; the bytes are ours */
    uint8_t values[VALUE_MAX];
};

static struct bytes key_of(size_t k)
{
    static char key[16];
    snprintf(key, sizeof key, k % 3 ? "k/%zu" : "%zu", k);
    return bytes_of(key);
}

/* A value is a piece of the same random bytes; its start tells values of one size apart. */
static struct bytes value_of(const struct run *run, const struct model_row *row)
{
    size_t start = row->modified % 97;
    return (struct bytes){run->values + start, row->value_size};
}

static struct state_row state_row_of(const struct run *run, const struct model_row *row)
{
    struct state_row state = {.created = row->created,
                              .modified = row->modified,
                              .version = row->version,
                              .deleted = row->deleted};
    if (!row->deleted)
        state.value = value_of(run, row);
    return state;
}

/* ---- appending ---- */

static void change_key(struct run *run, struct model *m, size_t k, struct record_writer *w)
{
    struct model_row *row = &m->now[k];
    struct change c = {.op = CHANGE_PUT, .prev_seq = row->modified, .key = key_of(k)};
    bool lives = row->modified != 0 && !row->deleted;
    if (lives && sample_below(&run->random, 3) == 0)
        c.op = CHANGE_DELETE;
    if (!lives)
        row->created = m->head + 1;
    row->modified = m->head + 1;
    row->deleted = c.op == CHANGE_DELETE;
    row->version = row->deleted ? 0 : row->version + 1;
    if (c.op == CHANGE_PUT) {
        bool large = sample_below(&run->random, 20) == 0;
        row->value_size = (uint16_t)(1 + sample_below(&run->random, large ? 5000 : 100));
        c.value = value_of(run, row);
    }
    record_add(w, &c);
}

static void append_record(struct run *run, struct model *m)
{
    struct record_writer w;
    uint64_t seq = m->head + 1;
    size_t changes = 1 + sample_below(&run->random, CHANGES_MAX);
    size_t first = sample_below(&run->random, KEYS);
    wire_buffer_clear(&run->f->buffer);
    record_begin(&w, &run->f->buffer, seq, seq * 1000, 0, 0);
    for (size_t i = 0; i < changes; i++)
        change_key(run, m, (first + i * 7) % KEYS, &w);
    size_t size = record_end(&w);
    assert_true(size > 0 && seq <= RECORDS_MAX);
    free((void *)(uintptr_t)run->records[seq].data); /* of a batch that was aborted */
    run->records[seq] = (struct bytes){copy_exactly(run->f->buffer.data, size), size};
    assert_ok(journal_batch_append(run->f->j, run->records[seq], &run->f->failure), run->f);
    m->head = seq;
    m->bytes += size;
}

/* ---- checkpoints ---- */

static void put(struct run *run, struct model *m, size_t k, const struct model_row *row)
{
    struct state_row state = state_row_of(run, row);
    assert_ok(journal_batch_put_row(run->f->j, key_of(k), &state, &run->f->failure), run->f);
    if (m->stored[k].modified >= row->modified)
        return;
    m->stored[k] = *row;
    m->tombstone[k] = row->deleted;
}

static void checkpoint_slice(struct run *run, struct model *m)
{
    if (m->freeze_at == 0) {
        memcpy(m->frozen, m->now, sizeof m->frozen);
        m->freeze_at = m->head;
        m->written = 0;
    }
    size_t rows = sample_below(&run->random, KEYS);
    for (; rows > 0 && m->written < KEYS; rows--, m->written++)
        if (m->frozen[m->written].modified > m->applied)
            put(run, m, m->written, &m->frozen[m->written]);
    if (m->written == KEYS) {
        assert_ok(journal_batch_set_applied(run->f->j, m->freeze_at, &run->f->failure), run->f);
        m->applied = m->freeze_at;
        m->freeze_at = 0;
    }
}

/* ---- compaction ---- */

static bool retention_drops(const struct run *run, const struct model *m,
                            const struct journal_retention *keep, uint64_t now_us)
{
    return (keep->records && m->head - m->oldest + 1 > keep->records) ||
           (keep->bytes && m->bytes - run->records[m->oldest].size >= keep->bytes) ||
           (keep->age_us && m->oldest * 1000 + keep->age_us < now_us);
}

static void model_trim(struct run *run, struct model *m, const struct journal_retention *keep,
                       uint64_t now_us, uint32_t left, bool *more, bool *blocked)
{
    uint64_t limit = m->applied + 1 < m->head ? m->applied + 1 : m->head;
    for (;; left--) {
        bool wanted = m->trimmed < m->oldest;
        if (!wanted && m->trimmed < m->head && retention_drops(run, m, keep, now_us)) {
            wanted = m->oldest < limit;
            *blocked = *blocked || !wanted;
        }
        *more = *more || (wanted && left == 0);
        if (!wanted || left == 0)
            return;
        m->bytes -= run->records[m->trimmed].size;
        m->trimmed++;
        if (m->oldest < m->trimmed)
            m->oldest = m->trimmed;
    }
}

static void compact(struct run *run, struct model *m)
{
    struct journal_retention keep = {0};
    uint64_t target = 0;
    uint64_t now_us = m->head * 1000;
    uint32_t records_max = 1 + (uint32_t)sample_below(&run->random, 60);
    bool more = false;
    bool blocked = false;
    bool model_more = false;
    switch (sample_below(&run->random, 5)) {
    case 0:
        target = m->oldest + sample_below(&run->random, 200);
        break;
    case 1:
        keep.records = 1 + sample_below(&run->random, 500);
        break;
    case 2:
        keep.bytes = 1 + sample_below(&run->random, 100000);
        break;
    case 3:
        keep.age_us = 1 + sample_below(&run->random, 500000);
        break;
    default:
        break;
    }
    assert_ok(journal_batch_compact(run->f->j, target, &keep, now_us, records_max, &more, &blocked,
                                    &run->f->failure),
              run->f);
    if (m->head == 0)
        return;
    uint64_t limit = m->applied + 1 < m->head ? m->applied + 1 : m->head;
    uint64_t wanted = target < m->head ? target : m->head;
    bool model_blocked = wanted > limit;
    if (wanted > limit)
        wanted = limit;
    if (wanted > m->oldest)
        m->oldest = wanted;
    model_trim(run, m, &keep, now_us, records_max, &model_more, &model_blocked);
    assert_int_equal(blocked, model_blocked);
    assert_true(more || !model_more);
    /* There are fewer deleted keys than records_max allows only if it allows that many. */
    for (size_t k = 0; k < KEYS; k++)
        if (!more && m->tombstone[k] && m->stored[k].modified < m->oldest) {
            m->stored[k] = (struct model_row){0};
            m->tombstone[k] = false;
        }
}

/* ---- comparing ---- */

static void compare_rows(struct run *run, struct journal_reader *r)
{
    struct journal_fixture *f = run->f;
    struct model *m = &run->model;
    struct bytes none = {NULL, 0};
    struct bytes key;
    struct state_row row;
    bool seen[KEYS] = {false};
    assert_ok(journal_reader_rows(r, none, none, &f->failure), f);
    int err = journal_reader_next_row(r, &key, &row, &f->failure);
    for (; err == ERR_OK; err = journal_reader_next_row(r, &key, &row, &f->failure)) {
        size_t k = 0;
        while (k < KEYS && !bytes_equal(key, key_of(k)))
            k++;
        assert_true(k < KEYS);
        struct state_row expected = state_row_of(run, &m->stored[k]);
        assert_int_equal(row.created, expected.created);
        assert_int_equal(row.modified, expected.modified);
        assert_int_equal(row.version, expected.version);
        assert_int_equal(row.deleted, expected.deleted);
        assert_true(bytes_equal(row.value, expected.value));
        seen[k] = true;
    }
    assert_int_equal(err, ERR_NOT_FOUND);
    for (size_t k = 0; k < KEYS; k++) {
        if (seen[k])
            continue;
        /* Steps may have removed some of the tombstones that oldest has passed. */
        assert_true(m->stored[k].modified == 0 ||
                    (m->tombstone[k] && m->stored[k].modified < m->oldest));
        m->stored[k] = (struct model_row){0};
        m->tombstone[k] = false;
    }
}

static void compare(struct run *run, struct journal_reader *r)
{
    struct journal_fixture *f = run->f;
    const struct model *m = &run->model;
    struct journal_status s = journal_fixture_status(f);
    struct journal_view view;
    struct bytes record;
    uint64_t seq = 0;
    assert_int_equal(s.head, m->head);
    assert_int_equal(s.oldest, m->oldest);
    assert_int_equal(s.applied, m->applied);
    assert_int_equal(s.records_bytes, m->bytes);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_int_equal(view.head, m->head);
    assert_int_equal(view.oldest, m->oldest);
    assert_int_equal(view.applied, m->applied);
    assert_ok(journal_reader_seek(r, view.oldest, &f->failure), f);
    for (uint64_t n = m->oldest; n <= m->head; n++) {
        assert_ok(journal_reader_next(r, &seq, &record, &f->failure), f);
        assert_true(bytes_equal(record, run->records[n]));
    }
    assert_int_equal(journal_reader_next(r, &seq, &record, &f->failure), ERR_NOT_FOUND);
    compare_rows(run, r);
    journal_reader_end(r);
}

static void step(struct run *run)
{
    struct journal_fixture *f = run->f;
    struct model next = run->model;
    size_t records = sample_below(&run->random, 12);
    assert_ok(
        journal_batch_begin(f->j, sample_below(&run->random, 2) ? records * 300 : 0, &f->failure),
        f);
    if (sample_below(&run->random, 8) == 0)
        compact(run, &next);
    for (size_t i = 0; i < records; i++)
        append_record(run, &next);
    if (sample_below(&run->random, 3) == 0)
        checkpoint_slice(run, &next);
    if (sample_below(&run->random, 4) == 0)
        compact(run, &next);
    if (sample_below(&run->random, 10) == 0) {
        journal_batch_abort(f->j);
        /* Records beyond head stay allocated; the next append of their seq replaces them. */
        return;
    }
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
    run->model = next;
}

static void run_model(struct journal_fixture *f, uint64_t seed)
{
    struct run *run = calloc(1, sizeof *run);
    struct journal_reader *r = NULL;
    assert_non_null(run);
    run->f = f;
    run->random = (struct sample){seed};
    run->model.oldest = 1;
    run->model.trimmed = 1;
    sample_fill(&run->random, run->values, sizeof run->values);
    journal_fixture_open(f);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    for (int i = 0; i < STEPS; i++) {
        step(run);
        if (sample_below(&run->random, 5) == 0)
            compare(run, r);
        if (sample_below(&run->random, 50) == 0) {
            journal_reader_close(r);
            if (sample_below(&run->random, 4) == 0)
                journal_fixture_verify(f, 0);
            journal_fixture_close(f);
            journal_fixture_open(f);
            assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
            run->model.freeze_at = 0; /* a checkpoint under way is forgotten */
            compare(run, r);
        }
    }
    journal_reader_close(r);
    journal_fixture_verify(f, 0);
    assert_true(run->model.oldest > 1 && run->model.applied > 1);
    for (size_t i = 0; i <= RECORDS_MAX; i++)
        free((void *)(uintptr_t)run->records[i].data);
    free(run);
}

static void test_one_seed(void **state)
{
    run_model(*state, 1);
}

static void test_another_seed(void **state)
{
    struct journal_fixture *f = *state;
    f->options.durability = JOURNAL_PROCESS;
    run_model(f, 0x5eed);
}

#define TEST(function) \
    cmocka_unit_test_setup_teardown(function, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_seed),
        TEST(test_another_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
