/*
 * watchers_role.c - the watchers' process; see watchers.h. One thread, one epoll;
 * several watches share a connection, as the watches of one application do.
 */
#define _GNU_SOURCE
#include "bench/monotonic.h"
#include "bench/payload.h"
#include "bench/roles.h"
#include "bench/watchers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <vigil.h>

enum {
    WATCHES_PER_CONNECTION = 100,
    COMMAND_MAX = 128,
    CONNECT_MS = 15000 /* on a machine that has much else to do */
};

struct watcher {
    vigil_watch *w;
    uint64_t last_seq;
    uint64_t records;
    uint64_t position;
    bool live; /* a bookmark has come: it is subscribed */
    bool done;
    bool there; /* at what is awaited */
};

struct watching {
    vigil **connections;
    struct watcher *watchers;
    uint32_t count;
    uint32_t connection_count;
    uint32_t live;
    uint32_t done;
    uint32_t there;
    int epoll_fd;
    uint64_t begin_ns; /* the window */
    uint64_t end_ns;
    uint64_t until;  /* 0: not told yet */
    uint64_t await;  /* 0: nothing is awaited */
    uint64_t cpu_ns; /* when the window was told */
    char command[COMMAND_MAX];
    size_t command_size;
    bool over;
    struct watchers_report report;
};

static int fail(const vigil *v, const char *what, int err)
{
    fprintf(stderr, "vigil-bench: watchers: %s: %s\n", what,
            err ? vigil_failure_text(v) : strerror(errno));
    return 1;
}

static int open_watches(struct watching *s, const char *endpoint, bool distinct)
{
    for (uint32_t i = 0; i < s->count; i++) {
        vigil **connection = &s->connections[i / WATCHES_PER_CONNECTION];
        int err = VIGIL_OK;
        if (!*connection) {
            vigil_options options = VIGIL_OPTIONS_INIT;
            options.endpoint = endpoint;
            options.client_name = "vigil-bench watchers";
            options.connect_timeout_ms = CONNECT_MS;
            err = vigil_open(&options, connection);
            if (err) {
                return fail(NULL, "cannot connect", err);
            }
            s->connection_count++;
        }
        char key[PAYLOAD_KEY_SIZE + 1] = PAYLOAD_PREFIX "*";
        if (distinct) {
            payload_key(i, key);
        }
        const char *pattern = key;
        vigil_watch_options options = VIGIL_WATCH_OPTIONS_INIT;
        options.patterns = &pattern;
        options.pattern_count = 1;
        options.bookmarks = true;
        struct watcher *watcher = &s->watchers[i];
        err = vigil_watch_open(*connection, &options, &watcher->w);
        if (err) {
            return fail(*connection, "cannot watch", err);
        }
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = watcher};
        int fd = vigil_watch_fd(watcher->w);
        if (fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
            return fail(NULL, "cannot poll a watch", 0);
        }
    }
    return 0;
}

static void take_record(struct watching *s, struct watcher *w, const vigil_record *record)
{
    uint64_t now = monotonic_ns();
    if (record->seq <= w->last_seq) {
        s->report.disorder++;
    }
    w->last_seq = record->seq;
    w->records++;
    s->report.deliveries++;
    if (now >= s->begin_ns && now < s->end_ns) {
        s->report.counted++;
    }
    uint64_t due_ns = 0;
    if (record->count > 0 &&
        payload_get_time(record->changes[0].value, record->changes[0].size, &due_ns) &&
        due_ns >= s->begin_ns && due_ns < s->end_ns && now > due_ns) {
        histogram_add(&s->report.latency, now - due_ns);
    }
}

static void look_at_position(struct watching *s, struct watcher *w)
{
    if (s->until && !w->done && w->position >= s->until) {
        w->done = true;
        s->done++;
    }
    if (s->await && !w->there && w->position >= s->await) {
        w->there = true;
        s->there++;
    }
}

