/* attack_frames.c - messages that are random, oversized, repeated, or never end. */
#include "protocol/message.h"
#include "tests/hostile/raw_call.h"
#include "tests/hostile/scenario.h"

#include <stdlib.h>
#include <string.h>

enum { PEERS = 16, LARGE_PEERS = 4, RANDOM_SIZE_MAX = 2048, GROUP_BYTES = 48 * 1024 };

static const char *const types[3] = {"DEALER", "SUB", "DEALER"};

struct peer {
    int to;
    int fd;
};

static void open_peers(struct attacker *a, struct peer *peers, int first, int step)
{
    for (int i = 0; i < PEERS; i++) {
        peers[i].to = (first + i * step) % 3;
        peers[i].fd = raw_open(a->target->sockets[peers[i].to], types[peers[i].to]);
    }
}

static void send_or_again(struct attacker *a, struct peer *p, const void *data, size_t size)
{
    if (p->fd >= 0 && raw_send_bytes(p->fd, data, size))
        return;
    raw_close(p->fd); /* the server has ended it */
    p->fd = raw_open(a->target->sockets[p->to], types[p->to]);
}

static void close_peers(struct attacker *a, struct peer *peers)
{
    for (int i = 0; i < PEERS; i++)
        if (peers[i].fd >= 0)
            attacker_hold(a, peers[i].fd);
}

/* Noise, or the head of a message with noise behind it, so that some get beyond the first check. */
static size_t write_noise(struct attacker *a, uint8_t *out)
{
    uint64_t drawn = attacker_random(a);
    size_t size = drawn >> 8 & 3 ? drawn >> 16 & 63 : drawn >> 16 & (RANDOM_SIZE_MAX - 1);
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = attacker_random(a);
        memcpy(out + i, &word, 8);
    }
    if ((drawn & 3) != 0 && size >= 24) {
        static const uint8_t head[] = {'V', 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        memcpy(out, head, sizeof head);
        wire_store_u32(out + 16, (uint32_t)(size - 16));
        out[20] = (uint8_t)(drawn >> 40 & 63);
        out[21] = 0;
        wire_store_u16(out + 22, 0);
    }
    return size;
}

void attack_random(struct attacker *a)
{
    static const uint8_t flags[8] = {0, 0, 0, 0, 0, 0, RAW_FRAME_MORE, RAW_FRAME_COMMAND};
    uint8_t *group = malloc(GROUP_BYTES + RANDOM_SIZE_MAX + 64);
    struct peer peers[PEERS];
    open_peers(a, peers, 0, 1);
    while (a->done < a->volume) {
        size_t used = 0;
        struct peer *p = &peers[attacker_random(a) % PEERS];
        while (used < GROUP_BYTES && a->done < a->volume) {
            uint8_t body[RANDOM_SIZE_MAX + 8];
            size_t size = write_noise(a, body);
            used += raw_frame_header(group + used, flags[attacker_random(a) & 7], size);
            memcpy(group + used, body, size);
            used += size;
            a->done++;
        }
        send_or_again(a, p, group, used);
    }
    close_peers(a, peers);
    free(group);
}

/* In turn: a header that announces more than anybody may send; a message of exactly the largest
 * size; one that stops half way, and is held. */
void attack_oversized(struct attacker *a)
{
    uint8_t *large = calloc(1, LIMIT_MESSAGE_SIZE + 16);
    static const uint64_t sizes[] = {LIMIT_MESSAGE_SIZE + 1, UINT64_MAX, INT64_MAX, UINT32_MAX};
    size_t header = raw_frame_header(large, 0, LIMIT_MESSAGE_SIZE);
    for (; a->done < a->volume; a->done++) {
        uint8_t bad[9];
        int to = (int)(attacker_random(a) % 3);
        int fd = raw_open(a->target->sockets[to], types[to]);
        if (fd < 0)
            continue;
        if (a->done % 4 != 0) {
            raw_send_bytes(fd, bad, raw_frame_header(bad, 0, (size_t)sizes[a->done % 4]));
            raw_send_bytes(fd, large, 4096);
        } else {
            raw_send_bytes(fd, large, header + LIMIT_MESSAGE_SIZE);
            raw_send_bytes(fd, large, header + LIMIT_MESSAGE_SIZE);
        }
        raw_close(fd);
    }
    free(large);
}

