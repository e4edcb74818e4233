/* command.c - what the commands have in common; see command.h. */
#include "client/cli/command.h"

#include "client/cli/duration.h"
#include "client/cli/position.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One write for the whole line, so that lines of several processes do not mix. */
static void print_line(const struct cli *cli, const char *hint, const char *format,
                       va_list arguments) __attribute__((format(printf, 3, 0)));

static void print_line(const struct cli *cli, const char *hint, const char *format,
                       va_list arguments)
{
    char text[1536];

    vsnprintf(text, sizeof(text), format, arguments);
    for (char *p = text; *p != '\0'; p++)
        if (*p == '\n')
            *p = ' ';
    const char *name = cli->command != NULL ? cli->command->name : "";
    fprintf(stderr, "vigil: %s%s%s%s%s\n", name, *name != '\0' ? ": " : "", text,
            hint != NULL ? ": " : "", hint != NULL ? hint : "");
}

int cli_usage_error(const struct cli *cli, const char *format, ...)
{
    char hint[64];
    va_list arguments;

    snprintf(hint, sizeof(hint), "see 'vigil help%s%s'", cli->command != NULL ? " " : "",
             cli->command != NULL ? cli->command->name : "");
    va_start(arguments, format);
    print_line(cli, hint, format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

int cli_error(const struct cli *cli, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(cli, NULL, format, arguments);
    va_end(arguments);
    return EXIT_ERROR;
}

void cli_note(const struct cli *cli, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(cli, NULL, format, arguments);
    va_end(arguments);
}

int cli_exit_code(int error)
{
    switch (error) {
    case VIGIL_OK:
        return EXIT_DONE;
    case VIGIL_NOT_FOUND:
    case VIGIL_CONFLICT:
        return EXIT_NOT_SO;
    case VIGIL_TIMEOUT:
        return EXIT_TIMED_OUT;
    case VIGIL_COMPACTED:
    case VIGIL_EPOCH_CHANGED:
    case VIGIL_POSITION_AHEAD:
        return EXIT_POSITION;
    case VIGIL_DISCONNECTED:
    case VIGIL_STOPPING:
        return EXIT_UNREACHABLE;
    default:
        return EXIT_ERROR;
    }
}

/* What to do next, where the sentence of the failure does not say it already. */
static const char *hint_for(int error)
{
    switch (error) {
    case VIGIL_DISCONNECTED:
        return "is vigild running there? -s ENDPOINT or VIGIL_SERVER names another server";
    case VIGIL_TIMEOUT:
        return "--request-timeout gives the server more time";
    case VIGIL_NO_SPACE:
        return "free space on the server's disk, or discard old records with 'vigil compact'";
    case VIGIL_VERSION:
        return "use a vigil of the server's version";
    case VIGIL_LOCKED:
        return "stop the server that uses it, or work on a copy";
    case VIGIL_STOPPING:
        return "try again when it has started";
    default:
        return NULL;
    }
}

static void print_failure(const struct cli *cli, const char *hint, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void print_failure(const struct cli *cli, const char *hint, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    print_line(cli, hint, format, arguments);
    va_end(arguments);
}

/* A function's failure keeps its lines: message, then traceback. */
static void print_function_failure(const struct cli *cli, const char *text)
{
    fprintf(stderr, "vigil: %s: %s\n", cli->command->name, text);
}

int cli_failure(const struct cli *cli, int error)
{
    const char *text = vigil_failure_text(cli->connection);

    if (text == NULL || *text == '\0')
        text = vigil_error_text(error);
    if (error == VIGIL_SCRIPT) {
        print_function_failure(cli, text);
        return cli_exit_code(error);
    }
    print_failure(cli, hint_for(error), "%s", text);
    return cli_exit_code(error);
}

int cli_position_failure(const struct cli *cli, int error, vigil_position position,
                         uint64_t server_epoch, uint64_t head, uint64_t oldest)
{
    switch (error) {
    case VIGIL_COMPACTED:
        print_failure(cli, "--since oldest shows what there still is",
                      "COMPACTED: what comes after seq=%" PRIu64 " is no longer whole, the journal "
                      "has oldest=%" PRIu64 " head=%" PRIu64 " epoch=%016" PRIx64,
                      position.seq, oldest, head, server_epoch);
        break;
    case VIGIL_EPOCH_CHANGED:
        print_failure(cli,
                      "the journal was replaced, seqs of the old one mean nothing in it; start "
                      "with --since oldest, or without the old cursor file",
                      "EPOCH_CHANGED: the position is of epoch=%016" PRIx64 " seq=%" PRIu64
                      ", the server's journal of epoch=%016" PRIx64 " oldest=%" PRIu64
                      " head=%" PRIu64,
                      position.epoch, position.seq, server_epoch, oldest, head);
        break;
    case VIGIL_POSITION_AHEAD:
        print_failure(cli, "is this the right server? --since now starts at its head",
                      "POSITION_AHEAD: seq=%" PRIu64
                      " is beyond the newest record, the journal has "
                      "oldest=%" PRIu64 " head=%" PRIu64 " epoch=%016" PRIx64,
                      position.seq, oldest, head, server_epoch);
        break;
    default:
        return cli_failure(cli, error);
    }
    return EXIT_POSITION;
}

int cli_connect(struct cli *cli)
{
    vigil_options options = VIGIL_OPTIONS_INIT;

    options.endpoint = cli->endpoint;
    options.connect_timeout_ms = cli->connect_timeout_ms;
    options.request_timeout_ms = cli->request_timeout_ms;
    options.client_name = "vigil";
    int err = vigil_open(&options, &cli->connection);
    return err == VIGIL_OK ? EXIT_DONE : cli_failure(cli, err);
}

int cli_finish(struct cli *cli, int exit_code)
{
    if (cli->stop_signal != 0)
        return exit_code;
    switch (output_flush(&cli->out)) {
    case OUTPUT_FAILED:
        return cli_error(cli, "cannot write to standard output: %s", strerror(errno));
    case OUTPUT_OK:
    case OUTPUT_CLOSED: /* the reader has what it wanted */
    case OUTPUT_INTERRUPTED:
        break;
    }
    return exit_code;
}

int cli_read_u64(const struct cli *cli, const char *option, const char *text, uint64_t *ret)
{
    if (text == NULL || position_parse_u64(text, ret))
        return EXIT_DONE;
    return cli_usage_error(cli, "--%s takes a whole number from 0 to 2^64-1, not '%s'", option,
                           text);
}

int cli_read_duration(const struct cli *cli, const char *option, const char *text, int *ret_ms)
{
    if (text == NULL || duration_parse(text, ret_ms))
        return EXIT_DONE;
    return cli_usage_error(
        cli, "--%s takes a duration such as 10s, 500ms, 2m or forever (at most 24 days), not '%s'",
        option, text);
}
