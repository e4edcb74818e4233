/*
 * test_server_streams.c - the stream socket and the replay socket with bare
 * messages: opening, bookmarks, records, replay in chunks, listings, histories.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "protocol/stream_message.h"
#include "tests/support/raw_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

#include <signal.h>
#include <stdio.h>

static struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    struct server_process server;
    void *zmq;
    struct raw_client client;
    struct raw_client replay;
} f;

static int set_up(void **state)
{
    (void)state;
    char data[128];
    char listen[128];
    char replay[SERVER_ENDPOINT_SIZE + 8];
    assert_true(temp_folder_make(f.folder));
    snprintf(data, sizeof data, "%s/data", f.folder);
    snprintf(listen, sizeof listen, "ipc://%s/sock", f.folder);
    /* Checkpoints come early, so that listings have rows to show. */
    const char *arguments[] = {
        "--listen", listen, "--data", data, "--checkpoint-keys", "4", "--durability=process", NULL};
    assert_true(server_start(&f.server, TEST_VIGILD, arguments));
    assert_string_equal(f.server.endpoints[0], listen);
    f.zmq = zmq_ctx_new();
    raw_open(&f.client, f.zmq, listen);
    snprintf(replay, sizeof replay, "%s.replay", listen);
    raw_open(&f.replay, f.zmq, replay);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    raw_close(&f.client);
    raw_close(&f.replay);
    zmq_ctx_term(f.zmq);
    int status = server_stop(&f.server, SIGTERM);
    temp_folder_remove(f.folder);
    return status;
}

static uint64_t put(const char *key, uint8_t value)
{
    struct reply_header reply;
    struct wire_reader body;
    raw_begin(&f.client, 0);
    raw_add_put(&f.client, key, (struct bytes){&value, 1});
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    return reply.seq;
}

static void write_filter(struct wire_buffer *b, uint8_t kind, const char *text)
{
    static struct filter filter;
    struct pattern pattern = {.kind = kind, .text = raw_text(text)};
    assert_int_equal(filter_init(&filter, &pattern, 1), ERR_OK);
    filter_write(b, &filter);
}

/* ---- streams ---- */

struct watch {
    void *socket;
    uint8_t topic[TOPIC_SIZE];
    uint64_t opened; /* the reply's seq */
};

