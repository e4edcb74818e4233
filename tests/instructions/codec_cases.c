/*
 * codec_cases.c - the decoders and encoders by themselves: records, requests, replies and stream messages
 * of 64 puts of 100 bytes, for each of these. What the core or the client does with what it has read is
 * not in it.
 */
#include "protocol/record.h"
#include "protocol/stream_message.h"
#include "tests/instructions/cases.h"

enum { PARTS = 64, ROUNDS = 200, BUFFER_SIZE = 65536 };

static struct wire_buffer message; /* what is decoded, or encoded into */
static uint64_t seen;              /* parts, as far as they came out right */
static uint8_t keys[PARTS][LOAD_KEY_SIZE];

static bool all_seen(const struct instruction_case *c)
{
    return seen == c->operations;
}

static struct wire_reader message_reader(void)
{
    return wire_reader_of(message.data, message.size);
}

/* ---- records ---- */

static void write_record(uint32_t number)
{
    struct record_writer w;
    record_begin(&w, &message, number + 1, 1700000000000000 + number, 7, number + 1);
    record_add(&w, &(struct change){.op = CHANGE_PUT,
                                    .prev_seq = number,
                                    .key = {keys[number], LOAD_KEY_SIZE},
                                    .value = load_value()});
    record_set_request(&w, OP_PUT, (struct bytes){NULL, 0});
    seen += record_end(&w) > 0;
}

static void prepare_records(const struct instruction_case *c)
{
    (void)c;
    wire_buffer_init(&message, BUFFER_SIZE);
    for (uint32_t i = 0; i < PARTS; i++) {
        load_key(i, keys[i]);
        write_record(i);
    }
    seen = 0;
}

static bool look_at_record(const uint8_t *record)
{
    struct change_iterator i = record_changes(record);
    struct change change;
    return change_next(&i, &change) && change.value.size == LOAD_VALUE_SIZE;
}

static void check_records(const struct instruction_case *c)
{
    (void)c;
    for (int round = 0; round < ROUNDS; round++) {
        struct record_header h;
        for (size_t at = 0; at < message.size; at += h.size) {
            if (record_check((struct bytes){message.data + at, message.size - at}, &h))
                return;
            seen += look_at_record(message.data + at);
        }
    }
}

static void write_records(const struct instruction_case *c)
{
    (void)c;
    for (int round = 0; round < ROUNDS; round++) {
        wire_buffer_clear(&message);
        for (uint32_t i = 0; i < PARTS; i++)
            write_record(i);
    }
}

/* ---- requests ---- */

static void prepare_requests(const struct instruction_case *c)
{
    (void)c;
    for (uint32_t i = 0; i < PARTS; i++)
        load_key(i, keys[i]);
    load_write_requests(&message, OP_PUT, 7, 0, PARTS);
}

static void read_requests(const struct instruction_case *c)
{
    (void)c;
    for (int round = 0; round < ROUNDS; round++) {
        struct request_message_header m;
        struct wire_reader r = message_reader();
        if (request_message_read(&r, &m))
            return;
        for (uint16_t i = 0; i < m.count; i++) {
            struct request_header h;
            struct wire_reader body;
            struct request_put put;
            if (request_read(&r, &h, &body) || !request_put_read(&body, &put))
                return;
            seen += h.op == OP_PUT && put.value.size == LOAD_VALUE_SIZE;
        }
    }
}

static void write_requests(const struct instruction_case *c)
{
    (void)c;
    for (int round = 0; round < ROUNDS; round++) {
        wire_buffer_clear(&message);
        request_message_begin(&message, &(struct request_message_header){
                                            .flags = MESSAGE_ACKNOWLEDGES, .session = 7});
        for (uint32_t i = 0; i < PARTS; i++) {
            struct request_header h = {.op = OP_PUT, .id = i, .number = i};
            struct request_put put = {.key = {keys[i], LOAD_KEY_SIZE}, .value = load_value()};
            size_t begin = request_begin(&message, &h);
            request_put_write(&message, &put);
            message_part_end(&message, begin);
        }
        message_set_count(&message, 0, PARTS);
        seen += message.failed ? 0 : PARTS;
    }
}

/* ---- replies ---- */

static void write_replies(const struct instruction_case *c)
{
    (void)c;
    for (int round = 0; round < ROUNDS; round++) {
        wire_buffer_clear(&message);
        reply_message_begin(&message, &(struct reply_message_header){.epoch = 1, .head = 9});
        for (uint32_t i = 0; i < PARTS; i++) {
            struct reply_header h = {.op = OP_PUT, .id = i, .seq = i};
            struct reply_put put = {.prev_seq = i, .version = 3};
            size_t begin = reply_begin(&message, &h);
            reply_put_write(&message, &put);
            message_part_end(&message, begin);
        }
        message_set_count(&message, 0, PARTS);
        seen += message.failed ? 0 : PARTS;
    }
}

static void prepare_replies(const struct instruction_case *c)
{
    wire_buffer_init(&message, BUFFER_SIZE);
    write_replies(c);
    seen = 0;
}

static void read_replies(const struct instruction_case *c)
{
    (void)c;
    for (int round = 0; round < ROUNDS; round++) {
        struct reply_message_header m;
        struct wire_reader r = message_reader();
        if (reply_message_read(&r, &m))
            return;
        for (uint16_t i = 0; i < m.count; i++) {
            struct reply_header h;
            struct wire_reader body;
            struct reply_put put;
            if (reply_read(&r, &h, &body) || !reply_put_read(&body, &put))
                return;
            seen += h.id == i && put.version == 3;
        }
    }
}

/* ---- stream messages ---- */

static void prepare_stream(const struct instruction_case *c)
{
    struct wire_buffer records;
    size_t at = 0;
    prepare_records(c);
    records = message;
    wire_buffer_init(&message, BUFFER_SIZE);
    stream_write_header(
        &message, &(struct stream_header){.kind = STREAM_RECORDS, .count = PARTS, .epoch = 1});
    for (uint64_t i = 0; i < PARTS; i++) {
        uint32_t size = wire_load_u32(records.data + at);
        wire_write_u64(&message, i);
        wire_write_raw(&message, records.data + at, size);
        at += size;
    }
    wire_buffer_free(&records);
}

static void read_stream(const struct instruction_case *c)
{
    (void)c;
    for (int round = 0; round < ROUNDS; round++) {
        struct stream_header m;
        struct wire_reader r = message_reader();
        if (stream_read_header(&r, &m))
            return;
        for (uint16_t i = 0; i < m.count; i++) {
            uint64_t prev;
            struct bytes record;
            struct record_header h;
            if (stream_read_entry(&r, &prev, &record, &h))
                return;
            seen += look_at_record(record.data);
        }
    }
}

#define CASE(case_name, preparation, function)                                       \
    {                                                                                \
        .name = (case_name), .operations = PARTS * ROUNDS, .prepare = (preparation), \
        .run = (function), .succeeded = all_seen                                     \
    }

const struct instruction_case codec_cases[] = {
    CASE("decode/record", prepare_records, check_records),
    CASE("decode/request", prepare_requests, read_requests),
    CASE("decode/reply", prepare_replies, read_replies),
    CASE("decode/stream", prepare_stream, read_stream),
    CASE("encode/record", prepare_records, write_records),
    CASE("encode/request", prepare_requests, write_requests),
    CASE("encode/reply", prepare_replies, write_replies),
    {0},
};
