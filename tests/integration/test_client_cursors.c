/*
 * test_client_cursors.c - named cursors of libvigil on a real server: going on from another
 * connection, what is not acknowledged comes again, taken over, deleted, over kills of the server.
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
#include <string.h>

enum { PATIENCE_MS = 30000 };

static struct client_fixture f;

static int set_up(void **state)
{
    (void)state;
    client_fixture_open(&f, TEST_VIGILD, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

static int try_watch(vigil *v, const char *cursor, const char *pattern, enum vigil_since since,
                     vigil_watch **ret_watch)
{
    vigil_watch_options options = {
        .patterns = &pattern, .pattern_count = pattern ? 1 : 0, .since = since, .cursor = cursor};
    return vigil_watch_open(v, &options, ret_watch);
}

static vigil_watch *watch(vigil *v, const char *cursor, const char *pattern, enum vigil_since since)
{
    vigil_watch *w = NULL;
    if (try_watch(v, cursor, pattern, since, &w) != VIGIL_OK)
        fail_msg("watch: %s", vigil_failure_text(v));
    return w;
}

/* The next record is this one. */
static void expect_record(vigil *v, vigil_watch *w, uint64_t seq)
{
    const vigil_event *event = NULL;
    int err = vigil_watch_next(w, PATIENCE_MS, &event);
    if (err)
        fail_msg("next: %s", vigil_failure_text(v));
    assert_int_equal(event->record.seq, seq);
}

static void expect_acknowledged(vigil *v, vigil_watch *w)
{
    if (vigil_watch_acknowledge(w, PATIENCE_MS) != VIGIL_OK)
        fail_msg("acknowledge: %s", vigil_failure_text(v));
}

static void expect_nothing(vigil_watch *w)
{
    const vigil_event *event = NULL;
    assert_int_equal(vigil_watch_next(w, 0, &event), VIGIL_TIMEOUT);
}

/* ---- the listing ---- */

struct found {
    const char *name;
    bool is_there;
    uint64_t position;
    uint64_t lag;
    size_t count;
    char names[256];
    char patterns[256];
};

static bool look(void *context, const vigil_cursor *cursor)
{
    struct found *found = context;
    found->count++;
    strncat(found->names, cursor->name, sizeof found->names - strlen(found->names) - 1);
    strncat(found->names, " ", sizeof found->names - strlen(found->names) - 1);
    assert_true(cursor->created_us > 0 && cursor->moved_us >= cursor->created_us);
    assert_true(cursor->age_us < 3600u * 1000000u);
    if (!found->name || strcmp(cursor->name, found->name) != 0)
        return true;
    found->is_there = true;
    found->position = cursor->position.seq;
    found->lag = cursor->lag;
    for (size_t i = 0; i < cursor->pattern_count; i++) {
        strncat(found->patterns, cursor->patterns[i],
                sizeof found->patterns - strlen(found->patterns) - 1);
        strncat(found->patterns, " ", sizeof found->patterns - strlen(found->patterns) - 1);
    }
    return true;
}

static struct found find(vigil *v, const char *name)
{
    struct found found = {.name = name};
    if (vigil_cursor_each(v, look, &found) != VIGIL_OK)
        fail_msg("cursors: %s", vigil_failure_text(v));
    return found;
}

/* ---- going on ---- */

static void another_connection_goes_on(void **state)
{
    (void)state;
    vigil_watch *w = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    for (int i = 1; i <= 10; i++)
        put_integer(f.v, "k", i);
    for (uint64_t seq = 1; seq <= 6; seq++)
        expect_record(f.v, w, seq);
    expect_acknowledged(f.v, w);
    assert_int_equal(find(f.v, "billing").position, 6);
    expect_record(f.v, w, 7); /* handed out, not acknowledged */
    vigil_watch_close(w);

    vigil *other = client_fixture_connect(&f, 0);
    w = watch(other, "billing", NULL, VIGIL_SINCE_NOW);
    for (uint64_t seq = 7; seq <= 10; seq++)
        expect_record(other, w, seq);
    assert_int_equal(vigil_watch_acknowledge_to(w, 8, PATIENCE_MS), VIGIL_OK);
    assert_int_equal(find(other, "billing").position, 8);
    assert_int_equal(find(other, "billing").lag, 2);
    vigil_watch_close(w);

    w = watch(f.v, "billing", NULL, VIGIL_SINCE_OLDEST);
    expect_record(f.v, w, 9);
    expect_record(f.v, w, 10);
    vigil_watch_close(w);
    vigil_close(other);
}

