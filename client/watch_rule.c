/* watch_rule.c - the watcher's whole rule; see watch_rule.h. */
#include "client/watch_rule.h"

#include "protocol/errors.h"

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* xorshift: nothing but spreading clients depends on it. */
static uint32_t jitter(struct watch_rule *w, uint32_t most)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (uint32_t)(w->random % (most + 1));
}

/* Half of it is certain, half is drawn; then it doubles. */
static int64_t next_backoff_ms(struct watch_rule *w)
{
    uint32_t base = w->backoff_ms ? w->backoff_ms : WATCH_BACKOFF_FIRST_MS;
    w->backoff_ms = base * 2 < WATCH_BACKOFF_MOST_MS ? base * 2 : WATCH_BACKOFF_MOST_MS;
    return base / 2 + jitter(w, base / 2);
}

void watch_rule_init(struct watch_rule *w, enum vigil_since since, vigil_position position,
                     bool no_reconnect, uint64_t seed, int64_t now_ms)
{
    *w = (struct watch_rule){
        .state = WATCH_CLOSED,
        .since = since,
        .no_reconnect = no_reconnect,
        .random = seed | 1,
        .due_ms = now_ms,
        .opened_ms = now_ms - WATCH_BACKOFF_MOST_MS,
    };
    if (since == VIGIL_SINCE_POSITION) {
        w->positioned = true;
        w->epoch = position.epoch;
        w->position = position.seq;
    }
}

static void end(struct watch_rule *w, int error)
{
    w->state = WATCH_ENDED;
    w->error = error;
    w->say = ERR_OK;
}

static void forget_replay(struct watch_rule *w)
{
    w->asked = false;
    w->arrived = false;
    w->chunk = false;
    w->replay_tries = 0;
}

/* Soon after the last time it is not tried at once: whatever breaks it may do so again. */
static void reopen(struct watch_rule *w, int64_t now_ms)
{
    bool again = now_ms - w->opened_ms < WATCH_BACKOFF_MOST_MS;
    forget_replay(w);
    w->state = WATCH_CLOSED;
    w->due_ms = again ? now_ms + next_backoff_ms(w) : now_ms;
    w->reopened++;
}

static void lose(struct watch_rule *w, int64_t now_ms, int code, int64_t delay_ms)
{
    forget_replay(w);
    if (w->no_reconnect) {
        end(w, code);
        return;
    }
    w->state = WATCH_CLOSED;
    w->due_ms = now_ms + delay_ms;
    if (!w->down)
        w->say = code;
    w->down = true;
}

/* ---- opening ---- */

static void start_replay(struct watch_rule *w, int64_t now_ms)
{
    forget_replay(w);
    w->state = WATCH_REPLAYING;
    w->fetched = w->position;
    w->replay_head = 0;
    w->replay_due_ms = now_ms;
}

static void go_live(struct watch_rule *w, int64_t now_ms)
{
    int64_t silence = (int64_t)w->interval_ms * WATCH_SILENCE_INTERVALS;
    if (silence < WATCH_SILENCE_MS)
        silence = WATCH_SILENCE_MS;
    w->state = WATCH_LIVE;
    w->settled = true;
    w->due_ms = now_ms + (w->confirmed ? silence : WATCH_CONFIRM_MS);
}

void watch_rule_asked_open(struct watch_rule *w, int64_t now_ms)
{
    w->state = WATCH_OPENING;
    w->due_ms = now_ms + WATCH_OPEN_MS;
}

void watch_rule_opened(struct watch_rule *w, int64_t now_ms, const struct watch_opened *o)
{
    if (w->state != WATCH_OPENING)
        return;
    w->server_epoch = o->epoch;
    w->incarnation = o->incarnation;
    w->head = o->head;
    w->oldest = o->oldest;
    if (w->epoch != 0 && w->epoch != o->epoch) {
        end(w, ERR_EPOCH_CHANGED);
        return;
    }
    w->epoch = o->epoch;
    if (!w->positioned) {
        w->position = o->head;
        if (w->since == VIGIL_SINCE_OLDEST)
            w->position = o->oldest > 0 ? o->oldest - 1 : 0;
        w->positioned = true;
    }
    if (w->position > o->head) {
        end(w, ERR_POSITION_AHEAD);
        return;
    }
    if (w->unheard == 0) {
        w->down = false;
        w->say = ERR_OK;
    }
    w->opened_ms = now_ms;
    w->confirmed = false;
    w->interval_ms = o->interval_ms;
    if (w->position < o->head)
        start_replay(w, now_ms);
    else
        go_live(w, now_ms);
}

bool watch_rule_is_passing(int code)
{
    switch (code) {
    case ERR_DISCONNECTED:
    case ERR_TIMEOUT:
    case ERR_STOPPING:
    case ERR_BUSY:
    case ERR_LIMIT:
    case ERR_NO_SPACE:
    case ERR_NO_MEMORY:
    case ERR_IO:
    case ERR_INTERNAL:
    case ERR_ABORTED:
        return true;
    default:
        return false;
    }
}

