/* record_view.c - copies selected changes and seals what came out. */
#include "protocol/record_view.h"

#include "protocol/crc32c.h"

/* Where the fields that a view changes stand; see record.h. */
enum { AT_SIZE = 0, AT_CRC = 4, AT_SEQ = 8, AT_COUNT = 42, AT_FLAGS = 45 };

struct change_span change_span_of(const uint8_t *record, const struct change *c)
{
    const uint8_t *start = c->key.data - CHANGE_HEADER_SIZE;
    return (struct change_span){
        .offset = (uint32_t)(start - record),
        .size = (uint32_t)(CHANGE_HEADER_SIZE + c->key.size + c->value.size),
    };
}

void view_begin(struct view_writer *w, struct wire_buffer *b, const uint8_t *record)
{
    *w = (struct view_writer){.buffer = b, .record = record, .start = b->size};
    wire_write_raw(b, record, RECORD_HEADER_SIZE);
}

void view_add(struct view_writer *w, struct change_span span)
{
    wire_write_raw(w->buffer, w->record + span.offset, span.size);
    w->count++;
}

size_t view_end(struct view_writer *w)
{
    struct wire_buffer *b = w->buffer;
    if (b->failed) {
        b->size = w->start;
        return 0;
    }
    size_t size = b->size - w->start;
    uint8_t *view = b->data + w->start;
    view[AT_FLAGS] = RECORD_FLAG_VIEW;
    wire_store_u16(view + AT_COUNT, w->count);
    wire_store_u32(view + AT_SIZE, (uint32_t)size);
    wire_store_u32(view + AT_CRC, crc32c(0, view + AT_SEQ, size - AT_SEQ));
    return size;
}
