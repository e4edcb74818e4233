/*
 * cmd_watch.c - vigil watch [PATTERN]...
 *
 * One loop: take events as long as there are any, flush the lines when the
 * stream pauses or FLUSH_MS after the first of them, then sleep until the watch,
 * a signal, the end of the reader or the time-out wants something.
 *
 *  1. The cursor, in a file or at the server, moves after the lines that lead up
 *     to it have been written, and only when all of them have been: killed at any
 *     point, a watch that starts from it misses nothing.
 *  2. A record's lines are flushed together.
 */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/acknowledgement.h"
#include "client/cli/change_line.h"
#include "client/cli/command.h"
#include "client/cli/cursor.h"
#include "client/cli/duration.h"
#include "client/cli/position.h"
#include "client/cli/stop_signal.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Few large flushes: some file systems take milliseconds to replace the cursor file. */
enum { FLUSH_MS = 20, FLUSH_SIZE = 4 << 20 };
enum { GO_ON = -1 }; /* beside the exit codes */

enum {
    OPTION_SINCE,
    OPTION_CURSOR,
    OPTION_NAME,
    OPTION_BEFORE,
    OPTION_COUNT_LINES,
    OPTION_TIMEOUT,
    OPTION_UNTIL_SEQ,
    OPTION_BOOKMARKS,
    OPTION_NO_RECONNECT
};

static const struct option_spec options[] = {
    {"since", 0, "POSITION", "start after N or EPOCH:N, at oldest, or now (default)"},
    {"cursor", 0, "FILE", "start after the position in FILE, and keep the new one there"},
    {"name", 0, "NAME", "go on where the cursor NAME stands at the server, and move it along"},
    {"before", 0, NULL, "give each change the value that its key had before"},
    {"count", 'n', "N", "end after N lines, or those of the record that has the Nth"},
    {"timeout", 0, "DUR", "end with exit code 4 if it has not ended by then"},
    {"until-seq", 0, "N", "end when everything up to seq N has been shown"},
    {"bookmarks", 0, NULL, "print bookmarks too: how far an idle watch has got"},
    {"no-reconnect", 0, NULL, "end with exit code 6 when the server is lost"},
};

struct session {
    struct cli *cli;
    vigil_watch *watch;
    struct cursor *cursor;           /* NULL: none */
    const char *name;                /* of a cursor at the server; NULL: none */
    struct acknowledgement *written; /* with name */
    struct start start;
    vigil_position position; /* after the last event taken */
    uint64_t count;          /* 0: no end */
    uint64_t lines;
    bool has_until_seq;
    uint64_t until_seq;
    bool before;
    bool bookmarks;
    bool no_reconnect;
    bool finished;
    bool lost;            /* the server is, and has been reported so */
    int64_t deadline_ms;  /* -1: none */
    int64_t flush_due_ms; /* when what is in the buffer has to be out; -1: nothing is */
};

static int read_options(struct session *s, const char *const *values)
{
    const struct cli *cli = s->cli;
    int timeout_ms = -1;

    if (values[OPTION_SINCE] != NULL && !position_parse_start(values[OPTION_SINCE], &s->start))
        return cli_usage_error(cli, "--since takes N, EPOCH:N, oldest or now, not '%s'",
                               values[OPTION_SINCE]);
    int err = cli_read_u64(cli, "count", values[OPTION_COUNT_LINES], &s->count);
    if (err == EXIT_DONE && values[OPTION_COUNT_LINES] != NULL && s->count == 0)
        err = cli_usage_error(cli, "--count takes a number from 1 on");
    if (err == EXIT_DONE)
        err = cli_read_u64(cli, "until-seq", values[OPTION_UNTIL_SEQ], &s->until_seq);
    if (err == EXIT_DONE)
        err = cli_read_duration(cli, "timeout", values[OPTION_TIMEOUT], &timeout_ms);
    if (err != EXIT_DONE)
        return err;
    s->name = values[OPTION_NAME];
    if (s->name != NULL && values[OPTION_CURSOR] != NULL)
        return cli_usage_error(cli, "a watch has a --cursor FILE or a --name, not both");
    s->has_until_seq = values[OPTION_UNTIL_SEQ] != NULL;
    s->before = values[OPTION_BEFORE] != NULL;
    s->bookmarks = values[OPTION_BOOKMARKS] != NULL;
    s->no_reconnect = values[OPTION_NO_RECONNECT] != NULL;
    s->deadline_ms = timeout_ms >= 0 ? duration_now_ms() + timeout_ms : -1;
    return EXIT_DONE;
}

