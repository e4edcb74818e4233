/*
 * harvest.h - reads the journal of a server that is dead or stopped, from a copy of its file, and writes
 * down what it had not seen before. So the checker knows every record, whatever is compacted later, and
 * whether one ever changes.
 */
#ifndef VIGIL_TESTS_TORTURE_HARVEST_H
#define VIGIL_TESTS_TORTURE_HARVEST_H

#include "tests/torture/history.h"

struct harvest {
    char data[160]; /* the server's folder */
    char copy[160]; /* a folder for the copy, removed after each reading */
    struct history history;
    uint32_t *crcs; /* [seq], of the records read; 0: none */
    uint64_t crcs_count;
    uint64_t head, epoch;
    unsigned readings;
    char error[1024];
};

bool harvest_open(struct harvest *h, const char *data, const char *copy, const char *history_path);
/* Says in the history that the server removes records by itself, so that some may never be read. */
void harvest_may_miss(struct harvest *h);
/* That it removes nothing that a cursor has not seen. */
void harvest_holds_for_cursors(struct harvest *h);
void harvest_close(struct harvest *h);
/* Reads what is new and some of what is not, with verify all of it. False: it cannot be read, and error
 * says why: a finding. verify: look at all of it as `vigil verify` does. */
bool harvest_read(struct harvest *h, bool verify);

#endif
