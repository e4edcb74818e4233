/*
 * record_view.h - a view of a record made of changes that somebody has already
 * selected, without matching each change against a filter again.
 */
#ifndef VIGIL_PROTOCOL_RECORD_VIEW_H
#define VIGIL_PROTOCOL_RECORD_VIEW_H

#include "protocol/record.h"

/* One change where it stands within a record: from its op byte to the end of its value. */
struct change_span {
    uint32_t offset;
    uint32_t size;
};

/* The place of c, which change_next returned for record. */
struct change_span change_span_of(const uint8_t *record, const struct change *c);

/* A view is written begin, add for each selected change in order, end. Fewer
 * changes than the record has, and at least one. */
struct view_writer {
    struct wire_buffer *buffer;
    const uint8_t *record;
    size_t start;
    uint16_t count;
};
void view_begin(struct view_writer *w, struct wire_buffer *b, const uint8_t *record);
void view_add(struct view_writer *w, struct change_span span);
/* Bytes appended; 0 on failure (the buffer is then back at its start size and failed). */
size_t view_end(struct view_writer *w);

#endif
