/* cmd_clear.c - vigil clear PREFIX, vigil count [PREFIX]: all keys with a prefix. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"

enum { OPTION_META };

static const struct option_spec options[] = {
    {"meta", 0, NULL, "print count and seq as one JSON object"},
};

static void print_count(struct cli *cli, uint64_t count, uint64_t seq, bool meta)
{
    struct wire_buffer *out = &cli->out.buffer;

    if (meta) {
        json_write_member(out, "{\"count\":", count);
        json_write_member(out, ",\"seq\":", seq);
        json_write_raw(out, "}\n");
    } else {
        json_write_u64(out, count);
        json_write_raw(out, "\n");
    }
}

static int run_clear(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    uint64_t count = 0;
    uint64_t seq = 0;

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_clear(cli->connection, arguments->words[0], &count, &seq);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    print_count(cli, count, seq, values[OPTION_META] != NULL);
    return EXIT_DONE;
}

static int run_count(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *prefix = arguments->word_count > 0 ? arguments->words[0] : "";
    uint64_t count = 0;
    uint64_t seq = 0;

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_count(cli->connection, prefix, 0, &count, &seq);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    print_count(cli, count, seq, values[OPTION_META] != NULL);
    return EXIT_DONE;
}

const struct command command_clear = {
    .name = "clear",
    .words = "PREFIX",
    .words_min = 1,
    .words_max = 1,
    .summary = "deletes all keys with a prefix",
    .text =
        "Deletes all keys that begin with PREFIX, at most 10000, as one record, and prints how many\n"
        "they were. It does not ask: 'vigil count PREFIX' counts them before.\n",
    .examples = "  vigil clear jobs/\n"
                "  vigil clear ''    # everything\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run_clear,
};

const struct command command_count = {
    .name = "count",
    .words = "[PREFIX]",
    .words_min = 0,
    .words_max = 1,
    .summary = "counts the keys with a prefix, or all",
    .text = "Prints how many keys begin with PREFIX. Without it, how many there are.\n",
    .examples = "  vigil count\n"
                "  vigil count jobs/\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run_count,
};
