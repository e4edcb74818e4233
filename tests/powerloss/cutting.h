/*
 * cutting.h - takes the power away at the operations of a log, one after another,
 * and has what is left inspected.
 */
#ifndef VIGIL_TESTS_POWERLOSS_CUTTING_H
#define VIGIL_TESTS_POWERLOSS_CUTTING_H

#include "tests/powerloss/image.h"
#include "tests/powerloss/inspection.h"

enum { CUT_FAILURES_MAX = 5, CUT_WORKERS_MAX = 16 };

struct cutting {
    const char *log_path;
    const char *folder; /* images are written here, and removed */
    const struct history *history;
    enum journal_durability durability; /* with which it is opened afterwards */
    size_t first;                       /* operations before this one only prepare */
    struct expectation before;          /* what holds at first */
    uint64_t seed;
    size_t cuts_max; /* spread evenly; 0: every operation */
    size_t only_cut; /* 0: all */
    unsigned variants;
    unsigned workers;
    bool stop_at_wrong;
    const char *keep; /* NULL, or where the first wrong image is left */
};
struct cut_report {
    size_t operations;
    size_t cuts;
    size_t images;
    size_t outcomes[OUTCOMES];
    size_t failures_count; /* of the texts that follow */
    char failures[CUT_FAILURES_MAX][1000];
};
/* False: the log cannot be used; the first failure says why. */
bool cut_everywhere(const struct cutting *c, struct cut_report *ret_report);

/* What a power loss leaves at one operation, and what was promised then. */
bool cut_once(const char *log_path, size_t cut, uint64_t seed, struct image *ret_image,
              struct expectation *ret_expectation);
/* Replays the whole log: does it explain the files below root? */
bool cut_explains(const char *log_path, const char *root, char error[IMAGE_ERROR_SIZE]);
size_t cut_count_operations(const char *log_path);

#endif
