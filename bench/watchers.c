/* watchers.c - this process's side; see watchers.h. */
#define _POSIX_C_SOURCE 200809L
#include "bench/watchers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READY_MS = 60000, FINISH_MS = 120000, END_MS = 10000 };

int watchers_start(struct watchers *w, enum watchers_kind kind, const char *endpoint,
                   uint32_t count, struct failure *failure)
{
    char role[] = "role";
    char name[16];
    char address[320];
    char number[16];
    char mode[16];
    char line[64];
    snprintf(name, sizeof name, "%s", kind == WATCHERS_WAITERS ? "waiters" : "watchers");
    snprintf(address, sizeof address, "%s", endpoint);
    snprintf(number, sizeof number, "%" PRIu32, count);
    snprintf(mode, sizeof mode, "%s", kind == WATCHERS_DISTINCT ? "distinct" : "all");
    char *arguments[] = {NULL, role, name, address, number, mode, NULL};
    const char *what = kind == WATCHERS_WAITERS ? "the waiters' process" : "the watchers' process";
    int err = child_start_role(&w->child, what, arguments, failure);
    if (!err) {
        err = child_read_line(&w->child, line, sizeof line, READY_MS, failure);
    }
    return err;
}

int watchers_window(struct watchers *w, uint64_t begin_ns, uint64_t end_ns, struct failure *failure)
{
    char line[80];
    int size = snprintf(line, sizeof line, "window %" PRIu64 " %" PRIu64 "\n", begin_ns, end_ns);
    return child_write(&w->child, line, (size_t)size, failure);
}

bool watchers_parse_window(const char *line, uint64_t *ret_begin_ns, uint64_t *ret_end_ns)
{
    static const char word[] = "window ";
    char *end = NULL;
    if (strncmp(line, word, sizeof word - 1) != 0) {
        return false;
    }
    *ret_begin_ns = strtoull(line + sizeof word - 1, &end, 10);
    *ret_end_ns = strtoull(end, NULL, 10);
    return true;
}

int watchers_await(struct watchers *w, uint64_t seq, struct failure *failure)
{
    char line[40];
    int size = snprintf(line, sizeof line, "await %" PRIu64 "\n", seq);
    int err = child_write(&w->child, line, (size_t)size, failure);
    return err ? err : child_read_line(&w->child, line, sizeof line, FINISH_MS, failure);
}

int watchers_finish(struct watchers *w, uint64_t until, struct watchers_report *ret_report,
                    struct failure *failure)
{
    char line[40];
    int size = snprintf(line, sizeof line, "until %" PRIu64 "\n", until);
    int err = child_write(&w->child, line, (size_t)size, failure);
    if (!err) {
        err = child_read(&w->child, ret_report, sizeof *ret_report, FINISH_MS, failure);
    }
    return err;
}

void watchers_end(struct watchers *w)
{
    child_end(&w->child, 0, END_MS);
}
