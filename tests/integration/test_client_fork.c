/*
 * test_client_fork.c - a child after fork makes connections of its own. Apart from the others,
 * because ThreadSanitizer gives up on a fork of a process with threads.
 *
 * ctest: LABELS=no-tsan
 */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

#include <sys/wait.h>
#include <unistd.h>

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

static void a_child_gets_a_context_of_its_own(void **state)
{
    (void)state;
    put_integer(f.v, "k", 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        vigil *v = NULL;
        vigil_options options = {.endpoint = f.endpoint};
        int err = vigil_open(&options, &v);
        if (!err)
            err = vigil_put(v, "child", "\x01", 1, NULL, NULL);
        vigil_close(v);
        _exit(err);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    vigil_entry entry;
    assert_int_equal(vigil_get(f.v, "child", &entry), VIGIL_OK);
    assert_true(entry.present);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_gets_a_context_of_its_own, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
