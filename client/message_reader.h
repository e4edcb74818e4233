/*
 * message_reader.h - cuts the bytes that a server's socket sends (ZMTP 3, behind the READY) into
 * messages. Pure: no socket.
 *
 *   message_reader_room -> [bytes are received there] -> message_reader_came -> message_reader_next,
 *   until that finds nothing
 *
 * 1. The messages are the same, whatever the pieces in which their bytes come.
 * 2. Memory follows what has come, never a size that was only announced: a message that does not fit
 *    the buffer gets one of its own, which at most doubles each time it is full.
 * 3. After anything that is not a message of one frame within the bound, or a short command, nothing
 *    more is read.
 */
#ifndef VIGIL_CLIENT_MESSAGE_READER_H
#define VIGIL_CLIENT_MESSAGE_READER_H

#include "protocol/wire.h"

enum {
    MESSAGE_READER_FIRST = 8 * 1024, /* bytes of the buffer; it grows when it has been filled */
    MESSAGE_READER_MOST = 64 * 1024,
    MESSAGE_READER_COMMAND_MAX = 512 /* bytes of a command */
};

enum message_reader_item {
    READER_NOTHING, /* more bytes are needed */
    READER_MESSAGE,
    READER_COMMAND,
    READER_MALFORMED,
    READER_NO_MEMORY
};

struct message_reader {
    uint8_t *data;
    size_t capacity;
    size_t start; /* what has come and was not taken: from here */
    size_t end;
    bool was_filled;   /* the last bytes took all the room that there was */
    bool is_malformed; /* see 3 */
    bool is_large;     /* a message is under way to a buffer of its own: */
    struct wire_buffer large;
    size_t large_size; /* bytes that it will have */
};

/* A byte buffer to receive to; size 0: out of memory. */
struct message_room {
    uint8_t *data;
    size_t size;
};

/* size_max: bytes of a message. */
void message_reader_init(struct message_reader *r, size_t size_max);
void message_reader_free(struct message_reader *r);
/* Another connection begins. */
void message_reader_clear(struct message_reader *r);

/* Room for one byte at least, unless out of memory. Call message_reader_next until it finds nothing
 * before this. */
struct message_room message_reader_room(struct message_reader *r);
/* So many bytes have been written to the room that was given last. */
void message_reader_came(struct message_reader *r, size_t size);

/* The bytes that have come and were not taken; and takes so many of them. For the handshake. */
static inline struct bytes message_reader_bytes(const struct message_reader *r)
{
    return (struct bytes){r->data ? r->data + r->start : NULL, r->end - r->start};
}
static inline void message_reader_skip(struct message_reader *r, size_t size)
{
    r->start += size;
}

/* READER_MESSAGE: *message has its bytes; its memory is replaced or used again. READER_COMMAND:
 * *ret_command, in place until the next call. */
enum message_reader_item message_reader_next(struct message_reader *r, struct wire_buffer *message,
                                             struct bytes *ret_command);
/* Part of a large message has come. */
static inline bool message_reader_is_within(const struct message_reader *r)
{
    return r->is_large;
}

#endif
