#define _GNU_SOURCE
/* child_client.c - see child_client.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/child_client.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(const char *endpoint, child_client_body *body, int fd)
{
    vigil *v = NULL;
    const vigil_options options = {
        .endpoint = endpoint, .connect_timeout_ms = 60000, .request_timeout_ms = 60000};
    bool done = vigil_open(&options, &v) == VIGIL_OK && body(v, fd);
    vigil_close(v);
    return done ? 0 : 1;
}

void child_client_start(struct child_client *c, const struct client_fixture *f,
                        child_client_body *body)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    c->pid = fork(); /* which makes a connection of its own */
    assert_true(c->pid >= 0);
    if (c->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)close(ends[0]);
        _exit(run(f->endpoint, body, ends[1]));
    }
    (void)close(ends[1]);
    c->fd = ends[0];
}

void child_client_stop(const struct child_client *c)
{
    int status;
    assert_int_equal(kill(c->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(c->pid, &status, WUNTRACED), c->pid);
    assert_true(WIFSTOPPED(status));
}

void child_client_continue(const struct child_client *c)
{
    assert_int_equal(kill(c->pid, SIGCONT), 0);
}

void child_client_kill(struct child_client *c)
{
    int status;
    assert_int_equal(kill(c->pid, SIGKILL), 0);
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_true(WIFSIGNALED(status));
    (void)close(c->fd);
}

void child_client_join(struct child_client *c)
{
    int status;
    assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(c->fd);
}

bool child_client_say(int fd, char word)
{
    return send(fd, &word, 1, MSG_NOSIGNAL) == 1;
}

bool child_client_hear(int fd, char word)
{
    char heard;
    return recv(fd, &heard, 1, 0) == 1 && heard == word;
}
