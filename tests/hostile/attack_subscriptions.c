/* attack_subscriptions.c - what can be sent to the XPUB, and streams without end. */
#include "tests/hostile/raw_call.h"
#include "tests/hostile/scenario.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_BYTES = 32 * 1024, TOPICS = 64 };

/* Sends subscriptions from one connection until it is ended, then from the next: topics that
 * nobody has, single bytes, everything, and what is as long as a frame may be. */
void attack_subscriptions(struct attacker *a)
{
    static const uint8_t sizes[] = {1 + TOPIC_SIZE, 1 + TOPIC_SIZE, 1, 2, 64, 9};
    uint8_t *group = malloc(GROUP_BYTES + 256);
    for (uint64_t turn = 0; a->done < a->volume; turn++) {
        size_t size = sizes[turn % sizeof sizes];
        int fd = raw_open(a->target->sockets[TO_STREAMS], turn % 2 ? "SUB" : "XSUB");
        bool alive = fd >= 0;
        while (alive && a->done < a->volume) {
            size_t used = 0;
            while (used < GROUP_BYTES && a->done < a->volume) {
                used += raw_frame_header(group + used, 0, size);
                for (size_t i = 0; i < size; i++)
                    group[used + i] = (uint8_t)attacker_random(a);
                group[used] = 1;
                used += size;
                a->done++;
            }
            alive = raw_send_bytes(fd, group, used);
        }
        raw_close(fd);
    }
    free(group);
}

/* Learns the topics of what others watch by opening the same filters, and takes back subscriptions
 * to them that are not its own; some it makes and takes back by turns. */
void attack_unsubscriptions(struct attacker *a)
{
    struct raw_call c;
    uint8_t topic[TOPIC_SIZE];
    uint8_t *group = malloc(GROUP_BYTES + 256);
    raw_call_open(&c, a->target->sockets[TO_REQUESTS]);
    bool known = raw_call_stream(&c, "polite/", topic);
    for (uint64_t turn = 0; known && a->done < a->volume; turn++) {
        int fd = raw_open(a->target->sockets[TO_STREAMS], "SUB");
        bool alive = fd >= 0;
        for (int n = 0; alive && n < 100 && a->done < a->volume; n++) {
            size_t used = 0;
            while (used < GROUP_BYTES && a->done < a->volume) {
                used += raw_frame_header(group + used, 0, 1 + TOPIC_SIZE);
                group[used] = turn % 2 ? a->done % 2 : 0;
                memcpy(group + used + 1, topic, TOPIC_SIZE);
                used += 1 + TOPIC_SIZE;
                a->done++;
            }
            alive = raw_send_bytes(fd, group, used);
        }
        raw_close(fd);
    }
    if (!known)
        a->fault = "the stream of others could not be opened";
    raw_call_close(&c);
    free(group);
}

/* As many streams as one may open, and more, of one peer after the other. */
void attack_streams(struct attacker *a)
{
    enum { PER_PEER = 10100 };
    while (a->done < a->volume && !a->fault) {
        struct raw_call c;
        uint64_t refused = 0;
        if (!raw_call_open(&c, a->target->sockets[TO_REQUESTS]))
            return;
        for (unsigned i = 0; i < PER_PEER && a->done < a->volume; i++, a->done++) {
            char prefix[64];
            uint8_t topic[TOPIC_SIZE];
            snprintf(prefix, sizeof prefix, "hostile/%016llx/%u",
                     (unsigned long long)attacker_random(a), i);
            refused += !raw_call_stream(&c, prefix, topic);
            if (c.fd < 0)
                break;
        }
        if (a->target->full && c.fd >= 0 && a->done % PER_PEER == 0 && refused < 100)
            a->fault = "a peer has more streams than it may";
        attacker_hold(a, c.fd);
        c.fd = -1;
        raw_call_close(&c);
    }
}
