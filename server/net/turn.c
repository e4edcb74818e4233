#define _GNU_SOURCE
/* turn.c - see turn.h: gathering, applying, publishing, answering. */
#include "server/net/turn.h"

#include "protocol/message.h"
#include "server/net/clocks.h"
#include "server/net/log.h"

#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

enum {
    EXPIRE_TICK_US = 50000,  /* keys that end close to one another share a commit */
    EXPIRE_RETRY_US = 500000 /* after one that failed */
};

int turn_init(struct turn *t)
{
    wire_buffer_init(&t->malformed_reply, 4096);
    t->batch = calloc(LIMIT_BATCH_REQUESTS, sizeof *t->batch);
    return t->batch ? ERR_OK : ERR_NO_MEMORY;
}

static void close_batch(struct turn *t)
{
    peers_release(t->peers);
    t->batch_count = 0;
}

void turn_free(struct turn *t)
{
    free(t->batch);
    t->batch = NULL;
    wire_buffer_free(&t->malformed_reply);
}

/* ---- applying ---- */

/* The view is opened by the first lookup that needs it: most batches find all in the overlay. */
static int need_view(struct turn *t)
{
    struct failure failure = {0};
    if (t->view_open)
        return ERR_OK;
    int err = journal_view_begin(t->journal, &failure);
    if (err != ERR_OK)
        log_error("the state cannot be read: %s", failure.text);
    t->view_open = err == ERR_OK;
    return err;
}

int turn_state_get(void *context, struct bytes key, struct state_row *ret_row)
{
    struct turn *t = context;
    int err = need_view(t);
    return err ? err : journal_state_get(t->journal, key, ret_row);
}

int turn_state_seek(void *context, struct bytes from)
{
    struct turn *t = context;
    int err = need_view(t);
    return err ? err : journal_state_seek(t->journal, from);
}

int turn_state_next(void *context, struct bytes *ret_key, struct state_row *ret_row)
{
    struct turn *t = context;
    return journal_state_next(t->journal, ret_key, ret_row);
}

static void end_view(struct turn *t)
{
    if (t->view_open)
        journal_view_end(t->journal);
    t->view_open = false;
}

static struct bytes peer_of(const struct peer_message *m)
{
    return (struct bytes){m->peer, sizeof m->peer};
}

static int apply(struct turn *t, const struct peer_message *m)
{
    core_at(t->core, clock_boot_us() / 1000);
    return core_request(t->core, peer_of(m), m->body);
}

/* A message with more than one frame is not applied, and says so at once. */
static void refuse_surplus(struct turn *t, const struct peer_message *m)
{
    struct core_figures figures;
    struct journal_status journal;
    core_figures(t->core, &figures);
    journal_status(t->journal, &journal);
    struct reply_message_header header = {.count = 1,
                                          .epoch = journal.epoch,
                                          .incarnation = t->incarnation,
                                          .head = figures.head,
                                          .oldest = figures.oldest};
    wire_buffer_clear(&t->malformed_reply);
    reply_message_begin(&t->malformed_reply, &header);
    reply_write_error(&t->malformed_reply, 0, 0, ERR_MALFORMED, 0,
                      "a message is one frame, and frames follow this one");
    t->figures.malformed++;
    if (t->malformed_reply.failed ||
        !peers_send(t->peers, peer_of(m),
                    (struct bytes){t->malformed_reply.data, t->malformed_reply.size}))
        t->figures.replies_dropped++;
}

static bool is_full(const struct turn *t)
{
    return t->batch_count == LIMIT_BATCH_REQUESTS || core_batch_full(t->core) ||
           peers_batch_full(t->peers);
}

/* After a round. While functions run, requests come that are to go before the next ones of those: so
 * the batch is only told that all has been read when a round has found nothing. */
static bool look_again(struct turn *t, size_t *seen)
{
    if (!core_wants_all_read(t->core) || !peers_all_read(t->peers))
        return false;
    bool found = t->batch_count > *seen;
    *seen = t->batch_count;
    if (!found)
        core_all_read(t->core);
    return found && peers_wait(t->peers, 0, t->now_us) == 0;
}

/* Takes what waits into the batch and applies it. ERR_OK or ERR_NO_MEMORY. */
static int gather(struct turn *t)
{
    int err = ERR_OK;
    size_t seen = t->batch_count;
    while (err == ERR_OK && t->batch_count < LIMIT_BATCH_REQUESTS) {
        struct peer_message *m = &t->batch[t->batch_count];
        enum peers_result result = peers_receive(t->peers, m);
        if (result == PEERS_NONE) {
            if (!look_again(t, &seen))
                return ERR_OK;
            continue;
        }
        if (result == PEERS_SURPLUS) {
            refuse_surplus(t, m);
            continue;
        }
        t->batch_count++;
        t->figures.messages++;
        err = apply(t, m);
        if (is_full(t))
            break;
    }
    t->figures.overloads += err == ERR_OK;
    return err;
}

/* Sleeps until a request may have come, at most until deadline. False: it is over. */
static bool wait_for_company(struct turn *t, uint64_t deadline_us)
{
    uint64_t now_us = clock_boot_us();
    if (now_us >= deadline_us)
        return false;
    uint64_t left_us = deadline_us - now_us;
    struct timespec timeout = {.tv_sec = (time_t)(left_us / 1000000),
                               .tv_nsec = (long)(left_us % 1000000) * 1000};
    struct pollfd wait = {.fd = peers_descriptor(t->peers), .events = POLLIN};
    return peers_has_left(t->peers) || (ppoll(&wait, 1, &timeout, NULL) > 0);
}