static int as_told(int code)
{
    return code == ERR_TIMEOUT || code == ERR_STOPPING ? ERR_DISCONNECTED : code;
}

void watch_rule_open_failed(struct watch_rule *w, int64_t now_ms, int code)
{
    if (w->state != WATCH_OPENING)
        return;
    if (watch_rule_is_passing(code))
        lose(w, now_ms, as_told(code), next_backoff_ms(w));
    else
        end(w, code);
}

void watch_rule_stream_gone(struct watch_rule *w, int64_t now_ms)
{
    if (w->state == WATCH_LIVE || w->state == WATCH_REPLAYING)
        reopen(w, now_ms);
}

void watch_rule_not_subscribed(struct watch_rule *w, int64_t now_ms, int code)
{
    if (w->state == WATCH_LIVE || w->state == WATCH_REPLAYING)
        lose(w, now_ms, code, next_backoff_ms(w));
}

void watch_rule_end(struct watch_rule *w, int code)
{
    if (w->state == WATCH_ENDED)
        return;
    forget_replay(w);
    end(w, code);
}

void watch_rule_lost(struct watch_rule *w, int64_t now_ms)
{
    if (w->state != WATCH_ENDED)
        lose(w, now_ms, ERR_DISCONNECTED, 0);
}

/* ---- live ---- */

bool watch_rule_heard(struct watch_rule *w, int64_t now_ms, uint64_t epoch, uint64_t incarnation)
{
    if (w->state != WATCH_LIVE)
        return false;
    if (epoch != w->epoch || incarnation != w->incarnation) {
        reopen(w, now_ms); /* the reply tells which of the two it is */
        return false;
    }
    w->confirmed = true;
    w->unheard = 0;
    w->down = false;
    w->say = ERR_OK;
    w->backoff_ms = 0;
    go_live(w, now_ms);
    return true;
}

static enum watch_verdict found_gap(struct watch_rule *w, int64_t now_ms)
{
    w->gaps++;
    start_replay(w, now_ms);
    return WATCH_BREAK;
}

enum watch_verdict watch_rule_record(struct watch_rule *w, int64_t now_ms, uint64_t prev,
                                     uint64_t seq)
{
    if (w->state != WATCH_LIVE)
        return WATCH_BREAK;
    if (seq <= w->position)
        return WATCH_SKIP;
    if (prev > w->position)
        return found_gap(w, now_ms);
    return WATCH_DELIVER;
}

enum watch_verdict watch_rule_notice(struct watch_rule *w, int64_t now_ms, uint64_t prev,
                                     uint64_t seq)
{
    (void)prev; /* its bytes are missing in any case */
    if (w->state != WATCH_LIVE)
        return WATCH_BREAK;
    if (seq <= w->position)
        return WATCH_SKIP;
    start_replay(w, now_ms);
    return WATCH_BREAK;
}

enum watch_verdict watch_rule_bookmark(struct watch_rule *w, int64_t now_ms,
                                       const struct stream_bookmark *b)
{
    if (w->state != WATCH_LIVE)
        return WATCH_BREAK;
    w->head = max_u64(w->head, b->head);
    w->oldest = max_u64(w->oldest, b->oldest);
    w->interval_ms = b->interval_ms;
    go_live(w, now_ms);
    if (b->last > w->position)
        return found_gap(w, now_ms);
    if (b->head <= w->position)
        return WATCH_SKIP;
    w->position = b->head;
    return WATCH_MOVED;
}

void watch_rule_garbled(struct watch_rule *w, int64_t now_ms)
{
    if (w->state == WATCH_LIVE)
        found_gap(w, now_ms);
}

void watch_rule_delivered(struct watch_rule *w, uint64_t seq)
{
    w->position = seq;
    w->head = max_u64(w->head, seq);
    w->settled = true;
}

/* ---- replay ---- */

bool watch_rule_wants_replay(const struct watch_rule *w, int64_t now_ms, uint64_t *ret_after)
{
    if (w->state != WATCH_REPLAYING || w->asked || now_ms < w->replay_due_ms)
        return false;
    if (w->replay_head != 0 && w->fetched >= w->replay_head)
        return false;
    *ret_after = w->fetched;
    return true;
}

void watch_rule_asked_replay(struct watch_rule *w, int64_t now_ms, uint64_t after)
{
    w->asked = true;
    w->arrived = false;
    w->asked_after = after;
    w->replay_due_ms = now_ms + WATCH_REPLAY_MS;
}

void watch_rule_replay_due(struct watch_rule *w, int64_t due_ms)
{
    w->replay_due_ms = due_ms;
}

void watch_rule_replay_later(struct watch_rule *w, int64_t now_ms, int64_t delay_ms)
{
    w->replay_due_ms = now_ms + delay_ms;
}

void watch_rule_replay_arrived(struct watch_rule *w)
{
    w->arrived = true;
}

