/* take_turns.c - turn; and what a turn means for the transactions of others. */
#include "server/core/core_state.h"

#include <stdlib.h>

static int fail_take(struct request *q, int err)
{
    if (err == ERR_LIMIT)
        return request_fail(q, err,
                            "%d clients have their turn or wait for it, or that is for %d "
                            "prefixes already",
                            LIMIT_TURN_PLACES, LIMIT_TURN_PREFIXES);
    return err;
}

static int take(struct core *core, struct request *q, struct bytes wire,
                struct turn_answer *ret_answer)
{
    struct wire_reader r = wire_reader_of(wire.data, wire.size);
    struct filter *f = malloc(sizeof *f);
    if (!f)
        return ERR_NO_MEMORY;
    int err = filter_read(&r, f);
    if (!err && !wire_read_complete(&r))
        err = ERR_MALFORMED;
    if (!err)
        err = fail_take(q, turns_take(&core->turns, q->peer, f, core->now_ms, ret_answer));
    free(f);
    return err;
}

int apply_turn(struct core *core, struct request *q)
{
    struct request_turn body;
    struct turn_answer answer = {0};
    int err = ERR_OK;
    if (!request_turn_read(&q->body, &body))
        return ERR_MALFORMED;
    if (body.action == TURN_TAKE)
        err = take(core, q, body.filter, &answer);
    else if (body.action != TURN_LEAVE)
        err = request_fail(q, ERR_INVALID, "unknown action %u", body.action);
    else if (body.filter.size > 0)
        err = ERR_MALFORMED;
    else
        turns_leave(&core->turns, q->peer);
    if (err)
        return err;
    size_t begin = request_reply(core, q, core->batch.last_seq);
    reply_turn_write(&core->batch.replies, &(struct reply_turn){.granted = answer.granted,
                                                                .ahead = answer.ahead,
                                                                .left_ms = answer.left_ms});
    return request_reply_end(core, q, begin);
}

int turns_admit(struct core *core, struct request *q, struct wire_reader ops)
{
    uint16_t count = core->turns.turns > 0 ? wire_read_u16(&ops) : 0;
    for (unsigned i = 0; i < count; i++) {
        struct txn_op op;
        (void)txn_op_read(&ops, &op);
        if (op.op != OP_GET && turns_forbid(&core->turns, q->peer, op.key, core->now_ms))
            return request_fail(q, ERR_CONFLICT, "it is another client's turn with '%.*s'",
                                (int)op.key.size, (const char *)op.key.data);
    }
    turns_leave(&core->turns, q->peer);
    return ERR_OK;
}
