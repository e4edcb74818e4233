/*
 * What a client makes of the bytes of a connection: the first byte chooses the pieces in which the rest
 * comes. Any pieces yield what all at once yields, up to the same end; no message is beyond the bound,
 * and memory follows what has come.
 */
#include <assert.h>
#include <stdlib.h>

#include "client/message_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGE_MOST = 1 << 20 };

struct sum {
    uint64_t hash;
    uint64_t messages;
    uint64_t commands;
    bool is_malformed;
};

static void add(struct sum *sum, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum->hash = (sum->hash ^ data[i]) * UINT64_C(1099511628211);
    sum->hash = (sum->hash ^ size) * UINT64_C(1099511628211);
}

/* False: nothing more will be read. */
static bool take(struct message_reader *r, struct wire_buffer *message, struct sum *sum)
{
    for (;;) {
        struct bytes command;
        switch (message_reader_next(r, message, &command)) {
        case READER_NOTHING:
            return true;
        case READER_MESSAGE:
            assert(message->size <= MESSAGE_MOST);
            add(sum, message->data, message->size);
            sum->messages++;
            break;
        case READER_COMMAND:
            assert(command.size <= MESSAGE_READER_COMMAND_MAX);
            add(sum, command.data, command.size);
            sum->commands++;
            break;
        case READER_MALFORMED:
            sum->is_malformed = true;
            return false;
        case READER_NO_MEMORY:
            abort();
        }
    }
}

static struct sum run(const uint8_t *data, size_t size, size_t piece)
{
    struct message_reader r;
    struct wire_buffer message = {.size_max = MESSAGE_MOST};
    struct sum sum = {0};
    message_reader_init(&r, MESSAGE_MOST);
    for (bool goes_on = true; size > 0 && goes_on;) {
        struct message_room room = message_reader_room(&r);
        assert(room.size > 0);
        assert(r.large.capacity <= MESSAGE_READER_MOST || r.large.capacity <= 2 * r.large.size);
        size_t come = room.size < piece ? room.size : piece;
        come = come < size ? come : size;
        memcpy(room.data, data, come);
        message_reader_came(&r, come);
        data += come;
        size -= come;
        goes_on = take(&r, &message, &sum);
    }
    message_reader_free(&r);
    wire_buffer_free(&message);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct sum whole = run(data + 1, size - 1, SIZE_MAX);
    struct sum pieces = run(data + 1, size - 1, 1 + (size_t)data[0]);
    assert(whole.hash == pieces.hash && whole.is_malformed == pieces.is_malformed);
    assert(whole.messages == pieces.messages && whole.commands == pieces.commands);
    return 0;
}