static void a_new_one_begins_where_it_is_told_to(void **state)
{
    (void)state;
    vigil_watch *w = NULL;
    for (int i = 1; i <= 5; i++)
        put_integer(f.v, "k", i);
    w = watch(f.v, "oldest", NULL, VIGIL_SINCE_OLDEST);
    expect_record(f.v, w, 1);
    vigil_watch_close(w);
    w = watch(f.v, "now", NULL, VIGIL_SINCE_NOW);
    put_integer(f.v, "k", 6);
    expect_record(f.v, w, 6);
    vigil_watch_close(w);
    vigil_watch_options options = {
        .since = VIGIL_SINCE_POSITION, .position = {0, 3}, .cursor = "position"};
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_OK);
    expect_record(f.v, w, 4);
    vigil_watch_close(w);
    options = (vigil_watch_options){
        .since = VIGIL_SINCE_POSITION, .position = {0, 300}, .cursor = "ahead"};
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_POSITION_AHEAD);
    options = (vigil_watch_options){
        .since = VIGIL_SINCE_POSITION, .position = {77, 3}, .cursor = "elsewhere"};
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_EPOCH_CHANGED);
    assert_string_equal(find(f.v, NULL).names, "now oldest position ");
}

/* Without waiting; the last word reaches the server all the same, driven by the descriptor. */
static void words_without_waiting_arrive(void **state)
{
    (void)state;
    const vigil_event *event = NULL;
    vigil_watch *w = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    for (int i = 1; i <= 500; i++)
        send_integer(f.v, "k", i);
    receive_all(f.v);
    for (uint64_t seq = 1; seq <= 500; seq++) {
        expect_record(f.v, w, seq);
        assert_int_equal(vigil_watch_acknowledge(w, 0), VIGIL_OK);
    }
    struct pollfd fd = {.fd = vigil_watch_fd(w), .events = POLLIN};
    uint64_t last = 0;
    while (last < 500) {
        while (vigil_watch_next(w, 0, &event) == VIGIL_OK)
            ;
        /* Which may receive the answer that the watch waits for, and tells it. */
        uint64_t position = find(f.v, "billing").position;
        assert_true(position >= last);
        last = position;
        if (last < 500)
            assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    }
    vigil_watch_close(w);
}

/* Closing sends what was said while another word was under way. */
static void a_word_before_closing_is_sent(void **state)
{
    (void)state;
    vigil_watch *w = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    for (int i = 1; i <= 3; i++)
        put_integer(f.v, "k", i);
    for (uint64_t seq = 1; seq <= 3; seq++) {
        expect_record(f.v, w, seq);
        assert_int_equal(vigil_watch_acknowledge(w, 0), VIGIL_OK);
    }
    vigil_watch_close(w);
    assert_int_equal(find(f.v, "billing").position, 3);
}

static void patterns_are_the_cursors_own(void **state)
{
    (void)state;
    vigil_watch *w = watch(f.v, "jobs", "job/*", VIGIL_SINCE_NOW);
    vigil_watch_close(w);
    assert_int_equal(try_watch(f.v, "jobs", "lock/*", VIGIL_SINCE_NOW, &w), VIGIL_CONFLICT);
    assert_non_null(strstr(vigil_failure_text(f.v), "--delete jobs"));
    assert_string_equal(find(f.v, "jobs").patterns, "job/* ");
    put_integer(f.v, "lock/1", 1);
    uint64_t seq = put_integer(f.v, "job/1", 1);
    w = watch(f.v, "jobs", NULL, VIGIL_SINCE_OLDEST);
    expect_record(f.v, w, seq);
    expect_acknowledged(f.v, w);
    vigil_watch_close(w);
    const char *patterns[] = {"z", "job/*", "a", "job/1"}; /* the last is in the second */
    vigil_watch_options options = {.patterns = patterns, .pattern_count = 4, .cursor = "several"};
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_OK);
    vigil_watch_close(w);
    assert_string_equal(find(f.v, "several").patterns, "a job/* z ");
    vigil_watch_close(watch(f.v, "everything", NULL, VIGIL_SINCE_NOW));
    assert_string_equal(find(f.v, "everything").patterns, "* ");
}

