/*
 * Processes every change of a key once, across restarts of this program and of the server: it keeps
 * its position in a file and starts after it the next time.
 *
 *   resume_after_restart FILE KEY [COUNT]
 *
 * Adds up the integers that KEY goes through; prints each and the sum so far. Sum and position are
 * stored together, atomically, so that no change counts twice or not at all.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <vigil.h>

struct progress {
    vigil_position position;
    int64_t sum;
};

static bool load(const char *path, struct progress *p)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    char line[128] = "";
    char *at = line;
    bool read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    p->position.epoch = strtoull(at, &at, 10);
    p->position.seq = strtoull(at, &at, 10);
    p->sum = strtoll(at, &at, 10);
    return read && *at == '\n';
}

/* A new file in place of the old one: whoever is killed here leaves the one or the other. */
static bool store(const char *path, const struct progress *p)
{
    char temporary[4096];
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "w");
    if (!f)
        return false;
    bool written = fprintf(f, "%" PRIu64 " %" PRIu64 " %" PRId64 "\n", p->position.epoch,
                           p->position.seq, p->sum) > 0;
    return fclose(f) == 0 && written && rename(temporary, path) == 0;
}

static void take(struct progress *p, const vigil_event *event)
{
    const vigil_change *change = &event->record.changes[0];
    int64_t integer;
    if (change->op == VIGIL_PUT &&
        vigil_unpack_int(change->value, change->size, &integer) == VIGIL_OK) {
        p->sum += integer;
        printf("%" PRIu64 ": %" PRId64 ", sum %" PRId64 "\n", event->record.seq, integer, p->sum);
        fflush(stdout);
    }
    p->position = event->position;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s FILE KEY [COUNT]\n", argv[0]);
        return 2;
    }
    const char *path = argv[1];
    const char *patterns[] = {argv[2]};
    long left = argc > 3 ? strtol(argv[3], NULL, 10) : -1;
    struct progress progress = {0};
    vigil_watch_options options = {
        .patterns = patterns, .pattern_count = 1, .since = VIGIL_SINCE_OLDEST};
    vigil *v = NULL;
    vigil_watch *watch = NULL;
    const vigil_event *event;

    if (load(path, &progress)) {
        options.since = VIGIL_SINCE_POSITION;
        options.position = progress.position;
    }
    int err = vigil_open(NULL, &v);
    if (err == VIGIL_OK)
        err = vigil_watch_open(v, &options, &watch);
    while (err == VIGIL_OK && left != 0) {
        err = vigil_watch_next(watch, -1, &event);
        if (err == VIGIL_DISCONNECTED) {
            err = VIGIL_OK;
            continue;
        }
        if (err)
            break;
        take(&progress, event);
        left -= left > 0;
        if (!store(path, &progress)) {
            perror(path);
            err = VIGIL_IO;
        }
    }
    /* COMPACTED, EPOCH_CHANGED: what is missing cannot be had any more, and the program is told. */
    if (err)
        fprintf(stderr, "%s: %s\n", vigil_error_name(err), vigil_failure_text(v));
    vigil_watch_close(watch);
    vigil_close(v);
    return err != VIGIL_OK;
}
