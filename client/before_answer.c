/* before_answer.c - what the record at a change's prev_seq says of the value before it. */
#include "client/before_answer.h"

#include "protocol/errors.h"
#include "protocol/record.h"

enum vigil_before before_without_looking(uint64_t prev_seq, uint64_t oldest)
{
    if (prev_seq == 0)
        return VIGIL_BEFORE_ABSENT;
    return prev_seq < oldest ? VIGIL_BEFORE_UNKNOWN : VIGIL_BEFORE_NOT_ASKED;
}

static int read_record(struct bytes records, struct bytes key, uint64_t prev_seq,
                       struct before_answer *ret_answer)
{
    struct record_header header;
    struct change c;
    int err = record_check(records, &header);
    if (err)
        return err;
    if (header.seq != prev_seq)
        return ERR_CORRUPT;
    for (struct change_iterator i = record_changes(records.data); change_next(&i, &c);) {
        if (!bytes_equal(c.key, key))
            continue;
        bool present = c.op == CHANGE_PUT;
        ret_answer->before = present ? VIGIL_BEFORE_VALUE : VIGIL_BEFORE_ABSENT;
        ret_answer->value = present ? c.value : (struct bytes){0};
        return ERR_OK;
    }
    return ERR_CORRUPT;
}

int before_read_answer(const struct reply_header *header, struct wire_reader body, struct bytes key,
                       uint64_t prev_seq, struct before_answer *ret_answer)
{
    struct reply_history page;
    if (header->status == ERR_COMPACTED) {
        *ret_answer = (struct before_answer){.before = VIGIL_BEFORE_UNKNOWN};
        return ERR_OK;
    }
    /* The chain is the journal's: that the record does not change the key is damage. */
    if (header->status == ERR_INVALID)
        return ERR_CORRUPT;
    if (header->status)
        return header->status;
    if (header->op != OP_HISTORY || !reply_history_read(&body, &page))
        return ERR_CORRUPT;
    if (page.count > 0)
        return read_record(page.records, key, prev_seq, ret_answer);
    if (page.end != HISTORY_COMPACTED || page.next_seq != prev_seq)
        return ERR_CORRUPT;
    *ret_answer = (struct before_answer){.before = VIGIL_BEFORE_UNKNOWN};
    return ERR_OK;
}