/* Good messages of nearly the largest size, on many connections at once, faster than they can be
 * committed: what waits for its turn waits in the server. */
void attack_large(struct attacker *a)
{
    enum { VALUE = LIMIT_VALUE_SIZE, VALUES = 3 };
    uint8_t *value = calloc(1, VALUE);
    struct raw_call calls[LARGE_PEERS];
    value[0] = 0xc6; /* a binary */
    wire_store_u32(value + 1, __builtin_bswap32(VALUE - 5));
    for (int p = 0; p < LARGE_PEERS; p++) {
        raw_call_open(&calls[p], a->target->sockets[TO_REQUESTS]);
        raw_call_begin(&calls[p], 0);
        for (int i = 0; i < VALUES; i++) {
            struct request_put put = {.key = {(const uint8_t *)"hostile/large", 13},
                                      .value = {value, VALUE}};
            raw_call_part_begin(&calls[p], OP_PUT, 0, 0);
            request_put_write(&calls[p].out, &put);
            raw_call_part_end(&calls[p]);
        }
    }
    for (; a->done < a->volume; a->done++)
        raw_call_send(&calls[a->done % LARGE_PEERS]);
    for (int p = 0; p < LARGE_PEERS; p++) {
        attacker_hold(a, calls[p].fd);
        calls[p].fd = -1;
        raw_call_close(&calls[p]);
    }
    free(value);
}

/* What was once a good message, over and over from everybody, within a session that is not theirs
 * and outside of it; nobody reads the replies. */
void attack_replayed(struct attacker *a)
{
    uint8_t *group = malloc(GROUP_BYTES + 4096);
    struct wire_buffer m;
    struct peer peers[PEERS];
    wire_buffer_init(&m, 4096);
    open_peers(a, peers, 0, 0);
    while (a->done < a->volume) {
        struct request_message_header head = {.session = attacker_random(a) % 3};
        struct request_header request = {.op = OP_INCR, .id = 1, .number = attacker_random(a) % 5};
        struct request_incr incr = {.by = 1, .key = {(const uint8_t *)"hostile/again", 13}};
        size_t used = 0;
        wire_buffer_clear(&m);
        request_message_begin(&m, &head);
        size_t place = request_begin(&m, &request);
        request_incr_write(&m, &incr);
        message_part_end(&m, place);
        message_set_count(&m, 0, 1);
        while (used < GROUP_BYTES && a->done < a->volume) {
            used += raw_frame_header(group + used, 0, m.size);
            memcpy(group + used, m.data, m.size);
            used += m.size;
            a->done++;
        }
        send_or_again(a, &peers[attacker_random(a) % PEERS], group, used);
    }
    close_peers(a, peers);
    wire_buffer_free(&m);
    free(group);
}

/* Messages whose last frame never comes, of empty frames and of others: ZeroMQ, for replays and
 * streams, keeps each. */
void attack_parts(struct attacker *a)
{
    uint8_t *group = malloc(GROUP_BYTES + 512);
    struct peer peers[PEERS];
    open_peers(a, peers, 0, 1);
    for (uint64_t turn = 0; a->done < a->volume; turn++) {
        size_t size = turn % 4 == 0 ? 60 : 0;
        size_t used = 0;
        while (used < GROUP_BYTES && a->done < a->volume) {
            used += raw_frame_header(group + used, RAW_FRAME_MORE, size);
            memset(group + used, 0, size);
            used += size;
            a->done++;
        }
        send_or_again(a, &peers[turn % PEERS], group, used);
    }
    close_peers(a, peers);
    free(group);
}