static int open_cursor(struct session *s, const char *path)
{
    struct failure failure;
    bool present = false;
    vigil_position position;

    if (path == NULL)
        return EXIT_DONE;
    if (cursor_open(path, &s->cursor, &present, &position, &failure) != ERR_OK)
        return cli_error(s->cli, "%s", failure.text);
    if (present)
        s->start = (struct start){VIGIL_SINCE_POSITION, position};
    return EXIT_DONE;
}

/* All that was taken has been written. */
static int keep_position(struct session *s)
{
    struct failure failure;

    if (s->written != NULL) {
        int error = acknowledgement_written(s->written, s->position.seq);
        return error == VIGIL_OK ? GO_ON : cli_failure(s->cli, error);
    }
    if (s->cursor == NULL || cursor_write(s->cursor, s->position, &failure) == ERR_OK)
        return GO_ON;
    return cli_error(s->cli, "%s", failure.text);
}

static void check_finished(struct session *s)
{
    s->finished = (s->count > 0 && s->lines >= s->count) ||
                  (s->has_until_seq && s->position.seq >= s->until_seq);
}

/* A failure of a watch with a named cursor: the library's sentence says what to do with it. */
static int named_failure(const struct cli *cli, int error, uint64_t epoch, uint64_t head,
                         uint64_t oldest)
{
    if (cli_exit_code(error) != EXIT_POSITION)
        return cli_failure(cli, error);
    cli_note(cli, "%s: %s (oldest=%" PRIu64 " head=%" PRIu64 " epoch=%016" PRIx64 ")",
             vigil_error_name(error), vigil_failure_text(cli->connection), oldest, head, epoch);
    return EXIT_POSITION;
}

static int open_watch(struct session *s, const struct arguments *arguments)
{
    struct cli *cli = s->cli;
    vigil_watch_options watch_options = {
        .patterns = arguments->words,
        .pattern_count = arguments->word_count,
        .since = s->start.since,
        .position = s->start.position,
        .bookmarks = true,
        .no_reconnect = s->no_reconnect,
        .cursor = s->name,
        .before = s->before,
    };

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_watch_open(cli->connection, &watch_options, &s->watch);
    if (error != VIGIL_OK) {
        vigil_info info;
        vigil_get_info(cli->connection, &info);
        if (s->name != NULL)
            return named_failure(cli, error, info.epoch, info.head, info.oldest);
        return cli_position_failure(cli, error, s->start.position, info.epoch, info.head,
                                    info.oldest);
    }
    vigil_watch_position(s->watch, &s->position);
    check_finished(s);
    if (s->name != NULL) {
        s->written = acknowledgement_new(s->watch, s->position.seq);
        return s->written != NULL ? GO_ON : cli_error(cli, "out of memory");
    }
    /* At once, so that a restart begins here, and so that an unwritable file shows now. */
    return keep_position(s);
}

/* GO_ON, or how it ends. */
static int flush(struct session *s)
{
    s->flush_due_ms = -1;
    switch (output_flush(&s->cli->out)) {
    case OUTPUT_OK:
        return keep_position(s);
    case OUTPUT_CLOSED: /* what is on its way to a reader that has gone does not count */
        return EXIT_DONE;
    case OUTPUT_FAILED:
        return cli_error(s->cli, "cannot write to standard output: %s", strerror(errno));
    case OUTPUT_INTERRUPTED: /* the loop sees the signal next */
        if (s->written != NULL)
            acknowledgement_cut(s->written, s->cli->out.written);
        break;
    }
    return GO_ON;
}

