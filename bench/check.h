/*
 * check.h - the judging part of `vigil-bench check`: ratios that were measured now, against one that is
 * stored. A ratio says how much of the yardstick's pace Vigil reaches: more is better.
 *
 * A row that looks worse is measured again, because machines have bad seconds: each measurement counts,
 * and the median of them all is judged, as soon as it is not worse or the runs are used up. Of an even
 * number the better of the two in the middle is the median.
 */
#ifndef VIGIL_BENCH_CHECK_H
#define VIGIL_BENCH_CHECK_H

#include "bench/baseline.h"

#include <stdbool.h>

enum { CHECK_RUNS_MAX = 100 };

enum check_verdict { CHECK_OK, CHECK_BETTER, CHECK_WORSE, CHECK_NEW };
/* "ok", "better", "WORSE", "new". */
const char *check_verdict_text(enum check_verdict verdict);

struct check_row {
    const struct baseline_row *stored; /* NULL: new */
    double ratios[CHECK_RUNS_MAX];     /* sorted, the worst first */
    unsigned runs;
};

/* One more measurement; false: there were CHECK_RUNS_MAX. */
bool check_add(struct check_row *row, double ratio);
/* 0 before the first. */
double check_median(const struct check_row *row);
/* Worse: the median is more than margin (0.2: a fifth) below the stored ratio, and below the worst run of
 * those that it was stored of. Better: the same above. */
enum check_verdict check_judge(const struct check_row *row, double margin);
/* Whether to measure again, of runs_max in all. */
bool check_wants_more(const struct check_row *row, double margin, unsigned runs_max);
/* What a baseline keeps of it, after one measurement at least. */
struct baseline_row check_store(const struct check_row *row, const char *name);

#endif
