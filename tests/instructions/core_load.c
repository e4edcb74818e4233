/* core_load.c - see core_load.h. One thread, one load in a program. */
#include "tests/instructions/core_load.h"

#include "protocol/limits.h"
#include "server/core/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PEER_SIZE = 5, /* as ROUTER gives them */
    STREAMS_PER_PEER = 1000,
    WATCHER_PEER_FIRST = 1000,
    MESSAGES_MAX = 1024,  /* that are kept ready */
    WARM_UP_ROUNDS = 3,   /* over the messages, */
    WARM_UP_BATCHES = 16, /* and at least so many */
    /* Longer than every stream's first bookmarks take, shorter than a lease. */
    SETTLE_MS = 12000,
    SETTLE_STEP_MS = 10
};
#define START_US UINT64_C(1000000000)
#define WALL_US UINT64_C(1700000000000000)

struct client {
    uint8_t peer[PEER_SIZE];
    uint64_t session;
    uint64_t last_number;
};

static struct core_load {
    struct load_plan plan;
    struct core *core;
    struct client clients[LOAD_CLIENTS_MAX];
    struct wire_buffer messages[MESSAGES_MAX]; /* in the order in which they are sent */
    uint32_t message_count;
    uint32_t next_message;
    uint64_t now_us;
    uint64_t tick_ms; /* when core_tick wants to be called */
    uint64_t random;
    /* What was seen. */
    uint64_t appended_bytes;
    uint64_t rows;
    uint64_t replied_bytes;
    uint64_t emitted_bytes;
    uint64_t requests; /* of the run that counts */
    struct core_figures before;
} load;

void load_give_up(const char *what)
{
    fprintf(stderr, "instructions: %s\n", what);
    exit(EXIT_FAILURE);
}

/* ---- requests ---- */

void load_key(uint32_t number, uint8_t key[LOAD_KEY_SIZE])
{
    char text[LOAD_KEY_SIZE + 8];
    (void)snprintf(text, sizeof text, "bench/%08u", (unsigned)(number % 100000000u));
    memcpy(key, text, LOAD_KEY_SIZE);
}

struct bytes load_value(void)
{
    static uint8_t value[LOAD_VALUE_SIZE] = {0xc4, LOAD_VALUE_SIZE - 2};
    return (struct bytes){value, sizeof value};
}

static void write_request(struct wire_buffer *b, uint8_t op, uint32_t key_number)
{
    uint8_t key[LOAD_KEY_SIZE];
    load_key(key_number, key);
    size_t begin = request_begin(b, &(struct request_header){.op = op, .id = key_number + 1});
    if (op == OP_PUT)
        request_put_write(b,
                          &(struct request_put){.key = {key, sizeof key}, .value = load_value()});
    else
        request_get_write(b, &(struct request_get){.key = {key, sizeof key}});
    message_part_end(b, begin);
}

void load_write_requests(struct wire_buffer *b, uint8_t op, uint64_t session, uint32_t first,
                         uint32_t count)
{
    wire_buffer_init(b, LIMIT_MESSAGE_SIZE);
    request_message_begin(
        b, &(struct request_message_header){.flags = MESSAGE_ACKNOWLEDGES, .session = session});
    for (uint32_t i = 0; i < count; i++)
        write_request(b, op, first + i);
    message_set_count(b, 0, (uint16_t)count);
    if (b->failed)
        load_give_up("no memory for a message");
}

/* Gives the message's puts their numbers; all that came before is acknowledged. */
static void number_requests(struct wire_buffer *message, struct client *c)
{
    uint8_t *at = message->data + request_message_header_size(MESSAGE_ACKNOWLEDGES);
    wire_store_u64(message->data + REQUEST_MESSAGE_HEADER_SIZE, c->last_number);
    for (uint32_t i = 0; i < load.plan.requests; i++) {
        wire_store_u64(at + 16, ++c->last_number);
        at += wire_load_u32(at);
    }
}

/* ---- what the core has around it ---- */

static int state_get(void *context, struct bytes key, struct state_row *ret_row)
{
    (void)context;
    (void)key;
    (void)ret_row;
    return ERR_NOT_FOUND;
}

static int state_seek(void *context, struct bytes from)
{
    (void)context;
    (void)from;
    return ERR_OK;
}

static int state_next(void *context, struct bytes *ret_key, struct state_row *ret_row)
{
    (void)ret_key;
    return state_get(context, (struct bytes){NULL, 0}, ret_row);
}

/* xorshift64* */
static void fill_random(void *context, uint8_t *out, size_t size)
{
    struct core_load *l = context;
    for (size_t i = 0; i < size; i++) {
        l->random ^= l->random >> 12;
        l->random ^= l->random << 25;
        l->random ^= l->random >> 27;
        out[i] = (uint8_t)((l->random * UINT64_C(0x2545f4914f6cdd1d)) >> 56);
    }
}