/* Takes all that has come for one watch. */
static int drain(struct watching *s, struct watcher *w)
{
    for (;;) {
        const vigil_event *event = NULL;
        int err = vigil_watch_next(w->w, 0, &event);
        if (err == VIGIL_TIMEOUT || err == VIGIL_INTERRUPTED) {
            break;
        }
        if (err == VIGIL_DISCONNECTED) {
            s->report.lost++;
            continue;
        }
        if (err) {
            fprintf(stderr, "vigil-bench: watchers: a watch ended: %s\n", vigil_error_text(err));
            return 1;
        }
        if (event->kind == VIGIL_EVENT_RECORD) {
            take_record(s, w, &event->record);
        } else if (!w->live) {
            w->live = true;
            s->live++;
        }
    }
    vigil_position position;
    vigil_watch_position(w->w, &position);
    w->position = position.seq;
    look_at_position(s, w);
    return 0;
}

static void run_command(struct watching *s)
{
    uint64_t begin_ns = 0;
    uint64_t end_ns = 0;
    if (watchers_parse_window(s->command, &begin_ns, &end_ns)) {
        s->begin_ns = begin_ns;
        s->end_ns = end_ns;
        s->cpu_ns = process_cpu_ns();
    } else if (!strncmp(s->command, "until ", 6)) {
        s->until = strtoull(s->command + 6, NULL, 10);
        for (uint32_t i = 0; i < s->count; i++) {
            drain(s, &s->watchers[i]);
        }
    } else if (!strncmp(s->command, "await ", 6)) {
        s->await = strtoull(s->command + 6, NULL, 10);
        s->there = 0;
        for (uint32_t i = 0; i < s->count; i++) {
            s->watchers[i].there = false;
            look_at_position(s, &s->watchers[i]);
        }
    }
}

static void read_commands(struct watching *s)
{
    char bytes[COMMAND_MAX];
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    s->over = n == 0 || (n < 0 && errno != EINTR);
    for (ssize_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            s->command[s->command_size] = '\0';
            s->command_size = 0;
            run_command(s);
        } else if (s->command_size + 1 < sizeof s->command) {
            s->command[s->command_size++] = bytes[i];
        }
    }
}

static void send_report(struct watching *s)
{
    struct watchers_report *r = &s->report;
    r->fewest = UINT64_MAX;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct watcher *w = &s->watchers[i];
        vigil_watch_figures figures;
        vigil_watch_get_figures(w->w, &figures);
        r->replayed += figures.replayed;
        r->gaps += figures.gaps;
        r->fewest = w->records < r->fewest ? w->records : r->fewest;
        r->most = w->records > r->most ? w->records : r->most;
    }
    r->cpu_ns = process_cpu_ns() - s->cpu_ns;
    fwrite(r, sizeof *r, 1, stdout);
    fflush(stdout);
}

static int run(struct watching *s)
{
    bool ready_said = false;
    bool reported = false;
    while (!s->over) {
        struct epoll_event events[64];
        int n = epoll_wait(s->epoll_fd, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) {
                read_commands(s);
            } else if (drain(s, events[i].data.ptr)) {
                return 1;
            }
        }
        if (!ready_said && s->live == s->count) {
            ready_said = true;
            printf("ready\n");
            fflush(stdout);
        }
        if (s->await && s->there == s->count) {
            s->await = 0;
            printf("there\n");
            fflush(stdout);
        }
        if (!reported && s->until && s->done == s->count) {
            reported = true;
            send_report(s);
        }
    }
    return 0;
}

/* arguments: endpoint, number of watchers, "all" or "distinct". */
int role_watchers(int count, char *const arguments[])
{
    struct watching *s = calloc(1, sizeof *s);
    int status = 1;
    if (!s || count != 3) {
        free(s);
        return 1;
    }
    s->count = (uint32_t)strtoul(arguments[1], NULL, 10);
    s->watchers = calloc(s->count, sizeof *s->watchers);
    s->connections = calloc(s->count / WATCHES_PER_CONNECTION + 1, sizeof *s->connections);
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    if (!s->watchers || !s->connections || s->epoll_fd < 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &input)) {
        fail(NULL, "cannot start", 0);
    } else if (!open_watches(s, arguments[0], !strcmp(arguments[2], "distinct"))) {
        status = run(s);
    }
    for (uint32_t i = 0; s->watchers && i < s->count; i++) {
        vigil_watch_close(s->watchers[i].w);
    }
    for (uint32_t i = 0; s->connections && i < s->connection_count; i++) {
        vigil_close(s->connections[i]);
    }
    if (s->epoll_fd >= 0) {
        close(s->epoll_fd);
    }
    free(s->watchers);
    free(s->connections);
    free(s);
    return status;
}
