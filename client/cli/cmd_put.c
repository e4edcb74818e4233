/* cmd_put.c - vigil put KEY JSON. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum {
    OPTION_IF_SEQ,
    OPTION_IF_ABSENT,
    OPTION_IF_VALUE,
    OPTION_STRING,
    OPTION_BINARY,
    OPTION_FILE,
    OPTION_META
};

static const struct option_spec options[] = {
    {"if-seq", 0, "N", "only if the key was changed last at seq N (0: only if absent)"},
    {"if-absent", 0, NULL, "only if there is no such key"},
    {"if-value", 0, "JSON", "only if the key has exactly this value"},
    {"string", 0, NULL, "the value is text, to be taken as it is"},
    {"binary", 0, NULL, "the value is bytes, to be taken as they are"},
    {"file", 'f', "FILE", "take the value from a file (-: standard input)"},
    {"meta", 0, NULL, "print seq, prev_seq and version as one JSON object"},
};

static void print_result(struct wire_buffer *out, const vigil_result *result, bool meta)
{
    if (meta) {
        json_write_member(out, "{\"seq\":", result->seq);
        json_write_member(out, ",\"prev_seq\":", result->prev_seq);
        json_write_member(out, ",\"version\":", result->version);
        json_write_raw(out, "}\n");
    } else {
        json_write_u64(out, result->seq);
        json_write_raw(out, "\n");
    }
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *key = arguments->words[0];
    struct wire_buffer value;
    struct wire_buffer condition_value;
    vigil_condition condition;
    vigil_result result = {0, 0, 0};

    wire_buffer_init(&value, VALUE_ARGUMENT_SIZE_MAX);
    wire_buffer_init(&condition_value, VALUE_ARGUMENT_SIZE_MAX);
    int err = value_argument_condition(cli, values[OPTION_IF_SEQ], values[OPTION_IF_ABSENT],
                                       values[OPTION_IF_VALUE], &condition_value, &condition);
    if (err == EXIT_DONE)
        err = value_argument_read(cli, arguments->word_count == 2 ? arguments->words[1] : NULL,
                                  values[OPTION_FILE], values[OPTION_STRING], values[OPTION_BINARY],
                                  &value);
    if (err == EXIT_DONE)
        err = cli_connect(cli);
    if (err != EXIT_DONE)
        goto out;
    int error = vigil_put(cli->connection, key, value.data, value.size, &condition, &result);
    if (error == VIGIL_OK)
        print_result(&cli->out.buffer, &result, values[OPTION_META] != NULL);
    else
        err = value_argument_mutation_failure(cli, error, key, &result);
out:
    wire_buffer_free(&value);
    wire_buffer_free(&condition_value);
    return err;
}

const struct command command_put = {
    .name = "put",
    .words = "KEY [JSON]",
    .words_min = 1,
    .words_max = 2,
    .summary = "sets a key to a value",
    .text =
        "Sets KEY to the value and prints the seq of the change. By then it is durable, and on\n"
        "its way to every watcher. JSON may be - for standard input.\n"
        "Several keys at once, all or none: 'vigil txn', or a line {\"txn\":[...]} of 'vigil load'.\n"
        "With an --if- option that does not hold, nothing is done, and the exit code is 3.\n",
    .examples = "  vigil put job/7 '{\"state\":\"queued\",\"tries\":0}'\n"
                "  vigil put motd --string 'Back at nine'\n"
                "  vigil put config/web --file web.json\n"
                "  vigil put lock/build --if-absent \"$$\"\n"
                "  vigil put job/7 '\"running\"' --if-seq 1042\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
