/*
 * cursor.h - a watch's position in a file: one line, EPOCH:SEQ.
 *
 * 1. The file holds a whole line at any time: each write goes to FILE.tmp in the
 *    same folder, which is renamed over it.
 * 2. Nothing is synced: what is lost with the machine is a step of the position,
 *    and a position that is too old only repeats lines.
 * 3. One process at a time uses a cursor file.
 */
#ifndef VIGIL_CLI_CURSOR_H
#define VIGIL_CLI_CURSOR_H

#include "protocol/failure.h"

#include <vigil.h>

struct cursor;

/* Reads the file; *ret_present tells whether there is one, and then *ret_position is what it holds.
 * A symbolic link is followed. ERR_OK, ERR_IO or ERR_BAD_VALUE with a sentence. */
int cursor_open(const char *path, struct cursor **ret_cursor, bool *ret_present,
                vigil_position *ret_position, struct failure *failure);
/* Takes NULL. Leaves the file. */
void cursor_close(struct cursor *c);
/* Does nothing if this was the last position written. ERR_OK or ERR_IO. */
int cursor_write(struct cursor *c, vigil_position position, struct failure *failure);

#endif
