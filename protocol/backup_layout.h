/* backup_layout.h - what backup_writer.c and backup_reader.c share: where a backup's fields are. */
#ifndef VIGIL_PROTOCOL_BACKUP_LAYOUT_H
#define VIGIL_PROTOCOL_BACKUP_LAYOUT_H

#include "protocol/backup_file.h"

static const uint8_t backup_magic[8] = {'V', 'I', 'G', 'I', 'L', 'B', 'K', 'P'};

enum {
    HEADER_AT_FORMAT = 8,
    HEADER_AT_FLAGS = 12,
    HEADER_AT_EPOCH = 16,
    HEADER_AT_FIRST = 24,
    HEADER_AT_TIME = 32,
    HEADER_AT_ZERO = 40,
    HEADER_AT_CRC = 44,

    CHUNK_AT_SIZE = 4,
    CHUNK_AT_COUNT = 8,
    CHUNK_AT_KIND = 12,
};
enum { BACKUP_FLAG_STATE_ONLY = 1 };

/* Of the content of a chunk; the largest record fits. */
#define BACKUP_CONTENT_MAX LIMIT_RECORD_SIZE

void backup_tally_begin(struct backup_tally *t, const struct backup_header *h,
                        const uint8_t bytes[BACKUP_HEADER_SIZE]);

#endif
