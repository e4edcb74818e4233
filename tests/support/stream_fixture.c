/* stream_fixture.c - see stream_fixture.h. */
#include "tests/support/stream_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- requests ---- */

struct topic stream_read_open(struct parsed_reply reply)
{
    struct topic t;
    struct reply_stream_open body;
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_stream_open_read(&reply.body, &body));
    assert_int_equal(body.topic.size, TOPIC_SIZE);
    memcpy(t.bytes, body.topic.data, TOPIC_SIZE);
    t.last = body.last;
    t.interval_ms = body.interval_ms;
    return t;
}

struct parsed_reply stream_try_open(struct core_fixture *f, const char *peer, uint8_t kind,
                                    const char *text)
{
    struct pattern p = {kind, bytes_of(text)};
    core_fixture_message(f, 0, 0);
    (void)request_open(f, &p, 1);
    return core_fixture_ask(f, peer);
}

struct topic stream_open(struct core_fixture *f, const char *peer, uint8_t kind, const char *text)
{
    return stream_read_open(stream_try_open(f, peer, kind, text));
}

uint16_t stream_close(struct core_fixture *f, const char *peer, const struct topic *t)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_STREAM_CLOSE);
    wire_write_raw(&f->message, t->bytes, TOPIC_SIZE);
    request_finish(f);
    return core_fixture_ask(f, peer).header.status;
}

bool stream_renew(struct core_fixture *f, const char *peer, const struct topic *t)
{
    static const uint8_t unknown[TOPIC_SIZE] = {1};
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_STREAM_RENEW);
    wire_write_u16(&f->message, 2);
    wire_write_raw(&f->message, t->bytes, TOPIC_SIZE);
    wire_write_raw(&f->message, unknown, TOPIC_SIZE);
    request_finish(f);
    struct parsed_reply reply = core_fixture_ask(f, peer);
    assert_int_equal(reply.header.status, ERR_OK);
    assert_int_equal(wire_read_u16(&reply.body), 2);
    bool known = wire_read_u8(&reply.body);
    assert_int_equal(wire_read_u8(&reply.body), 0);
    assert_true(wire_read_complete(&reply.body));
    return known;
}

void stream_put(struct core_fixture *f, const char *key, struct bytes value)
{
    core_fixture_message(f, 0, 0);
    (void)request_put(f, key, value);
    assert_int_equal(core_fixture_ask(f, "writer").header.status, ERR_OK);
}

size_t stream_count(const struct core_fixture *f)
{
    struct core_figures figures;
    core_figures(f->core, &figures);
    return figures.streams;
}

size_t peer_count(const struct core_fixture *f)
{
    struct core_figures figures;
    core_figures(f->core, &figures);
    return figures.peers;
}

/* ---- what was emitted ---- */

struct emitted emitted_at(const struct core_fixture *f, size_t i)
{
    struct emitted e;
    assert_true(i < f->emitted.count);
    struct bytes message = f->emitted.items[i];
    assert_true(message.size <= LIMIT_STREAM_MESSAGE_SIZE);
    e.body = wire_reader_of(message.data, message.size);
    assert_int_equal(stream_read_header(&e.body, &e.header), ERR_OK);
    assert_int_equal(e.header.epoch, f->epoch);
    assert_int_equal(e.header.incarnation, f->incarnation);
    return e;
}

void assert_topic(const struct emitted *e, uint8_t kind, const struct topic *t)
{
    assert_int_equal(e->header.kind, kind);
    assert_memory_equal(e->header.topic, t->bytes, TOPIC_SIZE);
}

/* The next record of a message; returns its bytes. */
struct bytes assert_entry(struct emitted *e, uint64_t prev, uint64_t seq)
{
    uint64_t got_prev;
    struct bytes record;
    struct record_header h;
    assert_int_equal(stream_read_entry(&e->body, &got_prev, &record, &h), ERR_OK);
    assert_int_equal(got_prev, prev);
    assert_int_equal(h.seq, seq);
    return record;
}

struct stream_bookmark assert_bookmark(const struct core_fixture *f, size_t i,
                                       const struct topic *t)
{
    struct stream_bookmark m;
    struct emitted e = emitted_at(f, i);
    assert_topic(&e, STREAM_BOOKMARK, t);
    assert_int_equal(stream_read_bookmark(&e.body, &m), ERR_OK);
    return m;
}
