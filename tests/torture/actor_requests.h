/*
 * actor_requests.h - between actor_mutate.c (one request at a time) and actor_pipeline.c (many): requests,
 * drawn, and written down before they are sent.
 */
#ifndef VIGIL_TESTS_TORTURE_ACTOR_REQUESTS_H
#define VIGIL_TESTS_TORTURE_ACTOR_REQUESTS_H

#include "tests/torture/actor.h"

enum { REQUEST_VALUE_MAX = 20000 };

struct request_value {
    uint8_t bytes[REQUEST_VALUE_MAX + 8];
    size_t size;
};

/* Each begins the history's line, ends it, and returns the request's id. Pointers go to static memory. */
uint64_t request_put(struct actor *a, char key[ACTOR_KEY_SIZE], struct request_value *value,
                     const vigil_condition *condition);
uint64_t request_delete(struct actor *a, const char *key, const vigil_condition *condition);
uint64_t request_increment(struct actor *a, char key[ACTOR_KEY_SIZE]);
/* reads: it may ask what a key was changed at, and compare that. NULL: out of memory. */
vigil_txn *request_txn(struct actor *a, bool reads, uint64_t *ret_id);
uint64_t request_peek(struct actor *a, char key[ACTOR_KEY_SIZE]);

/* Mostly none; else what the key may be, as a read says. Points to static memory. */
vigil_condition request_condition(struct actor *a, const char *key);

/* The answers. */
void request_told(struct actor *a, uint64_t id, int error, const vigil_result *result,
                  const void *value, size_t size);
void request_txn_told(struct actor *a, uint64_t id, int error, uint64_t seq, bool succeeded);

/* Many at once, and their answers. */
int actor_burst(struct actor *a);
/* The same with nothing but increments. */
int actor_burst_of_increments(struct actor *a);

#endif
