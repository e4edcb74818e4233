#define _GNU_SOURCE
/* server.c - see server.h. Main thread only. */
#include "server/net/server.h"

#include "server/net/clocks.h"
#include "server/net/crash.h"
#include "server/net/gate.h"
#include "server/net/log.h"
#include "server/net/restore.h"
#include "server/net/signals.h"
#include "server/net/zmq_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STREAM_RECEIVE_QUEUE = 64, /* subscriptions */
    STREAM_MESSAGE_IN = 64,    /* bytes of one */
    /* Requests and chunks. A peer's reading is heard of in steps of half the queue: twice the window
     * is never full. */
    REPLAY_QUEUE = 2 * LIMIT_REPLAY_WINDOW_MESSAGES,
    REPLAY_MESSAGE_SIZE = 256 * 1024, /* bytes of a request message */
    LINGER_MS = 250                   /* at the end, for replies that are on their way */
};

static uint64_t function_processor_us(void *context)
{
    (void)context;
    return clock_thread_us();
}

static uint64_t function_clock_us(void *context)
{
    (void)context;
    return clock_boot_us();
}

static void draw_random(void *context, uint8_t *out, size_t size)
{
    (void)context;
    size_t done = 0;
    while (done < size) {
        ssize_t got = getrandom(out + done, size - done, 0);
        if (got > 0)
            done += (size_t)got;
    }
}

static uint64_t random_identity(void)
{
    uint64_t identity = 0;
    while (identity == 0) /* 0 means "none" on the wire */
        draw_random(NULL, (uint8_t *)&identity, sizeof identity);
    return identity;
}

/* ---- start ---- */

/* The name of a folder that was made survives a power loss when the folder above it is synced. */
static int sync_parent(const char *path)
{
    char parent[CONFIG_PATH_SIZE] = ".";
    const char *slash = strrchr(path, '/');
    if (slash) {
        size_t size = slash > path ? (size_t)(slash - path) : 1;
        memcpy(parent, path, size);
        parent[size] = '\0';
    }
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES ? 0 : errno;
    int rc = fsync(fd) == 0 || errno == EINVAL ? 0 : errno; /* EINVAL: it has no such thing */
    close(fd);
    return rc;
}

/* The folders above the default one: ~/.local/state is not there on every machine. */
static int make_parents(const char *path, struct failure *failure)
{
    char part[CONFIG_PATH_SIZE];
    size_t size = strlen(path);
    memcpy(part, path, size + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int rc = mkdir(part, 0700) == 0 ? sync_parent(part) : errno;
        if (rc != 0 && rc != EEXIST)
            return failure_set(failure, rc == EACCES ? ERR_ACCESS : ERR_IO,
                               "cannot make the folder %s: %s; give --data DIR", part,
                               strerror(rc));
        *slash = '/';
    }
    return ERR_OK;
}

static int open_journal(struct server *s, struct failure *failure)
{
    const struct config *c = s->config;
    struct journal_options options = {
        .directory = c->data, .durability = c->durability, .epoch = random_identity()};
    int err = c->data_default ? make_parents(c->data, failure) : ERR_OK;
    if (err == ERR_OK && c->restore[0])
        err = restore_journal(c->restore, &options, s->signal_fd, failure);
    if (err == ERR_OK)
        err = journal_open(&options, &s->journal, failure);
    if (err != ERR_OK)
        return err;
    crash_watch(s->journal);
    struct journal_status status;
    journal_status(s->journal, &status);
    if (status.recovered)
        log_info("the last run did not stop cleanly; the journal has been recovered");
    if (status.new_epoch)
        log_warn("what the last run had not synced may be lost: the journal has a new epoch, and "
                 "watchers with older positions will be told");
    return ERR_OK;
}

static int open_sockets(struct server *s, struct failure *failure)
{
    const struct socket_options options[3] = {
        [ENDPOINT_STREAM] = {ZMQ_XPUB, (int)s->config->stream_queue, STREAM_RECEIVE_QUEUE,
                             STREAM_MESSAGE_IN},
        [ENDPOINT_REPLAY] = {ZMQ_ROUTER, REPLAY_QUEUE, REPLAY_QUEUE, REPLAY_MESSAGE_SIZE},
    };
    int err =
        peers_new(s->config->limits.message_size_max, gate_descriptors_max(), &s->peers, failure);
    if (err != ERR_OK)
        return err;
    s->zmq = zmq_ctx_new();
    if (!s->zmq)
        return failure_set(failure, ERR_NO_MEMORY, "cannot start ZeroMQ: %s", zmq_strerror(errno));
    for (size_t i = ENDPOINT_STREAM; i < 3 && err == ERR_OK; i++)
        err = socket_open(s->zmq, &options[i], &s->sockets[i], failure);
    if (err == ERR_OK)
        err = listen_bind(&s->listen, s->peers, s->sockets, failure);
    return err;
}

