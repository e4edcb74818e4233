/*
 * etcd_tcp.h - a connection to HOST:PORT that sends at once what it is given.
 */
#ifndef VIGIL_BENCH_PEERS_ETCD_TCP_H
#define VIGIL_BENCH_PEERS_ETCD_TCP_H

#include "protocol/failure.h"

/* Blocks until connected. The caller closes *ret_fd. */
int etcd_tcp_connect(const char *address, int *ret_fd, struct failure *failure);

#endif
