/*
 * server.h - the server that a load runs against: one given with --server, or a
 * vigild of our own in a folder that goes away with it.
 */
#ifndef VIGIL_BENCH_SERVER_H
#define VIGIL_BENCH_SERVER_H

#include "bench/child.h"
#include "bench/figures.h"
#include "bench/options.h"
#include "protocol/endpoint.h"

struct server {
    bool own;
    char endpoint[ENDPOINT_SIZE];
    char folder[ENDPOINT_PATH_MAX]; /* of this run, whether the server is our own or not */
    const struct options *options;
    struct child child;
};

#define SERVER_INIT         \
    {                       \
        .child = CHILD_INIT \
    }

/* Makes the folder, and starts vigild unless a server is given. */
int server_start(struct server *s, const struct options *options, struct failure *failure);
/* Stops vigild and removes the folder. Takes one that failed to start. */
void server_end(struct server *s);

/* Our own server only: start from what the folder has, and stop by a signal. */
int server_launch(struct server *s, uint64_t *ret_ready_ns, struct failure *failure);
int server_stop(struct server *s, int signal_number, struct failure *failure);

/* A folder of this run, made where options say; removed with all that is in it. */
int run_folder_make(const struct options *options, char *out, size_t size, struct failure *failure);
void run_folder_remove(const char *path);

#endif
