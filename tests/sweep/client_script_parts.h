/* client_script_parts.h - what the files of the client's script share. */
#ifndef VIGIL_TESTS_SWEEP_CLIENT_SCRIPT_PARTS_H
#define VIGIL_TESTS_SWEEP_CLIENT_SCRIPT_PARTS_H

#include "tests/sweep/client_script.h"

#define WRONG(script, ...) ((script)->good = sweep_wrong((script)->sweep, __VA_ARGS__))
#define CALL(script, function, ...) \
    script_checked(script, #function, function((script)->v, __VA_ARGS__), script_now_ms())

int64_t script_now_ms(void);
/* Returns err: an error is one of vigil.h, with a sentence, and comes in time. */
int script_checked(struct client_script *s, const char *what, int err, int64_t started_ms);
bool script_is_over(struct client_script *s);
const char *script_key(const struct client_script *s, const char *name, char out[SCRIPT_KEY_SIZE]);
void script_put(struct client_script *s, const char *name, int64_t n);
bool script_count_entry(void *context, const vigil_entry *entry);

/* ---- client_script_watch.c ---- */

void script_open_watch(struct client_script *s, struct watching *w, enum vigil_since since,
                       uint64_t seq);
/* Up to the newest change that was acknowledged, or until nothing comes. */
void script_see_what_is_there(struct client_script *s, struct watching *w);
int script_see_next(struct client_script *s, struct watching *w, int timeout_ms);

/* Steps. */
void script_open_live(struct client_script *s);
void script_see_live(struct client_script *s);
void script_watch_again(struct client_script *s);
void script_wait_for(struct client_script *s);
void script_mirror(struct client_script *s);

/* ---- client_script_cursor.c ---- */

/* Steps. */
void script_use_cursor(struct client_script *s);
void script_delete_cursor(struct client_script *s);
/* Without faults: what was acknowledged is. Deletes it. */
void script_settle_cursor(struct client_script *s, int64_t deadline_ms);

#endif
