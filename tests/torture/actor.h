/*
 * actor.h - a process of the torture run that does one thing until SIGTERM, and writes down what it is
 * told and what it sees. It may be killed or stopped at any time, and started again with the same history.
 */
#ifndef VIGIL_TESTS_TORTURE_ACTOR_H
#define VIGIL_TESTS_TORTURE_ACTOR_H

#include <vigil.h>

#include <signal.h>

#include "tests/support/sample_bytes.h"
#include "tests/torture/control.h"
#include "tests/torture/history.h"

enum { ACTOR_KEY_SIZE = 64, DRAIN_SECONDS = 40 };

struct actor {
    const char *endpoint;
    const char *history_path;
    unsigned number;
    struct sample random;
    struct history history;
    struct control *control;
    vigil *v;
    uint64_t next_id; /* of a request, never used twice */
    bool is_patient;  /* never gives a request up */
};

extern volatile sig_atomic_t actor_stopping;

/* Each returns the exit code: 0 if it did what it is for. */
int actor_mutate(struct actor *a);
int actor_increment(struct actor *a);
int actor_fill(struct actor *a);
int actor_watch(struct actor *a);
int actor_cursor(struct actor *a);
int actor_backup(struct actor *a);
int actor_inspect(struct actor *a);
int actor_mirror(struct actor *a);
int actor_wait(struct actor *a);
int actor_compact(struct actor *a);
int actor_teller(struct actor *a);
int actor_dict(struct actor *a);
int actor_lives(struct actor *a);

/* Connects, again if there is a connection, until it succeeds. False: SIGTERM came first. */
bool actor_connect(struct actor *a);
/* Below bound. */
size_t actor_draw(struct actor *a, size_t bound);
/* One of the run's keys; not a counter. */
void actor_key(struct actor *a, char out[ACTOR_KEY_SIZE]);
/* One of the run's filters, always the same for one number. */
size_t actor_filter(unsigned number, const char *patterns[16]);
/* Begins the line of a request and gives it an id; the caller adds the rest and ends it. */
uint64_t actor_asks(struct actor *a, const char *kind);
/* Begins the line of its answer. */
void actor_told(struct actor *a, char kind, uint64_t id, int error);
/* After SIGTERM: the newest record there is; false if the server cannot be asked in time. */
bool actor_final_head(struct actor *a, uint64_t deadline_us, uint64_t *ret_head);

#endif
