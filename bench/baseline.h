/*
 * baseline.h - ratios to the yardstick that an earlier run of `vigil-bench check --write` has stored, in
 * bench/baseline.json or a file like it:
 *
 *   {"version": "0.1.0", "machine": "...", "rows": {
 *      "put process 1x1": {"ratio": 0.52, "low": 0.49, "high": 0.55, "runs": 5}, ...
 *   }}
 *
 * ratio is the median of the runs, low and high the worst and the best of them. version and machine are
 * for people. One row a line, so that a change of one shows as that.
 */
#ifndef VIGIL_BENCH_BASELINE_H
#define VIGIL_BENCH_BASELINE_H

#include "protocol/failure.h"

#include <stddef.h>

enum { BASELINE_NAME_SIZE = 48, BASELINE_ROWS_MAX = 64, BASELINE_FILE_MAX = 65536 };

struct baseline_row {
    char name[BASELINE_NAME_SIZE];
    double ratio;
    double low;
    double high;
    unsigned runs;
};

struct baseline {
    struct baseline_row rows[BASELINE_ROWS_MAX];
    size_t count;
};

/* NULL: there is none of this name. */
const struct baseline_row *baseline_find(const struct baseline *b, const char *name);
/* In the place of the row with its name, else at the end. ERR_LIMIT. */
int baseline_set(struct baseline *b, const struct baseline_row *row, struct failure *failure);

/* ERR_INVALID: it is no baseline, failure says where. */
int baseline_parse(const char *text, size_t size, struct baseline *ret_baseline,
                   struct failure *failure);
/* ERR_NOT_FOUND: there is no such file; ERR_IO; or as baseline_parse. */
int baseline_read(const char *path, struct baseline *ret_baseline, struct failure *failure);
/* Whether baseline_write could, before what is written has been measured. ERR_IO. */
int baseline_try_write(const char *path, struct failure *failure);
/* The file is replaced as a whole. ERR_IO. */
int baseline_write(const char *path, const struct baseline *b, const char *version,
                   const char *machine, struct failure *failure);

#endif
