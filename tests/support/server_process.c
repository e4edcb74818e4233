#define _GNU_SOURCE
/* server_process.c - see server_process.h. */
#include "tests/support/server_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 32, LINE_SIZE = 4096, READY_MS = 30000 };

static void run(const char *program, const char *const *arguments, int out_fd, int log_fd)
{
    char *argv[ARGUMENTS_MAX + 2] = {strdup(program)};
    for (size_t i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[i + 1] = strdup(arguments[i]);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(out_fd, STDOUT_FILENO);
    dup2(log_fd, STDERR_FILENO);
    execv(program, argv);
    _exit(127);
}

static int wait_for_end(struct server_process *s)
{
    int status = 0;
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    s->pid = 0;
    close(s->out_fd);
    s->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return s->exit_status;
}

/* False at the end of the file, or if nothing comes in time. */
static bool read_line(int fd, char *line)
{
    for (size_t used = 0; used < LINE_SIZE - 1; used++) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, READY_MS) <= 0 || read(fd, line + used, 1) != 1)
            return false;
        if (line[used] == '\n') {
            line[used] = '\0';
            return true;
        }
    }
    return false;
}

static bool take_endpoints(struct server_process *s, char *line)
{
    char *rest = line;
    char *word = strtok_r(line, " ", &rest);
    if (!word || strcmp(word, "ready") != 0)
        return false;
    while ((word = strtok_r(NULL, " ", &rest)) && s->endpoints_count < SERVER_ENDPOINTS_MAX)
        snprintf(s->endpoints[s->endpoints_count++], SERVER_ENDPOINT_SIZE, "%s", word);
    return s->endpoints_count > 0;
}

bool server_start(struct server_process *s, const char *program, const char *const *arguments)
{
    int out[2];
    char line[LINE_SIZE];
    if (s->log_fd > 0)
        close(s->log_fd); /* of the run before */
    *s = (struct server_process){.exit_status = -1};
    s->log_fd = memfd_create("log", MFD_CLOEXEC);
    if (s->log_fd < 0 || pipe2(out, O_CLOEXEC) != 0)
        return false;
    s->pid = fork();
    if (s->pid == 0)
        run(program, arguments, out[1], s->log_fd);
    close(out[1]);
    s->out_fd = out[0];
    if (s->pid < 0)
        return false;
    if (read_line(s->out_fd, line) && take_endpoints(s, line))
        return true;
    kill(s->pid, SIGTERM);
    struct pollfd end = {.fd = s->out_fd}; /* hangs up when it has ended */
    if (poll(&end, 1, READY_MS) <= 0)
        kill(s->pid, SIGKILL);
    wait_for_end(s);
    return false;
}

int server_stop(struct server_process *s, int signal)
{
    if (s->pid <= 0)
        return s->exit_status;
    kill(s->pid, signal);
    kill(s->pid, SIGCONT); /* a stopped one too */
    return wait_for_end(s);
}

void server_log(const struct server_process *s, char out[SERVER_LOG_SIZE])
{
    ssize_t got = pread(s->log_fd, out, SERVER_LOG_SIZE - 1, 0);
    out[got > 0 ? got : 0] = '\0';
}

bool server_log_has(const struct server_process *s, const char *text)
{
    char log[SERVER_LOG_SIZE];
    server_log(s, log);
    return strstr(log, text) != NULL;
}
