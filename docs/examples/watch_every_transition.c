/*
 * Prints every change of every key below a prefix, however short a value lived.
 *
 *   watch_every_transition [PREFIX [COUNT]]
 *
 * VIGIL_SERVER names the server. Ends after COUNT changes, or never.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <vigil.h>

static void print_change(const vigil_record *record, const vigil_change *change)
{
    const char *text;
    size_t size;
    int64_t integer;
    printf("%" PRIu64 " %s ", record->seq, change->key);
    if (change->op != VIGIL_PUT)
        puts("is gone");
    else if (vigil_unpack_string(change->value, change->size, &text, &size) == VIGIL_OK)
        printf("\"%.*s\"\n", (int)size, text);
    else if (vigil_unpack_int(change->value, change->size, &integer) == VIGIL_OK)
        printf("%" PRId64 "\n", integer);
    else
        printf("(%zu bytes)\n", change->size);
}

int main(int argc, char **argv)
{
    char pattern[512];
    const char *patterns[] = {pattern};
    long left = argc > 2 ? strtol(argv[2], NULL, 10) : -1;
    vigil_watch_options options = {
        .patterns = patterns, .pattern_count = 1, .since = VIGIL_SINCE_OLDEST};
    vigil *v = NULL;
    vigil_watch *watch = NULL;
    const vigil_event *event;

    snprintf(pattern, sizeof pattern, "%s*", argc > 1 ? argv[1] : "");
    int err = vigil_open(NULL, &v);
    if (err == VIGIL_OK)
        err = vigil_watch_open(v, &options, &watch);
    while (err == VIGIL_OK && left != 0) {
        err = vigil_watch_next(watch, -1, &event);
        if (err == VIGIL_DISCONNECTED) {
            fprintf(stderr, "the server is gone; waiting for it\n");
            err = VIGIL_OK; /* the watch goes on where it was, once the server is back */
            continue;
        }
        for (int i = 0; err == VIGIL_OK && i < event->record.count && left != 0; i++) {
            print_change(&event->record, &event->record.changes[i]);
            left -= left > 0;
        }
        fflush(stdout);
    }
    if (err)
        fprintf(stderr, "%s: %s\n", vigil_error_name(err), vigil_failure_text(v));
    vigil_watch_close(watch);
    vigil_close(v);
    return err != VIGIL_OK;
}