/* One that is damaged is not known from now on: its client is told that, and nothing wrong. */
static int restore_sessions(struct server *s, struct journal_reader *reader,
                            struct failure *failure)
{
    for (uint64_t next = 1; next != 0;) {
        struct failure reason = {0};
        struct bytes row;
        uint64_t session;
        int err = journal_reader_session(reader, next, &session, &row, &reason);
        if (err == ERR_NOT_FOUND)
            return ERR_OK;
        if (err == ERR_OK)
            err = core_restore_session(s->core, session, row);
        if (err == ERR_CORRUPT)
            log_warn("session %016llx is not known any more: its row is damaged",
                     (unsigned long long)session);
        else if (err != ERR_OK)
            return failure_set(failure, err, "the sessions in %s cannot be read: %s",
                               s->config->data, reason.text[0] ? reason.text : error_text(err));
        next = session + 1;
    }
    return ERR_OK;
}

/* Likewise. */
static int restore_cursors(struct server *s, struct journal_reader *reader, struct failure *failure)
{
    struct bytes name = {NULL, 0};
    for (;;) {
        struct failure reason = {0};
        struct bytes row;
        int err = journal_reader_cursor(reader, name, &name, &row, &reason);
        if (err == ERR_NOT_FOUND)
            return ERR_OK;
        if (err == ERR_OK)
            err = core_restore_cursor(s->core, name, row);
        if (err == ERR_CORRUPT)
            log_warn("cursor %.*s is not known any more: its row is damaged",
                     name.size < LIMIT_CURSOR_NAME ? (int)name.size : LIMIT_CURSOR_NAME,
                     (const char *)name.data);
        else if (err != ERR_OK)
            return failure_set(failure, err, "the cursors in %s cannot be read: %s",
                               s->config->data, reason.text[0] ? reason.text : error_text(err));
    }
}

/* Likewise: its key lives on without an end. */
static int restore_lives(struct server *s, struct journal_reader *reader, struct failure *failure)
{
    char boot[BOOT_ID_SIZE];
    struct bytes name = {NULL, 0};
    for (;;) {
        struct failure reason = {0};
        struct bytes row;
        int err = journal_reader_life(reader, name, &name, &row, &reason);
        if (err == ERR_NOT_FOUND)
            break;
        if (err == ERR_OK)
            err = core_restore_life(s->core, name, row);
        if (err == ERR_CORRUPT)
            log_warn("a key's life, a lease or their clock is not known any more: %s",
                     reason.text[0] ? reason.text : "its row is damaged");
        else if (err != ERR_OK)
            return failure_set(failure, err, "the lives in %s cannot be read: %s", s->config->data,
                               reason.text[0] ? reason.text : error_text(err));
    }
    journal_boot_id(boot);
    core_life_start(s->core, boot, clock_boot_us() / 1000);
    return ERR_OK;
}

