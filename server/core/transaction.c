/*
 * transaction.c - txn: compares, then one of two lists of operations, as one
 * record.
 *
 * The operations work on a copy (write_set.h), which becomes a record when all of
 * them have gone well and the reply is known to fit.
 */
#include "server/core/core_state.h"

/* The three lists, each at its count. */
struct txn_program {
    struct wire_reader compares;
    struct wire_reader then_ops;
    struct wire_reader else_ops;
};

/* ---- checking, before anything is looked up ---- */

static int check_compare(struct request *q, const struct txn_compare *c)
{
    if (c->target < COMPARE_SEQ || c->target > COMPARE_VERSION)
        return request_fail(q, ERR_INVALID, "unknown target %u", c->target);
    if (c->relation < COMPARE_EQUAL || c->relation > COMPARE_GREATER)
        return request_fail(q, ERR_INVALID, "unknown relation %u", c->relation);
    if (c->target == COMPARE_VALUE && c->relation > COMPARE_NOT_EQUAL)
        return request_fail(q, ERR_INVALID, "values are compared for being equal or not only");
    return request_check_key(q, "the key", c->key);
}

static int check_compares(struct request *q, struct wire_reader *r)
{
    uint16_t count = wire_read_u16(r);
    if (count > LIMIT_TXN_COMPARES)
        return request_fail(q, ERR_LIMIT, "%u compares: at most %d are allowed", count,
                            LIMIT_TXN_COMPARES);
    for (unsigned i = 0; i < count; i++) {
        struct txn_compare c;
        if (!txn_compare_read(r, &c))
            return ERR_MALFORMED;
        int err = check_compare(q, &c);
        if (err)
            return request_fail_at(q, err, "compare", i);
    }
    return r->failed ? ERR_MALFORMED : ERR_OK;
}

static int check_op(const struct core *core, struct request *q, const struct txn_op *op)
{
    if (op->op != OP_PUT && op->op != OP_DELETE && op->op != OP_INCR && op->op != OP_GET)
        return request_fail(q, ERR_UNKNOWN_OP, "operation %u is not one of a transaction", op->op);
    int err = request_check_key(q, "the key", op->key);
    if (!err && op->op == OP_PUT)
        err = request_check_value(core, q, "the value", op->value);
    return err;
}

static int check_ops(const struct core *core, struct request *q, struct wire_reader *r,
                     const char *part)
{
    uint16_t count = wire_read_u16(r);
    if (count > LIMIT_TXN_OPS)
        return request_fail(q, ERR_LIMIT, "%u operations: at most %d are allowed", count,
                            LIMIT_TXN_OPS);
    for (unsigned i = 0; i < count; i++) {
        struct txn_op op;
        if (!txn_op_read(r, &op))
            return ERR_MALFORMED;
        int err = check_op(core, q, &op);
        if (err)
            return request_fail_at(q, err, part, i);
    }
    return r->failed ? ERR_MALFORMED : ERR_OK;
}

static int read_program(const struct core *core, struct request *q, struct txn_program *ret_program)
{
    struct wire_reader r = q->body;
    ret_program->compares = r;
    int err = check_compares(q, &r);
    if (err)
        return err;
    ret_program->then_ops = r;
    err = check_ops(core, q, &r, "then op");
    if (err)
        return err;
    ret_program->else_ops = r;
    err = check_ops(core, q, &r, "else op");
    if (err)
        return err;
    return wire_read_complete(&r) ? ERR_OK : ERR_MALFORMED;
}

/* ---- compares ---- */

static bool number_relation_holds(uint8_t relation, uint64_t number, uint64_t given)
{
    switch (relation) {
    case COMPARE_EQUAL:
        return number == given;
    case COMPARE_NOT_EQUAL:
        return number != given;
    case COMPARE_LESS:
        return number < given;
    default:
        return number > given;
    }
}

static bool compare_holds(const struct txn_compare *c, const struct key_state *state)
{
    switch (c->target) {
    case COMPARE_SEQ:
        return number_relation_holds(c->relation, state->present ? state->meta.modified : 0,
                                     c->number);
    case COMPARE_EXISTS:
        return number_relation_holds(c->relation, state->present, c->number);
    case COMPARE_VERSION:
        return number_relation_holds(c->relation, state->present ? state->meta.version : 0,
                                     c->number);
    default: {
        bool equal = state->present && bytes_equal(state->value, c->value);
        return equal == (c->relation == COMPARE_EQUAL);
    }
    }
}

static int all_hold(struct core *core, struct request *q, struct wire_reader r, bool *ret_all)
{
    uint16_t count = wire_read_u16(&r);
    bool all = true;
    for (unsigned i = 0; i < count && all; i++) {
        struct txn_compare c;
        struct key_state state;
        (void)txn_compare_read(&r, &c);
        int err = core_lookup_for(core, q, c.key, core_key_hash(core, c.key), &state);
        if (err)
            return err;
        all = compare_holds(&c, &state);
    }
    *ret_all = all;
    return ERR_OK;
}

