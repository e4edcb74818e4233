/* attack_connections.c - connections that say nothing, or lie about who they are. */
#include "tests/hostile/raw_peer.h"
#include "tests/hostile/scenario.h"

#include <string.h>

static const char *const types[3] = {"DEALER", "SUB", "DEALER"};

/* All three sockets, and every point of the handshake at which one can stop. What is turned away,
 * because there are as many as there may be, counts like the others. */
void attack_silent(struct attacker *a)
{
    for (; a->done < a->volume; a->done++) {
        int to = (int)(a->done % 3);
        struct raw_hello hello = {.type = types[to]};
        enum raw_depth depth = (enum raw_depth)(a->done / 3 % (RAW_READY + 1));
        int fd = raw_connect(a->target->sockets[to]);
        if (fd < 0)
            continue;
        raw_handshake(fd, &hello, depth);
        attacker_hold(a, fd);
    }
}

/* A ROUTER gives out names that begin with a byte 0. To claim all that it could come to would end
 * the server within the minute. */
static void claim_reserved(struct attacker *a)
{
    uint64_t drawn = attacker_random(a);
    uint8_t name[5] = {0};
    memcpy(name + 1, &drawn, 4);
    struct raw_hello hello = {.type = "DEALER", .identity = name, .identity_size = sizeof name};
    int fd = raw_connect(a->target->sockets[a->done % 2 ? TO_REQUESTS : TO_REPLAYS]);
    if (fd < 0)
        return;
    raw_handshake(fd, &hello, RAW_READY);
    if (a->done % 64 == 0 && !raw_ended(fd, 10000))
        a->fault = "a peer with a reserved name was let in";
    raw_close(fd);
}

/* The same name again and again, held: the later ones are nobody. */
static void claim_same(struct attacker *a, size_t size)
{
    uint8_t name[255];
    memset(name, 'n', sizeof name);
    struct raw_hello hello = {.type = "DEALER", .identity = name, .identity_size = (uint8_t)size};
    int fd = raw_connect(a->target->sockets[TO_REQUESTS]);
    if (fd < 0)
        return;
    if (raw_handshake(fd, &hello, RAW_READY))
        raw_send_frame(fd, 0, "V\1\0\0", 4);
    if (a->held_count < 200)
        attacker_hold(a, fd);
    else
        raw_close(fd);
}

void attack_identities(struct attacker *a)
{
    for (; a->done < a->volume && !a->fault; a->done++) {
        if (a->done % 4 == 3)
            claim_same(a, a->done % 8 == 3 ? 255 : 5);
        else
            claim_reserved(a);
    }
}

static void send_garbage(struct attacker *a, int fd)
{
    uint8_t garbage[512];
    for (size_t i = 0; i < sizeof garbage; i += 8) {
        uint64_t drawn = attacker_random(a);
        memcpy(garbage + i, &drawn, 8);
    }
    if (attacker_random(a) % 2)
        garbage[0] = 0xff;
    if (attacker_random(a) % 2)
        garbage[9] = 0x7f;
    raw_send_bytes(fd, garbage, 1 + attacker_random(a) % sizeof garbage);
}

/* Peers of other socket types, of other versions, and none at all. */
void attack_types(struct attacker *a)
{
    static const char *const all[] = {"REQ",    "REP",  "ROUTER", "PUB",   "XPUB",
                                      "SUB",    "XSUB", "PUSH",   "PULL",  "PAIR",
                                      "STREAM", "",     "SERVER", "DEALER"};
    for (; a->done < a->volume; a->done++) {
        uint64_t drawn = attacker_random(a);
        struct raw_hello hello = {.type = all[drawn % (sizeof all / sizeof *all)],
                                  .major = (uint8_t)(drawn >> 8 & 7)};
        int fd = raw_connect(a->target->sockets[a->done % 3]);
        if (fd < 0)
            continue;
        if (drawn >> 16 & 1)
            send_garbage(a, fd);
        else
            raw_handshake(fd, &hello, RAW_HALF_READY + (drawn >> 17 & 1));
        send_garbage(a, fd);
        raw_close(fd);
    }
}
