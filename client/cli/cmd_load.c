/*
 * cmd_load.c - vigil load [FILE].
 *
 * Lines are sent as fast as the window allows and their outcomes received in the
 * same order; stop-on-error makes the server drop what was sent behind a line
 * that fails, so "everything before line N, nothing from it on" holds.
 *
 *  1. in_flight holds a line for each request whose outcome has not come, in
 *     order; their number and bytes are bounded.
 *  2. After the first failure nothing more is sent; outcomes are still received.
 */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/command.h"
#include "client/cli/duration.h"
#include "client/cli/json_write.h"
#include "client/cli/line_reader.h"
#include "client/cli/load_line.h"
#include "client/cli/stop_signal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IN_FLIGHT_MAX = 32768, IN_FLIGHT_BYTES = 32 << 20, PROGRESS_MS = 200 };

struct sent_line {
    uint64_t line_number;
    size_t size;
};

struct load {
    struct cli *cli;
    const char *name; /* of the input, for messages */
    struct line_reader input;
    uint64_t input_size; /* 0: unknown */
    struct load_line *line;
    bool line_waits; /* parsed, but the window was full */
    int stop_fd;

    struct sent_line in_flight[IN_FLIGHT_MAX];
    size_t first; /* index of the oldest */
    size_t count;
    size_t bytes;

    uint64_t loaded;           /* lines whose mutation took effect */
    uint64_t last_loaded_line; /* its number */
    uint64_t seq;              /* the last one's */

    bool stopped;         /* nothing more is sent */
    int error;            /* why, or VIGIL_OK for the end of the input and signals */
    uint64_t failed_line; /* 0: none in particular */
    char reason[600];
    uint64_t doubt_first; /* lines whose outcome is unknown; 0: none */
    uint64_t doubt_last;

    bool on_terminal;
    int64_t started_ms;
    int64_t progress_due_ms;
};

static void stop(struct load *l, int error, uint64_t line_number, const char *reason)
{
    l->stopped = true;
    l->error = error;
    l->failed_line = line_number;
    snprintf(l->reason, sizeof(l->reason), "%s", reason);
}

/* The text of the connection's last failure, or else of the code. */
static const char *failure_text(const struct load *l, int error)
{
    const char *text = vigil_failure_text(l->cli->connection);
    return text != NULL && *text != '\0' ? text : vigil_error_text(error);
}

static bool window_is_full(const struct load *l)
{
    return l->count == IN_FLIGHT_MAX || l->bytes >= IN_FLIGHT_BYTES;
}

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.size; i++)
        if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r')
            return false;
    return true;
}

static void send_line(struct load *l)
{
    int error = load_line_send(l->line, l->cli->connection);

    l->line_waits = error == VIGIL_BUSY;
    if (l->line_waits)
        return;
    if (error != VIGIL_OK) {
        stop(l, error, error == VIGIL_DISCONNECTED ? 0 : l->input.line_number,
             failure_text(l, error));
        return;
    }
    size_t size = load_line_size(l->line);
    l->in_flight[(l->first + l->count) % IN_FLIGHT_MAX] =
        (struct sent_line){l->input.line_number, size};
    l->count++;
    l->bytes += size;
}

/* Sends lines until the block or the window is at its end. */
static void send_lines(struct load *l)
{
    struct failure failure;
    struct bytes text;

    while (!l->stopped && !window_is_full(l)) {
        if (!l->line_waits) {
            if (!line_reader_next(&l->input, &text))
                return;
            if (is_blank(text))
                continue;
            if (load_line_parse(l->line, text, &failure) != ERR_OK) {
                stop(l, failure.code, l->input.line_number, failure.text);
                return;
            }
        }
        send_line(l);
        if (l->line_waits)
            return;
    }
}

