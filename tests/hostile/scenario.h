/*
 * scenario.h - what an attack is: a function that some threads run, each with its share of a volume
 * and with the connections that it holds until the end, and the memory that it may cost the server.
 */
#ifndef VIGIL_TESTS_HOSTILE_SCENARIO_H
#define VIGIL_TESTS_HOSTILE_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target {
    const char *endpoint; /* of the request socket */
    char sockets[3][128]; /* the paths: requests, streams, replays */
    bool full;            /* the full scale */
};
enum { TO_REQUESTS, TO_STREAMS, TO_REPLAYS };

struct attacker {
    const struct target *target;
    unsigned index;  /* of the threads */
    uint64_t volume; /* this thread's share */
    uint64_t done;   /* what it has brought about, in the volume's unit */
    uint64_t random; /* state of its generator */
    int *held;       /* connections, closed after the attack */
    size_t held_count;
    size_t held_capacity;
    const char *fault; /* what should not have happened; NULL: nothing */
};

struct scenario {
    const char *name;
    const char *what; /* the unit of the volume */
    void (*attack)(struct attacker *a);
    unsigned threads;
    uint64_t volume_full;
    uint64_t volume_short;
    /* What docs/guarantees.md allows it to cost, by volume; beyond MEMORY_SLACK. */
    uint64_t memory_each;
    uint64_t memory_fixed;
    unsigned descriptors; /* the server's limit of open files; 0: this process's */
    bool is_large;        /* the yardstick too has requests of nearly the largest size */
    bool is_quiet;        /* while the connections are held, the server has nothing to do */
    bool keeps; /* what it costs goes away later than its connections (leases, sessions) */
    /* What a put waits beside an ordinary load, as docs/guarantees.md says. */
    unsigned wait_ms;
};

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

uint64_t attacker_random(struct attacker *a);
/* Keeps the connection until the end of the attack. */
void attacker_hold(struct attacker *a, int fd);
/* Opens and keeps one; -1 and a fault if that fails. */
int attacker_open(struct attacker *a, int to, const char *type);

/* attack_connections.c, attack_frames.c, attack_subscriptions.c, attack_requests.c, attack_readers.c,
 * attack_functions.c */
void attack_silent(struct attacker *a);
void attack_identities(struct attacker *a);
void attack_types(struct attacker *a);
void attack_random(struct attacker *a);
void attack_oversized(struct attacker *a);
void attack_large(struct attacker *a);
void attack_replayed(struct attacker *a);
void attack_parts(struct attacker *a);
void attack_subscriptions(struct attacker *a);
void attack_unsubscriptions(struct attacker *a);
void attack_streams(struct attacker *a);
void attack_sessions(struct attacker *a);
void attack_cursors(struct attacker *a);
void attack_heavy(struct attacker *a);
void attack_functions(struct attacker *a);
void attack_unread_replies(struct attacker *a);
void attack_unread_stream(struct attacker *a);
void attack_unread_replays(struct attacker *a);

#endif
