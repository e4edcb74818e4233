/* check.c - see check.h. */
#include "bench/check.h"

#include <string.h>

const char *check_verdict_text(enum check_verdict verdict)
{
    static const char *const texts[] = {"ok", "better", "WORSE", "new"};
    return texts[verdict];
}

bool check_add(struct check_row *row, double ratio)
{
    if (row->runs == CHECK_RUNS_MAX) {
        return false;
    }
    size_t at = row->runs++;
    for (; at > 0 && row->ratios[at - 1] > ratio; at--) {
        row->ratios[at] = row->ratios[at - 1];
    }
    row->ratios[at] = ratio;
    return true;
}

double check_median(const struct check_row *row)
{
    return row->runs > 0 ? row->ratios[row->runs / 2] : 0;
}

enum check_verdict check_judge(const struct check_row *row, double margin)
{
    const struct baseline_row *stored = row->stored;
    double now = check_median(row);
    if (!stored) {
        return CHECK_NEW;
    }
    if (now < stored->ratio * (1 - margin) && now < stored->low) {
        return CHECK_WORSE;
    }
    return now > stored->ratio * (1 + margin) && now > stored->high ? CHECK_BETTER : CHECK_OK;
}

bool check_wants_more(const struct check_row *row, double margin, unsigned runs_max)
{
    if (row->runs >= runs_max || row->runs == CHECK_RUNS_MAX) {
        return false;
    }
    return row->runs == 0 || check_judge(row, margin) == CHECK_WORSE;
}

struct baseline_row check_store(const struct check_row *row, const char *name)
{
    struct baseline_row stored = {.ratio = check_median(row), .runs = row->runs};
    stored.low = row->ratios[0];
    stored.high = row->ratios[row->runs - 1];
    strncpy(stored.name, name, sizeof stored.name - 1);
    return stored;
}