static void take_completion(struct load *l, const vigil_completion *completion)
{
    struct sent_line sent = l->in_flight[l->first];

    l->first = (l->first + 1) % IN_FLIGHT_MAX;
    l->count--;
    l->bytes -= sent.size;
    if (completion->error == VIGIL_OK) {
        l->loaded++;
        l->last_loaded_line = sent.line_number;
        if (completion->result.seq > l->seq)
            l->seq = completion->result.seq;
        return;
    }
    bool in_doubt =
        completion->error == VIGIL_DISCONNECTED || completion->error == VIGIL_OUTCOME_UNKNOWN;
    if (in_doubt) {
        l->doubt_first = l->doubt_first != 0 ? l->doubt_first : sent.line_number;
        l->doubt_last = sent.line_number;
    }
    /* The first failure says why; those behind it were aborted. */
    if (!l->stopped || l->error == VIGIL_OK)
        stop(l, completion->error, in_doubt ? 0 : sent.line_number,
             failure_text(l, completion->error));
}

/* Takes what outcomes there are. */
static void receive_outcomes(struct load *l)
{
    while (l->count > 0) {
        vigil_completion completion;
        int error = vigil_receive(l->cli->connection, 0, &completion);
        if (error == VIGIL_TIMEOUT || error == VIGIL_INTERRUPTED)
            return;
        if (error != VIGIL_OK && error != VIGIL_DISCONNECTED) {
            stop(l, error, 0, failure_text(l, error));
            l->doubt_first = l->in_flight[l->first].line_number;
            l->doubt_last = l->in_flight[(l->first + l->count - 1) % IN_FLIGHT_MAX].line_number;
            l->count = 0;
            return;
        }
        take_completion(l, &completion);
    }
}

static void show_progress(struct load *l, bool at_end)
{
    if (!l->on_terminal)
        return;
    int64_t now = duration_now_ms();
    if (at_end) {
        fputs("\r\033[K", stderr);
        return;
    }
    if (now < l->progress_due_ms)
        return;
    l->progress_due_ms = now + PROGRESS_MS;
    double seconds = (double)(now - l->started_ms) / 1000;
    fprintf(stderr, "\rload: %" PRIu64 " lines, %.0f/s", l->loaded,
            seconds > 0 ? (double)l->loaded / seconds : 0.0);
    if (l->input_size > 0)
        fprintf(stderr, ", %" PRIu64 "%%", l->input.bytes * 100 / l->input_size);
    fputs("\033[K", stderr);
}

/* Sleeps until there is input, if it is wanted, or an outcome, or a signal. */
static void wait_for_work(struct load *l, bool want_input)
{
    struct pollfd fds[] = {{.fd = vigil_fd(l->cli->connection), .events = POLLIN},
                           {.fd = l->stop_fd, .events = POLLIN},
                           {.fd = want_input ? l->input.fd : -1, .events = POLLIN}};

    if (poll(fds, 3, PROGRESS_MS) < 0 && errno != EINTR && !l->stopped)
        stop(l, VIGIL_IO, l->input.line_number + 1, strerror(errno));
    if (fds[1].revents != 0 && !l->stopped)
        stop(l, VIGIL_OK, 0, "");
    if (fds[2].revents != 0 && !line_reader_fill(&l->input))
        stop(l, VIGIL_IO, l->input.line_number + 1, strerror(errno));
}

static void transfer(struct load *l)
{
    vigil_stop_on_error(l->cli->connection, true);
    l->started_ms = duration_now_ms();
    while (l->count > 0 || !(l->stopped || (line_reader_done(&l->input) && !l->line_waits))) {
        send_lines(l);
        if (l->count > 0) {
            vigil_flush(l->cli->connection);
            receive_outcomes(l);
        }
        show_progress(l, false);
        bool has_room = !l->stopped && !l->line_waits && !window_is_full(l);
        if (l->count > 0 || has_room)
            wait_for_work(l, has_room && !l->input.ended);
    }
    show_progress(l, true);
}

