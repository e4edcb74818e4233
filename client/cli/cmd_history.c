/* cmd_history.c - vigil history KEY. */
#include "client/cli/change_line.h"
#include "client/cli/command.h"

#include <inttypes.h>

enum { FLUSH_SIZE = 1 << 18 };

struct history {
    struct cli *cli;
    uint64_t first_seq; /* 0: none printed */
    enum output_result result;
    bool damaged;
};

static bool print_record(void *context, const vigil_record *record)
{
    struct history *history = context;
    struct output *out = &history->cli->out;

    if (history->first_seq == 0)
        history->first_seq = record->seq;
    history->damaged = !change_line_write_record(&out->buffer, record);
    if (history->damaged)
        return false;
    if (out->buffer.size >= FLUSH_SIZE)
        history->result = output_flush(out);
    return history->result == OUTPUT_OK;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *key = arguments->words[0];
    struct history history = {.cli = cli};
    bool complete = false;

    (void)values;
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_history(cli->connection, key, 0, print_record, &history, &complete);
    if (history.damaged)
        return cli_error(cli, "a value is damaged");
    if (history.result != OUTPUT_OK)
        return EXIT_DONE; /* cli_finish says what is wrong with the output */
    if (error != VIGIL_OK && error != VIGIL_NOT_FOUND)
        return cli_failure(cli, error);
    if (history.first_seq == 0) {
        cli_note(cli, "the journal has no change of %s", key);
        return EXIT_NOT_SO;
    }
    if (!complete)
        cli_note(cli, "changes of %s before seq %" PRIu64 " are no longer in the journal", key,
                 history.first_seq);
    return EXIT_DONE;
}

const struct command command_history = {
    .name = "history",
    .words = "KEY",
    .words_min = 1,
    .words_max = 1,
    .summary = "prints all retained changes of a key",
    .text = "Prints one change line for each change of KEY that the journal still has, oldest\n"
            "first, as 'watch' does. Says on standard error if the beginning has been compacted.\n"
            "Exit code 3 if there is none.\n",
    .examples = "  vigil history job/7\n"
                "  vigil history pkg/libc6:amd64 | jq -r '.time + \" \" + .value'\n",
    .options = NULL,
    .option_count = 0,
    .run = run,
};
