/* summary.h - what all rounds of a run came to: how much was done, and how much of it was looked at. */
#ifndef VIGIL_TESTS_TORTURE_SUMMARY_H
#define VIGIL_TESTS_TORTURE_SUMMARY_H

#include "tests/torture/checker.h"
#include "tests/torture/plan.h"

struct summary {
    uint64_t rounds, records, unread;
    uint64_t mutations, refused, in_doubt; /* by what their askers were told */
    uint64_t reads, copies, waits;
    uint64_t watched, opened, resumed, compacted;
    uint64_t taken, moved; /* cursors: openings, acknowledgements that were told to be durable */
    uint64_t backups, restored;
    uint64_t done[WORK_WAYS]; /* work that was acknowledged, by how it was asked for */
    uint64_t expired;
    uint64_t checked[PROPERTY_COUNT];
    uint64_t faults[FAULT_COUNT];
};

/* Adds what a round has left behind. */
void summary_add(struct summary *s, const struct evidence *e, const struct verdict *v);
void summary_print(const struct summary *s);

#endif