static int restore(struct server *s, const struct journal_status *status, struct failure *failure)
{
    struct journal_reader *reader = NULL;
    struct journal_view view;
    /* Where the state holds all of them, the one at head still tells the time. */
    uint64_t first = status->applied < status->head ? status->applied + 1 : status->head;
    int err = journal_reader_open(s->journal, &reader, failure);
    if (err != ERR_OK)
        return err;
    err = journal_reader_begin(reader, &view, failure);
    bool begun = err == ERR_OK;
    if (err == ERR_OK)
        err = restore_sessions(s, reader, failure);
    if (err == ERR_OK)
        err = restore_cursors(s, reader, failure);
    if (err == ERR_OK)
        err = restore_lives(s, reader, failure);
    if (err == ERR_OK && status->head == 0)
        goto out;
    if (err == ERR_OK)
        err = journal_reader_seek(reader, first, failure);
    while (err == ERR_OK) {
        uint64_t seq = 0;
        struct bytes record;
        err = journal_reader_next(reader, &seq, &record, failure);
        if (err != ERR_OK)
            break;
        err = core_restore(s->core, record);
        if (err != ERR_OK)
            failure_set(failure, err, "record %llu of %s cannot be applied: %s",
                        (unsigned long long)seq, s->config->data, error_text(err));
    }
out:
    if (begun)
        journal_reader_end(reader);
    journal_reader_close(reader);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static int open_core(struct server *s, struct failure *failure)
{
    struct journal_status status;
    uint16_t ports[CONFIG_LISTEN_MAX][3];
    size_t ports_count = 0;
    journal_status(s->journal, &status);
    for (size_t i = 0; i < s->listen.count; i++) {
        if (s->listen.points[i].endpoint.kind == ENDPOINT_TCP)
            memcpy(ports[ports_count++], s->listen.points[i].ports, sizeof ports[0]);
    }
    struct core_source source = {.context = &s->turn,
                                 .state_get = turn_state_get,
                                 .state_seek = turn_state_seek,
                                 .state_next = turn_state_next,
                                 .processor_us = function_processor_us,
                                 .clock_us = function_clock_us,
                                 .random = draw_random};
    struct core_identity identity = {
        .epoch = status.epoch,
        .incarnation = s->incarnation,
        .server = "vigild " VIGIL_VERSION_TEXT,
        .stream_suffix = ENDPOINT_STREAM_SUFFIX,
        .replay_suffix = ENDPOINT_REPLAY_SUFFIX,
        .ports = (const uint16_t(*)[3])ports,
        .ports_count = ports_count,
    };
    int err = core_new(&source, &s->config->limits, &identity, status.head, status.oldest,
                       status.applied, &s->core);
    if (err != ERR_OK)
        return failure_set(failure, err, "cannot start: %s", error_text(err));
    core_on_status(s->core, status_write, s);
    return restore(s, &status, failure);
}

static int open_turn(struct server *s, struct failure *failure)
{
    s->turn.journal = s->journal;
    s->turn.core = s->core;
    s->turn.peers = s->peers;
    s->turn.streams = s->sockets[ENDPOINT_STREAM];
    s->turn.retention = s->config->retention;
    s->turn.hold = s->config->cursor_hold;
    s->turn.incarnation = s->incarnation;
    int err = turn_init(&s->turn);
    return err == ERR_OK ? ERR_OK : failure_set(failure, err, "out of memory");
}

static int start(struct server *s, struct failure *failure)
{
    int err = descriptors_raise(failure);
    if (err == ERR_OK)
        err = gate_open(s->config->connections_max, s->config->limits.message_size_max, failure);
    if (err == ERR_OK)
        err = listen_open(s->config, &s->listen, failure);
    if (err == ERR_OK)
        err = open_journal(s, failure);
    if (err == ERR_OK)
        err = open_sockets(s, failure);
    s->turn.journal = s->journal; /* the core's start may look at the state */
    if (err == ERR_OK)
        err = open_core(s, failure);
    if (err == ERR_OK)
        err = open_turn(s, failure);
    if (err == ERR_OK)
        err = replay_thread_start(s->journal, s->sockets[ENDPOINT_REPLAY], s->incarnation,
                                  &s->replay_figures, &s->replay, failure);
    bool at_intervals = s->config->durability == JOURNAL_PROCESS;
    if (err == ERR_OK)
        err = sync_thread_start(s->journal, at_intervals ? s->config->sync_interval_ms : 0,
                                &s->sync, failure);
    s->turn.sync = s->sync;
    return err;
}

/* ---- end ---- */

static void stop(struct server *s)
{
    struct failure unclean = {0};
    replay_thread_stop(s->replay);
    sync_thread_stop(s->sync);
    turn_free(&s->turn);
    peers_free(s->peers, LINGER_MS);
    for (size_t i = 0; i < 3; i++)
        socket_close(s->sockets[i], LINGER_MS);
    if (s->zmq)
        zmq_ctx_term(s->zmq);
    gate_close();
    listen_close(&s->listen);
    core_free(s->core);
    crash_watch(NULL);
    if (journal_stop(s->journal, &unclean) != ERR_OK)
        log_error("the journal is not closed as clean, the next start will recover it: %s",
                  unclean.text);
    subscriptions_free(&s->subscriptions);
}

int server_run(const struct config *config, int signal_fd, void (*ready)(const struct server *s),
               struct failure *failure)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    s->config = config;
    s->signal_fd = signal_fd;
    s->incarnation = random_identity();
    s->started_us = clock_boot_us();
    int err = start(s, failure);
    if (err == ERR_OK) {
        ready(s);
        err = core_thread_run(s, failure);
    }
    if (err == ERR_OK) {
        /* Without it the next start reads more of the journal, and nothing is lost. */
        struct failure reason = {0};
        if (commit_checkpoint_all(&s->turn, &reason) != ERR_OK)
            log_warn("the last checkpoint could not be written: %s", reason.text);
    }
    stop(s);
    free(s);
    return err;
}
