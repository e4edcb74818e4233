/*
 * watch_cursor.h - the named cursor of a watch: opened at the server before the
 * watch, moved (cursor_rule.h) when the application acknowledges.
 *
 * The holder's number is good for as long as nobody else opens the cursor, over
 * restarts of the server too: a watch that reopens its stream keeps it.
 */
#ifndef VIGIL_CLIENT_WATCH_CURSOR_H
#define VIGIL_CLIENT_WATCH_CURSOR_H

#include "client/cursor_rule.h"
#include "client/watch.h"

struct watch_cursor {
    struct vigil_watch *watch; /* NULL until it is open */
    char name[LIMIT_CURSOR_NAME + 1];
    uint64_t holder;
    uint64_t epoch;
    struct cursor_rule rule;
};

/* Opens options->cursor, new or as it is, and makes options say where the watch begins. *filter is
 * what the application asks for, and becomes the cursor's; it stays the caller's. Sets the failure. */
int watch_cursor_open(struct vigil *v, vigil_watch_options *options, struct filter *filter,
                      struct watch_cursor **ret_cursor);
/* What was acknowledged and has not been sent is sent, and nobody waits for the answer. Takes NULL. */
void watch_cursor_close(struct watch_cursor *c, struct vigil *v);
/* Sends what is to be sent. */
void watch_cursor_drive(struct watch_cursor *c);
int64_t watch_cursor_due_ms(const struct watch_cursor *c);
/* Sets the failure for an error that the watch ends with; returns it. */
int watch_cursor_fail(struct watch_cursor *c, int error);

#endif
