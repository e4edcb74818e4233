/*
 * cast.h - the actors of a round as processes: started, killed, stopped, started again, ended. A process
 * that ends by itself and was not asked to is a finding.
 */
#ifndef VIGIL_TESTS_TORTURE_CAST_H
#define VIGIL_TESTS_TORTURE_CAST_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/torture/plan.h"

/* SIGINT or SIGTERM has come: the run ends, and leaves nothing behind. */
extern volatile sig_atomic_t torture_interrupted;

struct cast_actor {
    pid_t pid; /* 0: does not run */
    char role[16];
    char endpoint[160];
    char history[192];
    char seed[24], number[12];
    unsigned lives;
};

struct cast {
    const char *program;
    char log[160]; /* what they write to stderr */
    struct cast_actor actors[PLAN_ACTORS_MAX + 2];
    unsigned count;
    char error[512];
};

/* index of the new actor, which does not run yet. */
unsigned cast_add(struct cast *c, const char *folder, const char *endpoint,
                  const struct plan_actor *planned);
bool cast_start(struct cast *c, unsigned index);
/* SIGKILL, and waits. */
void cast_kill(struct cast *c, unsigned index);
void cast_signal(const struct cast *c, unsigned index, int signal);
/* False, with error: one has ended by itself. */
bool cast_check(struct cast *c);
/* SIGTERM to all whose role is (or, with others, is not) to watch, to mirror or to hold a cursor; false, with error, if one
 * fails or does not end within timeout_ms, or the run is interrupted. */
bool cast_end(struct cast *c, bool watchers, uint32_t timeout_ms);
/* Until it has ended by itself; false, with error, if that is not a success, or takes too long. */
bool cast_wait(struct cast *c, unsigned index, uint32_t timeout_ms);
void cast_kill_all(struct cast *c);

#endif
