/*
 * acknowledgement.h - tells the server how far the lines of a watch with a named
 * cursor have been written (vigil watch --name).
 *
 * 1. Nothing is acknowledged before all of its lines have been written.
 * 2. What has been written is acknowledged within ACKNOWLEDGEMENT_MS, not each
 *    time: each one costs the server a commit. At the end all of it is.
 */
#ifndef VIGIL_CLI_ACKNOWLEDGEMENT_H
#define VIGIL_CLI_ACKNOWLEDGEMENT_H

#include <vigil.h>

enum { ACKNOWLEDGEMENT_MS = 1000, ACKNOWLEDGEMENT_MARKS = 8192 };

/* In the buffer that is written next, the lines of what leads up to seq end at `end`. */
struct acknowledgement_mark {
    size_t end;
    uint64_t seq;
};

struct acknowledgement {
    vigil_watch *watch;
    uint64_t written; /* everything up to here has been written */
    uint64_t said;
    int64_t said_ms;
    size_t mark_count;
    struct acknowledgement_mark marks[ACKNOWLEDGEMENT_MARKS];
};

/* The watch begins after seq. On the heap; NULL: no memory. */
struct acknowledgement *acknowledgement_new(vigil_watch *watch, uint64_t seq);
void acknowledgement_mark(struct acknowledgement *a, uint64_t seq, size_t end);
/* The buffer has to be written before there are more. */
static inline bool acknowledgement_is_full(const struct acknowledgement *a)
{
    return a->mark_count == ACKNOWLEDGEMENT_MARKS;
}
/* The whole buffer is out, and the watch stands at seq. Says so to the server if it is time. OK, or
 * the error that the watch has ended with. */
int acknowledgement_written(struct acknowledgement *a, uint64_t seq);
/* Only the first size bytes of the buffer are out, and no more of it will be. */
void acknowledgement_cut(struct acknowledgement *a, size_t size);
/* When it is time to say it, if nothing else is written until then; -1: there is nothing to say. */
int64_t acknowledgement_due_ms(const struct acknowledgement *a);
/* Waits until the server has it. As vigil_watch_acknowledge. */
int acknowledgement_finish(struct acknowledgement *a, int timeout_ms);

#endif
