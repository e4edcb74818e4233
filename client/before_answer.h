/*
 * before_answer.h - what the records at changes' prev_seq say of the values
 * before them. Pure.
 */
#ifndef VIGIL_CLIENT_BEFORE_ANSWER_H
#define VIGIL_CLIENT_BEFORE_ANSWER_H

#include <vigil.h>

#include "protocol/message.h"

struct before_answer {
    enum vigil_before before;
    struct bytes value; /* VALUE: within the reply */
};

/* What needs no looking: prev_seq 0 is a key that was not there, because a key that is there keeps
 * its row, and one that was deleted keeps it until the deletion is compacted. A change that was
 * before oldest is gone. NOT_ASKED: the record at prev_seq is to be looked at. */
enum vigil_before before_without_looking(uint64_t prev_seq, uint64_t oldest);

/* A reply to a history request for key from prev_seq. ERR_OK: *ret_answer. Otherwise the status of
 * the reply; CORRUPT: it is not, or not whole, the change of key at prev_seq. */
int before_read_answer(const struct reply_header *header, struct wire_reader body, struct bytes key,
                       uint64_t prev_seq, struct before_answer *ret_answer);

#endif
