/*
 * pipeline.c - sending without waiting, and receiving the outcomes.
 *
 * Requests are gathered into messages: a message leaves when it is full, when
 * nothing is under way, or when the caller is about to wait while few are. So a
 * caller that works through the outcomes of one message and sends a new request
 * for each sends those as one message again.
 */
#include "client/channel.h"
#include "client/clock.h"
#include "client/delivery.h"
#include "client/mutation.h"

#include <stdlib.h>

static int check_room(struct vigil *v)
{
    if (v->pending.application_count < v->pipeline_max)
        return ERR_OK;
    return connection_fail(v, ERR_BUSY, "%u requests are under way: receive some first",
                           v->pipeline_max);
}

/* A full message need not wait for company. */
static void send_if_full(struct vigil *v)
{
    if (v->outbox.unsent != v->outbox.last)
        connection_send(v);
}

static int end(struct vigil *v, uint64_t *ret_id)
{
    int err = connection_request_end(v, NULL, NULL, ret_id);
    if (err == ERR_OK)
        send_if_full(v);
    return err;
}

int vigil_send_put(vigil *v, const char *key, const void *value, size_t size,
                   const vigil_condition *condition, uint64_t *ret_id)
{
    int err = check_room(v);
    if (err == ERR_OK)
        err = mutation_begin_put(v, key, value, size, condition);
    return err ? err : end(v, ret_id);
}

int vigil_send_delete(vigil *v, const char *key, const vigil_condition *condition, uint64_t *ret_id)
{
    int err = check_room(v);
    if (err == ERR_OK)
        err = mutation_begin_delete(v, key, condition);
    return err ? err : end(v, ret_id);
}

int vigil_send_incr(vigil *v, const char *key, int64_t by, uint64_t *ret_id)
{
    int err = check_room(v);
    if (err == ERR_OK)
        err = mutation_begin_incr(v, key, by);
    return err ? err : end(v, ret_id);
}

int vigil_send_get(vigil *v, const char *key, uint64_t *ret_id)
{
    int err = check_room(v);
    if (err == ERR_OK)
        err = mutation_begin_get(v, key);
    return err ? err : end(v, ret_id);
}

int vigil_send_txn(vigil *v, const vigil_txn *t, uint64_t *ret_id)
{
    int err = check_room(v);
    if (err == ERR_OK)
        err = mutation_begin_txn(v, t, 0);
    return err ? err : end(v, ret_id);
}

int vigil_send_call(vigil *v, const vigil_function *function, const void *arguments,
                    size_t arguments_size, uint64_t *ret_id)
{
    int err = check_room(v);
    if (err == ERR_OK)
        err = mutation_begin_call(v, function, arguments, arguments_size, false);
    return err ? err : end(v, ret_id);
}

void vigil_stop_on_error(vigil *v, bool on)
{
    v->stop_on_error = on;
}

int vigil_flush(vigil *v)
{
    if (v->state == CHANNEL_READY)
        connection_send(v);
    else
        connection_step(v);
    return ERR_OK;
}

static void hand_out(struct vigil *v, vigil_completion *ret_completion)
{
    struct pending_outcome outcome;
    /* What was sent behind a failure ends with it, before new requests may follow. */
    uint64_t failed_id = v->pending.failed_id;
    uint64_t next = v->pending.outcomes_first & (v->pending.outcomes_capacity - 1);
    if (failed_id != 0 && v->pending.outcomes[next].completion.id == failed_id)
        connection_abort_queued(v);
    pending_outcome(&v->pending, &outcome);
    v->received_frame = outcome.frame;
    if (outcome.completion.error && outcome.text.size > 0)
        connection_fail(v, outcome.completion.error, "%.*s", (int)outcome.text.size,
                        (const char *)outcome.text.data);
    else if (outcome.completion.error && outcome.completion.error != ERR_DISCONNECTED)
        connection_fail(v, outcome.completion.error, NULL);
    *ret_completion = outcome.completion;
}

static int receive(struct vigil *v, int timeout_ms, vigil_completion *ret_completion)
{
    reply_frame_release(&v->pending, v->received_frame);
    v->received_frame = NULL;
    if (v->outbox.sent_count == 0)
        connection_send(v); /* the server has nothing to do */
    if (!pending_has_outcome(&v->pending)) {
        descriptor_clear(v->own_descriptor);
        if (v->pending.application_count == 0) {
            /* What woke the caller is taken all the same, or the descriptor would stay readable. */
            connection_step(v);
            descriptor_arm(v->own_descriptor, connection_due_ms(v));
            return connection_fail(v, ERR_INVALID, "no request is under way");
        }
    }
    int64_t deadline = deadline_after(timeout_ms);
    int64_t now = v->stepped_ms;
    for (bool last = false; !pending_has_outcome(&v->pending);) {
        if (last) {
            descriptor_arm(v->own_descriptor, connection_due_ms(v));
            return connection_fail(v, ERR_TIMEOUT, NULL);
        }
        connection_send(v);
        if (!pending_has_outcome(&v->pending)) {
            int err = connection_wait(v, NULL,
                                      timeout_ms == 0 ? 0 : deadline_left_ms(deadline, now, 1000));
            if (err)
                return connection_fail(v, err, NULL);
        }
        connection_step(v);
        now = clock_now_ms();
        last = timeout_ms == 0 || now >= deadline;
    }
    hand_out(v, ret_completion);
    return ret_completion->error == ERR_DISCONNECTED ? ERR_DISCONNECTED : ERR_OK;
}

int vigil_receive(vigil *v, int timeout_ms, vigil_completion *ret_completion)
{
    /* What this call takes it hands out: there is nobody to wake, unless something is left. */
    v->is_receiving = true;
    int err = receive(v, timeout_ms, ret_completion);
    v->is_receiving = false;
    delivery_signal_outcomes(v);
    return err;
}

size_t vigil_pending(const vigil *v)
{
    return v->pending.application_count;
}

int vigil_fd(vigil *v)
{
    if (!v->own_descriptor) {
        struct descriptor *d = malloc(sizeof *d);
        if (!d || connection_add_descriptor(v, d) != ERR_OK) {
            free(d);
            return -1;
        }
        v->own_descriptor = d;
        descriptor_arm(d, connection_due_ms(v));
    }
    return v->own_descriptor->epoll;
}
