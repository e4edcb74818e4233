/* client_script_cursor.c - named cursors in the client's script; see client_script.h. */
#include "tests/sweep/client_script_parts.h"

#include <stdio.h>
#include <string.h>

/* It is left to the end, and to what comes after it. */
#define KEPT_NAME "kept"
#define DELETED_NAME "deleted"

struct search {
    const char *kept;
    const char *deleted;
    bool has_kept;
    bool has_deleted;
    uint64_t position; /* of the kept one */
};

static bool find(void *context, const vigil_cursor *cursor)
{
    struct search *f = context;
    f->has_deleted |= strcmp(cursor->name, f->deleted) == 0;
    if (strcmp(cursor->name, f->kept) == 0) {
        f->has_kept = true;
        f->position = cursor->position.seq;
    }
    return true;
}

/* Where it is listed, it is as was promised. */
static int list(struct client_script *s)
{
    char names[2][SCRIPT_KEY_SIZE];
    struct search f = {.kept = script_key(s, KEPT_NAME, names[0]),
                       .deleted = script_key(s, DELETED_NAME, names[1])};
    int err = CALL(s, vigil_cursor_each, find, &f);
    if (err != VIGIL_OK)
        return err;
    if (s->cursor_made && !f.has_kept)
        WRONG(s, "a cursor is not listed");
    if (f.has_kept && f.position < s->cursor_promised)
        WRONG(s, "a cursor stands at %llu, and was acknowledged at %llu",
              (unsigned long long)f.position, (unsigned long long)s->cursor_promised);
    if (s->cursor_deleted && f.has_deleted)
        WRONG(s, "a cursor is listed that was deleted");
    return VIGIL_OK;
}

/* With patterns, or with those that the cursor has. */
static void open_with(struct client_script *s, struct watching *w, const char *name,
                      bool with_patterns)
{
    char pattern[SCRIPT_KEY_SIZE];
    const char *patterns[] = {script_key(s, "w/*", pattern)};
    vigil_watch_options options = {.patterns = patterns,
                                   .pattern_count = with_patterns ? 1 : 0,
                                   .since = VIGIL_SINCE_POSITION,
                                   .position = {0, s->acknowledged[0].seq - 1},
                                   .cursor = name};
    (void)CALL(s, vigil_watch_open, &options, &w->watch);
}

static void acknowledge(struct client_script *s, const struct watching *w)
{
    int64_t started_ms = script_now_ms();
    int err = vigil_watch_acknowledge(w->watch, s->request_timeout_ms);
    (void)script_checked(s, "vigil_watch_acknowledge", err, started_ms);
    if (err == VIGIL_OK)
        s->cursor_promised = w->seq;
}

void script_use_cursor(struct client_script *s)
{
    char name[SCRIPT_KEY_SIZE];
    struct watching first = {0};
    struct watching second = {0};
    if (s->acknowledged_count == 0)
        return;
    open_with(s, &first, script_key(s, KEPT_NAME, name), true);
    if (!first.watch)
        return;
    s->cursor_made = true;
    script_see_what_is_there(s, &first);
    acknowledge(s, &first);
    script_put(s, "w/b", 3);
    if (script_see_next(s, &first, s->request_timeout_ms) == VIGIL_OK)
        (void)vigil_watch_acknowledge(first.watch, 0); /* nothing is promised */
    vigil_watch_close(first.watch);
    open_with(s, &second, name, false);
    second.seq = s->cursor_promised; /* what is handed out comes after that */
    script_see_what_is_there(s, &second);
    vigil_watch_close(second.watch);
    (void)list(s);
}

void script_delete_cursor(struct client_script *s)
{
    char name[SCRIPT_KEY_SIZE];
    struct watching w = {0};
    if (s->acknowledged_count == 0)
        return;
    open_with(s, &w, script_key(s, DELETED_NAME, name), true);
    if (!w.watch)
        return;
    vigil_watch_close(w.watch);
    s->cursor_deleted = CALL(s, vigil_cursor_delete, name) == VIGIL_OK;
}

void script_settle_cursor(struct client_script *s, int64_t deadline_ms)
{
    char name[SCRIPT_KEY_SIZE];
    int err = list(s);
    while (err != VIGIL_OK && script_now_ms() < deadline_ms)
        err = list(s);
    if (err != VIGIL_OK)
        WRONG(s, "cursors cannot be listed afterwards: %s", vigil_failure_text(s->v));
    if (!s->good)
        return;
    script_key(s, KEPT_NAME, name);
    do
        err = vigil_cursor_delete(s->v, name);
    while (err != VIGIL_OK && err != VIGIL_NOT_FOUND && script_now_ms() < deadline_ms);
    if (err != VIGIL_OK && err != VIGIL_NOT_FOUND)
        WRONG(s, "a cursor cannot be deleted afterwards: %s", vigil_failure_text(s->v));
    s->cursor_made = s->cursor_made && err != VIGIL_OK && err != VIGIL_NOT_FOUND;
}