static int report(struct load *l)
{
    struct cli *cli = l->cli;
    struct wire_buffer *out = &cli->out.buffer;
    char applied[96];

    json_write_member(out, "{\"loaded\":", l->loaded);
    json_write_member(out, ",\"seq\":", l->seq);
    json_write_raw(out, "}\n");
    if (!l->stopped)
        return EXIT_DONE;

    if (l->loaded > 0)
        snprintf(applied, sizeof(applied),
                 "%" PRIu64 " mutations were applied, up to line %" PRIu64 " and seq %" PRIu64,
                 l->loaded, l->last_loaded_line, l->seq);
    else
        snprintf(applied, sizeof(applied), "nothing was applied");
    if (l->error == VIGIL_OK)
        cli_note(cli, "stopped by a signal: %s", applied);
    else if (l->failed_line != 0)
        cli_error(cli, "%s:%" PRIu64 ": %s: %s, nothing from this line on", l->name, l->failed_line,
                  l->reason, applied);
    else
        cli_error(cli, "%s: %s", l->reason, applied);
    if (l->doubt_first != 0)
        cli_note(cli, "whether lines %" PRIu64 " to %" PRIu64 " took effect is not known",
                 l->doubt_first, l->doubt_last);
    /* What the line says is wrong, whatever it is, is an error of the input. */
    return l->failed_line != 0 ? EXIT_ERROR : cli_exit_code(l->error);
}

static int open_input(struct load *l, const char *path)
{
    struct stat status;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? 0 : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return cli_error(l->cli, "cannot read %s: %s", path, strerror(errno));
    l->name = is_stdin ? "standard input" : path;
    line_reader_init(&l->input, fd);
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
        l->input_size = (uint64_t)status.st_size;
    if (load_line_new(&l->line) != ERR_OK)
        return cli_error(l->cli, "out of memory");
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    struct load *l = calloc(1, sizeof(*l));

    (void)values;
    if (l == NULL)
        return cli_error(cli, "out of memory");
    l->cli = cli;
    l->input.fd = -1;
    l->on_terminal = isatty(2) == 1;
    int exit_code = open_input(l, arguments->word_count > 0 ? arguments->words[0] : "-");
    if (exit_code == EXIT_DONE)
        exit_code = cli_connect(cli);
    if (exit_code == EXIT_DONE) {
        l->stop_fd = stop_signal_open();
        transfer(l);
        exit_code = report(l);
        exit_code = cli_finish(cli, exit_code);
        cli->stop_signal = stop_signal_take(l->stop_fd);
    }
    load_line_free(l->line);
    if (l->input.fd > 0)
        close(l->input.fd);
    line_reader_free(&l->input);
    free(l);
    return exit_code;
}

const struct command command_load = {
    .name = "load",
    .words = "[FILE]",
    .words_min = 0,
    .words_max = 1,
    .summary = "applies many mutations, one JSON object a line",
    .text =
        "Reads mutations from FILE or standard input, one JSON object a line, applies them in\n"
        "order, and prints how many there were and the last seq:\n"
        "  {\"key\":\"a\",\"value\":1}             put\n"
        "  {\"op\":\"delete\",\"key\":\"a\"}         delete; done already if there is no such key\n"
        "  {\"op\":\"incr\",\"key\":\"n\",\"by\":-2}   add; by is 1 unless given\n"
        "  {\"txn\":[...]}                    any of these as one record\n"
        "Lines of watch, history and 'ls --values' can be loaded as well. The first line that is\n"
        "no mutation or cannot be applied stops the load: it is named with its number, all lines\n"
        "before it are applied, and none from it on. A server that is lost and comes back within\n"
        "--request-timeout is no end of it: each line is applied once.\n",
    .examples = "  vigil load changes.ndjson\n"
                "  scripts/dpkg-log-to-ndjson | vigil load\n"
                "  vigil ls --values | vigil -s tcp://copy:7117 load\n",
    .options = NULL,
    .option_count = 0,
    .run = run,
};
