/*
 * backup_file.h - a backup: a state at one seq, and the records up to it, as one
 * stream of bytes (docs/backup-format.md).
 *
 *   header, 48 bytes
 *      0 "VIGILBKP"   8 u32 format (1)   12 u32 flags: bit 0, without history
 *     16 u64 epoch   24 u64 first: seq of the first record   32 u64 time_us
 *     40 u32 0       44 u32 crc32c of the bytes 0..44
 *   chunks, each
 *      0 u32 crc32c of the bytes 4..16 + size
 *      4 u32 size     of what follows the 16 bytes
 *      8 u32 count    of the records or rows
 *     12 u8 kind     13 three bytes 0
 *     16 kind 1, records: count records (record.h), seqs going on from the chunk before
 *        kind 2, rows: count rows as in a listing (list_row_read), keys rising
 *        kind 3, the end: u64 epoch, u64 first, u64 oldest, u64 head, u64 rows,
 *        u64 records, u64 chunks before this, u32 crc32c of all before this chunk
 *
 * 1. Nothing follows the end, and nothing is a backup without it.
 * 2. Records first..head are there, without holes.
 * 3. A row is what its key was at its modified. The records after that which
 *    change the key are all in the file; a key without a row that is there at
 *    head was made by one of them.
 * 4. Records below oldest were compacted while the backup was made: a change
 *    after them need not name them as the one before.
 */
#ifndef VIGIL_PROTOCOL_BACKUP_FILE_H
#define VIGIL_PROTOCOL_BACKUP_FILE_H

#include "protocol/failure.h"
#include "protocol/limits.h"
#include "protocol/wire.h"

enum {
    BACKUP_FORMAT = 1,
    BACKUP_HEADER_SIZE = 48,
    BACKUP_CHUNK_HEADER_SIZE = 16,
    BACKUP_END_SIZE = 60,
};
enum backup_kind { BACKUP_RECORDS = 1, BACKUP_ROWS = 2, BACKUP_END = 3 };

struct backup_header {
    uint64_t epoch;
    uint64_t first;   /* seq of the first record; 1 where there is none */
    uint64_t time_us; /* when it was begun */
    bool state_only;  /* no more records than the state needs */
};

struct backup_summary {
    uint64_t epoch;
    uint64_t first;
    uint64_t oldest; /* of the journal when the backup ended; first..head */
    uint64_t head;   /* seq of the last record: what is restored is the state at this one */
    uint64_t rows;
    uint64_t records;
    uint64_t chunks; /* without the end */
    uint64_t bytes;
    uint32_t checksum; /* of all bytes before the end's chunk */
};

/* What has been written or read so far. */
struct backup_tally {
    struct backup_summary summary;
    uint64_t newest; /* largest modified of any row */
    size_t last_key_size;
    uint8_t last_key[LIMIT_KEY_SIZE];
};

/* ---- writing ---- */

/* The header; the tally begins. */
void backup_write_header(struct wire_buffer *b, const struct backup_header *h,
                         struct backup_tally *t);
/* Begin, then the records or rows, then end with their number. */
size_t backup_chunk_begin(struct wire_buffer *b, enum backup_kind kind);
void backup_chunk_end(struct wire_buffer *b, size_t begin, uint32_t count);
/* The end; the tally's summary is then that of the whole. oldest: as the journal has it now, which
 * may be outside of first..head. */
void backup_write_end(struct wire_buffer *b, struct backup_tally *t, uint64_t oldest);

/* ---- checking ---- */

struct backup_chunk {
    enum backup_kind kind;
    uint32_t count;
    struct bytes content;
};
/* A whole chunk that follows what t has seen: its CRC, and that its content is what it must be.
 * ERR_OK, or ERR_CORRUPT with a sentence. The end has to agree with everything before it. */
int backup_tally_chunk(struct backup_tally *t, struct bytes chunk, struct backup_chunk *ret_chunk,
                       struct failure *failure);

/* ---- reading ---- */

struct backup_reader {
    /* Up to size bytes; *ret_size 0 at the end. Its code and failure are passed on. */
    int (*read)(void *context, uint8_t *out, size_t size, size_t *ret_size,
                struct failure *failure);
    void *context;
    const char *name; /* of the file, for messages */

    struct backup_header header;
    struct backup_tally tally;
    struct wire_buffer buffer;
    bool ended;
};

/* Reads the header. read, context and name are set, all else is 0. ERR_FOREIGN: no backup, or a
 * newer format; ERR_CORRUPT; ERR_NO_MEMORY; what read says. */
int backup_reader_open(struct backup_reader *r, struct failure *failure);
/* The next chunk of records or rows, valid until the next call, or ERR_NOT_FOUND: the end was
 * there, and right, and nothing follows it. */
int backup_reader_next(struct backup_reader *r, struct backup_chunk *ret_chunk,
                       struct failure *failure);
void backup_reader_free(struct backup_reader *r);

#endif
