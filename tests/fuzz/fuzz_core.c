/*
 * Whole sequences of what can happen to a core: messages of any bytes, requests
 * of any body, commits, aborts, ticks, checkpoints, restarts. What must hold
 * whatever comes in is checked after each step:
 *
 *  - each message has one reply message, with as many replies as requests, or one;
 *  - records are whole, in seq order, and name the seq at which each key changed before;
 *  - the records of a session have rising numbers: none is applied twice;
 *  - an abort leaves the keys as they were, a restart too;
 *  - a prefix has as many keys, and changed last, as those say;
 *  - what a stream emits is whole, and its chain has no gap;
 *  - named cursors are what shadow_cursors.h makes of the same messages.
 *
 * Input: commands of one byte (its remainder by 8), each with what follows it:
 *  0 message: u8 peer, u16 size, bytes     4 tick: u8
 *  1 request: u8 peer (from 128 on: within a session, see send_request),
 *             u8 op, u8 flags,             5 slice: u8 rows
 *    u16 size, body (for stream_renew and  6 commit, restart
 *    _close: numbers of known topics; for  7 subscription: u8 number of a known topic
 *    cursor_move: see write_move)
 *  2 commit   3 abort
 */
#include "protocol/value.h"
#include "tests/support/core_fixture.h"
#include "tests/support/shadow_cursors.h"

enum { STEPS_MAX = 300, KEYS_MAX = 500, TOPICS_MAX = 64, PEERS = 5, SESSIONS_MAX = 8 };

struct shadow_key {
    struct bytes key;
    uint64_t modified;
    bool present;
};

struct shadow_topic {
    uint8_t topic[TOPIC_SIZE];
    uint64_t last;
    bool is_seen;
};

struct shadow_session {
    uint64_t session;
    uint64_t next;     /* number */
    uint64_t recorded; /* the newest number with a record */
};

struct fuzz {
    struct core_fixture f;
    struct shadow_session sessions[SESSIONS_MAX];
    size_t session_count;
    struct shadow_key keys[KEYS_MAX];
    size_t key_count;
    struct shadow_topic topics[TOPICS_MAX];
    size_t topic_count;
    uint16_t sent[STEPS_MAX]; /* count of requests, as each message of the batch says */
    size_t sent_count;
    uint64_t checked; /* seq of the newest record that was looked at */
    struct core_figures before;
    struct shadow_cursors cursors;
};

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what must hold ---- */

static struct shadow_key *shadow_of(struct fuzz *z, struct bytes key)
{
    for (size_t i = 0; i < z->key_count; i++) {
        if (bytes_equal(z->keys[i].key, key))
            return &z->keys[i];
    }
    if (z->key_count == KEYS_MAX)
        return NULL;
    struct shadow_key *made = &z->keys[z->key_count++];
    *made = (struct shadow_key){.key = {copy_exactly(key.data, key.size), key.size}};
    return made;
}

static void check_records(struct fuzz *z)
{
    while (z->checked < core_fixture_head(&z->f)) {
        struct record_header h;
        struct bytes record = core_fixture_record(&z->f, ++z->checked);
        CHECK(record_check(record, &h) == ERR_OK && h.seq == z->checked);
        CHECK((h.session != 0) == ((h.flags & RECORD_FLAG_RESULT) != 0));
        for (size_t i = 0; i < z->session_count; i++) {
            if (z->sessions[i].session != h.session)
                continue;
            CHECK(h.number > z->sessions[i].recorded);
            z->sessions[i].recorded = h.number;
        }
        struct change c;
        for (struct change_iterator i = record_changes(record.data); change_next(&i, &c);) {
            struct shadow_key *k = shadow_of(z, c.key);
            if (!k)
                continue;
            CHECK(c.prev_seq == k->modified);
            CHECK(c.op == CHANGE_PUT || k->present);
            k->modified = h.seq;
            k->present = c.op == CHANGE_PUT;
        }
    }
}

static void check_keys(struct fuzz *z)
{
    for (size_t i = 0; i < z->key_count; i++) {
        char key[LIMIT_KEY_SIZE + 1];
        memcpy(key, z->keys[i].key.data, z->keys[i].key.size);
        key[z->keys[i].key.size] = '\0';
        struct reply_get got = core_fixture_get(&z->f, key);
        CHECK(got.present == z->keys[i].present && got.modified == z->keys[i].modified);
    }
}