static void emit(void *context, struct bytes message)
{
    struct core_load *l = context;
    l->emitted_bytes += message.size;
}

static int put_session(void *context, uint64_t session, struct bytes row)
{
    struct core_load *l = context;
    (void)session;
    l->rows += row.size > 0;
    return ERR_OK;
}

static int put_named(void *context, struct bytes name, struct bytes row)
{
    struct core_load *l = context;
    l->rows += name.size > 0 && row.size > 0;
    return ERR_OK;
}

static int put_state(void *context, struct bytes key, const struct state_row *row)
{
    return put_named(context, key, row->value);
}

/* ---- a batch ---- */

/* What the server writes into the journal's transaction. */
static void commit(struct core_load *l)
{
    size_t records = core_batch_record_count(l->core);
    uint64_t applied = 0;
    for (size_t i = 0; i < records; i++)
        l->appended_bytes += core_batch_record_at(l->core, i).size;
    if (core_batch_is_durable_work(l->core)) {
        size_t pending = core_checkpoint_pending(l->core);
        if (core_session_rows(l->core, 0, put_session, l) ||
            core_cursor_rows(l->core, put_named, l) || core_life_rows(l->core, put_named, l) ||
            core_checkpoint_slice(l->core, pending ? (uint32_t)(2 * records) : 0, put_state, l,
                                  &applied))
            load_give_up("rows were refused");
    }
    core_batch_commit(l->core);
    core_publish(l->core, emit, l);
}

static void take_replies(struct core_load *l)
{
    size_t count = core_reply_count(l->core);
    for (size_t i = 0; i < count; i++) {
        struct bytes peer;
        struct bytes message;
        core_reply_at(l->core, i, &peer, &message);
        l->replied_bytes += peer.size + message.size;
    }
}

static void tick_if_due(struct core_load *l)
{
    uint64_t now_ms = l->now_us / 1000;
    if (now_ms >= l->tick_ms)
        l->tick_ms = now_ms + core_tick(l->core, now_ms, emit, l);
}

static void begin(struct core_load *l)
{
    core_batch_begin(l->core, WALL_US + l->now_us, l->now_us / 1000);
}

static void request(struct core_load *l, const uint8_t *peer, const struct wire_buffer *message)
{
    if (core_request(l->core, (struct bytes){peer, PEER_SIZE},
                     (struct bytes){message->data, message->size}))
        load_give_up("no memory for a request");
}

static void run_batch(struct core_load *l)
{
    l->now_us += l->plan.batch_us;
    begin(l);
    for (uint32_t i = 0; i < l->plan.messages; i++) {
        struct wire_buffer *message = &l->messages[l->next_message];
        l->next_message = l->next_message + 1 < l->message_count ? l->next_message + 1 : 0;
        if (l->plan.op == OP_PUT)
            number_requests(message, &l->clients[i]);
        core_at(l->core, l->now_us / 1000);
        request(l, l->clients[i].peer, message);
    }
    core_all_read(l->core);
    commit(l);
    take_replies(l);
    tick_if_due(l);
}

/* ---- preparation ---- */

static void name_peer(uint8_t peer[PEER_SIZE], uint32_t number)
{
    peer[0] = 0;
    wire_store_u32(peer + 1, number);
}

static void open_core(struct core_load *l)
{
    struct core_source source = {.context = l,
                                 .state_get = state_get,
                                 .state_seek = state_seek,
                                 .state_next = state_next,
                                 .random = fill_random};
    /* None of the measured batches takes a checkpoint's rows with it. */
    struct core_limits limits = {.checkpoint_records = UINT64_C(1) << 40};
    struct core_identity identity = {.epoch = 1,
                                     .incarnation = 1,
                                     .server = "vigild",
                                     .stream_suffix = ".stream",
                                     .replay_suffix = ".replay"};
    static const char boot[BOOT_ID_SIZE] = "boot";
    l->random = UINT64_C(0x9e3779b97f4a7c15);
    l->now_us = START_US;
    if (core_new(&source, &limits, &identity, 0, 1, 0, &l->core))
        load_give_up("no memory for a core");
    core_life_start(l->core, boot, l->now_us / 1000);
}

/* The message as a batch of its own; every reply to it must be OK. Returns the first one's body. */
static struct wire_reader ask(struct core_load *l, const uint8_t *peer, struct wire_buffer *message)
{
    struct reply_message_header h;
    struct reply_header reply;
    struct wire_reader body;
    struct wire_reader first = {0};
    struct bytes to;
    struct bytes answer;
    begin(l);
    request(l, peer, message);
    commit(l);
    core_reply_at(l->core, 0, &to, &answer);
    struct wire_reader r = wire_reader_of(answer.data, answer.size);
    if (reply_message_read(&r, &h))
        load_give_up("a reply cannot be read");
    for (uint16_t i = 0; i < h.count; i++) {
        if (reply_read(&r, &reply, &body) || reply.status != ERR_OK)
            load_give_up("a request was refused");
        if (i == 0)
            first = body;
    }
    wire_buffer_free(message);
    return first;
}