/* ---- an idle watch ---- */

static void drive(vigil_watch *w)
{
    const vigil_event *event = NULL;
    int err = vigil_watch_next(w, 20, &event);
    assert_true(err == VIGIL_TIMEOUT || err == VIGIL_OK);
}

/* One watch has dealt with all it got, another has a record in hand: the bookmarks move the first,
 * twice, and never the second. */
static void bookmarks_move_what_is_idle(void **state)
{
    (void)state;
    vigil_watch *idle = watch(f.v, "idle", "none/*", VIGIL_SINCE_NOW);
    vigil_watch *holds = watch(f.v, "holds", "a", VIGIL_SINCE_NOW);
    uint64_t in_hand = put_integer(f.v, "a", 1);
    expect_record(f.v, holds, in_hand);
    for (int round = 0; round < 2; round++) {
        uint64_t head = put_integer(f.v, "b", round);
        vigil_position position = {0, 0};
        while (find(f.v, "idle").position < head || position.seq < head) {
            drive(idle);
            drive(holds);
            vigil_watch_position(holds, &position);
        }
        assert_true(find(f.v, "holds").position < in_hand);
    }
    uint64_t head = put_integer(f.v, "b", 3);
    expect_acknowledged(f.v, holds);
    assert_true(find(f.v, "holds").position >= in_hand);
    while (find(f.v, "holds").position < head)
        drive(holds);
    assert_int_equal(find(f.v, "holds").lag, 0);
    vigil_watch_close(holds);
    vigil_watch_close(idle);
}

/* ---- ends ---- */

static void who_opens_it_takes_it_over(void **state)
{
    (void)state;
    const vigil_event *event = NULL;
    vigil *other = client_fixture_connect(&f, 0);
    vigil_watch *first = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    for (int i = 1; i <= 5; i++)
        put_integer(f.v, "k", i);
    expect_record(f.v, first, 1);
    expect_acknowledged(f.v, first);
    expect_record(f.v, first, 2);
    vigil_watch *second = watch(other, "billing", NULL, VIGIL_SINCE_NOW);
    assert_int_equal(vigil_watch_acknowledge(first, PATIENCE_MS), VIGIL_CURSOR_TAKEN);
    assert_non_null(strstr(vigil_failure_text(f.v), "billing"));
    /* Its other records are the second's now. */
    assert_int_equal(vigil_watch_next(first, PATIENCE_MS, &event), VIGIL_CURSOR_TAKEN);
    assert_int_equal(vigil_watch_acknowledge(first, 0), VIGIL_CURSOR_TAKEN);
    for (uint64_t seq = 2; seq <= 5; seq++)
        expect_record(other, second, seq);
    expect_acknowledged(other, second);
    vigil_watch_close(first);
    assert_int_equal(find(f.v, "billing").position, 5);
    vigil_watch_close(second);
    vigil_close(other);
}

static void a_deleted_one_ends_its_watch(void **state)
{
    (void)state;
    const vigil_event *event = NULL;
    vigil_watch *w = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    put_integer(f.v, "k", 1);
    expect_record(f.v, w, 1);
    assert_int_equal(vigil_cursor_delete(f.v, "billing"), VIGIL_OK);
    assert_int_equal(vigil_cursor_delete(f.v, "billing"), VIGIL_NOT_FOUND);
    assert_false(find(f.v, "billing").is_there);
    assert_int_equal(vigil_watch_acknowledge(w, PATIENCE_MS), VIGIL_NOT_FOUND);
    assert_non_null(strstr(vigil_failure_text(f.v), "deleted"));
    assert_int_equal(vigil_watch_next(w, PATIENCE_MS, &event), VIGIL_NOT_FOUND);
    vigil_watch_close(w);
    assert_false(find(f.v, "billing").is_there);
}