/* A batch with records may wait a little for more, see patience.h. */
static int gather_company(struct turn *t)
{
    size_t before = core_batch_record_count(t->core);
    uint64_t wait_us = before > 0 && !is_full(t) && !core_batch_is_late(t->core)
                           ? patience_begin(&t->patience)
                           : 0;
    if (wait_us == 0)
        return ERR_OK;
    int err = ERR_OK;
    uint64_t deadline_us = clock_boot_us() + wait_us;
    while (err == ERR_OK && !is_full(t) && wait_for_company(t, deadline_us)) {
        if (peers_wait(t->peers, 0, t->now_us) != 0)
            break;
        err = gather(t);
    }
    patience_learn(&t->patience, before, core_batch_record_count(t->core));
    return err;
}

/* ---- what ends by itself ---- */

uint32_t turn_expire_wait_ms(const struct turn *t, uint64_t now_us)
{
    uint32_t wait_ms = t->expire_more ? 0 : core_life_wait_ms(t->core, now_us / 1000);
    uint64_t pause_ms = now_us < t->expire_us ? (t->expire_us - now_us + 999) / 1000 : 0;
    return wait_ms > pause_ms ? wait_ms : (uint32_t)pause_ms;
}

/* *ret_tried: there is something in the batch that was due. */
static int expire_if_due(struct turn *t, bool *ret_tried)
{
    *ret_tried = turn_expire_wait_ms(t, t->now_us) == 0;
    if (!*ret_tried)
        return ERR_OK;
    int err = core_expire(t->core);
    t->expire_more = core_life_wait_ms(t->core, t->now_us / 1000) == 0;
    t->expire_us = t->expire_more ? 0 : t->now_us + EXPIRE_TICK_US;
    return err;
}

static void expire_again(struct turn *t)
{
    t->expire_more = false;
    t->expire_us = t->now_us + EXPIRE_RETRY_US;
}

/* ---- publishing and answering ---- */

void turn_emit(void *context, struct bytes message)
{
    struct turn *t = context;
    t->emitted = true;
    /* XPUB never blocks: what a full queue leaves out is a gap that its watcher sees. */
    zmq_send(t->streams, message.data, message.size, ZMQ_DONTWAIT);
}

static void send_replies(struct turn *t)
{
    size_t count = core_reply_count(t->core);
    for (size_t i = 0; i < count; i++) {
        struct bytes peer;
        struct bytes message;
        core_reply_at(t->core, i, &peer, &message);
        t->figures.replies_dropped += !peers_send(t->peers, peer, message);
    }
}

static void finish(struct turn *t, size_t records)
{
    core_batch_commit(t->core);
    if (records > 0) {
        core_publish(t->core, turn_emit, t);
        t->published = true;
        t->mutated_us = t->now_us;
    }
    send_replies(t);
}

static void fail(struct turn *t, int code, const struct failure *failure)
{
    core_batch_abort(t->core, code, failure->text[0] ? failure->text : NULL);
    send_replies(t);
}

/* Reads succeed though the disk is full, and so does a mutation that still fits: each message of
 * the batch, which has been aborted, is tried by itself. */
static void run_one_by_one(struct turn *t)
{
    for (size_t i = 0; i < t->batch_count && !t->journal_lost; i++) {
        struct failure failure = {0};
        core_batch_begin(t->core, clock_wall_us(), t->now_us / 1000);
        int err = apply(t, &t->batch[i]);
        end_view(t);
        size_t records = core_batch_record_count(t->core);
        /* A cursor that moves, or is deleted, lets compaction go on, which makes room. */
        unsigned steps = core_batch_only_moves_cursors(t->core) ? COMMIT_RESERVE : 0;
        if (err == ERR_OK && core_batch_is_durable_work(t->core))
            err = commit_batch(t, steps, false, &failure);
        if (err == ERR_OK)
            finish(t, records);
        else
            fail(t, err, &failure);
    }
}

int turn_run(struct turn *t, uint64_t now_us, bool *ret_worked, struct failure *failure)
{
    struct failure reason = {0};
    t->now_us = now_us;
    uint64_t refused = t->figures.malformed;
    core_batch_begin(t->core, clock_wall_us(), now_us / 1000);
    bool expires;
    int err = expire_if_due(t, &expires);
    if (err == ERR_OK)
        err = gather(t);
    if (err == ERR_OK)
        err = gather_company(t);
    end_view(t);
    size_t records = core_batch_record_count(t->core);
    bool commits = core_batch_is_durable_work(t->core);
    if (err == ERR_OK && commits)
        err = commit_batch(t, COMMIT_SLICE | COMMIT_COMPACT, false, &reason);
    if (err == ERR_OK) {
        finish(t, records);
    } else if (err == ERR_NO_SPACE && commits) {
        core_batch_abort(t->core, err, NULL); /* its replies are not sent */
        run_one_by_one(t);
    } else {
        fail(t, err, &reason);
    }
    if (expires && err != ERR_OK)
        expire_again(t);
    *ret_worked = t->expire_more || t->batch_count > 0 || t->figures.malformed != refused;
    peers_flush(t->peers);
    close_batch(t);
    if (t->journal_lost)
        return failure_set(failure, ERR_IO, "%s", t->lost.text);
    return ERR_OK;
}