static void open_session(struct core_load *l, struct client *c, uint32_t number)
{
    struct wire_buffer b;
    struct reply_session_open opened;
    name_peer(c->peer, number);
    wire_buffer_init(&b, LIMIT_MESSAGE_SIZE);
    request_message_begin(&b, &(struct request_message_header){0});
    size_t at = request_begin(&b, &(struct request_header){.op = OP_SESSION_OPEN, .id = 1});
    message_part_end(&b, at);
    message_set_count(&b, 0, 1);
    struct wire_reader body = ask(l, c->peer, &b);
    if (!reply_session_open_read(&body, &opened))
        load_give_up("a session cannot be read");
    c->session = opened.session;
}

static void write_filter(struct wire_buffer *b, const struct load_plan *plan, uint32_t number)
{
    uint8_t key[LOAD_KEY_SIZE];
    struct bytes text = {key, 0};
    load_key(plan->filters == LOAD_FILTER_PREFIXES ? number * 10 : number, key);
    if (plan->filters != LOAD_FILTER_ALL)
        text.size = sizeof key - (plan->filters == LOAD_FILTER_PREFIXES);
    size_t at = request_begin(b, &(struct request_header){.op = OP_STREAM_OPEN, .id = number + 1});
    wire_write_u16(b, 1);
    wire_write_u8(b, plan->filters == LOAD_FILTER_KEYS ? PATTERN_EXACT : PATTERN_PREFIX);
    wire_write_bytes16(b, text);
    message_part_end(b, at);
}

static void open_filters(struct core_load *l)
{
    const struct load_plan *plan = &l->plan;
    for (uint32_t i = 0; i < plan->filter_count; i += STREAMS_PER_PEER) {
        struct wire_buffer b;
        uint8_t peer[PEER_SIZE];
        uint32_t left = plan->filter_count - i;
        uint32_t count = left < STREAMS_PER_PEER ? left : STREAMS_PER_PEER;
        name_peer(peer, WATCHER_PEER_FIRST + i);
        wire_buffer_init(&b, LIMIT_MESSAGE_SIZE);
        request_message_begin(&b, &(struct request_message_header){0});
        for (uint32_t k = 0; k < count; k++)
            write_filter(&b, plan, i + k);
        message_set_count(&b, 0, (uint16_t)count);
        (void)ask(l, peer, &b);
    }
    uint64_t until_us = l->now_us + UINT64_C(1000) * SETTLE_MS;
    for (; l->now_us < until_us; l->now_us += UINT64_C(1000) * SETTLE_STEP_MS)
        tick_if_due(l);
}

void core_load_prepare(const struct load_plan *plan)
{
    struct core_load *l = &load;
    l->plan = *plan;
    uint32_t of_batch = plan->messages * plan->requests;
    uint32_t batches = plan->keys > of_batch ? plan->keys / of_batch : 1;
    l->message_count = batches * plan->messages;
    if (plan->messages > LOAD_CLIENTS_MAX || l->message_count > MESSAGES_MAX)
        load_give_up("the plan is too large");
    open_core(l);
    for (uint32_t i = 0; i < plan->messages; i++)
        open_session(l, &l->clients[i], i + 1);
    open_filters(l);
    for (uint32_t i = 0; i < l->message_count; i++) {
        uint32_t first = plan->keys > 1 ? i * plan->requests : 0;
        load_write_requests(&l->messages[i], plan->op, l->clients[i % plan->messages].session,
                            first, plan->requests);
    }
    uint32_t warm_up = batches * WARM_UP_ROUNDS;
    for (uint32_t i = 0; i < warm_up || i < WARM_UP_BATCHES; i++)
        run_batch(l);
    core_figures(l->core, &l->before);
}

void core_load_run(uint64_t batches)
{
    for (uint64_t i = 0; i < batches; i++)
        run_batch(&load);
    load.requests = batches * load.plan.messages * load.plan.requests;
}

bool core_load_succeeded(void)
{
    struct core_figures f;
    core_figures(load.core, &f);
    uint64_t mutations = load.plan.op == OP_PUT ? load.requests : 0;
    const struct core_figures *before = &load.before;
    return load.requests > 0 && f.requests - before->requests == load.requests &&
           f.mutations - before->mutations == mutations && f.head - before->head == mutations &&
           f.records_published - before->records_published == mutations;
}
