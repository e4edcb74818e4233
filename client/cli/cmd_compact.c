/* cmd_compact.c - vigil compact --before N. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"

#include <inttypes.h>

enum { OPTION_BEFORE, OPTION_TIMEOUT };

static const struct option_spec options[] = {
    {"before", 0, "N", "discard the records before seq N"},
    {"timeout", 0, "DUR", "how long to wait until they are gone (default 1m)"},
};

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    uint64_t before = 0;
    uint64_t oldest = 0;
    int timeout_ms = 60000;

    (void)arguments;
    if (values[OPTION_BEFORE] == NULL)
        return cli_usage_error(cli, "--before N is missing");
    int err = cli_read_u64(cli, "before", values[OPTION_BEFORE], &before);
    if (err == EXIT_DONE)
        err = cli_read_duration(cli, "timeout", values[OPTION_TIMEOUT], &timeout_ms);
    if (err == EXIT_DONE)
        err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_compact(cli->connection, before, timeout_ms, &oldest);
    if (error == VIGIL_POSITION_AHEAD) {
        vigil_info info;
        vigil_get_info(cli->connection, &info);
        cli_note(cli,
                 "seq %" PRIu64 " is beyond the newest record, which always stays: head=%" PRIu64
                 " oldest=%" PRIu64,
                 before, info.head, info.oldest);
        return EXIT_POSITION;
    }
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    json_write_u64(&cli->out.buffer, oldest);
    json_write_raw(&cli->out.buffer, "\n");
    return EXIT_DONE;
}

const struct command command_compact = {
    .name = "compact",
    .words = "--before N",
    .words_min = 0,
    .words_max = 0,
    .summary = "discards old records",
    .text =
        "Discards the journal's records before seq N and prints the seq of the oldest one that\n"
        "is left. The present state stays. A watcher that still needs what is gone gets exit\n"
        "code 5. The newest record always stays: with N beyond it, nothing is done.\n",
    .examples = "  vigil compact --before 100000\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