static int take_event(struct session *s, const vigil_event *event)
{
    struct wire_buffer *out = &s->cli->out.buffer;
    size_t before = out->size;

    if (s->lost) {
        s->lost = false;
        cli_note(s->cli, "connected again, going on after seq %" PRIu64, s->position.seq);
    }
    if (event->kind == VIGIL_EVENT_RECORD) {
        if (!change_line_write_record(out, &event->record))
            return cli_error(s->cli, "the record at seq %" PRIu64 " cannot be shown: %s",
                             event->record.seq,
                             out->failed ? "it is too large for the memory" : "it is damaged");
        s->lines += event->record.count;
    } else if (s->bookmarks) {
        change_line_write_bookmark(out, event);
    }
    s->position = event->position;
    if (s->written != NULL && out->size > before)
        acknowledgement_mark(s->written, s->position.seq, out->size);
    if (s->flush_due_ms < 0 && out->size > before)
        s->flush_due_ms = duration_now_ms() + FLUSH_MS;
    check_finished(s);
    return GO_ON;
}

static bool flush_is_due(const struct session *s)
{
    return s->cli->out.buffer.size >= FLUSH_SIZE ||
           (s->written != NULL && acknowledgement_is_full(s->written)) ||
           (s->flush_due_ms >= 0 && duration_now_ms() >= s->flush_due_ms);
}

/* What watch_next said, when it is neither an event nor a pause. */
static int take_failure(struct session *s, int error)
{
    uint64_t epoch = 0;
    uint64_t head = 0;
    uint64_t oldest = 0;

    if (error == VIGIL_DISCONNECTED && !s->no_reconnect) {
        if (!s->lost)
            cli_note(s->cli, "the server is lost after seq %" PRIu64 ", trying to reach it again",
                     s->position.seq);
        s->lost = true;
        return GO_ON;
    }
    vigil_watch_bounds(s->watch, &epoch, &head, &oldest);
    if (s->name != NULL) {
        /* Before flushing, which acknowledges, and may have another sentence to say. */
        int named_exit_code = named_failure(s->cli, error, epoch, head, oldest);
        flush(s);
        return named_exit_code;
    }
    int exit_code = flush(s);
    if (exit_code != GO_ON)
        return exit_code;
    return cli_position_failure(s->cli, error, s->position, epoch, head, oldest);
}

