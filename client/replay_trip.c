/* replay_trip.c - a question over the replay socket whose answer is waited for. */
#include "client/replay_trip.h"

#include "client/clock.h"

enum { AGAIN_MS = 20 };

struct trip_patience trip_patience_of(int timeout_ms)
{
    return (struct trip_patience){
        .each = timeout_ms == 0,
        .deadline = timeout_ms == 0 ? DEADLINE_NEVER : deadline_after(timeout_ms),
    };
}

int trip_timeout_ms(const struct vigil *v, const struct trip_patience *p)
{
    return deadline_trip_ms(p->deadline, v->request_timeout_ms);
}

bool trip_again(const struct trip_patience *p, int err)
{
    return err == ERR_DISCONNECTED && !p->each && clock_now_ms() < p->deadline;
}

static int ask(struct vigil *v, const struct trip_question *q, struct replay_call *call,
               int timeout_ms)
{
    size_t place;
    q->write(replay_call_begin(v, q->op, q->flags, &place), q->context);
    int err = replay_call_end(v, call, place);
    return err ? err : replay_call_wait(v, call, timeout_ms);
}

static int give_up(struct vigil *v, int err)
{
    if (err == ERR_BUSY)
        return connection_fail(v, ERR_TIMEOUT, NULL);
    return connection_fail(v, err, "%s: the server is not there", v->endpoint_text);
}

int replay_trip(struct vigil *v, const struct trip_question *question,
                const struct trip_patience *p, struct replay_call *call)
{
    int64_t deadline = p->each ? deadline_after(v->request_timeout_ms) : p->deadline;
    for (;;) {
        int err = ask(v, question, call, deadline_trip_ms(deadline, v->request_timeout_ms));
        if (err != ERR_BUSY && err != ERR_DISCONNECTED)
            return err;
        replay_call_reset(v, call);
        if (clock_now_ms() >= deadline)
            return give_up(v, err);
        err = connection_wait(v, NULL, AGAIN_MS);
        if (err)
            return connection_fail(v, err, NULL);
        connection_step(v);
    }
}
