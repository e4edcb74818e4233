/*
 * child.h - processes that the bench starts: the server, and itself in another
 * role (see roles.h). Each has pipes to its standard input and from its standard
 * output; it ends when its input does, or with this process.
 */
#ifndef VIGIL_BENCH_CHILD_H
#define VIGIL_BENCH_CHILD_H

#include "protocol/failure.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;        /* 0: none */
    int to_fd;        /* its standard input */
    int from_fd;      /* its standard output */
    const char *what; /* for messages: "the server" */
};

#define CHILD_INIT                 \
    {                              \
        .to_fd = -1, .from_fd = -1 \
    }

/* arguments ends with NULL; [0] is looked up in PATH unless it has a slash.
 * stderr_path: where its standard error goes; NULL: where ours goes. */
int child_start(struct child *c, const char *what, char *const arguments[], const char *stderr_path,
                struct failure *failure);
/* This program in the role that arguments[1] names; [0] is filled in here. */
int child_start_role(struct child *c, const char *what, char *arguments[], struct failure *failure);
int child_write(struct child *c, const void *data, size_t size, struct failure *failure);
/* Exactly size bytes. ERR_TIMEOUT, ERR_INTERRUPTED, ERR_DISCONNECTED (it has ended), ERR_IO. */
int child_read(struct child *c, void *out, size_t size, int timeout_ms, struct failure *failure);
/* A line without its end, at most size - 1 bytes. Errors as child_read. */
int child_read_line(struct child *c, char *out, size_t size, int timeout_ms,
                    struct failure *failure);
/* Closes its input, sends the signal (0: none), waits up to timeout_ms, then kills it. Returns its
 * exit status, or 128 + the signal that ended it. Takes one that has ended. */
int child_end(struct child *c, int signal_number, int timeout_ms);

/* Of this process, and with it of what it starts: a thousand watchers need several thousand. */
void child_raise_descriptor_limit(void);

#endif
