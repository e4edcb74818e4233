/*
 * failure.h - an error code together with a sentence that names the thing that
 * failed, for errors that a person will read. Filled in where the error occurs.
 */
#ifndef VIGIL_PROTOCOL_FAILURE_H
#define VIGIL_PROTOCOL_FAILURE_H

#include "protocol/errors.h"

struct failure {
    int code;
    char text[512];
};

/* Sets both and returns the code. failure may be NULL. */
int failure_set(struct failure *failure, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