static void what_is_compacted_says_what_to_do(void **state)
{
    (void)state;
    const vigil_event *event = NULL;
    for (int i = 1; i <= 20; i++)
        put_integer(f.v, "k", i);
    vigil_watch *w = NULL;
    vigil_watch_options options = {
        .since = VIGIL_SINCE_POSITION, .position = {0, 3}, .cursor = "late"};
    assert_int_equal(vigil_compact(f.v, 10, PATIENCE_MS, NULL), VIGIL_OK);
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_OK);
    assert_int_equal(vigil_watch_next(w, PATIENCE_MS, &event), VIGIL_COMPACTED);
    assert_non_null(strstr(vigil_failure_text(f.v), "vigil cursors --delete late"));
    vigil_watch_close(w);
    assert_int_equal(vigil_cursor_delete(f.v, "late"), VIGIL_OK);
    w = watch(f.v, "late", NULL, VIGIL_SINCE_OLDEST);
    expect_record(f.v, w, 10);
    expect_acknowledged(f.v, w);
    vigil_watch_close(w);
}

/* ---- the server is lost ---- */

static void the_holder_outlives_the_server(void **state)
{
    (void)state;
    vigil_watch *w = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    uint64_t seq = 0;
    for (int round = 0; round < 3; round++) {
        const vigil_event *event = NULL;
        seq = put_integer(f.v, "k", round);
        expect_record(f.v, w, seq);
        if (round == 1)
            expect_acknowledged(f.v, w); /* a word of before, and then one that is lost */
        client_fixture_kill_server(&f);
        assert_int_equal(vigil_watch_acknowledge(w, 0), VIGIL_OK);
        assert_int_equal(vigil_watch_acknowledge(w, 50),
                         round == 1 ? VIGIL_OK : VIGIL_DISCONNECTED);
        client_fixture_start_server(&f);
        expect_acknowledged(f.v, w);
        assert_int_equal(find(f.v, "billing").position, seq);
        while (!vigil_watch_connected(w) || vigil_watch_next(w, 20, &event) != VIGIL_TIMEOUT)
            vigil_watch_next(w, 20, &event);
    }
    expect_nothing(w);
    vigil_watch_close(w);
    w = watch(f.v, "billing", NULL, VIGIL_SINCE_OLDEST);
    expect_record(f.v, w, put_integer(f.v, "k", 9));
    vigil_watch_close(w);
}

/* The word was sent, and the server died before or after it had it. */
static void a_word_on_its_way_survives_a_kill(void **state)
{
    (void)state;
    vigil_watch *w = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    uint64_t before = 0;
    for (int round = 0; round < 5; round++) {
        const vigil_event *event = NULL;
        uint64_t seq = put_integer(f.v, "k", round);
        int err = VIGIL_DISCONNECTED;
        while (err != VIGIL_OK) /* DISCONNECTED of the round before */
            err = vigil_watch_next(w, PATIENCE_MS, &event);
        assert_int_equal(event->record.seq, seq);
        assert_int_equal(vigil_watch_acknowledge(w, 0), VIGIL_OK);
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
        uint64_t there = find(f.v, "billing").position;
        assert_true(there >= before && there <= seq);
        expect_acknowledged(f.v, w);
        before = find(f.v, "billing").position;
        assert_int_equal(before, seq);
    }
    vigil_watch_close(w);
}

/* Given up after the request timeout, said again when the server is back. */
static void a_word_that_was_given_up_is_said_again(void **state)
{
    (void)state;
    vigil *v = client_fixture_connect(&f, 300);
    vigil_watch *w = watch(v, "billing", NULL, VIGIL_SINCE_NOW);
    put_integer(f.v, "k", 1);
    expect_record(v, w, 1);
    assert_int_equal(kill(f.server.pid, SIGSTOP), 0);
    int err = vigil_watch_acknowledge(w, 1500);
    assert_true(err == VIGIL_DISCONNECTED || err == VIGIL_TIMEOUT);
    assert_int_equal(kill(f.server.pid, SIGCONT), 0);
    expect_acknowledged(v, w);
    assert_int_equal(find(f.v, "billing").position, 1);
    vigil_watch_close(w);
    vigil_close(v);
}