/* ---- operations, on the copy ---- */

static int run_get(struct core *core, struct request *q, const struct txn_op *op, uint64_t own_seq,
                   struct txn_result *result, bool *own_seq_shown)
{
    struct key_state state;
    bool own;
    int err = write_set_get(core, q, op->key, own_seq, &state, &own);
    if (err)
        return err;
    *own_seq_shown |= own;
    result->present = state.present;
    result->seq = state.meta.modified;
    if (state.present)
        result->value = state.value;
    return ERR_OK;
}

static void set_before(struct txn_result *result, const struct key_state *before)
{
    result->present = before->present;
    result->seq = before->meta.modified;
}

static int run_put(struct core *core, struct request *q, const struct txn_op *op,
                   struct txn_result *result)
{
    struct key_state before;
    int err = write_set_put(core, q, op->key, op->value, &before);
    if (!err)
        set_before(result, &before);
    return err;
}

static int run_delete(struct core *core, struct request *q, const struct txn_op *op,
                      struct txn_result *result)
{
    struct key_state before;
    int err = write_set_delete(core, q, op->key, &before);
    if (!err)
        set_before(result, &before);
    return err;
}

static int run_incr(struct core *core, struct request *q, const struct txn_op *op,
                    struct txn_result *result)
{
    struct key_state before;
    uint8_t number[VALUE_INTEGER_SIZE_MAX];
    struct bytes sum = {number, 0};
    int err = write_set_get(core, q, op->key, 0, &before, NULL);
    if (!err)
        err = core_add_integer(q, "the value", before.present ? &before.value : NULL, op->by,
                               number, &sum.size);
    if (!err)
        err = write_set_keep(core, sum, &sum);
    if (!err)
        err = write_set_put(core, q, op->key, sum, &before);
    if (err)
        return err;
    set_before(result, &before);
    result->value = sum;
    return ERR_OK;
}

static int run_op(struct core *core, struct request *q, const struct txn_op *op, uint64_t own_seq,
                  struct txn_result *result, bool *own_seq_shown)
{
    switch (op->op) {
    case OP_GET:
        return run_get(core, q, op, own_seq, result, own_seq_shown);
    case OP_PUT:
        return run_put(core, q, op, result);
    case OP_DELETE:
        return run_delete(core, q, op, result);
    default:
        return run_incr(core, q, op, result);
    }
}

/* Runs the list and writes the results. What it wrote is then in core->writes. */
static int run_ops(struct core *core, struct request *q, struct wire_reader r, const char *part,
                   size_t begin, uint64_t own_seq, bool *own_seq_shown)
{
    struct wire_buffer *replies = &core->batch.replies;
    uint16_t count = wire_read_u16(&r);
    int err = write_set_begin(core, count);
    if (err)
        return err;
    wire_write_u16(replies, count);
    *own_seq_shown = false;
    for (unsigned i = 0; i < count; i++) {
        struct txn_op op;
        (void)txn_op_read(&r, &op);
        struct txn_result result = {.op = op.op};
        err = run_op(core, q, &op, own_seq, &result, own_seq_shown);
        if (err)
            return request_fail_at(q, err, part, i);
        txn_result_write(replies, &result);
        if (replies->failed || replies->size - begin > q->budget)
            break;
    }
    return request_reply_end(core, q, begin);
}

/* ---- the outcome ---- */

int apply_txn(struct core *core, struct request *q)
{
    struct wire_buffer *replies = &core->batch.replies;
    struct txn_program program;
    bool succeeded;
    int err = read_program(core, q, &program);
    if (!err)
        err = all_hold(core, q, program.compares, &succeeded);
    if (!err && succeeded && (q->header.flags & REQUEST_ATOMIC) != 0)
        err = turns_admit(core, q, program.then_ops);
    if (err)
        return err;
    uint64_t seq = core->batch.last_seq + 1;
    struct reply_txn reply = {.succeeded = succeeded};
    size_t begin = request_reply(core, q, seq);
    reply_txn_write(replies, &reply);
    size_t results = replies->size;
    const struct wire_reader *ops = succeeded ? &program.then_ops : &program.else_ops;
    const char *part = succeeded ? "then op" : "else op";
    bool own_seq_shown;
    err = run_ops(core, q, *ops, part, begin, seq, &own_seq_shown);
    if (err)
        return err;
    if (write_set_changes_anything(&core->writes))
        return write_set_commit(core, q, begin);

    /* No record: seq will be another's. A get between a put and a delete must not name it. */
    if (own_seq_shown) {
        replies->size = results;
        err = run_ops(core, q, *ops, part, begin, 0, &own_seq_shown);
        if (err)
            return err;
    }
    request_reply_set_seq(core, q, begin, core->batch.last_seq);
    message_part_end(replies, begin);
    return ERR_OK;
}
