/* attack_readers.c - clients that ask and never read. */
#include "tests/hostile/raw_call.h"
#include "tests/hostile/scenario.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { LARGE = 200 * 1024, SMALL = 7000, KEYS = 40 };

static void write_large_values(struct attacker *a, size_t value_size)
{
    static uint8_t value[LARGE];
    struct raw_call c;
    struct wire_buffer b;
    if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
        return;
    value[0] = 0xc6; /* a binary */
    wire_buffer_init(&b, 16);
    wire_store_u32(value + 1, __builtin_bswap32((uint32_t)value_size - 5));
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        snprintf(key, sizeof key, "hostile/large/%d", i);
        if (!raw_call_put(&c, key, value, value_size))
            a->fault = "a value could not be written";
    }
    raw_call_close(&c);
}

/* Sends the message until the server takes no more, or n times. */
static void repeat(struct attacker *a, struct raw_call *c, unsigned n)
{
    message_set_count(&c->out, 0, c->count);
    for (unsigned i = 0; i < n && a->done < a->volume; i++, a->done++) {
        struct pollfd room = {.fd = c->fd, .events = POLLOUT};
        if (poll(&room, 1, 200) <= 0 || !raw_send_frame(c->fd, 0, c->out.data, c->out.size))
            break;
    }
    attacker_hold(a, c->fd);
    c->fd = -1;
    raw_call_close(c);
}

void attack_unread_replies(struct attacker *a)
{
    enum { PEERS = 4 };
    write_large_values(a, LARGE);
    for (int p = 0; p < PEERS && !a->fault; p++) {
        struct raw_call c;
        if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
            return;
        raw_call_begin(&c, 0);
        for (int i = 0; i < (p % 2 ? 30 : 1); i++) {
            struct request_get get = {.key = {(const uint8_t *)"hostile/large/7", 15}};
            raw_call_part_begin(&c, OP_GET, 0, 0);
            request_get_write(&c.out, &get);
            raw_call_part_end(&c);
        }
        repeat(a, &c, (unsigned)(a->volume / PEERS));
    }
    a->done = a->volume;
}

void attack_unread_stream(struct attacker *a)
{
    struct raw_call c;
    enum { PEERS = 5 };
    static uint8_t value[SMALL];
    for (int p = 0; p < PEERS; p++) { /* a stream for each, of the same keys: nothing is shared */
        static const char *const prefixes[PEERS] = {"h", "ho", "hos", "host", "hosti"};
        uint8_t subscription[1 + TOPIC_SIZE] = {1};
        if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
            return;
        int fd = attacker_open(a, TO_STREAMS, "SUB");
        if (!raw_call_stream(&c, prefixes[p], subscription + 1) || fd < 0 ||
            !raw_send_frame(fd, 0, subscription, sizeof subscription))
            a->fault = "a stream could not be opened";
        attacker_hold(a, c.fd);
        c.fd = -1;
        raw_call_close(&c);
    }
    value[0] = 0xc6;
    wire_store_u32(value + 1, __builtin_bswap32(SMALL - 5));
    if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
        return;
    for (; a->done < a->volume && !a->fault; a->done++) {
        char key[32];
        snprintf(key, sizeof key, "hostile/s/%llu", (unsigned long long)a->done % KEYS);
        if (!raw_call_put(&c, key, value, sizeof value))
            a->fault = "a value could not be written";
    }
    raw_call_close(&c);
}

void attack_unread_replays(struct attacker *a)
{
    enum { PEERS = 5 };
    write_large_values(a, LARGE);
    for (int p = 0; p < PEERS && !a->fault; p++) {
        struct raw_call c;
        if (!raw_call_open(&c, a->target->sockets[TO_REPLAYS]))
            return;
        uint8_t none[1];
        raw_call_begin(&c, 0);
        raw_call_part_begin(&c, OP_PING, 0, 0);
        raw_call_part_end(&c);
        if (!raw_call_send(&c) || raw_call_receive(&c, none, sizeof none) != ERR_OK)
            a->fault = "a ping was not answered";
        raw_call_begin(&c, 0);
        if (p % 2) {
            struct request_list list = {.epoch = c.epoch, .bytes_max = UINT32_MAX};
            raw_call_part_begin(&c, OP_LIST, REQUEST_LIST_VALUES, 0);
            request_list_write(&c.out, &list);
        } else {
            uint8_t all[] = {1, 0, PATTERN_PREFIX, 0, 0};
            struct request_replay replay = {.epoch = c.epoch,
                                            .until = UINT64_MAX,
                                            .bytes_max = UINT32_MAX,
                                            .filter = {all, sizeof all}};
            raw_call_part_begin(&c, OP_REPLAY, 0, 0);
            request_replay_write(&c.out, &replay);
        }
        raw_call_part_end(&c);
        repeat(a, &c, (unsigned)(a->volume / PEERS));
    }
    a->done = a->volume;
}
