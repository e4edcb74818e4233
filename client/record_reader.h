/*
 * record_reader.h - a record's bytes as the application sees them: values stay
 * in place, keys are copied to be terminated. Its memory is reused from record
 * to record.
 */
#ifndef VIGIL_CLIENT_RECORD_READER_H
#define VIGIL_CLIENT_RECORD_READER_H

#include <vigil.h>

#include "protocol/record.h"

struct record_reader {
    vigil_change *changes;
    size_t changes_capacity;
    char *keys;
    size_t keys_capacity;
};

void record_reader_free(struct record_reader *r);
/* record was checked, header is its header. *ret_record points into record and r, until the next
 * call. ERR_OK, ERR_NO_MEMORY. */
int record_reader_read(struct record_reader *r, uint64_t epoch, const uint8_t *record,
                       const struct record_header *header, vigil_record *ret_record);

#endif
