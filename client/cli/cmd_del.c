/* cmd_del.c - vigil del KEY. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum { OPTION_IF_SEQ, OPTION_IF_VALUE, OPTION_META };

static const struct option_spec options[] = {
    {"if-seq", 0, "N", "only if the key was changed last at seq N"},
    {"if-value", 0, "JSON", "only if the key has exactly this value"},
    {"meta", 0, NULL, "print seq and prev_seq as one JSON object"},
};

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *key = arguments->words[0];
    struct wire_buffer *out = &cli->out.buffer;
    struct wire_buffer condition_value;
    vigil_condition condition;
    vigil_result result = {0, 0, 0};

    wire_buffer_init(&condition_value, VALUE_ARGUMENT_SIZE_MAX);
    int err = value_argument_condition(cli, values[OPTION_IF_SEQ], NULL, values[OPTION_IF_VALUE],
                                       &condition_value, &condition);
    if (err == EXIT_DONE)
        err = cli_connect(cli);
    if (err != EXIT_DONE)
        goto out;
    int error = vigil_delete(cli->connection, key, &condition, &result);
    if (error != VIGIL_OK) {
        err = value_argument_mutation_failure(cli, error, key, &result);
        goto out;
    }
    if (values[OPTION_META] != NULL) {
        json_write_member(out, "{\"seq\":", result.seq);
        json_write_member(out, ",\"prev_seq\":", result.prev_seq);
        json_write_raw(out, "}\n");
    } else {
        json_write_u64(out, result.seq);
        json_write_raw(out, "\n");
    }
out:
    wire_buffer_free(&condition_value);
    return err;
}

const struct command command_del = {
    .name = "del",
    .words = "KEY",
    .words_min = 1,
    .words_max = 1,
    .summary = "deletes a key",
    .text =
        "Deletes KEY and prints the seq of the change. Exit code 3 if there is no such key, or\n"
        "if an --if- option does not hold.\n",
    .examples = "  vigil del job/7\n"
                "  vigil del lock/build --if-value \"$$\"\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