/* Sleeps until there is something to do. */
static int sleep_until_needed(const struct session *s)
{
    const int64_t say_ms = s->written != NULL ? acknowledgement_due_ms(s->written) : -1;
    int64_t until_ms = s->deadline_ms;
    const struct output *out = &s->cli->out;
    struct pollfd fds[] = {{.fd = vigil_watch_fd(s->watch), .events = POLLIN},
                           {.fd = out->stop_fd, .events = POLLIN},
                           {.fd = out->fd, .events = 0}}; /* POLLERR: its reader has gone */
    int timeout_ms = -1;

    if (fds[0].fd < 0)
        return cli_error(s->cli, "out of file descriptors: raise 'ulimit -n'");
    if (say_ms >= 0 && (until_ms < 0 || say_ms < until_ms))
        until_ms = say_ms;
    if (until_ms >= 0) {
        int64_t left = until_ms - duration_now_ms();
        timeout_ms = left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
    }
    if (poll(fds, 3, timeout_ms) < 0 && errno != EINTR)
        return cli_error(s->cli, "cannot wait for the server: %s", strerror(errno));
    return (fds[2].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? EXIT_DONE : GO_ON;
}

static int follow(struct session *s)
{
    const int stop_fd = s->cli->out.stop_fd;

    while (!s->finished) {
        const vigil_event *event = NULL;
        int error = vigil_watch_next(s->watch, 0, &event);
        int exit_code = GO_ON;
        if (error == VIGIL_OK) {
            exit_code = take_event(s, event);
            if (exit_code == GO_ON && !s->finished && !flush_is_due(s))
                continue;
        } else if (error != VIGIL_TIMEOUT && error != VIGIL_INTERRUPTED) {
            exit_code = take_failure(s, error);
        }
        if (exit_code == GO_ON)
            exit_code = flush(s);
        if (exit_code != GO_ON)
            return exit_code;
        if (stop_signal_pending(stop_fd))
            return EXIT_DONE; /* with the signal, see run */
        if (!s->finished && s->deadline_ms >= 0 && duration_now_ms() >= s->deadline_ms) {
            cli_note(s->cli, "timed out after seq %" PRIu64, s->position.seq);
            return EXIT_TIMED_OUT;
        }
        if (error != VIGIL_OK) {
            exit_code = sleep_until_needed(s);
            if (exit_code != GO_ON)
                return exit_code;
        }
    }
    return EXIT_DONE;
}

/* The server has to know what has been written, or the end says that it does not. */
static int finish_acknowledging(struct session *s, int exit_code)
{
    if (s->written == NULL || exit_code == EXIT_UNREACHABLE)
        return exit_code;
    int error = acknowledgement_finish(s->written, s->cli->request_timeout_ms);
    if (error == VIGIL_OK || (exit_code != EXIT_DONE && exit_code != EXIT_TIMED_OUT))
        return exit_code; /* what is wrong has been told */
    int failure = cli_failure(s->cli, error);
    return exit_code == EXIT_DONE ? failure : exit_code;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    struct session s = {.cli = cli, .deadline_ms = -1, .flush_due_ms = -1};

    int exit_code = read_options(&s, values);
    if (exit_code == EXIT_DONE)
        exit_code = open_cursor(&s, values[OPTION_CURSOR]);
    if (exit_code == EXIT_DONE)
        exit_code = open_watch(&s, arguments);
    if (exit_code == GO_ON) {
        cli->out.stop_fd = stop_signal_open();
        exit_code = finish_acknowledging(&s, follow(&s));
        cli->stop_signal = stop_signal_take(cli->out.stop_fd);
        cli->out.stop_fd = -1;
    }
    vigil_watch_close(s.watch);
    cursor_close(s.cursor);
    free(s.written);
    return exit_code;
}

const struct command command_watch = {
    .name = "watch",
    .words = "[PATTERN]...",
    .words_min = 0,
    .words_max = 16,
    .summary = "prints every change as it happens",
    .text =
        "Prints one JSON object for each change of a key that matches a PATTERN: a key, or a\n"
        "prefix and a *. Without one, every change. None is ever left out, whatever happens to\n"
        "this command, the network or the server: it goes on where it was, or ends with exit\n"
        "code 5 and says why.\n"
        "A line has seq, op (put, delete, expire), key, value (of a put), prev_seq and time, and\n"
        "of a record of several changes part, parts, and at its last line last. Lines are written\n"
        "when the stream pauses, and at least every 20 ms.\n"
        "With --before it also has before, the key's value until then. A line without it is of a\n"
        "key that was not there, or has before_unknown: true, because that value has been compacted.\n"
        "--since 0 is everything, --since N what comes after seq N, and exit code 5 if part of it\n"
        "is gone; --since oldest is whatever there still is.\n"
        "--cursor FILE holds EPOCH:SEQ of what has been written. If the file is there, --since\n"
        "does not count. Killed at any point, a watch started again misses nothing.\n"
        "--name NAME is the same with a cursor at the server, for any machine: what has been\n"
        "written is acknowledged about once a second and at the end, also at the one of SIGINT or\n"
        "SIGTERM. After a crash lines may come again that were written and not acknowledged, never\n"
        "fewer. --since says where a new cursor begins. Without a PATTERN it keeps its own. Whoever\n"
        "opens it takes it over: a watch that had it ends with exit code 1, or with 3 if it is\n"
        "deleted ('vigil cursors').\n",
    .examples = "  vigil watch\n"
                "  vigil watch 'job/*' config/web --since oldest\n"
                "  vigil watch 'job/*' --cursor jobs.cursor | ./worker\n"
                "  vigil watch 'job/*' --name billing --since oldest | ./worker\n"
                "  vigil watch 'job/*' --before | jq -c '[.key, .before, .value]'\n"
                "  vigil watch 'job/*' --count 1 --timeout 10s | jq .value\n"
                "  vigil watch --since 0 --until-seq \"$(vigil put done true)\" > all.ndjson\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
