/*
 * zmtp_reader.h - finds messages in the bytes of a connection (ZMTP 3, behind the READY), where they lie.
 * Pure.
 *
 * 1. Wherever the bytes are cut, the same things are found, and the same end.
 * 2. No size is trusted: what would be larger than message_size_max ends the connection with its
 *    header, and so do frames of one message that are too many or too large together.
 * 3. Of a message of several frames nothing is kept but their count and size.
 */
#ifndef VIGIL_PROTOCOL_ZMTP_READER_H
#define VIGIL_PROTOCOL_ZMTP_READER_H

#include "protocol/wire.h"
#include "protocol/zmtp.h"

enum zmtp_found {
    ZMTP_INCOMPLETE, /* the bytes that are left end before what they begin */
    ZMTP_MESSAGE,    /* of one frame */
    ZMTP_SURPLUS,    /* a message of several frames has come to its end */
    ZMTP_CONTROL,    /* a short command; longer ones are skipped */
    ZMTP_ENDLESS     /* the connection is to be cut off; nothing after it means anything */
};

/* Zero it before the first bytes. */
struct zmtp_reader {
    uint64_t skip;         /* bytes of a body that nobody wants, still to come */
    uint64_t message_size; /* of the frames of a message of several */
    uint32_t parts;        /* of them, so far; 0: no such message is under way */
    bool is_last;          /* what is skipped is the last of them */
};

/* The next thing in data. *ret_used: the bytes that are done with, those of the thing included; what is
 * left is to be there again, with more behind it, at the next call. *ret_body: of a message or a
 * command, within data. */
enum zmtp_found zmtp_reader_next(struct zmtp_reader *r, struct bytes data,
                                 uint64_t message_size_max, size_t *ret_used,
                                 struct bytes *ret_body);

/* The bytes of the frame that incomplete data begins with, as its header claims; 0: not known yet. */
uint64_t zmtp_reader_wants(struct bytes incomplete);

#endif
