/*
 * record.h - the record: one atomic transition, the unit of the journal, of
 * delivery and of seq. The same bytes stand in the journal, in a broadcast and
 * in a replay.
 *
 * Layout (little-endian):
 *   0 u32 size        of the whole record, this field included
 *   4 u32 crc32c      of the bytes 8..size
 *   8 u64 seq
 *  16 u64 time_us     server's wall clock, microseconds since 1970, never falling
 *  24 u64 session     who asked (0: nobody to remember)
 *  32 u64 number      the session's request number
 *  40 u16 parts       changes of the original record
 *  42 u16 count       changes here; fewer than parts in a view
 *  44 u8  format      1
 *  45 u8  flags       bit 0: a view, i.e. what a filter sees of the record
 *                     bit 1: a result follows the changes
 *  46 u8  request_op  of the session's request that made it; 0: not made within a session
 *  47 u8  0
 *  48 count changes, each:
 *      0 u8  op          1 put, 2 delete, 3 expire
 *      1 u8  0
 *      2 u16 part        1..parts, rising
 *      4 u16 key_size    6 u16 0
 *      8 u32 value_size  0 unless put
 *     12 u64 prev_seq    seq at which this key changed before, 0 for none known
 *     20 key, value
 *     u32 size, so many bytes: the result, i.e. the body of the reply that the
 *     session's request got; a repetition gets it again
 *
 * 1. record_check is the only gate: what passed it can be iterated without
 *    further checks.
 * 2. The keys of one record differ.
 * 3. The result is between the client that asked and the journal: it stays
 *    behind where a record is shown to anybody else.
 */
#ifndef VIGIL_PROTOCOL_RECORD_H
#define VIGIL_PROTOCOL_RECORD_H

#include "protocol/wire.h"

struct filter;

enum { RECORD_HEADER_SIZE = 48, CHANGE_HEADER_SIZE = 20, RECORD_FORMAT = 1 };
enum { RECORD_FLAG_VIEW = 1, RECORD_FLAG_RESULT = 2 };
enum change_op { CHANGE_PUT = 1, CHANGE_DELETE = 2, CHANGE_EXPIRE = 3 };

struct record_header {
    uint32_t size;
    uint32_t crc;
    uint64_t seq;
    uint64_t time_us;
    uint64_t session;
    uint64_t number;
    uint16_t parts;
    uint16_t count;
    uint8_t flags;
    uint8_t request_op;
};

struct change {
    uint8_t op;
    uint16_t part;
    uint64_t prev_seq;
    struct bytes key;
    struct bytes value; /* empty unless put */
};

/* Writes: begin, add each change (part numbers are given 1, 2, ...), end. The
 * record starts at the buffer's size at begin. After end, b->failed tells. */
struct record_writer {
    struct wire_buffer *buffer;
    size_t start;
    uint16_t count;
    uint8_t request_op;
    struct bytes result;
};
void record_begin(struct record_writer *w, struct wire_buffer *b, uint64_t seq, uint64_t time_us,
                  uint64_t session, uint64_t number);
void record_add(struct record_writer *w, const struct change *c); /* c->part is ignored */
/* Between begin and end, within a session: op of the request, and the result (empty: none), whose
 * bytes must live until end. */
void record_set_request(struct record_writer *w, uint8_t op, struct bytes result);
/* Number of bytes of the record, 0 on failure (the buffer is then back at its start size and failed). */
size_t record_end(struct record_writer *w);

/* Checks size, CRC, format, counts, keys and bounds of the record at the start
 * of data. ERR_OK, ERR_CORRUPT (CRC or structure), ERR_FOREIGN (newer format).
 * The record's size is header->size; bytes may follow it. */
int record_check(struct bytes data, struct record_header *ret_header);
/* The same without the CRC, for bytes that this process wrote or already checked. */
int record_peek(struct bytes data, struct record_header *ret_header);

/* Iterates the changes of a checked record. */
struct change_iterator {
    struct wire_reader reader;
    uint16_t left;
};
struct change_iterator record_changes(const uint8_t *record);
bool change_next(struct change_iterator *i, struct change *ret_change);

/* Whether a checked record has a result, which those who see it must not get. */
bool record_has_result(const uint8_t *record);
/* The result of a checked record, empty if it has none. */
struct bytes record_result(const uint8_t *record);

/* What filter sees of a checked record: 0 nothing, otherwise the number of
 * matching changes; equals header count when all match. */
uint16_t record_match(const uint8_t *record, const struct filter *f);
/* Appends the view of a checked record to b: the record as it is shown where all
 * changes match, otherwise the matching changes with their part numbers, the
 * view flag and a CRC of its own. Returns the bytes appended; 0 if nothing
 * matches (or b failed). */
size_t record_write_view(struct wire_buffer *b, const uint8_t *record, const struct filter *f);
/* Appends a checked record as it is shown, i.e. without its result. Returns the bytes appended, 0
 * if b failed. */
size_t record_write_shown(struct wire_buffer *b, const uint8_t *record);

#endif
