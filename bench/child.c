/* child.c - see child.h. */
#define _GNU_SOURCE
#include "bench/child.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* Between fork and exec: async-signal-safe calls only. */
static _Noreturn void become(char *const arguments[], int in, int out, int err)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        (err >= 0 && dup2(err, STDERR_FILENO) < 0)) {
        _exit(127);
    }
    execvp(arguments[0], arguments);
    static const char text[] = "vigil-bench: cannot run the program\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(127);
}

int child_start(struct child *c, const char *what, char *const arguments[], const char *stderr_path,
                struct failure *failure)
{
    int err = ERR_OK;
    int in[2] = {-1, -1};
    int out[2] = {-1, -1};
    int error_fd = -1;
    *c = (struct child)CHILD_INIT;
    c->what = what;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC)) {
        err = failure_set(failure, ERR_IO, "cannot make a pipe to %s: %s", what, strerror(errno));
        goto out;
    }
    if (stderr_path) {
        error_fd = open(stderr_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (error_fd < 0) {
            err = failure_set(failure, ERR_IO, "cannot write %s: %s", stderr_path, strerror(errno));
            goto out;
        }
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(arguments, in[0], out[1], error_fd);
    }
    if (pid < 0) {
        err = failure_set(failure, ERR_IO, "cannot start %s: %s", what, strerror(errno));
        goto out;
    }
    c->pid = pid;
    c->to_fd = in[1];
    c->from_fd = out[0];
    in[1] = out[0] = -1;
out:
    close_fd(&in[0]);
    close_fd(&in[1]);
    close_fd(&out[0]);
    close_fd(&out[1]);
    close_fd(&error_fd);
    return err;
}

int child_start_role(struct child *c, const char *what, char *arguments[], struct failure *failure)
{
    static char self[] = "/proc/self/exe";
    arguments[0] = self;
    return child_start(c, what, arguments, NULL, failure);
}

int child_write(struct child *c, const void *data, size_t size, struct failure *failure)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(c->to_fd, at, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return failure_set(failure, ERR_DISCONNECTED, "cannot write to %s: %s", c->what,
                               strerror(errno));
        }
        at += n;
        size -= (size_t)n;
    }
    return ERR_OK;
}

/* At least one byte, at most size. */
static int read_some(struct child *c, void *out, size_t size, uint64_t deadline_ns,
                     size_t *ret_size, struct failure *failure)
{
    for (;;) {
        uint64_t now = monotonic_ns();
        int left_ms = now < deadline_ns ? (int)((deadline_ns - now) / NS_PER_MS) + 1 : 0;
        struct pollfd p = {.fd = c->from_fd, .events = POLLIN};
        int ready = poll(&p, 1, left_ms);
        if (interrupted()) {
            return failure_set(failure, ERR_INTERRUPTED, "interrupted");
        }
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready == 0) {
            return failure_set(failure, ERR_TIMEOUT, "%s did not answer in time", c->what);
        }
        ssize_t n = ready < 0 ? -1 : read(c->from_fd, out, size);
        if (n > 0) {
            *ret_size = (size_t)n;
            return ERR_OK;
        }
        if (n == 0) {
            return failure_set(failure, ERR_DISCONNECTED, "%s has ended early", c->what);
        }
        if (errno != EINTR) {
            return failure_set(failure, ERR_IO, "cannot read from %s: %s", c->what,
                               strerror(errno));
        }
    }
}

int child_read(struct child *c, void *out, size_t size, int timeout_ms, struct failure *failure)
{
    uint64_t deadline_ns = monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    char *at = out;
    while (size > 0) {
        size_t n = 0;
        int err = read_some(c, at, size, deadline_ns, &n, failure);
        if (err) {
            return err;
        }
        at += n;
        size -= n;
    }
    return ERR_OK;
}

int child_read_line(struct child *c, char *out, size_t size, int timeout_ms,
                    struct failure *failure)
{
    uint64_t deadline_ns = monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    size_t used = 0;
    for (;;) { /* byte by byte, so that what follows the line stays in the pipe */
        size_t n = 0;
        char byte = 0;
        int err = read_some(c, &byte, 1, deadline_ns, &n, failure);
        if (err) {
            return err;
        }
        if (byte == '\n') {
            out[used] = '\0';
            return ERR_OK;
        }
        if (used + 1 >= size) {
            return failure_set(failure, ERR_MALFORMED, "%s wrote too long a line", c->what);
        }
        out[used++] = byte;
    }
}

int child_end(struct child *c, int signal_number, int timeout_ms)
{
    close_fd(&c->to_fd);
    if (c->pid == 0) {
        return 0;
    }
    if (signal_number) {
        kill(c->pid, signal_number);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (pidfd >= 0) {
        uint64_t deadline_ns = monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS;
        struct pollfd p = {.fd = pidfd, .events = POLLIN};
        int ready = -1;
        uint64_t now = 0;
        while (ready <= 0 && (now = monotonic_ns()) < deadline_ns) {
            ready = poll(&p, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
        }
        if (ready <= 0) {
            kill(c->pid, SIGKILL);
        }
        close(pidfd);
    }
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {
    }
    c->pid = 0;
    close_fd(&c->from_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void child_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}
