#define _GNU_SOURCE
/*
 * actor_backup.c - one who makes backups of the server as it runs, the newest of which is kept; and one who
 * looks at what a server has that was started with it.
 */
#include "tests/torture/actor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INSPECT_MS = 60000, PATH_SIZE = 256 };

static bool on_bytes(void *context, const void *data, size_t size)
{
    const int *fd = context;
    return write(*fd, data, size) == (ssize_t)size && !actor_stopping;
}

/* Beside its history, under a name that the driver looks for. */
static void one_backup(struct actor *a, const char *path)
{
    char path_new[PATH_SIZE + 8];
    vigil_backup_info info = {0};
    snprintf(path_new, sizeof path_new, "%s.new", path);
    int fd = open(path_new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    bool state_only = actor_draw(a, 2) == 0;
    uint64_t id = actor_asks(a, "backup");
    history_end(&a->history);
    int err = vigil_backup(a->v, state_only, on_bytes, &fd, &info);
    actor_told(a, 'R', id, err);
    history_u64(&a->history, info.seq);
    history_u64(&a->history, 0);
    history_u64(&a->history, 0);
    history_word(&a->history, "-");
    history_end(&a->history);
    close(fd);
    if (err != VIGIL_OK || rename(path_new, path) != 0)
        unlink(path_new);
}

int actor_backup(struct actor *a)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s.backup", a->history_path);
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        struct timespec pause = {.tv_nsec = (long)(100 + actor_draw(a, 800)) * 1000000};
        nanosleep(&pause, NULL);
        one_backup(a, path);
    }
    return 0;
}

/* ---- a restored server ---- */

struct content {
    uint64_t count, digest;
};

static bool on_key(void *context, const vigil_entry *entry)
{
    struct content *c = context;
    c->count++;
    c->digest += digest_of(entry->key, entry->modified, value_mark(entry->value, entry->size));
    return true;
}

static int inspect_state(struct actor *a)
{
    struct content content = {0};
    uint64_t seq = 0;
    int err = vigil_list(a->v, "", true, 0, on_key, &content, &seq);
    if (err)
        return err;
    history_begin(&a->history, 'M');
    history_u64(&a->history, history_now_us());
    history_u64(&a->history, seq);
    history_u64(&a->history, 0);
    history_u64(&a->history, content.count);
    history_u64(&a->history, content.digest);
    history_u64(&a->history, 1);
    history_word(&a->history, "*");
    history_end(&a->history);
    return VIGIL_OK;
}

static void write_record(struct actor *a, const vigil_record *r)
{
    struct history *h = &a->history;
    history_begin(h, 'I');
    history_u64(h, r->seq);
    history_u64(h, r->time_us);
    history_u64(h, r->session);
    history_u64(h, r->number);
    history_u64(h, r->parts);
    history_u64(h, r->count);
    for (uint16_t i = 0; i < r->count; i++) {
        const vigil_change *c = &r->changes[i];
        history_u64(h, (uint64_t)c->op);
        history_u64(h, c->part);
        history_word(h, c->key);
        history_u64(h, c->prev_seq);
        history_value(h, c->op == VIGIL_PUT ? c->value : NULL, c->size);
    }
    history_end(h);
}

static int inspect_records(struct actor *a, uint64_t head)
{
    vigil_watch *watch = NULL;
    vigil_watch_options options = {.since = VIGIL_SINCE_OLDEST, .bookmarks = true};
    uint64_t position = 0;
    int err = vigil_watch_open(a->v, &options, &watch);
    while (err == VIGIL_OK && position < head) {
        const vigil_event *event;
        err = vigil_watch_next(watch, INSPECT_MS, &event);
        if (err == VIGIL_OK && event->kind == VIGIL_EVENT_RECORD)
            write_record(a, &event->record);
        if (err == VIGIL_OK)
            position = event->position.seq;
    }
    vigil_watch_close(watch);
    return err;
}

/* Who comes with a position of the old server is told so. */
static void try_old_position(struct actor *a)
{
    vigil_watch *watch = NULL;
    vigil_watch_options options = {.since = VIGIL_SINCE_POSITION,
                                   .position = {atomic_load(&a->control->epoch), 1}};
    int err = vigil_watch_open(a->v, &options, &watch);
    vigil_watch_close(watch);
    history_begin(&a->history, 'Z');
    history_u64(&a->history, VIGIL_EPOCH_CHANGED);
    history_u64(&a->history, (uint64_t)err);
    history_end(&a->history);
}

int actor_inspect(struct actor *a)
{
    vigil_info info;
    vigil_result result = {0};
    a->is_patient = true;
    if (!actor_connect(a))
        return 1;
    vigil_get_info(a->v, &info);
    history_begin(&a->history, 'Y');
    history_u64(&a->history, info.epoch);
    history_u64(&a->history, info.oldest);
    history_u64(&a->history, info.head);
    history_end(&a->history);
    int err = inspect_records(a, info.head);
    if (err == VIGIL_OK)
        err = inspect_state(a);
    if (err == VIGIL_OK)
        try_old_position(a);
    if (err == VIGIL_OK) /* it goes on behind what it has */
        err = vigil_put(a->v, "restored", "\xc3", 1, NULL, &result);
    if (err == VIGIL_OK && result.seq == info.head + 1)
        return 0;
    fprintf(stderr, "torture_actor: inspecting a restored server: %s: %s, %llu after %llu\n",
            vigil_error_name(err), vigil_failure_text(a->v), (unsigned long long)result.seq,
            (unsigned long long)info.head);
    return 1;
}
