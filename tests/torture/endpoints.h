/*
 * endpoints.h - where the server and the proxies of a round listen: the server at a path and at ports of
 * 127.0.0.1, each proxy as the plan says. The ports are fresh, and from below the range that the kernel
 * gives to outgoing connections, so that no client is given one of them while the server is down.
 */
#ifndef VIGIL_TESTS_TORTURE_ENDPOINTS_H
#define VIGIL_TESTS_TORTURE_ENDPOINTS_H

#include "tests/torture/plan.h"

enum { TORTURE_ENDPOINT_SIZE = 128 };

struct endpoints {
    char server[2][TORTURE_ENDPOINT_SIZE]; /* [enum plan_transport] */
    char proxies[PLAN_PROXIES][TORTURE_ENDPOINT_SIZE];
};

/* False: no free ports were found. */
bool endpoints_find(struct endpoints *e, const struct plan *plan, const char *folder);

#endif