/* The reply to a transaction of one compare or operation on a prefix. */
static struct parsed_reply ask_prefix(struct fuzz *z, const struct txn_compare *compare,
                                      const struct txn_op *op)
{
    struct core_fixture *f = &z->f;
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_TXN);
    wire_write_u16(&f->message, compare ? 1 : 0);
    if (compare)
        txn_compare_write(&f->message, compare);
    wire_write_u16(&f->message, op ? 1 : 0);
    if (op)
        txn_op_write(&f->message, op);
    wire_write_u16(&f->message, 0);
    request_finish(f);
    struct parsed_reply reply = core_fixture_ask(f, "a");
    CHECK(reply.header.status == ERR_OK);
    return reply;
}

static bool is_unchanged(struct fuzz *z, struct bytes prefix, uint64_t seq)
{
    struct txn_compare c = {COMPARE_PREFIX, COMPARE_EQUAL, seq, prefix, {NULL, 0}};
    struct parsed_reply reply = ask_prefix(z, &c, NULL);
    return wire_read_u8(&reply.body) != 0;
}

/* How many keys there are, and where one of those with a prefix changed last. */
static void check_prefixes(struct fuzz *z)
{
    if (z->key_count == KEYS_MAX)
        return;
    for (size_t i = 0; i < z->key_count; i++) {
        struct bytes prefix = {z->keys[i].key.data, 1};
        struct txn_op op = {TXN_COUNT, 0, prefix, {NULL, 0}};
        struct txn_result result;
        struct value_integer count;
        uint64_t newest = 0;
        uint64_t live = 0;
        for (size_t k = 0; k < z->key_count; k++) {
            const struct shadow_key *key = &z->keys[k];
            if (key->key.data[0] != prefix.data[0])
                continue;
            newest = key->modified > newest ? key->modified : newest;
            live += key->present;
        }
        struct parsed_reply reply = ask_prefix(z, NULL, &op);
        (void)wire_read_raw(&reply.body, 3);
        CHECK(txn_result_read(&reply.body, &result));
        CHECK(value_read_integer(result.value, &count) == ERR_OK && count.bits == live);
        CHECK(is_unchanged(z, prefix, newest));
        CHECK(newest == 0 || !is_unchanged(z, prefix, newest - 1));
    }
}

static void note_topic(struct fuzz *z, struct bytes topic)
{
    for (size_t i = 0; i < z->topic_count; i++) {
        if (memcmp(z->topics[i].topic, topic.data, TOPIC_SIZE) == 0)
            return;
    }
    if (z->topic_count < TOPICS_MAX)
        memcpy(z->topics[z->topic_count++].topic, topic.data, TOPIC_SIZE);
}

static void check_replies(struct fuzz *z, int code)
{
    CHECK(core_reply_count(z->f.core) == z->sent_count);
    for (size_t m = 0; m < z->sent_count; m++) {
        struct parsed_reply reply = core_fixture_reply(&z->f, m, 0);
        uint16_t count = reply.message.count;
        CHECK(count == z->sent[m] || count == 1);
        CHECK(reply.message.head == core_fixture_head(&z->f));
        for (uint16_t r = 0; r < count; r++) {
            reply = core_fixture_reply(&z->f, m, r);
            /* Where a session's number was not taken, seq is the one that would be. */
            CHECK(reply.header.seq <= reply.message.head || reply.header.status == ERR_ABORTED ||
                  reply.header.status == ERR_LIMIT || reply.header.status == ERR_INVALID);
            CHECK(code == ERR_OK || reply.header.status == code);
            struct reply_stream_open body;
            if (reply.header.op == OP_STREAM_OPEN && reply.header.status == ERR_OK) {
                CHECK(reply_stream_open_read(&reply.body, &body));
                note_topic(z, body.topic);
            }
            struct reply_session_open opened;
            if (reply.header.op == OP_SESSION_OPEN && reply.header.status == ERR_OK) {
                CHECK(reply_session_open_read(&reply.body, &opened));
                if (z->session_count < SESSIONS_MAX)
                    z->sessions[z->session_count++] =
                        (struct shadow_session){.session = opened.session, .next = 1};
            }
        }
    }
}

