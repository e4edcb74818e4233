/*
 * txn_ops.h - the operations of a transaction, one by one, on the request's copy
 * (write_set.h).
 *
 * Threads: the core's.
 */
#ifndef VIGIL_SERVER_CORE_TXN_OPS_H
#define VIGIL_SERVER_CORE_TXN_OPS_H

#include "server/core/core_state.h"

struct txn_step {
    struct txn_op op;
    unsigned number;  /* in its list */
    uint64_t own_seq; /* what a key that this transaction has changed shows */
    struct txn_result result;
    bool own_seq_shown; /* the result names it */
};

/* Before anything is looked up: the fields that the operation uses. */
int txn_op_check(const struct core *core, struct request *q, const struct txn_op *op);
/* The result's value is valid until the next operation. */
int txn_op_run(struct core *core, struct request *q, struct txn_step *step);

/* ---- txn_prefix_ops.c ---- */

typedef int txn_op_apply(struct core *core, struct request *q, struct txn_step *step);
txn_op_apply txn_pop_any, txn_clear, txn_count, txn_list, txn_push;
/* What a delete, or a put, tells of the key before. */
static inline void txn_set_before(struct txn_step *step, const struct key_state *before)
{
    step->result.present = before->present;
    step->result.seq = before->meta.modified;
}
/* A number as the result's value. */
void txn_set_number(struct core *core, struct txn_step *step, uint64_t number);
/* Memory has run out, or the value that was made is too large. */
int txn_check_made(const struct core *core, struct request *q);

#endif
