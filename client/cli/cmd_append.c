/* cmd_append.c - vigil append KEY JSON, vigil add KEY JSON: elements of an array. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum { OPTION_META = VALUE_OPTIONS };

static const struct option_spec options[] = {
    VALUE_OPTION_SPECS,
    {"meta", 0, NULL, "print length and seq (and added) as one JSON object"},
};

static void print_length(struct wire_buffer *out, uint64_t length, uint64_t seq, const bool *added,
                         bool meta)
{
    if (!meta) {
        json_write_u64(out, length);
        json_write_raw(out, "\n");
        return;
    }
    json_write_member(out, "{\"length\":", length);
    json_write_member(out, ",\"seq\":", seq);
    if (added != NULL)
        json_write_raw(out, *added ? ",\"added\":true" : ",\"added\":false");
    json_write_raw(out, "}\n");
}

static int run_either(struct cli *cli, const struct arguments *arguments, const char *const *values,
                      bool unless_in_it)
{
    const char *key = arguments->words[0];
    struct wire_buffer value;
    uint64_t length = 0;
    uint64_t seq = 0;
    bool added = true;
    int error;

    int err = value_argument_begin(cli, arguments, values, &value);
    if (err != EXIT_DONE)
        goto out;
    if (unless_in_it)
        error = vigil_add(cli->connection, key, value.data, value.size, &added, &length, &seq);
    else
        error = vigil_append(cli->connection, key, value.data, value.size, &length, &seq);
    if (error == VIGIL_OK)
        print_length(&cli->out.buffer, length, seq, unless_in_it ? &added : NULL,
                     values[OPTION_META] != NULL);
    else
        err = value_argument_mutation_failure(cli, error, key, &(vigil_result){0, 0, 0});
out:
    wire_buffer_free(&value);
    return err;
}

static int run_append(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    return run_either(cli, arguments, values, false);
}

static int run_add(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    return run_either(cli, arguments, values, true);
}

const struct command command_append = {
    .name = "append",
    .words = "KEY [JSON]",
    .words_min = 1,
    .words_max = 2,
    .summary = "adds an element to the end of an array",
    .text =
        "Appends the value to the array at KEY as one element more, and prints the new length. An\n"
        "absent key counts as []. To a string a string is appended, to bytes bytes.\n",
    .examples = "  vigil append log/today '{\"who\":\"ann\",\"did\":\"deploy\"}'\n"
                "  vigil append notes --string ' and so on'\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run_append,
};

const struct command command_add = {
    .name = "add",
    .words = "KEY [JSON]",
    .words_min = 1,
    .words_max = 2,
    .summary = "adds an element to an array that serves as a set",
    .text =
        "Adds the value to the array at KEY, unless an equal one is in it, and prints how many it\n"
        "then has. An absent key counts as [].\n",
    .examples = "  vigil add members '\"ann\"'\n"
                "  vigil add members --string ann --meta\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run_add,
};
