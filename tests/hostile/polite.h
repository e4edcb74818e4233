/*
 * polite.h - the others: a client that writes and reads, and one that watches, and how long each
 * step took them. They use libvigil, and everything that they see is checked.
 */
#ifndef VIGIL_TESTS_HOSTILE_POLITE_H
#define VIGIL_TESTS_HOSTILE_POLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct latencies {
    size_t count;
    uint64_t put_p50, put_p99, put_max; /* microseconds */
    uint64_t delivery_p50, delivery_p99,
        delivery_max; /* from the put's call to the watcher's hands */
};

struct polite;

/* Both threads. NULL: they could not connect. */
struct polite *polite_start(const char *endpoint);
/* From now on the latencies are counted anew; ret (may be NULL) gets those until now. */
void polite_measure(struct polite *p, struct latencies *ret);
size_t polite_puts(const struct polite *p); /* since then */
/* Nothing more is sent until resumed. */
void polite_pause(struct polite *p, bool on);
/* Ends both and checks what is left. NULL: all was well; otherwise what was not. */
const char *polite_end(struct polite *p);

/* The yardstick: threads that keep the server as busy as they can with ordinary requests, of values
 * of 256 bytes or of nearly the largest. */
struct busy;
struct busy *busy_start(const char *endpoint, unsigned threads, bool large);
void busy_end(struct busy *b);

#endif
