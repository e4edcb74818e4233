/*
 * core_load.h - a load on the core alone: what the core thread of vigild does with it, batch by batch,
 * without sockets, a journal or a clock. Each client is a session that acknowledges, as those of
 * libvigil are. Everything comes from fixed numbers, so that two runs take the same instructions.
 */
#ifndef VIGIL_TESTS_INSTRUCTIONS_CORE_LOAD_H
#define VIGIL_TESTS_INSTRUCTIONS_CORE_LOAD_H

#include "protocol/message.h"

enum { LOAD_CLIENTS_MAX = 64, LOAD_VALUE_SIZE = 100, LOAD_KEY_SIZE = 14 };

enum load_filters {
    LOAD_FILTER_ALL,     /* one, of every key */
    LOAD_FILTER_KEYS,    /* number N is the load's key N */
    LOAD_FILTER_PREFIXES /* number N is what the load's keys 10 N to 10 N + 9 begin with */
};

struct load_plan {
    uint8_t op;        /* OP_PUT or OP_GET, of every request */
    uint32_t messages; /* of a batch: one from each client */
    uint32_t requests; /* of a message */
    uint32_t batch_us; /* how far a batch moves the clock */
    uint32_t keys;     /* that the requests take in turn; a multiple of messages x requests, or 1 */
    enum load_filters filters;
    uint32_t filter_count;
};

/* The core is ready, every filter is open and has had a bookmark, all that grows has grown. Ends the
 * program when something does not work. */
void core_load_prepare(const struct load_plan *plan);
/* Once after that: so many batches. */
void core_load_run(uint64_t batches);
/* Whether each request of that run did what it should, and each put was published once. */
bool core_load_succeeded(void);

/* ---- what the other cases use, too ---- */

/* "bench/00000042", not terminated. */
void load_key(uint32_t number, uint8_t key[LOAD_KEY_SIZE]);
/* A binary value. */
struct bytes load_value(void);
/* A message of so many puts to keys from number first on, or of gets. */
void load_write_requests(struct wire_buffer *b, uint8_t op, uint64_t session, uint32_t first,
                         uint32_t count);
/* Ends the program. */
void load_give_up(const char *what);

#endif