static void check_entry(const struct fuzz *z, struct shadow_topic *t, uint64_t prev, uint64_t seq)
{
    CHECK(prev < seq && seq <= core_fixture_head(&z->f));
    if (!t)
        return;
    CHECK(!t->is_seen || t->last == prev);
    t->is_seen = true;
    t->last = seq;
}

static void check_stream_message(struct fuzz *z, struct bytes message)
{
    struct stream_header h;
    struct shadow_topic *t = NULL;
    uint64_t prev;
    uint64_t seq;
    struct wire_reader r = wire_reader_of(message.data, message.size);
    CHECK(message.size <= LIMIT_STREAM_MESSAGE_SIZE && stream_read_header(&r, &h) == ERR_OK);
    for (size_t i = 0; i < z->topic_count; i++) {
        if (memcmp(z->topics[i].topic, h.topic, TOPIC_SIZE) == 0)
            t = &z->topics[i];
    }
    if (h.kind == STREAM_BOOKMARK) {
        struct stream_bookmark m;
        CHECK(stream_read_bookmark(&r, &m) == ERR_OK);
        CHECK(m.head == core_fixture_head(&z->f) && m.last <= m.head);
        CHECK(!t || !t->is_seen || t->last == m.last);
        return;
    }
    if (h.kind == STREAM_NOTICE) {
        CHECK(stream_read_notice(&r, &prev, &seq) == ERR_OK);
        check_entry(z, t, prev, seq);
        return;
    }
    for (uint16_t i = 0; i < h.count; i++) {
        struct bytes record;
        struct record_header header;
        CHECK(stream_read_entry(&r, &prev, &record, &header) == ERR_OK);
        check_entry(z, t, prev, header.seq);
    }
    CHECK(wire_read_complete(&r));
}

static void check_emitted(struct fuzz *z)
{
    for (size_t i = 0; i < z->f.emitted.count; i++)
        check_stream_message(z, z->f.emitted.items[i]);
    core_fixture_clear_emitted(&z->f);
}

/* ---- commands ---- */

static void begin(struct fuzz *z)
{
    z->sent_count = 0;
    core_figures(z->f.core, &z->before);
    core_fixture_begin(&z->f);
}

static void commit(struct fuzz *z)
{
    core_fixture_commit(&z->f);
    check_records(z);
    check_replies(z, ERR_OK);
    shadow_cursors_committed(&z->cursors, &z->f);
    check_emitted(z);
}

static void abort_batch(struct fuzz *z)
{
    struct core_figures after;
    core_fixture_abort(&z->f, ERR_IO, "a test");
    check_replies(z, ERR_IO);
    shadow_cursors_aborted(&z->cursors);
    core_figures(z->f.core, &after);
    CHECK(after.overlay_keys == z->before.overlay_keys);
    CHECK(after.overlay_bytes == z->before.overlay_bytes);
    CHECK(after.head == z->before.head);
}

static void send_message(struct fuzz *z, uint8_t peer, struct bytes message)
{
    static const char *const names[PEERS] = {"a", "b", "c", "d", ""};
    if (core_batch_full(z->f.core)) {
        commit(z);
        begin(z);
    }
    z->sent[z->sent_count++] = message.size >= 4 ? wire_load_u16(message.data + 2) : 1;
    shadow_cursors_sent(&z->cursors, message);
    core_fixture_send_bytes(&z->f, names[peer % PEERS], message);
}

/* How a request of a session is sent: bits 0 and 1 choose the session, bits 2 and 3 the number (the
 * next, the one before, one further, 0), bit 4 acknowledges all before, bit 5 stops on error. */
static void begin_in_session(struct fuzz *z, uint8_t how)
{
    struct core_fixture *f = &z->f;
    struct shadow_session unknown = {.session = 1, .next = 1};
    size_t i = how & 3u;
    struct shadow_session *s = i < z->session_count ? &z->sessions[i] : &unknown;
    uint32_t flags = (how & 0x10) != 0 ? MESSAGE_ACKNOWLEDGES : 0;
    if ((how & 0x20) != 0)
        flags |= MESSAGE_STOP_ON_ERROR;
    f->acknowledged = s->next - 1;
    core_fixture_message(f, flags, s->session);
    switch (how >> 2 & 3u) {
    case 0:
        f->next_number = s->next++;
        break;
    case 1:
        f->next_number = s->next - 1;
        break;
    case 2:
        f->next_number = ++s->next;
        break;
    default:
        break;
    }
}

