#define _GNU_SOURCE
/* actor_pipeline.c - requests of every kind, sent one behind the other without waiting. */
#include "tests/torture/actor_requests.h"

enum { BURST_MAX = 150, BURST_PACED_MAX = 20, GIVE_UP_US = 10000000 };

enum sent_kind { SENT_PUT, SENT_DELETE, SENT_INCREMENT, SENT_TXN, SENT_PEEK };

struct sent {
    enum sent_kind kind;
    uint64_t id;      /* in the history */
    uint64_t request; /* in the library */
};

static void write_answer(struct actor *a, const struct sent *sent, int error,
                         const vigil_completion *done)
{
    if (sent->kind == SENT_TXN)
        request_txn_told(a, sent->id, error, done->result.seq, done->present);
    else
        request_told(a, sent->id, error, &done->result, error ? NULL : done->value, done->size);
}

static int send_txn(struct actor *a, struct sent *sent)
{
    vigil_txn *txn = request_txn(a, false, &sent->id);
    int err = txn ? vigil_send_txn(a->v, txn, &sent->request) : VIGIL_NO_MEMORY;
    vigil_txn_free(txn);
    return err;
}

static int send_kind(struct actor *a, struct sent *sent)
{
    static struct request_value value;
    static const vigil_condition none;
    char key[ACTOR_KEY_SIZE];
    switch (sent->kind) {
    case SENT_PUT:
        actor_key(a, key);
        sent->id = request_put(a, key, &value, &none);
        return vigil_send_put(a->v, key, value.bytes, value.size, NULL, &sent->request);
    case SENT_DELETE:
        actor_key(a, key);
        sent->id = request_delete(a, key, &none);
        return vigil_send_delete(a->v, key, NULL, &sent->request);
    case SENT_INCREMENT:
        sent->id = request_increment(a, key);
        return vigil_send_incr(a->v, key, 1, &sent->request);
    case SENT_PEEK:
        sent->id = request_peek(a, key);
        return vigil_send_get(a->v, key, &sent->request);
    case SENT_TXN:
        break;
    }
    return send_txn(a, sent);
}

static bool send_one(struct actor *a, struct sent *sent)
{
    static const vigil_completion nothing;
    int err = send_kind(a, sent);
    if (err)
        write_answer(a, sent, err, &nothing);
    return err == VIGIL_OK;
}

static int receive_all(struct actor *a, const struct sent *sent, size_t count)
{
    size_t next = 0;
    uint64_t deadline = history_now_us() + (a->is_patient ? 6 : 1) * (uint64_t)GIVE_UP_US;
    while (vigil_pending(a->v) > 0 && history_now_us() < deadline) {
        vigil_completion done = {0};
        int err = vigil_receive(a->v, 1000, &done);
        if (err == VIGIL_TIMEOUT || err == VIGIL_INTERRUPTED)
            continue;
        while (next < count && sent[next].request != done.id)
            next++;
        if (next == count)
            return VIGIL_INTERNAL; /* an answer to nothing */
        write_answer(a, &sent[next], done.error, &done);
        next++;
    }
    return vigil_pending(a->v) > 0 ? VIGIL_DISCONNECTED : VIGIL_OK;
}

static enum sent_kind draw_kind(struct actor *a)
{
    static const enum sent_kind kinds[] = {SENT_PUT,       SENT_PUT,       SENT_PUT, SENT_DELETE,
                                           SENT_INCREMENT, SENT_INCREMENT, SENT_TXN, SENT_PEEK};
    return kinds[actor_draw(a, sizeof kinds / sizeof *kinds)];
}

static int burst(struct actor *a, bool increments)
{
    struct sent sent[BURST_MAX];
    bool paced = atomic_load(&a->control->pace_us) > 0;
    size_t count = 1 + actor_draw(a, paced ? BURST_PACED_MAX : BURST_MAX);
    size_t sent_count = 0;
    vigil_stop_on_error(a->v, !increments && actor_draw(a, 3) == 0);
    while (sent_count < count) {
        sent[sent_count].kind = increments ? SENT_INCREMENT : draw_kind(a);
        if (!send_one(a, &sent[sent_count]))
            break;
        sent_count++;
    }
    int err = receive_all(a, sent, sent_count);
    if (err == VIGIL_OK)
        vigil_stop_on_error(a->v, false);
    return err;
}

int actor_burst(struct actor *a)
{
    return burst(a, false);
}

int actor_burst_of_increments(struct actor *a)
{
    return burst(a, true);
}