static void ask_later(struct watch_rule *w, int64_t now_ms)
{
    w->asked = false;
    w->arrived = false;
    w->replay_due_ms = now_ms + next_backoff_ms(w);
}

bool watch_rule_replay_taken(struct watch_rule *w, int64_t now_ms, const struct watch_opened *o,
                             uint64_t from, uint64_t to)
{
    if (w->state != WATCH_REPLAYING || !w->asked)
        return false;
    if (o->epoch != w->epoch || o->incarnation != w->incarnation) {
        reopen(w, now_ms);
        return false;
    }
    bool progress = to > from || to >= o->head;
    if (from != w->asked_after || from > w->position || to < from || to > o->head || !progress) {
        ask_later(w, now_ms);
        return false;
    }
    w->asked = false;
    w->arrived = false;
    w->chunk = true;
    w->chunk_to = to;
    w->fetched = to;
    w->replay_head = o->head;
    w->replay_due_ms = now_ms;
    w->replay_tries = 0;
    w->backoff_ms = 0;
    w->head = max_u64(w->head, o->head);
    w->oldest = max_u64(w->oldest, o->oldest);
    return true;
}

enum watch_verdict watch_rule_replay_record(struct watch_rule *w, uint64_t seq)
{
    if (!w->chunk || seq > w->chunk_to)
        return WATCH_BREAK;
    return seq > w->position ? WATCH_DELIVER : WATCH_SKIP;
}

void watch_rule_chunk_bad(struct watch_rule *w, int64_t now_ms, int code)
{
    uint32_t tries = w->bad_chunks + 1;
    if (!w->chunk)
        return;
    if (tries >= WATCH_REPLAY_TRIES) {
        end(w, code);
        return;
    }
    start_replay(w, now_ms);
    w->bad_chunks = tries;
    w->replay_due_ms = now_ms + next_backoff_ms(w);
}

bool watch_rule_chunk_done(struct watch_rule *w, int64_t now_ms)
{
    bool moved = w->chunk && w->chunk_to > w->position;
    if (!w->chunk)
        return false;
    w->chunk = false;
    w->bad_chunks = 0;
    if (moved)
        w->position = w->chunk_to;
    if (w->position >= w->replay_head && !w->asked)
        go_live(w, now_ms);
    return moved;
}

void watch_rule_replay_failed(struct watch_rule *w, int64_t now_ms, int code,
                              const struct watch_opened *o)
{
    if (w->state != WATCH_REPLAYING || !w->asked)
        return;
    if (o) {
        w->server_epoch = o->epoch;
        w->head = max_u64(w->head, o->head);
        w->oldest = max_u64(w->oldest, o->oldest);
    }
    if (code == ERR_COMPACTED && w->since == VIGIL_SINCE_OLDEST && !w->settled && o &&
        o->oldest > w->position + 1 && o->epoch == w->epoch) {
        w->position = o->oldest - 1; /* whatever there still is */
        start_replay(w, now_ms);
    } else if (watch_rule_is_passing(code)) {
        ask_later(w, now_ms);
    } else if (code == ERR_CORRUPT && ++w->replay_tries < WATCH_REPLAY_TRIES) {
        ask_later(w, now_ms);
    } else {
        end(w, code);
    }
}

void watch_rule_record_failed(struct watch_rule *w, int64_t now_ms, int code)
{
    if (w->state != WATCH_LIVE && w->state != WATCH_REPLAYING)
        return;
    if (watch_rule_is_passing(code)) {
        reopen(w, now_ms); /* which tells whether the server lives */
        return;
    }
    forget_replay(w);
    end(w, code);
}

/* ---- time ---- */

void watch_rule_tick(struct watch_rule *w, int64_t now_ms)
{
    if (w->state == WATCH_OPENING && now_ms >= w->due_ms) {
        watch_rule_open_failed(w, now_ms, ERR_TIMEOUT);
    } else if (w->state == WATCH_LIVE && now_ms >= w->due_ms) {
        if (!w->confirmed && ++w->unheard >= WATCH_CONFIRM_TRIES)
            lose(w, now_ms, ERR_DISCONNECTED, next_backoff_ms(w));
        else
            reopen(w, now_ms);
    } else if (w->state == WATCH_REPLAYING && w->asked && !w->arrived &&
               now_ms >= w->replay_due_ms) {
        if (++w->replay_tries >= WATCH_REPLAY_TRIES)
            reopen(w, now_ms);
        else
            w->asked = false; /* its reply, should it still come, answers nothing any more */
    }
}

int64_t watch_rule_due_ms(const struct watch_rule *w)
{
    switch (w->state) {
    case WATCH_REPLAYING:
        return w->arrived || w->chunk ? INT64_MAX : w->replay_due_ms;
    case WATCH_ENDED:
        return INT64_MAX;
    default:
        return w->due_ms;
    }
}

int watch_rule_take_error(struct watch_rule *w)
{
    if (w->state == WATCH_ENDED)
        return w->error;
    int error = w->say;
    w->say = ERR_OK;
    return error;
}
