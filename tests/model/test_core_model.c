/*
 * A million random requests to the core and to the simplest thing that does the
 * same (core_reference.h), compared reply by reply, record by record, message by
 * message; with aborted batches, checkpoints in slices, restarts, compaction,
 * leases that end, and watchers behind a stream that loses messages.
 *
 * ctest: TIMEOUT=240
 */
#include "tests/support/core_watchers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* The whole of it in the release suite; a sanitizer takes ten times as long for each. */
#ifdef __SANITIZE_ADDRESS__
enum { REQUESTS = 400000 };
#else
enum { REQUESTS = 1000000 };
#endif

struct model {
    struct core_fixture f;
    struct reference ref;
    struct watchers watchers;
    struct sample random;
    uint64_t requests, batches, aborts, restarts, checkpoints, silences;
};

static void model_open(struct model *m, uint64_t seed)
{
    /* Small, so that there is always a checkpoint under way. */
    static const struct core_limits limits = {
        .checkpoint_keys = 20, .checkpoint_bytes = 30000, .checkpoint_records = 200};
    *m = (struct model){.random = {seed}};
    core_fixture_open(&m->f, seed + 1, &limits);
    reference_open(&m->ref, seed + 2);
    watchers_open(&m->watchers, &m->ref, &m->f, seed + 3);
}

static void model_close(struct model *m)
{
    watchers_close(&m->watchers);
    reference_close(&m->ref);
    core_fixture_close(&m->f);
}

static void fill_batch(struct model *m, bool check_all_keys)
{
    size_t messages = 1 + sample_below(&m->random, 6);
    for (size_t i = 0; i < messages; i++) {
        size_t peer = sample_below(&m->random, REF_PEERS);
        if (check_all_keys)
            reference_message_all_keys(&m->ref, &m->f, peer);
        else
            reference_message(&m->ref, &m->f, peer);
        core_fixture_send(&m->f, ref_peer_name(peer));
    }
    watchers_send_opens(&m->watchers);
    if (sample_below(&m->random, 2))
        core_fixture_slice(&m->f, 1 + (uint32_t)sample_below(&m->random, 8));
}

/* What the fixture took into its journal is what the reference knows. */
static void check_records(const struct model *m, uint64_t from)
{
    assert_int_equal(core_fixture_head(&m->f), m->ref.head);
    for (uint64_t seq = from; seq <= m->ref.head; seq++)
        ref_check_view(&m->ref, UINT64_MAX, seq, core_fixture_record(&m->f, seq));
}

static void run_batch(struct model *m, bool check_all_keys)
{
    static const int codes[] = {ERR_NO_SPACE, ERR_IO};
    uint64_t head = m->ref.head;
    uint64_t applied = m->f.applied;
    reference_begin(&m->ref);
    core_fixture_begin(&m->f);
    assert_int_equal(core_expire(m->f.core), ERR_OK);
    reference_take_ends(&m->ref, &m->f);
    fill_batch(m, check_all_keys);
    m->requests += m->ref.expected_count;
    m->batches++;
    assert_int_equal(core_batch_record_count(m->f.core), m->ref.last - head);
    int code = sample_below(&m->random, 15) ? ERR_OK : codes[sample_below(&m->random, 2)];
    if (code) {
        core_fixture_abort(&m->f, code, NULL);
        reference_abort(&m->ref);
        m->aborts++;
    } else {
        core_fixture_commit(&m->f);
        reference_commit(&m->ref);
        check_records(m, head + 1);
    }
    reference_check_replies(&m->ref, &m->f, code);
    watchers_take_opens(&m->watchers, code == ERR_OK);
    assert_true(core_compact_target(m->f.core) == m->ref.compact_target);
    m->checkpoints += m->f.applied != applied;
}

/* Now and then oldest moves, as far as the checkpoint allows. */
static void compact(struct model *m)
{
    uint64_t target = m->ref.compact_target;
    if (target == 0 || sample_below(&m->random, 50) > 0)
        return;
    if (target > m->f.applied + 1)
        target = m->f.applied + 1;
    if (target > m->ref.head)
        target = m->ref.head;
    if (target <= m->f.oldest)
        return;
    core_fixture_compact(&m->f, target);
    if (m->ref.compact_target <= target)
        m->ref.compact_target = 0;
    assert_true(core_compact_target(m->f.core) == m->ref.compact_target);
}

