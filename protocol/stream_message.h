/*
 * stream_message.h - what goes over the stream socket, from XPUB to SUB: one
 * frame that starts with the stream's topic.
 *
 *   0 topic[16]
 *  16 u8 'V'  17 u8 version (1)  18 u8 kind  19 u8 0
 *  20 u16 count  22 u16 0
 *  24 u64 epoch  32 u64 incarnation
 *  40 kind 1, records:  count times (u64 prev, record)
 *     kind 2, notice:   u64 prev, u64 seq           (count 1: a record too large to broadcast)
 *     kind 3, bookmark: u64 head, u64 last, u64 oldest, u32 interval_ms  (count 0)
 *
 * prev is the seq of the record before this one on this stream. interval_ms:
 * another bookmark follows within this time.
 */
#ifndef VIGIL_PROTOCOL_STREAM_MESSAGE_H
#define VIGIL_PROTOCOL_STREAM_MESSAGE_H

#include "protocol/limits.h"
#include "protocol/record.h"
#include "protocol/wire.h"

enum stream_kind { STREAM_RECORDS = 1, STREAM_NOTICE = 2, STREAM_BOOKMARK = 3 };
enum { STREAM_HEADER_SIZE = 40, STREAM_ENTRY_OVERHEAD = 8 };

struct stream_header {
    uint8_t topic[TOPIC_SIZE];
    uint8_t kind;
    uint16_t count;
    uint64_t epoch;
    uint64_t incarnation;
};

struct stream_bookmark {
    uint64_t head;
    uint64_t last;
    uint64_t oldest;
    uint32_t interval_ms;
};

void stream_write_header(struct wire_buffer *b, const struct stream_header *h);
/* Sets the count of the message that starts at start. */
void stream_set_count(struct wire_buffer *b, size_t start, uint16_t count);
void stream_write_notice(struct wire_buffer *b, uint64_t prev, uint64_t seq);
void stream_write_bookmark(struct wire_buffer *b, const struct stream_bookmark *m);

/* Decode: header first, then by kind. ERR_OK, ERR_MALFORMED, ERR_VERSION. */
int stream_read_header(struct wire_reader *r, struct stream_header *ret_header);
/* One (prev, record): checks the record wholly. ERR_OK, ERR_MALFORMED, ERR_CORRUPT, ERR_FOREIGN. */
int stream_read_entry(struct wire_reader *r, uint64_t *ret_prev, struct bytes *ret_record,
                      struct record_header *ret_header);
int stream_read_notice(struct wire_reader *r, uint64_t *ret_prev, uint64_t *ret_seq);
int stream_read_bookmark(struct wire_reader *r, struct stream_bookmark *ret_bookmark);

#endif
