/* test_client_cursor_rule.c - where a watch's named cursor may stand, and when it is moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/cursor_rule.h"
#include "protocol/errors.h"

static struct cursor_rule c;

static int set_up(void **state)
{
    (void)state;
    cursor_rule_init(&c, 10, 0);
    return 0;
}

static void expect_move(int64_t now_ms, uint64_t position)
{
    uint64_t got = 0;
    assert_true(cursor_rule_wants_move(&c, now_ms, &got));
    assert_int_equal(got, position);
}

static void expect_rest(int64_t now_ms)
{
    uint64_t got = 0;
    assert_false(cursor_rule_wants_move(&c, now_ms, &got));
    assert_true(cursor_rule_due_ms(&c) > now_ms);
}

static void move(int64_t now_ms, uint64_t position)
{
    expect_move(now_ms, position);
    cursor_rule_sent(&c, position, now_ms);
    expect_rest(now_ms);
    cursor_rule_moved(&c);
    assert_int_equal(c.moved, position);
}

static void say_all(void)
{
    cursor_rule_say(&c, UINT64_MAX);
}

static void nothing_is_moved_by_itself(void **state)
{
    (void)state;
    expect_rest(INT64_MAX - 1);
    say_all();
    expect_rest(INT64_MAX - 1);
}

static void what_is_acknowledged_is_sent_at_once(void **state)
{
    (void)state;
    cursor_rule_handed(&c, 12);
    expect_rest(1000000);
    say_all();
    move(0, 12);
    expect_rest(1000000);
}

/* Handed out at 12 and not acknowledged: whatever bookmarks say, 12 would be missing. */
static void a_bookmark_never_passes_what_is_in_hand(void **state)
{
    (void)state;
    cursor_rule_handed(&c, 12);
    cursor_rule_passed(&c, 500);
    expect_rest(1000000);
    say_all();
    move(0, 500);
    cursor_rule_handed(&c, 501);
    cursor_rule_passed(&c, 900);
    expect_rest(1000000);
    cursor_rule_handed(&c, 950);
    cursor_rule_say(&c, 501);
    move(0, 501); /* 950 is in hand, and 900 was passed before it: 501 is what was said */
    expect_rest(1000000);
    cursor_rule_say(&c, 950);
    move(0, 950);
}

/* A bookmark that comes between handing out and acknowledging counts with it. */
static void an_idle_watch_moves_now_and_then(void **state)
{
    (void)state;
    cursor_rule_passed(&c, 11);
    expect_rest(CURSOR_IDLE_MS - 1);
    assert_int_equal(cursor_rule_due_ms(&c), CURSOR_IDLE_MS);
    move(CURSOR_IDLE_MS, 11);
    cursor_rule_passed(&c, 12);
    expect_rest(CURSOR_IDLE_MS * 2 - 1);
    cursor_rule_handed(&c, 13);
    say_all();
    move(CURSOR_IDLE_MS + 1, 13); /* what was said does not wait */
    cursor_rule_passed(&c, 20);
    expect_rest(CURSOR_IDLE_MS * 2);
    move(CURSOR_IDLE_MS * 2 + 1, 20);
}

static void moves_are_one_at_a_time(void **state)
{
    (void)state;
    cursor_rule_handed(&c, 12);
    say_all();
    expect_move(0, 12);
    cursor_rule_sent(&c, 12, 0);
    for (uint64_t seq = 13; seq < 100; seq++) {
        cursor_rule_handed(&c, seq);
        say_all();
        expect_rest(1000000);
    }
    cursor_rule_moved(&c);
    assert_int_equal(c.moved, 12);
    move(0, 99);
}

static void nothing_falls(void **state)
{
    (void)state;
    cursor_rule_handed(&c, 20);
    say_all();
    cursor_rule_say(&c, 15);
    cursor_rule_passed(&c, 5);
    cursor_rule_handed(&c, 5);
    move(0, 20);
    cursor_rule_say(&c, 3);
    expect_rest(1000000);
}

static void nothing_is_said_that_was_not_handed_out(void **state)
{
    (void)state;
    cursor_rule_handed(&c, 12);
    cursor_rule_say(&c, 5000);
    assert_int_equal(c.said, 12);
    cursor_rule_handed(&c, 13);
    move(0, 12);
}