static void tick(struct model *m, uint64_t ms)
{
    (void)core_fixture_tick(&m->f, ms);
    watchers_take_emitted(&m->watchers); /* the bookmarks go out before streams are dropped */
    reference_tick(&m->ref, m->f.now_ms);
    watchers_check_streams(&m->watchers);
}

static void turn(struct model *m)
{
    run_batch(m, false);
    watchers_take_emitted(&m->watchers);
    watchers_check_streams(&m->watchers);
    uint64_t ms = sample_below(&m->random, 60);
    if (sample_below(&m->random, 400) == 0) {
        ms = LEASE_MS - 100 + sample_below(&m->random, 200);
        m->silences++;
    }
    if (sample_below(&m->random, 4) > 0)
        tick(m, ms);
    watchers_work(&m->watchers, false);
    compact(m);
    if (sample_below(&m->random, 200) == 0)
        core_checkpoint_start(m->f.core);
    if (sample_below(&m->random, 1000) == 0) {
        core_fixture_restart(&m->f);
        reference_restart(&m->ref);
        run_batch(m, true);
        m->restarts++;
    }
}

/* Nothing is lost any more: every watcher reaches the head. */
static void settle(struct model *m)
{
    m->watchers.lossless = true;
    for (unsigned i = 0; i < 200; i++) {
        bool all_open = true;
        for (size_t w = 0; w < WATCHERS; w++)
            all_open = all_open && m->watchers.all[w].is_open;
        if (!all_open)
            run_batch(m, false);
        watchers_take_emitted(&m->watchers);
        tick(m, BOOKMARK_TICK_MS);
        watchers_work(&m->watchers, true);
    }
    for (size_t w = 0; w < WATCHERS; w++) {
        assert_true(m->watchers.all[w].is_open);
        assert_int_equal(m->watchers.all[w].position, m->ref.head);
    }
}

static void report(const struct model *m, uint64_t seed)
{
    uint64_t records = 0, replays = 0, losses = 0, reopens = 0, compacted = 0;
    for (size_t w = 0; w < WATCHERS; w++) {
        records += m->watchers.all[w].records;
        replays += m->watchers.all[w].replays;
        losses += m->watchers.all[w].losses;
        reopens += m->watchers.all[w].reopens;
        compacted += m->watchers.all[w].compacted;
    }
    print_message(
        "seed %llu: %llu requests, %llu batches, %llu aborted, %llu records, "
        "%llu restarts, %llu checkpoints, %llu silences; watchers: %llu records, "
        "%llu messages lost, %llu replays, %llu reopens, %llu compacted\n",
        (unsigned long long)seed, (unsigned long long)m->requests, (unsigned long long)m->batches,
        (unsigned long long)m->aborts, (unsigned long long)m->ref.head,
        (unsigned long long)m->restarts, (unsigned long long)m->checkpoints,
        (unsigned long long)m->silences, (unsigned long long)records, (unsigned long long)losses,
        (unsigned long long)replays, (unsigned long long)reopens, (unsigned long long)compacted);
    /* A model that never meets the rare cases would prove nothing. */
    assert_true(m->aborts > 100 && m->restarts > 10 && m->checkpoints > 100);
    assert_true(m->ref.txn_results[TXN_KEYS] > 100);
    for (unsigned op = TXN_APPEND; op <= TXN_PUSH; op++)
        assert_true(m->ref.txn_results[op] > 100);
    assert_true(m->ref.prefix_compares[0] > 1000 && m->ref.prefix_compares[1] > 1000);
    assert_true(m->ref.txn_results[TXN_PUT_TTL] > 100 && m->ref.expired > 100);
    assert_true(losses > 100 && replays > 100 && reopens > 10 && compacted > 0);
}

static void test_model(void **state)
{
    static const uint64_t seeds[] = {20240607, 4711};
    (void)state;
    struct model *m = malloc(sizeof *m);
    for (size_t i = 0; i < 2; i++) {
        print_message("seed %llu\n", (unsigned long long)seeds[i]);
        model_open(m, seeds[i]);
        while (m->requests < REQUESTS / 2)
            turn(m);
        settle(m);
        report(m, seeds[i]);
        model_close(m);
    }
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
