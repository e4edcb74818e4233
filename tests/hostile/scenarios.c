/* scenarios.c - the attacks, how much of each, and what each may cost: docs/guarantees.md. */
#include "tests/hostile/scenario.h"

#include "protocol/limits.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

/* The bounds that docs/guarantees.md states. */
enum {
    CONNECTION = 96 * KIB,   /* one that is open, whatever it said */
    INCOMPLETE = 640 * KIB,  /* one with an endless message of frames: 8192 of them */
    SUBSCRIBED = 1024 * KIB, /* one that subscribes as much as it may */
    STREAM = 2 * KIB,        /* of one short pattern */
    LARGE_FILTER = 16 * KIB, /* a stream of 16 long patterns */
    SESSION = 4 * KIB,
    REPLIES = 36 * MIB,      /* for one client: 32 MiB, one reply, small ones */
    STREAM_QUEUE = 9 * MIB,  /* 1024 of 8 KiB; the watchers of one filter share them */
    REPLAY_QUEUE = 6 * MIB,  /* for one client: 5 of 1 MiB */
    OVERLAY = 100 * MIB,     /* changed keys until the checkpoint, twice, and the batch */
    FUNCTIONS = 24 * MIB,    /* what one may have, and its changes twice */
    FUNCTION_BURST = 100,    /* ms: its time limit, twice */
    INCOMING = 4 * MIB * 10, /* a message under way, growing, and those of a batch */
};

/* clang-format off */
const struct scenario scenarios[] = {
    {"silent", "connections", attack_silent, 2, 10000, 1500, CONNECTION, 0, 0, false, true, false, 0},
    {"descriptors", "connections", attack_silent, 2, 6000, 1500, 0, 512 * CONNECTION, 512, false, true, false, 0},
    {"identities", "connections", attack_identities, 2, 100000, 2000, 0, 1000 * CONNECTION, 0, false, false, false, 0},
    {"types", "connections", attack_types, 2, 100000, 2000, 0, 64 * CONNECTION, 0, false, false, false, 0},
    {"random", "messages", attack_random, 3, 1000000, 60000, 0, 48 * CONNECTION + OVERLAY, 0, false, false, true, 0},
    {"oversized", "connections", attack_oversized, 3, 6000, 120, 0, 3 * INCOMING + OVERLAY, 0, false, false, false, 0},
    {"large", "messages", attack_large, 2, 3000, 400, 0, 8 * (uint64_t)INCOMING + OVERLAY, 0, true, false, true, 0},
    {"replayed", "messages", attack_replayed, 3, 1000000, 60000, 0, 48 * CONNECTION + OVERLAY, 0, false, false, true, 0},
    {"parts", "frames", attack_parts, 2, 4000000, 1500000, 0, 32 * INCOMPLETE, 0, false, false, false, 0},
    {"subscriptions", "subscriptions", attack_subscriptions, 3, 1000000, 100000, 0, 3 * SUBSCRIBED, 0, false, false, false, 0},
    {"unsubscriptions", "unsubscriptions", attack_unsubscriptions, 2, 1000000, 100000, 0, 2 * SUBSCRIBED, 0, false, false, false, 0},
    {"streams", "streams", attack_streams, 2, 120000, 4000, STREAM, 0, 0, false, false, true, 0},
    {"sessions", "sessions", attack_sessions, 2, 20000, 1000, SESSION, OVERLAY, 0, false, false, true, 0},
    {"cursors", "cursors", attack_cursors, 2, 20000, 1200, 0, 1024 * 2 * LARGE_FILTER, 0, false, false, true, 0},
    {"heavy", "requests", attack_heavy, 2, 500, 12, 200 * LARGE_FILTER / 5, OVERLAY + 4 * INCOMING, 0, true, false, true, 0},
    {"functions", "functions", attack_functions, 3, 6000, 150, 0, FUNCTIONS + OVERLAY + 4 * INCOMING, 0, false, false, false, FUNCTION_BURST},
    {"unread-replies", "requests", attack_unread_replies, 2, 8000, 1600, 0, 8 * REPLIES + OVERLAY, 0, false, false, false, 0},
    {"unread-stream", "records", attack_unread_stream, 2, 20000, 6000, 0, 5 * STREAM_QUEUE, 0, false, false, true, 0},
    {"unread-replays", "requests", attack_unread_replays, 2, 4000, 400, 0, 10 * REPLAY_QUEUE + OVERLAY, 0, false, false, false, 0},
};
/* clang-format on */
const size_t scenarios_count = sizeof scenarios / sizeof *scenarios;
