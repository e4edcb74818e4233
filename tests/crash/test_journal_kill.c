/*
 * A process that appends, checkpoints and compacts is killed at any point, again
 * and again. What it has acknowledged is there each time, the chain is whole, and
 * the state agrees with it.
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

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/record.h"
#include "tests/support/journal_fixture.h"
#include "tests/support/sample_bytes.h"

enum { ROUNDS = 30, KEYS = 50, ACKS_MAX = 40, CHECKPOINT_EVERY = 5, KEPT = 1500 };

/* Record n changes key n % KEYS; each 13th is a deletion. All of it follows from n. */
static bool deletes(uint64_t n)
{
    return n % 13 == 0;
}

static struct bytes key_at(uint64_t n)
{
    static char key[16];
    snprintf(key, sizeof key, "key %llu", (unsigned long long)(n % KEYS));
    return bytes_of(key);
}

static struct bytes value_at(uint64_t n)
{
    static uint8_t value[3000 + 3];
    size_t size = n % 97 == 0 ? 3000 : 100 + n % 50; /* some need pages of their own */
    value[0] = 0xc5;                                 /* MessagePack: binary of 16 bits' size */
    value[1] = (uint8_t)(size >> 8);
    value[2] = (uint8_t)size;
    sample_fill(&(struct sample){n}, value + 3, size);
    return (struct bytes){value, size + 3};
}

static struct bytes record_at(struct journal_fixture *f, uint64_t n)
{
    struct bytes value = {NULL, 0};
    if (!deletes(n))
        value = value_at(n);
    return journal_fixture_record(f, n, key_at(n), deletes(n) ? NULL : &value,
                                  n > KEYS ? n - KEYS : 0);
}

/* ---- the process that is killed ---- */

static int put_rows(struct journal_fixture *f, uint64_t from, uint64_t to)
{
    int err = ERR_OK;
    for (uint64_t n = from; err == ERR_OK && n <= to; n++) {
        struct state_row row = {.created = n, .modified = n, .deleted = deletes(n)};
        if (!row.deleted) {
            row.version = 1;
            row.value = value_at(n);
        }
        err = journal_batch_put_row(f->j, key_at(n), &row, &f->failure);
    }
    return err ? err : journal_batch_set_applied(f->j, to, &f->failure);
}

static int run_batch(struct journal_fixture *f, struct sample *random, uint64_t batch)
{
    struct journal_status s = journal_fixture_status(f);
    uint64_t count = 1 + sample_below(random, 100);
    struct journal_retention keep = {.records = KEPT};
    bool more = false;
    bool blocked = false;
    int err = journal_batch_begin(f->j, count * 400, &f->failure);
    for (uint64_t n = s.head + 1; err == ERR_OK && n <= s.head + count; n++)
        err = journal_batch_append(f->j, record_at(f, n), &f->failure);
    if (err == ERR_OK && batch % CHECKPOINT_EVERY == 0)
        err = put_rows(f, s.applied + 1, s.head);
    if (err == ERR_OK)
        err = journal_batch_compact(f->j, 0, &keep, 0, 200, &more, &blocked, &f->failure);
    return err ? err : journal_batch_commit(f->j, &f->failure);
}

static void end_with_failure(const struct journal_fixture *f, const char *where)
{
    fprintf(stderr, "the process to be killed ends by itself: %s: %s\n", where, f->failure.text);
    _exit(1);
}

static void run(struct journal_fixture *f, uint64_t seed, int acks)
{
    struct sample random = {seed};
    if (journal_open(&f->options, &f->j, &f->failure) != ERR_OK)
        end_with_failure(f, "open");
    for (uint64_t batch = 1;; batch++) {
        if (run_batch(f, &random, batch) != ERR_OK)
            end_with_failure(f, "batch");
        uint64_t head = journal_fixture_status(f).head;
        if (write(acks, &head, sizeof head) != sizeof head)
            end_with_failure(f, "pipe");
    }
}

/* ---- the one that kills ---- */

/* Returns the last seq that was acknowledged. */
static uint64_t run_and_kill(struct journal_fixture *f, struct sample *random)
{
    int acks[2];
    uint64_t acknowledged = 0;
    uint64_t seed = sample_u64(random) | 1;
    assert_int_equal(pipe(acks), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(acks[0]);
        run(f, seed, acks[1]);
    }
    close(acks[1]);
    for (size_t n = sample_below(random, ACKS_MAX); n > 0; n--)
        if (read(acks[0], &acknowledged, sizeof acknowledged) != sizeof acknowledged)
            break;
    for (volatile size_t spin = sample_below(random, 500000); spin > 0; spin--)
        continue; /* somewhere within the next batch */
    kill(pid, SIGKILL);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); /* it did not end by itself, with an error */
    while (read(acks[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged)
        continue; /* what it said before it died counts too */
    close(acks[0]);
    return acknowledged;
}

static void check(struct journal_fixture *f, uint64_t acknowledged)
{
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes record;
    uint64_t seq = 0;
    journal_fixture_verify(f, 0);
    journal_fixture_open(f);
    struct journal_status s = journal_fixture_status(f);
    assert_true(s.head >= acknowledged);
    assert_true(s.epoch == f->options.epoch);
    assert_false(s.new_epoch);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_ok(journal_reader_seek(r, view.oldest, &f->failure), f);
    for (uint64_t n = view.oldest; n <= view.head; n++) {
        assert_ok(journal_reader_next(r, &seq, &record, &f->failure), f);
        assert_true(bytes_equal(record, record_at(f, n)));
    }
    journal_reader_close(r);
    journal_fixture_close(f);
}

static void kill_again_and_again(struct journal_fixture *f, enum journal_durability durability)
{
    struct sample random = {durability * 1000 + 7};
    uint64_t acknowledged = 0;
    f->options.durability = durability;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t now = run_and_kill(f, &random);
        if (now > acknowledged)
            acknowledged = now;
        if (round == 0 && acknowledged == 0) { /* killed before there was anything */
            journal_fixture_open(f);
            journal_fixture_close(f);
        }
        check(f, acknowledged);
    }
    assert_true(acknowledged > KEPT); /* it got as far as compaction */
}

static void test_power(void **state)
{
    kill_again_and_again(*state, JOURNAL_POWER);
}

static void test_process(void **state)
{
    kill_again_and_again(*state, JOURNAL_PROCESS);
}

#define TEST(function) \
    cmocka_unit_test_setup_teardown(function, journal_fixture_setup, journal_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_power),
        TEST(test_process),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
