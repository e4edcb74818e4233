/*
 * transaction.c - txn: compares, then one of two lists of operations, as one
 * record.
 *
 * The operations work on a copy (write_set.h), which becomes a record when all of
 * them have gone well and the reply is known to fit.
 */
#include "server/core/prefix_scan.h"
#include "server/core/txn_ops.h"

enum { MADE_KEEP_BYTES = 1 << 20 };

/* The three lists, each at its count. */
struct txn_program {
    struct wire_reader compares;
    struct wire_reader then_ops;
    struct wire_reader else_ops;
};

/* ---- checking, before anything is looked up ---- */

static int check_compare(struct request *q, const struct txn_compare *c)
{
    if (c->target < COMPARE_SEQ || c->target > COMPARE_PREFIX)
        return request_fail(q, ERR_INVALID, "unknown target %u", c->target);
    if (c->relation < COMPARE_EQUAL || c->relation > COMPARE_GREATER)
        return request_fail(q, ERR_INVALID, "unknown relation %u", c->relation);
    if (c->target == COMPARE_VALUE && c->relation > COMPARE_NOT_EQUAL)
        return request_fail(q, ERR_INVALID, "values are compared for being equal or not only");
    if (c->target == COMPARE_PREFIX && c->relation != COMPARE_EQUAL)
        return request_fail(q, ERR_INVALID, "a prefix is compared with equal only: not changed");
    if (c->target == COMPARE_PREFIX)
        return prefix_check(q, c->key);
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
        int err = txn_op_check(core, q, &op);
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
        int err;
        (void)txn_compare_read(&r, &c);
        if (c.target == COMPARE_PREFIX) {
            err = prefix_unchanged_since(core, q, c.key, c.number, &all);
        } else {
            err = core_lookup_for(core, q, c.key, core_key_hash(core, c.key), &state);
            if (!err)
                all = compare_holds(&c, &state);
        }
        if (err)
            return request_fail_at(q, err, "compare", i);
    }
    *ret_all = all;
    return ERR_OK;
}

/* ---- operations ---- */

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
        struct txn_step step = {.number = i, .own_seq = own_seq};
        (void)txn_op_read(&r, &step.op);
        step.result.op = step.op.op;
        err = txn_op_run(core, q, &step);
        if (err)
            return request_fail_at(q, err, part, i);
        *own_seq_shown |= step.own_seq_shown;
        txn_result_write(replies, &step.result);
        if (replies->failed || replies->size - begin > q->budget)
            break;
    }
    /* A large result is rare. */
    if (core->made.capacity > MADE_KEEP_BYTES)
        wire_buffer_free(&core->made);
    return request_reply_end(core, q, begin);
}

/* ---- the outcome ---- */

int apply_txn(struct core *core, struct request *q)
{
    struct wire_buffer *replies = &core->batch.replies;
    struct txn_program program;
    bool succeeded = false; /* gcc does not see at -O2 that all_hold sets it */
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
    uint32_t looked_at = q->looked_at;
    err = run_ops(core, q, *ops, part, begin, seq, &own_seq_shown);
    if (err)
        return err;
    if (write_set_changes_anything(&core->writes))
        return write_set_commit(core, q, begin);

    /* No record: seq will be another's. A get between a put and a delete must not name it. */
    if (own_seq_shown) {
        replies->size = results;
        q->looked_at = looked_at;
        q->appended = 0;
        err = run_ops(core, q, *ops, part, begin, 0, &own_seq_shown);
        if (err)
            return err;
    }
    request_reply_set_seq(core, q, begin, core->batch.last_seq);
    message_part_end(replies, begin);
    return ERR_OK;
}
