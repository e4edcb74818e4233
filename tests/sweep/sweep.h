/*
 * sweep.h - goes through every call of every function that can fail: runs the same script again and
 * again, and lets another call fail each time, once or from then on.
 *
 * ctest: TIMEOUT=300 LABELS=no-tsan,asan-only
 */
#ifndef VIGIL_TESTS_SWEEP_SWEEP_H
#define VIGIL_TESTS_SWEEP_SWEEP_H

#include "tests/support/temp_folder.h"
#include "tests/sweep/faults.h"

enum {
    SWEEP_PATH_SIZE = TEMP_FOLDER_SIZE + 32,
    SWEEP_PLAN_PATH_SIZE = 48,
    SWEEP_PATIENT_MS = 20000
};

struct sweep {
    const char *name;
    /* One run, in a process of its own; says on stderr what is wrong and returns false. Leaks
     * count as wrong where a sanitizer looks for them. */
    bool (*run)(struct sweep *s, void *context);
    void *context;
    unsigned points_max;    /* calls of one function that the short form lets fail; 0: all */
    unsigned limit_seconds; /* of one run */

    struct fault_plan *plan;              /* the same as faults */
    char plan_path[SWEEP_PLAN_PATH_SIZE]; /* for programs that are executed, by FAULTS_VARIABLE */
    char folder[TEMP_FOLDER_SIZE];        /* of this run, empty; removed afterwards */
    unsigned number;                      /* of this run */

    bool full;
    unsigned seed;
    int only_fault; /* FAULT_NONE: all */
    unsigned part;
    unsigned parts;
    unsigned only_at;
    bool only_lasting;
    unsigned failures;
    unsigned runs;
    unsigned points; /* calls that can fail */
};

extern const char sweep_usage[];
/* Options of the command line:
 *   --full                  every call, as with VIGIL_TEST_SWEEP=full
 *   --seed N                which calls the short form takes
 *   --part I/N              the I-th of N parts (from 0), which may run at the same time
 *   --only FUNCTION:N:once  that one alone; or :lasting
 *   --only FUNCTION         calls of that one alone
 * False: they are not understood. */
bool sweep_options(struct sweep *s, int argc, char **argv);
bool sweep_open(struct sweep *s);
/* Counts calls in a run without faults, then lets them fail one by one. A line for each function on
 * stdout. May be used several times, with other scripts. */
void sweep_run(struct sweep *s);
/* The exit code. */
int sweep_close(struct sweep *s);

/* For scripts. Says it, with the fault, and returns false. */
bool sweep_wrong(const struct sweep *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Faults happen between these. */
void sweep_arm(struct sweep *s);
void sweep_disarm(struct sweep *s);
/* How long a call may take: with_faults_ms in a run with faults; in one without, in which none may
 * fail however busy the machine is, much longer. */
int sweep_patience_ms(const struct sweep *s, int with_faults_ms);

#endif