/* Of a cursor that is there: its number; bit 0: by who held it before, bit 1: in another epoch; the
 * position. No fuzzer guesses a holder. */
static void write_move(struct fuzz *z, struct bytes body)
{
    const struct shadow_cursor *c = &z->cursors.list[body.data[0] % z->cursors.count];
    request_cursor_move_write(
        &z->f.message, &(struct request_cursor_move){.holder = c->holder - (body.data[1] & 1u),
                                                     .epoch = z->f.epoch + (body.data[1] >> 1 & 1u),
                                                     .position = body.data[2],
                                                     .name = c->name});
}

static void send_request(struct fuzz *z, struct wire_reader *r)
{
    struct core_fixture *f = &z->f;
    uint8_t peer = wire_read_u8(r);
    uint8_t op = wire_read_u8(r);
    uint8_t flags = wire_read_u8(r);
    struct bytes body = wire_read_bytes16(r);
    if (peer >= 128)
        begin_in_session(z, peer);
    else
        core_fixture_message(f, 0, 0);
    f->next_flags = flags;
    (void)request_start(f, op);
    if (op == OP_STREAM_RENEW || op == OP_STREAM_CLOSE) {
        if (op == OP_STREAM_RENEW)
            wire_write_u16(&f->message, (uint16_t)body.size);
        for (size_t i = 0; i < body.size; i++)
            wire_write_raw(&f->message, z->topics[body.data[i] % TOPICS_MAX].topic, TOPIC_SIZE);
    } else if (op == OP_CURSOR_MOVE && body.size >= 3 && z->cursors.count > 0) {
        write_move(z, body);
    } else {
        wire_write_raw(&f->message, body.data, body.size);
    }
    request_finish(f);
    send_message(z, peer, core_fixture_message_bytes(f));
}

static void restart(struct fuzz *z)
{
    commit(z);
    check_prefixes(z);
    core_fixture_restart(&z->f);
    z->topic_count = 0;
    memset(z->topics, 0, sizeof z->topics);
    check_keys(z);
    check_prefixes(z);
    shadow_cursors_check(&z->cursors, &z->f);
    check_emitted(z);
    begin(z);
}

static void tick(struct fuzz *z, uint8_t step)
{
    commit(z);
    (void)core_fixture_tick(&z->f, step == 255 ? LEASE_MS : step * 8u);
    check_emitted(z);
    begin(z);
}

static void run_command(struct fuzz *z, struct wire_reader *r)
{
    uint8_t command = wire_read_u8(r) % 8;
    switch (command) {
    case 0: {
        uint8_t peer = wire_read_u8(r);
        send_message(z, peer, wire_read_bytes16(r));
        break;
    }
    case 1:
        send_request(z, r);
        break;
    case 2:
        commit(z);
        begin(z);
        break;
    case 3:
        abort_batch(z);
        begin(z);
        break;
    case 4:
        tick(z, wire_read_u8(r));
        break;
    case 5:
        core_fixture_slice(&z->f, wire_read_u8(r) % 8);
        break;
    case 6:
        restart(z);
        break;
    default:
        core_subscribed(z->f.core,
                        (struct bytes){z->topics[wire_read_u8(r) % TOPICS_MAX].topic, TOPIC_SIZE});
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct core_limits limits = {.checkpoint_keys = 4,
                                              .value_size_max = 20000,
                                              .message_size_max = 30000,
                                              .streams_max = 40,
                                              .streams_per_peer_max = 30,
                                              .peers_max = 4,
                                              .sessions_max = 6,
                                              .cursors_max = 4,
                                              .session_idle_ms = 4000};
    struct fuzz *z = calloc(1, sizeof *z);
    struct wire_reader r = wire_reader_of(data, size);
    z->cursors.limit = limits.cursors_max;
    core_fixture_open(&z->f, 1, &limits);
    begin(z);
    for (unsigned i = 0; i < STEPS_MAX && wire_left(&r) > 0; i++)
        run_command(z, &r);
    restart(z);
    commit(z);
    core_fixture_close(&z->f);
    shadow_cursors_free(&z->cursors);
    for (size_t i = 0; i < z->key_count; i++)
        free((void *)(uintptr_t)z->keys[i].key.data);
    free(z);
    return 0;
}
