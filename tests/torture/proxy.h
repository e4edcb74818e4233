/*
 * proxy.h - stands between clients and the server's three sockets (of requests, streams and replays), and
 * does what networks do: stalls in one direction or both, loses what was on its way, cuts. Either side may
 * be ipc:// (PATH, PATH.stream, PATH.replay) or tcp:// on the loopback interface (three ports in a row).
 *
 * One thread of its own; the functions here may be called from another.
 */
#ifndef VIGIL_TESTS_TORTURE_PROXY_H
#define VIGIL_TESTS_TORTURE_PROXY_H

#include <stdbool.h>

/* What happens to bytes of one direction. LOSE: they vanish; a cut must follow, as no stream survives that. */
enum proxy_mode { PROXY_PASS, PROXY_STALL, PROXY_LOSE };
enum proxy_socket { PROXY_REQUESTS = 1, PROXY_STREAM = 2, PROXY_REPLAY = 4, PROXY_ALL = 7 };

struct proxy;

/* NULL: could not. Each connection to a socket of endpoint goes on to the same socket of server_endpoint. */
struct proxy *proxy_start(const char *endpoint, const char *server_endpoint);
void proxy_stop(struct proxy *p);
/* For the connections of these sockets, present and future. */
void proxy_set(struct proxy *p, enum proxy_socket sockets, enum proxy_mode to_server,
               enum proxy_mode to_client);
void proxy_cut(struct proxy *p, enum proxy_socket sockets);

#endif
