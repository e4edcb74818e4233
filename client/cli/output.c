/* output.c - see output.h. One thread. SIGPIPE is ignored by the program. */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/output.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_CHUNK = 1 << 20, BUFFER_KEPT = 8 << 20 };

void output_init(struct output *o, int fd)
{
    struct stat status;

    *o = (struct output){.fd = fd, .stop_fd = -1, .chunk = PIPE_BUF};
    wire_buffer_init(&o->buffer, OUTPUT_BUFFER_MAX);
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        o->chunk = FILE_CHUNK;
}

void output_free(struct output *o)
{
    wire_buffer_free(&o->buffer);
}

/* Waits until the descriptor takes a chunk. */
static enum output_result wait_writable(const struct output *o)
{
    struct pollfd fds[2] = {{.fd = o->fd, .events = POLLOUT}, {.fd = o->stop_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return OUTPUT_FAILED;
        }
        if (fds[0].revents == 0 && fds[1].revents != 0)
            return OUTPUT_INTERRUPTED;
        return OUTPUT_OK; /* an error condition shows in the write */
    }
}

static enum output_result write_all(struct output *o)
{
    while (o->written < o->buffer.size) {
        enum output_result result = wait_writable(o);
        if (result != OUTPUT_OK)
            return result;
        size_t left = o->buffer.size - o->written;
        ssize_t n = write(o->fd, o->buffer.data + o->written, left < o->chunk ? left : o->chunk);
        if (n >= 0)
            o->written += (size_t)n;
        else if (errno == EPIPE)
            return OUTPUT_CLOSED;
        else if (errno != EINTR && errno != EAGAIN)
            return OUTPUT_FAILED;
    }
    return OUTPUT_OK;
}

enum output_result output_flush(struct output *o)
{
    if (o->buffer.failed) {
        errno = ENOMEM;
        return OUTPUT_FAILED;
    }
    enum output_result result = write_all(o);
    if (result != OUTPUT_OK)
        return result;
    o->written = 0;
    if (o->buffer.capacity > BUFFER_KEPT)
        wire_buffer_free(&o->buffer);
    wire_buffer_clear(&o->buffer);
    return OUTPUT_OK;
}
