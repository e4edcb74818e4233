/*
 * replay_answer.h - answers requests of the replay socket out of the journal:
 * replay, list, history, ping. No socket and no clock of its own.
 *
 * 1. The view is open only within replay_answer: never while anything is sent.
 * 2. A reply is bounded in bytes, records scanned and time; a replay carries at
 *    least one record, or moves `to` on, or has reached its end.
 * 3. Requests of one message share those bounds: what comes after they are used
 *    up gets BUSY.
 */
#ifndef VIGIL_SERVER_NET_REPLAY_ANSWER_H
#define VIGIL_SERVER_NET_REPLAY_ANSWER_H

#include "journal/journal.h"
#include "protocol/message.h"

/* About 8 KiB for the filter: keep it off the stack. */
struct replay_answer {
    struct journal_reader *reader;
    uint64_t incarnation;
    uint64_t (*now_us)(void);

    /* What the last answer did; for figures and the log. */
    uint64_t requests;
    uint64_t records;
    uint64_t corrupt_seq; /* 0: met no damage */
    struct failure failure;

    /* Of the request in hand. */
    struct journal_view view;
    uint64_t deadline_us;
    uint64_t scanned;
    struct filter filter;
};

/* Writes the one reply message for a request message into out, which is empty.
 * ERR_OK, or ERR_NO_MEMORY: then there is no reply. */
int replay_answer(struct replay_answer *a, struct bytes message, struct wire_buffer *out);

#endif
