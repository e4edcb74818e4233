/* Stream messages, as a watcher reads them from a socket that anybody may have bound. */
#include <assert.h>

#include "protocol/errors.h"
#include "protocol/stream_message.h"
#include "protocol/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_entries(struct wire_reader *r, uint16_t count)
{
    for (uint16_t n = 0; n < count; n++) {
        uint64_t prev;
        struct bytes record;
        struct record_header h;
        struct change c;
        if (stream_read_entry(r, &prev, &record, &h) != ERR_OK)
            return;
        assert(prev < h.seq);
        assert(record.size == h.size);
        for (struct change_iterator i = record_changes(record.data); change_next(&i, &c);) {
            assert(c.prev_seq < h.seq);
            (void)value_valid(c.value);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct stream_header h;
    struct stream_bookmark bookmark;
    uint64_t prev;
    uint64_t seq;
    if (stream_read_header(&r, &h) != ERR_OK)
        return 0;
    switch (h.kind) {
    case STREAM_RECORDS:
        read_entries(&r, h.count);
        break;
    case STREAM_NOTICE:
        if (stream_read_notice(&r, &prev, &seq) == ERR_OK)
            assert(prev < seq);
        break;
    case STREAM_BOOKMARK:
        if (stream_read_bookmark(&r, &bookmark) == ERR_OK)
            assert(bookmark.last <= bookmark.head);
        break;
    default:
        assert(0);
    }
    return 0;
}
