/* server.c - see server.h. */
#define _GNU_SOURCE
#include "bench/server.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READY_TIMEOUT_MS = 120000, STOP_TIMEOUT_MS = 60000, ARGUMENTS_MAX = 64 };

int run_folder_make(const struct options *options, char *out, size_t size, struct failure *failure)
{
    const char *parent = options->data;
    if (!parent) {
        parent = getenv("TMPDIR");
    }
    if (!parent || !*parent) {
        parent = "/var/tmp";
    }
    char *absolute = realpath(parent, NULL);
    if (!absolute) {
        return failure_set(failure, ERR_IO, "cannot use %s: %s", parent, strerror(errno));
    }
    int length = snprintf(out, size, "%s/vigil-bench-XXXXXX", absolute);
    int err = ERR_OK;
    if (length < 0 || (size_t)length >= size || (size_t)length > ENDPOINT_PATH_MAX - 8) {
        err =
            failure_set(failure, ERR_TOO_LARGE,
                        "%s is too long a path for a socket: choose another with --data", absolute);
    } else if (!mkdtemp(out)) {
        err = failure_set(failure, ERR_IO, "cannot make a folder in %s: %s", absolute,
                          strerror(errno));
    }
    if (err) {
        out[0] = '\0';
    }
    free(absolute);
    return err;
}

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *level)
{
    (void)s;
    (void)kind;
    (void)level;
    remove(path);
    return 0;
}

void run_folder_remove(const char *path)
{
    if (*path) {
        nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
}

/* VIGILD, or the one beside this program, or whatever PATH has. */
static void find_vigild(char *out, size_t size)
{
    const char *given = getenv("VIGILD");
    if (given && *given) {
        snprintf(out, size, "%s", given);
        return;
    }
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = '\0';
        char *slash = strrchr(self, '/');
        snprintf(out, size, "%.*s/vigild", (int)(slash - self), self);
        if (access(out, X_OK) == 0) {
            return;
        }
    }
    snprintf(out, size, "vigild");
}

/* The last lines of the server's log, for the message of a start that failed. */
static void read_log_tail(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file) {
        return;
    }
    if (fseek(file, 0, SEEK_END) == 0 && ftell(file) > (long)size - 1) {
        fseek(file, -((long)size - 1), SEEK_END);
    } else {
        rewind(file);
    }
    out[fread(out, 1, size - 1, file)] = '\0';
    fclose(file);
}

int server_launch(struct server *s, uint64_t *ret_ready_ns, struct failure *failure)
{
    char program[PATH_MAX];
    char listen[ENDPOINT_SIZE];
    char data[PATH_MAX];
    char log[PATH_MAX];
    find_vigild(program, sizeof program);
    snprintf(data, sizeof data, "%s/data", s->folder);
    snprintf(log, sizeof log, "%s/log", s->folder);
    if (!strcmp(s->options->transport, "tcp")) {
        snprintf(listen, sizeof listen, "tcp://127.0.0.1:0");
    } else {
        snprintf(listen, sizeof listen, "ipc://%s/s", s->folder);
    }
    char listen_option[] = "--listen";
    char data_option[] = "--data";
    char durability_option[] = "--durability";
    char durability[16];
    snprintf(durability, sizeof durability, "%s",
             s->options->durability ? s->options->durability : "process");
    char *arguments[ARGUMENTS_MAX] = {program, listen_option,     listen,    data_option,
                                      data,    durability_option, durability};
    size_t count = 7;
    for (char *const *more = s->options->server_arguments; more && *more; more++) {
        if (count + 1 >= ARGUMENTS_MAX) {
            return failure_set(failure, ERR_TOO_LARGE, "too many arguments for vigild");
        }
        arguments[count++] = *more;
    }

    uint64_t start_ns = monotonic_ns();
    int err = child_start(&s->child, "the server", arguments, log, failure);
    char line[ENDPOINT_SIZE + 16];
    if (!err) {
        err = child_read_line(&s->child, line, sizeof line, READY_TIMEOUT_MS, failure);
    }
    uint64_t ready_ns = monotonic_ns() - start_ns;
    if (err && err != ERR_INTERRUPTED) {
        char tail[256];
        child_end(&s->child, SIGTERM, STOP_TIMEOUT_MS);
        read_log_tail(log, tail, sizeof tail);
        return failure_set(failure, ERR_IO, "%s did not start: %s", program,
                           *tail ? tail : error_text(err));
    }
    if (!err && strncmp(line, "ready ", 6)) {
        return failure_set(failure, ERR_MALFORMED, "%s said '%.200s' instead of ready", program,
                           line);
    }
    if (!err) {
        snprintf(s->endpoint, sizeof s->endpoint, "%.*s", (int)sizeof s->endpoint - 1, line + 6);
        if (ret_ready_ns) {
            *ret_ready_ns = ready_ns;
        }
    }
    return err;
}

int server_stop(struct server *s, int signal_number, struct failure *failure)
{
    int status = child_end(&s->child, signal_number, STOP_TIMEOUT_MS);
    bool as_wanted = signal_number == SIGKILL ? status == 128 + SIGKILL : status == 0;
    if (!as_wanted) {
        return failure_set(failure, ERR_INTERNAL, "the server ended with status %d", status);
    }
    return ERR_OK;
}

int server_start(struct server *s, const struct options *options, struct failure *failure)
{
    *s = (struct server)SERVER_INIT;
    s->options = options;
    int err = run_folder_make(options, s->folder, sizeof s->folder, failure);
    if (err) {
        return err;
    }
    if (options->server) {
        snprintf(s->endpoint, sizeof s->endpoint, "%s", options->server);
        return ERR_OK;
    }
    if (file_system_is_volatile(s->folder)) {
        fprintf(stderr, "vigil-bench: %s keeps nothing: syncs cost nothing there; use --data\n",
                s->folder);
    }
    s->own = true;
    return server_launch(s, NULL, failure);
}

void server_end(struct server *s)
{
    child_end(&s->child, SIGTERM, STOP_TIMEOUT_MS);
    run_folder_remove(s->folder);
    s->folder[0] = '\0';
}
