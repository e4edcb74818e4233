/*
 * work_model.h - what work.h's steps do to a state, and what they tell: a model of its own, which knows
 * the server's only by its description.
 */
#ifndef VIGIL_TESTS_TORTURE_WORK_MODEL_H
#define VIGIL_TESTS_TORTURE_WORK_MODEL_H

#include "tests/torture/evidence.h"

struct cell {
    bool present;
    uint64_t modified;
    uint64_t mark;
    const uint8_t *bytes; /* NULL: not known */
    size_t size;
};

/* All keys at one seq. */
struct world {
    const struct evidence *e;
    struct cell *cells; /* [key] */
    uint32_t *order;    /* keys in bytewise order */
};

void world_open(struct world *w, const struct evidence *e);
void world_close(struct world *w);
void world_apply(struct world *w, const struct seen_record *r);

enum { MODEL_CHANGES_MAX = 4096, MODEL_MADE_MAX = 1 << 18 };

struct model_change {
    uint32_t key;
    bool was_present;
    struct cell now;
};

struct model_result {
    bool present;
    uint64_t seq; /* where the key changed before (all of this, or last, where a value is told as it
                   * stands) */
    bool is_deletion; /* that seq: compaction may have forgotten it, then 0 is told */
    uint64_t mark;
    uint32_t key; /* NO_KEY: none is told */
};

enum model_verdict {
    MODEL_DONE,
    MODEL_UNKNOWN,   /* it depends on what no history shows */
    MODEL_IMPOSSIBLE /* the server could only have refused it */
};

struct model {
    const struct world *world;
    uint64_t seq;     /* of the record that it makes, or that would be next */
    uint64_t own_seq; /* what a key shows that it has changed: 0 if there will be no record */
    struct model_change changes[MODEL_CHANGES_MAX];
    size_t count;
    uint8_t made[MODEL_MADE_MAX]; /* values */
    size_t made_size;
};

void model_begin(struct model *m, const struct world *w, uint64_t seq, bool makes_record);
/* The step of this number in its list. */
enum model_verdict model_step(struct model *m, const struct work_step *s, size_t number,
                              struct model_result *ret_result);
/* How many changes there would be in its record. */
size_t model_net(const struct model *m);

#endif
