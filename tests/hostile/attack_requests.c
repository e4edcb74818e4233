/* attack_requests.c - requests that are in order, each as dear as may be, or without end. */
#include "tests/hostile/raw_call.h"
#include "tests/hostile/scenario.h"

#include <stdio.h>
#include <string.h>

/* As many patterns as there may be, each as long as it may be. */
static void write_filter(struct raw_call *c, struct attacker *a)
{
    wire_write_u16(&c->out, LIMIT_FILTER_PATTERNS);
    for (unsigned i = 0; i < LIMIT_FILTER_PATTERNS; i++) {
        uint8_t text[LIMIT_KEY_SIZE];
        memset(text, 'a' + (int)i, sizeof text);
        text[0] = (uint8_t)('a' + attacker_random(a) % 26);
        text[1] = (uint8_t)('a' + attacker_random(a) % 26);
        wire_write_u8(&c->out, PATTERN_PREFIX);
        wire_write_u16(&c->out, sizeof text);
        wire_write_raw(&c->out, text, sizeof text);
    }
}

/* Sessions are opened and left; numbers are skipped, repeated and far ahead, in sessions that are
 * one's own and in those of others. */
void attack_sessions(struct attacker *a)
{
    struct raw_call c;
    uint64_t session = 1;
    if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
        return;
    for (; a->done < a->volume && c.fd >= 0; a->done++) {
        uint8_t body[8];
        raw_call_begin(&c, 0);
        raw_call_part_begin(&c, OP_SESSION_OPEN, 0, 0);
        raw_call_part_end(&c);
        if (raw_call_send(&c) && raw_call_receive(&c, body, sizeof body) == ERR_OK)
            session = wire_load_u64(body);
        static const uint64_t numbers[] = {1, 1, 2, 4, UINT64_MAX, 4096, 4097, 0};
        raw_call_begin(&c, a->done % 4 ? session : attacker_random(a));
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            struct request_incr incr = {.by = 1, .key = {(const uint8_t *)"hostile/n", 9}};
            raw_call_part_begin(&c, OP_INCR, 0, numbers[i]);
            request_incr_write(&c.out, &incr);
            raw_call_part_end(&c);
        }
        if (raw_call_send(&c))
            raw_call_receive(&c, body, sizeof body);
    }
    raw_call_close(&c);
}

/* Named cursors without end, with filters of the largest size, moved with a holder that is not
 * theirs. */
void attack_cursors(struct attacker *a)
{
    struct raw_call c;
    if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
        return;
    for (; a->done < a->volume && c.fd >= 0; a->done++) {
        uint8_t name[LIMIT_CURSOR_NAME];
        uint8_t body[8];
        memset(name, 'c', sizeof name);
        for (int i = 0; i < 8; i++)
            name[i] = (uint8_t)('a' + attacker_random(a) % 26);
        struct request_cursor_open open = {.position = UINT64_MAX, .name = {name, sizeof name}};
        struct request_cursor_move move = {
            .holder = attacker_random(a), .position = attacker_random(a), .name = open.name};
        raw_call_begin(&c, 0);
        raw_call_part_begin(&c, OP_CURSOR_OPEN, 0, 0);
        request_cursor_open_write(&c.out, &open);
        write_filter(&c, a);
        raw_call_part_end(&c);
        raw_call_part_begin(&c, OP_CURSOR_MOVE, 0, 0);
        request_cursor_move_write(&c.out, &move);
        raw_call_part_end(&c);
        if (raw_call_send(&c) && raw_call_receive(&c, body, sizeof body) < 0)
            a->fault = "the opening of a cursor was not answered";
    }
    raw_call_close(&c);
}

static void write_txn(struct raw_call *c, struct attacker *a)
{
    raw_call_part_begin(c, OP_TXN, 0, 0);
    wire_write_u16(&c->out, 0);
    wire_write_u16(&c->out, LIMIT_TXN_OPS);
    for (unsigned i = 0; i < LIMIT_TXN_OPS; i++) {
        char key[32];
        int size =
            snprintf(key, sizeof key, "hostile/txn/%u", (unsigned)attacker_random(a) % 20000);
        wire_write_u8(&c->out, OP_INCR);
        wire_write_u64(&c->out, 1);
        wire_write_u16(&c->out, (uint16_t)size);
        wire_write_raw(&c->out, key, (size_t)size);
        wire_write_u32(&c->out, 0);
    }
    wire_write_u16(&c->out, 0);
    raw_call_part_end(c);
}

static void write_get_many(struct raw_call *c)
{
    for (int k = 0; k < 40; k++) {
        raw_call_part_begin(c, OP_GET_MANY, 0, 0);
        wire_write_u16(&c->out, LIMIT_GET_KEYS);
        for (unsigned i = 0; i < LIMIT_GET_KEYS; i++) {
            wire_write_u16(&c->out, 9);
            wire_write_raw(&c->out, "hostile/n", 9);
        }
        raw_call_part_end(c);
    }
}

/* A value as large as it may be and of as many containers as fit, too deep or just not. */
static void write_deep_value(struct raw_call *c, unsigned depth)
{
    static uint8_t value[1 << 19];
    struct request_put put = {.key = {(const uint8_t *)"hostile/deep", 12}};
    uint8_t array[5] = {0xdd, 0, 0, 0, 0};
    size_t used = 0;
    for (unsigned i = 1; i < depth; i++)
        value[used++] = 0x91;
    uint32_t count = (uint32_t)(sizeof value - used - sizeof array);
    for (int i = 0; i < 4; i++)
        array[1 + i] = (uint8_t)(count >> (24 - 8 * i));
    memcpy(value + used, array, sizeof array);
    used += sizeof array;
    memset(value + used, depth < LIMIT_VALUE_DEPTH ? 0x90 : 0xc0, sizeof value - used);
    put.value = (struct bytes){value, sizeof value};
    raw_call_part_begin(c, OP_PUT, 0, 0);
    request_put_write(&c->out, &put);
    raw_call_part_end(c);
}

static void write_streams(struct raw_call *c, struct attacker *a)
{
    for (int k = 0; k < 200; k++) {
        raw_call_part_begin(c, OP_STREAM_OPEN, 0, 0);
        write_filter(c, a);
        raw_call_part_end(c);
    }
}

void attack_heavy(struct attacker *a)
{
    struct raw_call c;
    if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
        return;
    for (; a->done < a->volume && c.fd >= 0; a->done++) {
        uint8_t body[8];
        raw_call_begin(&c, 0);
        switch ((a->done + a->index) % 5) {
        case 0:
            write_txn(&c, a);
            break;
        case 1:
            write_get_many(&c);
            break;
        case 2:
            write_deep_value(&c, LIMIT_VALUE_DEPTH);
            break;
        case 3:
            write_deep_value(&c, LIMIT_VALUE_DEPTH + 1);
            break;
        default:
            write_streams(&c, a);
            break;
        }
        if (raw_call_send(&c) && raw_call_receive(&c, body, sizeof body) < 0)
            a->fault = "a request of the largest size was not answered";
    }
    raw_call_close(&c);
}