static void watch_open(struct watch *w, uint8_t kind, const char *text)
{
    struct reply_header reply;
    struct wire_reader body;
    struct reply_stream_open opened;
    struct wire_buffer b;
    char endpoint[SERVER_ENDPOINT_SIZE + 8];
    int timeout_ms = RAW_TIMEOUT_MS;
    int zero = 0;
    wire_buffer_init(&b, 16384);
    write_filter(&b, kind, text);
    raw_begin(&f.client, 0);
    raw_add(&f.client, OP_STREAM_OPEN, 0, &b);
    wire_buffer_free(&b);
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    assert_true(reply_stream_open_read(&body, &opened));
    assert_int_equal(opened.topic.size, TOPIC_SIZE);
    memcpy(w->topic, opened.topic.data, TOPIC_SIZE);
    w->opened = f.client.reply_header.head;
    w->socket = zmq_socket(f.zmq, ZMQ_SUB);
    zmq_setsockopt(w->socket, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(w->socket, ZMQ_RCVHWM, &zero, sizeof zero);
    zmq_setsockopt(w->socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
    zmq_setsockopt(w->socket, ZMQ_SUBSCRIBE, w->topic, TOPIC_SIZE);
    snprintf(endpoint, sizeof endpoint, "%s.stream", f.server.endpoints[0]);
    assert_int_equal(zmq_connect(w->socket, endpoint), 0);
}

/* The next message; its kind. message stays open. */
static int watch_next(struct watch *w, zmq_msg_t *message, struct wire_reader *ret_reader,
                      struct stream_header *ret_header)
{
    zmq_msg_init(message);
    assert_true(zmq_msg_recv(message, w->socket, 0) > 0);
    *ret_reader = wire_reader_of(zmq_msg_data(message), zmq_msg_size(message));
    assert_int_equal(stream_read_header(ret_reader, ret_header), ERR_OK);
    assert_memory_equal(ret_header->topic, w->topic, TOPIC_SIZE);
    assert_true(ret_header->epoch == f.client.reply_header.epoch);
    return ret_header->kind;
}

static struct stream_bookmark watch_bookmark(struct watch *w)
{
    struct stream_bookmark bookmark;
    struct stream_header header;
    struct wire_reader reader;
    zmq_msg_t message;
    assert_int_equal(watch_next(w, &message, &reader, &header), STREAM_BOOKMARK);
    assert_int_equal(stream_read_bookmark(&reader, &bookmark), ERR_OK);
    zmq_msg_close(&message);
    return bookmark;
}

static void a_subscription_is_answered_and_records_follow(void **state)
{
    (void)state;
    struct watch w;
    watch_open(&w, PATTERN_PREFIX, "s/");
    struct stream_bookmark first = watch_bookmark(&w);
    assert_true(first.head >= w.opened);
    assert_true(first.last <= w.opened);

    enum { PUTS = 100 };
    uint64_t seqs[PUTS];
    for (unsigned i = 0; i < PUTS; i++) {
        seqs[i] = put("s/x", (uint8_t)i);
        put("other", (uint8_t)i);
    }
    uint64_t last = first.last;
    for (size_t got = 0; got < PUTS;) {
        struct stream_header header;
        struct wire_reader reader;
        zmq_msg_t message;
        if (watch_next(&w, &message, &reader, &header) == STREAM_RECORDS) {
            for (uint16_t i = 0; i < header.count; i++, got++) {
                struct record_header record_header;
                struct bytes record;
                uint64_t prev = 0;
                assert_int_equal(stream_read_entry(&reader, &prev, &record, &record_header),
                                 ERR_OK);
                assert_int_equal(record_header.seq, seqs[got]);
                assert_int_equal(prev, last);
                last = record_header.seq;
            }
        }
        zmq_msg_close(&message);
    }
    /* And then a bookmark that has moved beyond the record that does not match. */
    struct stream_bookmark end = watch_bookmark(&w);
    while (end.head < seqs[PUTS - 1] + 1)
        end = watch_bookmark(&w);
    assert_int_equal(end.last, last);
    zmq_close(w.socket);
}

static void a_large_record_is_a_notice(void **state)
{
    (void)state;
    static uint8_t text[3 + 20000] = {0xda, 20000 >> 8, 20000 & 0xff};
    struct watch w;
    watch_open(&w, PATTERN_EXACT, "large");
    watch_bookmark(&w);
    raw_begin(&f.client, 0);
    raw_add_put(&f.client, "large", (struct bytes){text, sizeof text});
    struct reply_header reply;
    struct wire_reader body;
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    for (;;) {
        struct stream_header header;
        struct wire_reader reader;
        zmq_msg_t message;
        uint64_t prev = 0;
        uint64_t seq = 0;
        int kind = watch_next(&w, &message, &reader, &header);
        if (kind == STREAM_NOTICE)
            assert_int_equal(stream_read_notice(&reader, &prev, &seq), ERR_OK);
        zmq_msg_close(&message);
        if (kind == STREAM_BOOKMARK)
            continue;
        assert_int_equal(kind, STREAM_NOTICE);
        assert_int_equal(seq, reply.seq);
        break;
    }
    zmq_close(w.socket);
}

/* Whatever a peer sends to the stream socket, and however often. */
static void rubbish_at_the_stream_socket_is_ignored(void **state)
{
    (void)state;
    struct watch w;
    char endpoint[SERVER_ENDPOINT_SIZE + 8];
    int zero = 0;
    void *peer = zmq_socket(f.zmq, ZMQ_XSUB);
    zmq_setsockopt(peer, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(peer, ZMQ_SNDHWM, &zero, sizeof zero);
    snprintf(endpoint, sizeof endpoint, "%s.stream", f.server.endpoints[0]);
    zmq_connect(peer, endpoint);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t subscription[1 + 8] = {1, 'x', (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        zmq_send(peer, subscription, sizeof subscription, 0);
        zmq_send(peer, "nonsense", 8, 0);
    }
    static const uint8_t large[1000] = {1};
    zmq_send(peer, large, sizeof large, 0);
    watch_open(&w, PATTERN_PREFIX, "r/");
    watch_bookmark(&w);
    zmq_close(w.socket);
    zmq_close(peer);
    put("r/after", 1);
}

/* ---- replay ---- */

struct chunk {
    struct reply_replay reply;
    uint64_t first;
    uint64_t last;
};

static int replay(uint64_t epoch, uint64_t after, uint32_t bytes_max, uint8_t kind,
                  const char *text, struct chunk *ret_chunk)
{
    struct reply_header reply;
    struct wire_reader body;
    struct wire_buffer b;
    struct wire_buffer filter;
    wire_buffer_init(&b, 16384);
    wire_buffer_init(&filter, 16384);
    write_filter(&filter, kind, text);
    struct request_replay request = {.epoch = epoch,
                                     .after = after,
                                     .bytes_max = bytes_max,
                                     .filter = {filter.data, filter.size}};
    request_replay_write(&b, &request);
    raw_begin(&f.replay, 0);
    raw_add(&f.replay, OP_REPLAY, 0, &b);
    int status = raw_call(&f.replay, &reply, &body);
    wire_buffer_free(&b);
    wire_buffer_free(&filter);
    if (status != ERR_OK)
        return status;
    assert_true(reply_replay_read(&body, &ret_chunk->reply));
    ret_chunk->first = 0;
    struct bytes rest = ret_chunk->reply.records;
    for (uint32_t i = 0; i < ret_chunk->reply.count; i++) {
        struct record_header header;
        assert_int_equal(record_check(rest, &header), ERR_OK);
        assert_true(i == 0 || header.seq > ret_chunk->last);
        if (i == 0)
            ret_chunk->first = header.seq;
        ret_chunk->last = header.seq;
        rest.data += header.size;
        rest.size -= header.size;
    }
    assert_int_equal(rest.size, 0);
    return ERR_OK;
}

static void replay_gives_everything_in_chunks(void **state)
{
    (void)state;
    uint64_t first = put("q/first", 0);
    for (uint8_t i = 0; i < 50; i++)
        put("q/more", i);
    uint64_t head = put("q/last", 1);
    struct chunk c;
    unsigned chunks = 0;
    uint64_t records = 0;
    for (uint64_t after = first - 1; after < head; after = c.reply.to, chunks++) {
        assert_int_equal(replay(0, after, 300, PATTERN_PREFIX, "", &c), ERR_OK);
        assert_int_equal(c.reply.from, after);
        assert_true(c.reply.to > after);
        assert_true(c.reply.count >= 1);
        assert_int_equal(c.first, after + 1);
        assert_int_equal(c.last, c.reply.to);
        records += c.reply.count;
    }
    assert_int_equal(records, 52);
    assert_true(chunks > 10);
    /* One byte is too few for a record, and one comes all the same. */
    assert_int_equal(replay(0, first - 1, 1, PATTERN_PREFIX, "", &c), ERR_OK);
    assert_int_equal(c.reply.count, 1);
    /* A filter: what does not match is passed over, to moves all the way. */
    assert_int_equal(replay(0, 0, 0, PATTERN_EXACT, "q/last", &c), ERR_OK);
    assert_int_equal(c.reply.count, 1);
    assert_int_equal(c.first, head);
    assert_int_equal(c.reply.to, head);
}

static void positions_that_cannot_be_served_are_errors(void **state)
{
    (void)state;
    uint64_t head = put("z/last", 1);
    uint64_t epoch = f.client.reply_header.epoch;
    struct chunk c;
    assert_int_equal(replay(epoch, head, 0, PATTERN_PREFIX, "", &c), ERR_OK);
    assert_int_equal(c.reply.count, 0);
    assert_int_equal(replay(epoch ^ 1, head, 0, PATTERN_PREFIX, "", &c), ERR_EPOCH_CHANGED);
    assert_int_equal(replay(0, head + 1, 0, PATTERN_PREFIX, "", &c), ERR_POSITION_AHEAD);
    assert_int_equal(replay(0, UINT64_MAX, 0, PATTERN_PREFIX, "", &c), ERR_POSITION_AHEAD);
    assert_int_equal(f.replay.reply_header.head, head);
}

static void history_follows_one_key_back(void **state)
{
    (void)state;
    uint64_t seqs[5];
    for (uint8_t i = 0; i < 5; i++) {
        put("h/other", i);
        seqs[i] = put("h/key", i);
    }
    uint64_t from = seqs[4];
    uint8_t end = HISTORY_MORE;
    unsigned seen = 0;
    while (end == HISTORY_MORE) {
        struct reply_header reply;
        struct wire_reader body;
        struct reply_history history;
        struct wire_buffer b;
        wire_buffer_init(&b, 1024);
        struct request_history request = {
            .from_seq = from, .bytes_max = 150, .key = raw_text("h/key")};
        request_history_write(&b, &request);
        raw_begin(&f.replay, 0);
        raw_add(&f.replay, OP_HISTORY, 0, &b);
        wire_buffer_free(&b);
        assert_int_equal(raw_call(&f.replay, &reply, &body), ERR_OK);
        assert_true(reply_history_read(&body, &history));
        struct bytes rest = history.records;
        for (uint32_t i = 0; i < history.count; i++, seen++) {
            struct record_header header;
            assert_int_equal(record_check(rest, &header), ERR_OK);
            assert_int_equal(header.seq, seqs[4 - seen]);
            rest.data += header.size;
            rest.size -= header.size;
        }
        assert_true(history.count >= 1);
        end = history.end;
        from = history.next_seq;
    }
    assert_int_equal(end, HISTORY_COMPLETE);
    assert_int_equal(seen, 5);
}

/* Reads one page; the key to go on after in `after`. Returns rows, *ret_more, *ret_applied. */
static uint32_t list_page(const char *prefix, char after[64], bool *ret_more, uint64_t *ret_applied)
{
    struct reply_header reply;
    struct wire_reader body;
    struct reply_list list;
    struct wire_buffer b;
    wire_buffer_init(&b, 1024);
    struct request_list request = {
        .bytes_max = 100, .prefix = raw_text(prefix), .after = raw_text(after)};
    request_list_write(&b, &request);
    raw_begin(&f.replay, 0);
    raw_add(&f.replay, OP_LIST, REQUEST_LIST_VALUES, &b);
    wire_buffer_free(&b);
    assert_int_equal(raw_call(&f.replay, &reply, &body), ERR_OK);
    assert_true(reply_list_read(&body, &list));
    struct wire_reader rows = wire_reader_of(list.rows.data, list.rows.size);
    for (uint32_t i = 0; i < list.count; i++) {
        struct list_row row;
        assert_true(list_row_read(&rows, &row));
        assert_true(row.key.size < 64);
        assert_true(bytes_compare(row.key, raw_text(after)) > 0);
        assert_int_equal(row.value.size, 1);
        memcpy(after, row.key.data, row.key.size);
        after[row.key.size] = '\0';
    }
    assert_true(wire_read_complete(&rows));
    *ret_more = list.more;
    *ret_applied = list.applied;
    return list.count;
}

static void listings_show_checkpointed_rows_in_pages(void **state)
{
    (void)state;
    char key[32];
    uint64_t last = 0;
    for (uint8_t i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "list/%02u", i);
        last = put(key, i);
    }
    for (uint8_t i = 0; i < 10; i++) /* pushes the forty out of the memory */
        put("list-after", i);
    uint32_t rows = 0;
    uint64_t applied = 0;
    do { /* the checkpoint goes on by itself */
        bool more = true;
        char after[64] = "";
        for (rows = 0; more;)
            rows += list_page("list/", after, &more, &applied);
        for (int i = 0; i < 4; i++) {
            snprintf(key, sizeof key, "push/%d", i);
            put(key, 0);
        }
    } while (applied < last);
    assert_int_equal(rows, 40);
}

/* What the state does not hold yet cannot be compacted: the server checkpoints first, by itself. */
static void compaction_reaches_its_target(void **state)
{
    (void)state;
    struct reply_header reply;
    struct wire_reader body;
    struct reply_compact compacted = {0};
    struct request_compact request = {0};
    struct chunk c;
    uint64_t first = put("c/first", 7);
    put("c/second", 1);
    request.before = put("c/third", 1);
    while (compacted.oldest < request.before) {
        struct wire_buffer b;
        wire_buffer_init(&b, 64);
        request_compact_write(&b, &request);
        raw_begin(&f.client, 0);
        raw_add(&f.client, OP_COMPACT, 0, &b);
        wire_buffer_free(&b);
        assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
        assert_true(reply_compact_read(&body, &compacted));
    }
    assert_int_equal(compacted.oldest, request.before);
    assert_int_equal(replay(0, first - 1, 0, PATTERN_PREFIX, "", &c), ERR_COMPACTED);
    assert_int_equal(f.replay.reply_header.oldest, request.before);
    assert_int_equal(replay(0, request.before - 1, 0, PATTERN_PREFIX, "", &c), ERR_OK);
    assert_int_equal(c.reply.count, 1);

    struct reply_get get;
    raw_begin(&f.client, 0);
    raw_add_get(&f.client, "c/first");
    assert_int_equal(raw_call(&f.client, &reply, &body), ERR_OK);
    assert_true(reply_get_read(&body, &get));
    assert_int_equal(get.present, 1);
    assert_int_equal(get.modified, first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subscription_is_answered_and_records_follow),
        cmocka_unit_test(a_large_record_is_a_notice),
        cmocka_unit_test(rubbish_at_the_stream_socket_is_ignored),
        cmocka_unit_test(replay_gives_everything_in_chunks),
        cmocka_unit_test(positions_that_cannot_be_served_are_errors),
        cmocka_unit_test(history_follows_one_key_back),
        cmocka_unit_test(listings_show_checkpointed_rows_in_pages),
        cmocka_unit_test(compaction_reaches_its_target),
    };
    return cmocka_run_group_tests_name("server streams", tests, set_up, tear_down);
}
