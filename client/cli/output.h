/*
 * output.h - standard output: gathered in a buffer, written when the caller says.
 *
 * 1. Whole lines only are in the buffer when it is flushed.
 * 2. A write never blocks where a signal that is waited for could not end it: a
 *    pipe takes PIPE_BUF bytes when it polls as writable, so no more are written
 *    at a time.
 */
#ifndef VIGIL_CLI_OUTPUT_H
#define VIGIL_CLI_OUTPUT_H

#include "protocol/wire.h"

enum output_result {
    OUTPUT_OK = 0,
    OUTPUT_CLOSED,      /* the reader has gone: nobody wants more */
    OUTPUT_INTERRUPTED, /* stop_fd became readable; the rest stays in the buffer */
    OUTPUT_FAILED       /* errno says why */
};

struct output {
    int fd;
    int stop_fd;               /* ends a write that blocks; -1: none */
    struct wire_buffer buffer; /* append to it; a line too large makes it fail */
    size_t chunk;              /* bytes to write at once */
    size_t written;            /* of the buffer, so far */
};

/* A record of the largest size, its bytes as escapes, and room for the names. */
enum { OUTPUT_BUFFER_MAX = 512 << 20 };

void output_init(struct output *o, int fd);
void output_free(struct output *o);
enum output_result output_flush(struct output *o);

#endif
