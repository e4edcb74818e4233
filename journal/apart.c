/*
 * apart.c - see apart.h.
 *
 * 1. The child never outlives the parent: it would go on writing beside the next
 *    one. (It has inherited the directory's lock, so that one waits for it.)
 * 2. A death is told by the missing last message, not by the status: whoever
 *    ignores SIGCHLD gets no status.
 */
#define _GNU_SOURCE

#include "journal/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    EXIT_DONE = 0,
    EXIT_ASSERTION = 3,
    EXIT_UNHEARD = 4,   /* it could not say what it has to say */
    SECONDS_LEAST = 60, /* and one for each MiB, which is some hundred times what it takes */
};

enum message_kind { MESSAGE = 1, LAST };
struct message_header {
    uint32_t kind;
    uint32_t size;
};
struct message {
    struct message_header header;
    uint8_t body[APART_MESSAGE_MAX];
};
_Static_assert(sizeof(struct failure) <= APART_MESSAGE_MAX, "the last message is a failure");

/* ---- the child ---- */

static void send_message(int channel, enum message_kind kind, const void *body, size_t size)
{
    struct message m = {.header = {kind, (uint32_t)size}};
    if (size > sizeof m.body)
        abort();
    memcpy(m.body, body, size);
    const uint8_t *at = (const uint8_t *)&m;
    size_t left = sizeof m.header + size;
    while (left > 0) {
        ssize_t sent = write(channel, at, left);
        if (sent < 0 && errno != EINTR)
            _exit(EXIT_UNHEARD);
        if (sent > 0) {
            at += sent;
            left -= (size_t)sent;
        }
    }
}

void apart_send(int channel, const void *message, size_t size)
{
    send_message(channel, MESSAGE, message, size);
}

static void end_at_assertion(MDB_env *env, const char *text)
{
    (void)env;
    (void)text;
    _exit(EXIT_ASSERTION);
}

void apart_guard(MDB_env *env)
{
    (void)mdb_env_set_assert(env, end_at_assertion);
}

static void lower(struct rlimit *limit, rlim_t most)
{
    if (limit->rlim_cur == RLIM_INFINITY || limit->rlim_cur > most)
        limit->rlim_cur = most;
}

static void limit_resources(uint64_t bytes)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        lower(&limit, 0);
        (void)setrlimit(RLIMIT_CORE, &limit);
    }
    if (getrlimit(RLIMIT_CPU, &limit) == 0) {
        lower(&limit, (rlim_t)(SECONDS_LEAST + (bytes >> 20)));
        (void)setrlimit(RLIMIT_CPU, &limit);
    }
}

static void run_in_child(const struct apart *a, int channel, pid_t parent)
{
    struct failure failure = {0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_DONE);
    limit_resources(a->bytes);
    failure.code = a->work(a->context, channel, &failure);
    send_message(channel, LAST, &failure, sizeof failure);
    _exit(EXIT_DONE);
}

/* ---- the parent ---- */

/* False: it has come to its end, or *ret_errno says why it cannot be read. */
static bool read_all(int fd, void *out, size_t size, int *ret_errno)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t got = read(fd, at, size);
        if (got < 0 && errno != EINTR)
            *ret_errno = errno;
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
    return true;
}

/* True: the last message has come. */
static bool listen_to(const struct apart *a, int channel, struct failure *ret_last, int *ret_errno)
{
    struct message m;
    while (read_all(channel, &m.header, sizeof m.header, ret_errno)) {
        if (m.header.size > sizeof m.body || !read_all(channel, m.body, m.header.size, ret_errno))
            return false;
        if (m.header.kind == LAST) {
            if (m.header.size == sizeof *ret_last)
                memcpy(ret_last, m.body, sizeof *ret_last);
            return m.header.size == sizeof *ret_last;
        }
        if (a->take)
            a->take(a->context, m.body, m.header.size);
    }
    return false;
}

static int describe_death(int status, struct failure *failure)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU)
        return failure_set(failure, ERR_CORRUPT, "reading it does not come to an end");
    if (WIFSIGNALED(status))
        return failure_set(failure, ERR_CORRUPT, "reading it ends in a crash: %s",
                           sigdescr_np(WTERMSIG(status)));
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_ASSERTION)
        return failure_set(failure, ERR_CORRUPT, "LMDB's pages contradict each other");
    return failure_set(failure, ERR_CORRUPT, "reading it ends in a crash");
}

int apart_run(const struct apart *a, bool *ret_died, struct failure *failure)
{
    int channel[2];
    if (pipe2(channel, O_CLOEXEC) != 0)
        return failure_set(failure, ERR_LIMIT, "cannot make a pipe: %s", strerror(errno));
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        close(channel[0]);
        run_in_child(a, channel[1], parent);
    }
    int fork_errno = errno;
    close(channel[1]);
    if (child < 0) {
        close(channel[0]);
        return failure_set(failure, ERR_LIMIT, "cannot start a process: %s", strerror(fork_errno));
    }
    struct failure last = {0};
    int unheard = 0;
    bool whole = listen_to(a, channel[0], &last, &unheard);
    close(channel[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (!whole && unheard == 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_UNHEARD)
        unheard = EPIPE;
    *ret_died = !whole && unheard == 0;
    if (!whole && unheard != 0)
        return failure_set(failure, ERR_IO, "what reading it has found cannot be heard: %s",
                           strerror(unheard));
    if (!whole)
        return describe_death(status, failure);
    return last.code ? failure_set(failure, last.code, "%s", last.text) : ERR_OK;
}
