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
#include "tests/support/raw_server.h"

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

/* What a child has inherited is only a copy: closing it does not end the parent's connection. */
static void a_child_does_not_end_what_it_inherited(void **state)
{
    (void)state;
    int status;
    put_integer(f.v, "k", 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int fd = 3; fd < 256; fd++)
            close(fd);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    put_integer(f.v, "k", 2);
}

static bool serve_until_the_end(struct raw_server *s)
{
    return raw_server_welcome(s) && raw_server_ended(s);
}

/* Nor does its copy keep the connection open that the parent has closed. */
static void a_child_does_not_keep_what_it_inherited(void **state)
{
    (void)state;
    static struct raw_server s;
    vigil *v = NULL;
    int go[2];
    int status;
    raw_server_listen(&s);
    raw_server_start(&s, serve_until_the_end);
    const vigil_options options = {.endpoint = s.endpoint, .connect_timeout_ms = 20000};
    assert_int_equal(vigil_open(&options, &v), VIGIL_OK);
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char byte;
        close(go[1]);
        _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
    }
    vigil_close(v);
    raw_server_join(&s);
    raw_server_close(&s);
    close(go[0]);
    close(go[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_child_gets_a_context_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_child_does_not_end_what_it_inherited, set_up, tear_down),
        cmocka_unit_test(a_child_does_not_keep_what_it_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