static void what_failed_in_passing_is_sent_again(void **state)
{
    (void)state;
    int64_t now_ms = 0;
    int64_t delay_ms = CURSOR_RETRY_FIRST_MS;
    cursor_rule_handed(&c, 12);
    say_all();
    for (int i = 0; i < 12; i++) {
        expect_move(now_ms, 12);
        cursor_rule_sent(&c, 12, now_ms);
        cursor_rule_failed(&c, now_ms, ERR_DISCONNECTED, false);
        assert_int_equal(c.trouble, ERR_DISCONNECTED);
        expect_rest(now_ms + delay_ms - 1);
        assert_int_equal(cursor_rule_due_ms(&c), now_ms + delay_ms);
        now_ms += delay_ms;
        delay_ms = delay_ms * 2 < CURSOR_RETRY_MOST_MS ? delay_ms * 2 : CURSOR_RETRY_MOST_MS;
    }
    cursor_rule_handed(&c, 13);
    say_all();
    move(now_ms, 13);
    assert_int_equal(c.trouble, 0);
    assert_int_equal(c.error, 0);
}

static void what_failed_for_good_is_not(void **state)
{
    (void)state;
    cursor_rule_handed(&c, 12);
    say_all();
    cursor_rule_sent(&c, 12, 0);
    cursor_rule_failed(&c, 0, ERR_CURSOR_TAKEN, true);
    assert_int_equal(c.error, ERR_CURSOR_TAKEN);
    assert_int_equal(c.moved, 10);
    cursor_rule_handed(&c, 13);
    say_all();
    expect_rest(INT64_MAX - 1);
}

/* Beside a list of what was handed out and which of it was acknowledged: at any time the cursor
 * asks for no more than the records below the first one in hand, and in the end for all. */
static void a_random_run(uint64_t seed)
{
    enum { RECORDS = 200 };
    bool handed[RECORDS * 4] = {false};
    uint64_t head = 10;
    uint64_t first_in_hand = UINT64_MAX;
    int64_t now_ms = 0;
    cursor_rule_init(&c, head, 0);
    for (int i = 0; i < RECORDS * 3; i++) {
        uint64_t position = 0;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        now_ms += (int64_t)(seed >> 60);
        switch (seed >> 33 & 7) {
        case 0:
        case 1: /* a record */
            handed[++head] = true;
            cursor_rule_handed(&c, head);
            if (first_in_hand == UINT64_MAX)
                first_in_hand = head;
            break;
        case 2: /* a bookmark */
            cursor_rule_passed(&c, ++head);
            break;
        case 3:
            say_all();
            first_in_hand = UINT64_MAX;
            break;
        case 4: { /* up to somewhere */
            uint64_t seq = first_in_hand == UINT64_MAX ? head : first_in_hand + (seed >> 50 & 3);
            seq = seq < head ? seq : head;
            cursor_rule_say(&c, seq);
            for (first_in_hand = seq + 1; first_in_hand <= head && !handed[first_in_hand];)
                first_in_hand++;
            if (first_in_hand > head)
                first_in_hand = UINT64_MAX;
            break;
        }
        case 5:
            if (c.under_way)
                cursor_rule_failed(&c, now_ms, ERR_BUSY, false);
            break;
        default:
            if (c.under_way)
                cursor_rule_moved(&c);
        }
        if (cursor_rule_wants_move(&c, now_ms, &position)) {
            assert_true(position < first_in_hand);
            assert_true(position > c.moved && position <= head);
            cursor_rule_sent(&c, position, now_ms);
        }
    }
    if (c.under_way)
        cursor_rule_moved(&c);
    say_all();
    if (c.moved < head)
        move(now_ms + CURSOR_IDLE_MS + CURSOR_RETRY_MOST_MS, head);
}

static void random_runs_beside_a_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++)
        a_random_run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_moved_by_itself, set_up),
        cmocka_unit_test_setup(what_is_acknowledged_is_sent_at_once, set_up),
        cmocka_unit_test_setup(a_bookmark_never_passes_what_is_in_hand, set_up),
        cmocka_unit_test_setup(an_idle_watch_moves_now_and_then, set_up),
        cmocka_unit_test_setup(moves_are_one_at_a_time, set_up),
        cmocka_unit_test_setup(nothing_falls, set_up),
        cmocka_unit_test_setup(nothing_is_said_that_was_not_handed_out, set_up),
        cmocka_unit_test_setup(what_failed_in_passing_is_sent_again, set_up),
        cmocka_unit_test_setup(what_failed_for_good_is_not, set_up),
        cmocka_unit_test(random_runs_beside_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