static void another_journal_is_not_gone_on_with(void **state)
{
    (void)state;
    const vigil_event *event = NULL;
    vigil_watch *w = watch(f.v, "billing", NULL, VIGIL_SINCE_NOW);
    put_integer(f.v, "k", 1);
    expect_record(f.v, w, 1);
    expect_acknowledged(f.v, w);
    client_fixture_kill_server(&f);
    client_fixture_replace_data(&f);
    client_fixture_start_server(&f);
    int err = VIGIL_TIMEOUT;
    while (err == VIGIL_TIMEOUT || err == VIGIL_DISCONNECTED)
        err = vigil_watch_next(w, PATIENCE_MS, &event);
    assert_int_equal(err, VIGIL_EPOCH_CHANGED);
    assert_non_null(strstr(vigil_failure_text(f.v), "vigil cursors --delete billing"));
    vigil_watch_close(w);
}

/* ---- arguments ---- */

static void names_and_listings(void **state)
{
    (void)state;
    vigil_watch *w = NULL;
    char longest[130] = {0};
    memset(longest, 'x', 128);
    vigil_watch_close(watch(f.v, longest, NULL, VIGIL_SINCE_NOW));
    vigil_watch_close(watch(f.v, "ä", NULL, VIGIL_SINCE_NOW));
    vigil_watch_close(watch(f.v, "a b", NULL, VIGIL_SINCE_NOW));
    assert_int_equal(find(f.v, longest).count, 3);
    assert_true(find(f.v, longest).is_there);
    longest[128] = 'x';
    assert_int_equal(try_watch(f.v, longest, NULL, VIGIL_SINCE_NOW, &w), VIGIL_BAD_KEY);
    assert_int_equal(try_watch(f.v, "", NULL, VIGIL_SINCE_NOW, &w), VIGIL_BAD_KEY);
    assert_int_equal(try_watch(f.v, "\xff", NULL, VIGIL_SINCE_NOW, &w), VIGIL_BAD_KEY);
    assert_int_equal(vigil_cursor_delete(f.v, longest), VIGIL_BAD_KEY);
    assert_int_equal(vigil_cursor_delete(f.v, NULL), VIGIL_BAD_KEY);
    assert_int_equal(vigil_cursor_each(f.v, NULL, NULL), VIGIL_INVALID);
    w = watch(f.v, NULL, NULL, VIGIL_SINCE_NOW);
    assert_int_equal(vigil_watch_acknowledge(w, 0), VIGIL_INVALID);
    vigil_watch_close(w);
}

static bool stop_at_once(void *context, const vigil_cursor *cursor)
{
    (void)cursor;
    (*(int *)context)++;
    return false;
}

static void many_are_listed_in_order(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    int calls = 0;
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%03d", COUNT - 1 - i);
        vigil_watch_close(watch(f.v, name, NULL, VIGIL_SINCE_NOW));
    }
    struct found found = find(f.v, "c299");
    assert_int_equal(found.count, COUNT);
    assert_true(found.is_there);
    assert_memory_equal(found.names, "c000 c001 c002 ", 15);
    assert_int_equal(vigil_cursor_each(f.v, stop_at_once, &calls), VIGIL_INTERRUPTED);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_connection_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_one_begins_where_it_is_told_to, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_without_waiting_arrive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_word_before_closing_is_sent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patterns_are_the_cursors_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bookmarks_move_what_is_idle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_opens_it_takes_it_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deleted_one_ends_its_watch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_compacted_says_what_to_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_holder_outlives_the_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_word_on_its_way_survives_a_kill, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_word_that_was_given_up_is_said_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_journal_is_not_gone_on_with, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_and_listings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_listed_in_order, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
