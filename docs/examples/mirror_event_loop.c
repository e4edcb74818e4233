/*
 * A local copy of all keys below a prefix, kept up to date by the program's own event loop, which
 * also answers questions: each line on standard input is a key, whose value is printed at memory
 * speed.
 *
 *   mirror_event_loop PREFIX
 *
 * Prints the number of keys whenever it has changed. Ends with the end of the input.
 */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vigil.h>

static void answer(const vigil_mirror *mirror, const char *key)
{
    vigil_entry entry;
    int64_t integer;
    if (vigil_mirror_get(mirror, key, &entry) != VIGIL_OK)
        printf("%s: no such key\n", key);
    else if (vigil_unpack_int(entry.value, entry.size, &integer) == VIGIL_OK)
        printf("%s: %" PRId64 " (at %" PRIu64 ")\n", key, integer, entry.modified);
    else
        printf("%s: %zu bytes (at %" PRIu64 ")\n", key, entry.size, entry.modified);
    fflush(stdout);
}

/* All that has come; false ends the program. */
static bool update(vigil *v, vigil_mirror *mirror)
{
    size_t before = vigil_mirror_count(mirror);
    for (;;) {
        bool reloaded;
        int err = vigil_mirror_update(mirror, 0, &reloaded);
        if (err == VIGIL_TIMEOUT)
            break;
        if (err == VIGIL_DISCONNECTED)
            fprintf(stderr, "the server is gone; the copy stays as it was\n");
        else if (err) {
            fprintf(stderr, "%s: %s\n", vigil_error_name(err), vigil_failure_text(v));
            return false;
        }
    }
    if (vigil_mirror_count(mirror) != before) {
        printf("%zu keys\n", vigil_mirror_count(mirror));
        fflush(stdout);
    }
    return true;
}

/* Reads what is there and answers whole lines. False: the input has ended. */
static bool read_input(const vigil_mirror *mirror)
{
    static char line[1024];
    static size_t used;
    ssize_t got = read(STDIN_FILENO, line + used, sizeof line - used - 1);
    if (got <= 0)
        return false;
    used += (size_t)got;
    line[used] = '\0';
    for (char *end; (end = strchr(line, '\n'));) {
        *end = '\0';
        answer(mirror, line);
        used -= (size_t)(end + 1 - line);
        memmove(line, end + 1, used + 1);
    }
    if (used == sizeof line - 1)
        used = 0; /* no key is that long */
    return true;
}

int main(int argc, char **argv)
{
    char pattern[512];
    const char *patterns[] = {pattern};
    vigil *v = NULL;
    vigil_mirror *mirror = NULL;

    snprintf(pattern, sizeof pattern, "%s*", argc > 1 ? argv[1] : "");
    int err = vigil_open(NULL, &v);
    if (err == VIGIL_OK)
        err = vigil_mirror_open(v, patterns, 1, 10000, &mirror);
    if (err) {
        fprintf(stderr, "%s: %s\n", vigil_error_name(err), vigil_failure_text(v));
        vigil_close(v);
        return 1;
    }
    printf("%zu keys\n", vigil_mirror_count(mirror));
    fflush(stdout);

    struct pollfd items[2] = {{.fd = vigil_mirror_fd(mirror), .events = POLLIN},
                              {.fd = STDIN_FILENO, .events = POLLIN}};
    bool goes_on = true;
    while (goes_on && poll(items, 2, -1) >= 0) {
        if (items[0].revents)
            goes_on = update(v, mirror);
        if (goes_on && items[1].revents)
            goes_on = read_input(mirror);
    }
    vigil_mirror_close(mirror);
    vigil_close(v);
    return 0;
}
