/*
 * arguments.h - checks what the application gives, before anything of it is sent. They set the
 * failure.
 */
#ifndef VIGIL_CLIENT_ARGUMENTS_H
#define VIGIL_CLIENT_ARGUMENTS_H

#include "client/connection.h"

/* ERR_OK, ERR_BAD_KEY. v may be NULL (no failure text then). */
int arguments_key(struct vigil *v, const char *key, struct bytes *ret_key);
/* NULL: the empty one. ERR_OK, ERR_BAD_KEY. v may be NULL. */
int arguments_prefix(struct vigil *v, const char *prefix, struct bytes *ret_prefix);
/* ERR_OK, ERR_BAD_VALUE, ERR_TOO_LARGE. */
int arguments_value(struct vigil *v, const void *value, size_t size, struct bytes *ret_value);
/* A key, or a prefix followed by '*'. Makes a filter on the heap; none: everything. ERR_OK,
 * ERR_BAD_KEY, ERR_LIMIT, ERR_INVALID, ERR_NO_MEMORY. */
int arguments_filter(struct vigil *v, const char *const *patterns, size_t count,
                     struct filter **ret_filter);
/* ERR_OK, ERR_BAD_KEY. */
int arguments_cursor_name(struct vigil *v, const char *name, struct bytes *ret_name);
/* Bytes of a filter on the wire. */
size_t arguments_filter_size(const struct filter *f);

#endif
