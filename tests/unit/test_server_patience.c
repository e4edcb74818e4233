/* How long a batch waits for company: not before fast commits, not where nobody comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/net/patience.h"

static void fast_commits_are_not_waited_for(void **state)
{
    (void)state;
    struct patience p = {0};
    assert_int_equal(patience_begin(&p), 0);
    for (int i = 0; i < 100; i++)
        patience_committed(&p, 900);
    assert_int_equal(patience_begin(&p), 0);
}

static void the_wait_is_a_bounded_part_of_a_commit(void **state)
{
    (void)state;
    struct patience p = {0};
    patience_committed(&p, 8000);
    assert_int_equal(patience_begin(&p), 2000);
    for (int i = 0; i < 200; i++)
        patience_committed(&p, 1000000);
    assert_in_range(patience_begin(&p), 1, 4000);
}

static void company_keeps_it_waiting(void **state)
{
    (void)state;
    struct patience p = {0};
    patience_committed(&p, 8000);
    for (int i = 0; i < 100; i++) {
        assert_int_not_equal(patience_begin(&p), 0);
        patience_learn(&p, 1000, 1500);
    }
}

/* Of 1000 batches of a client that is alone, few wait. */
static void who_is_alone_hardly_waits(void **state)
{
    (void)state;
    struct patience p = {0};
    patience_committed(&p, 8000);
    int waited = 0;
    for (int i = 0; i < 1000; i++) {
        if (patience_begin(&p) == 0)
            continue;
        waited++;
        patience_learn(&p, 1, 1);
    }
    assert_in_range(waited, 10, 25);
    /* And it takes up again when there is company. */
    while (patience_begin(&p) == 0)
        ;
    patience_learn(&p, 1000, 2000);
    assert_int_not_equal(patience_begin(&p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_commits_are_not_waited_for),
        cmocka_unit_test(the_wait_is_a_bounded_part_of_a_commit),
        cmocka_unit_test(company_keeps_it_waiting),
        cmocka_unit_test(who_is_alone_hardly_waits),
    };
    return cmocka_run_group_tests_name("patience", tests, NULL, NULL);
}
