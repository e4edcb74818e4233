/* cmd_elect.c - vigil elect NAME [VALUE]. */
#define _GNU_SOURCE
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/place_in_line.h"
#include "client/cli/stop_signal.h"
#include "client/cli/value_argument.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

enum { OPTION_STRING, OPTION_TTL, OPTION_TIMEOUT };

static const struct option_spec options[] = {
    {"string", 0, NULL, "VALUE is a string as it stands, not JSON"},
    {"ttl", 0, "DUR", "how long a leader that has died or is stopped stays the leader (10s)"},
    {"timeout", 0, "DUR", "end with exit code 4 if it is not the leader by then"},
};

static void print_leader(struct cli *cli, const char *name, struct bytes value, uint64_t seq)
{
    struct wire_buffer *out = &cli->out.buffer;
    json_write_raw(out, "{\"election\":");
    json_write_string(out, (struct bytes){(const uint8_t *)name, strlen(name)});
    json_write_raw(out, ",\"value\":");
    (void)json_write_value(out, value);
    json_write_member(out, ",\"seq\":", seq);
    json_write_raw(out, "}\n");
}

static int show(struct cli *cli, const char *name)
{
    uint64_t seq;
    void *value;
    size_t size;
    int error = vigil_elected(cli->connection, name, &seq, &value, &size);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    print_leader(cli, name, (struct bytes){value, size}, seq);
    free(value);
    return EXIT_DONE;
}

/* Leads until it is told to end, or has lost the lead. */
static int lead(struct cli *cli, vigil_lock *place, int stop_fd)
{
    struct pollfd wait = {.fd = stop_fd, .events = POLLIN};
    int err = cli_finish(cli, EXIT_DONE);
    while (err == EXIT_DONE && poll(&wait, 1, place_look_ms(place)) <= 0) {
        if (!place_is_held(cli, place))
            return EXIT_ERROR;
    }
    return err;
}

static int campaign(struct cli *cli, const char *name, struct bytes value, int ttl_ms,
                    int timeout_ms)
{
    vigil_lock *place = NULL;
    int stop_fd = stop_signal_open();
    if (stop_fd < 0)
        return cli_error(cli, "cannot wait for signals: %s", strerror(errno));
    int error =
        vigil_elect_enter(cli->connection, name, value.data, value.size, (uint32_t)ttl_ms, &place);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    int err = place_wait_first(cli, place, stop_fd, timeout_ms);
    if (err == EXIT_DONE) {
        print_leader(cli, name, value, vigil_lock_seq(place));
        err = lead(cli, place, stop_fd);
    }
    vigil_lock_release(place);
    return err;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    struct wire_buffer value;
    int ttl_ms = PLACE_TTL_MS;
    int timeout_ms = -1;
    wire_buffer_init(&value, VALUE_ARGUMENT_SIZE_MAX);
    int err = cli_read_duration(cli, "ttl", values[OPTION_TTL], &ttl_ms);
    if (err == EXIT_DONE)
        err = cli_read_duration(cli, "timeout", values[OPTION_TIMEOUT], &timeout_ms);
    if (err == EXIT_DONE && arguments->word_count == 2)
        err = value_argument_read(cli, arguments->words[1], NULL, values[OPTION_STRING], NULL,
                                  &value);
    if (err == EXIT_DONE)
        err = cli_connect(cli);
    if (err == EXIT_DONE)
        err = arguments->word_count == 1
                  ? show(cli, arguments->words[0])
                  : campaign(cli, arguments->words[0], (struct bytes){value.data, value.size},
                             ttl_ms, timeout_ms);
    wire_buffer_free(&value);
    return err;
}

const struct command command_elect = {
    .name = "elect",
    .words = "NAME [VALUE]",
    .words_min = 1,
    .words_max = 2,
    .summary = "becomes the leader, or shows who is",
    .text =
        "Stands in the election NAME with VALUE. Once it leads it prints one line (election, value,\n"
        "seq), and leads until it is told to end (SIGINT, SIGTERM; exit code 0) or has lost the\n"
        "lead (exit code 1): because it was stopped, or the server could not be reached, for\n"
        "longer than --ttl. seq grows from leader to leader: whoever is written to can refuse a\n"
        "smaller one than it has seen. Without VALUE it shows the present leader; exit code 3 if\n"
        "there is none. The candidates can be seen: vigil ls 'election/*'.\n",
    .examples = "  vigil elect scheduler '{\"host\":\"a\",\"port\":7000}'\n"
                "  vigil elect scheduler --string \"$HOSTNAME\" --timeout 1m\n"
                "  vigil elect scheduler\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
