/* cmd_setdefault.c - vigil setdefault KEY JSON. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum { OPTION_META = VALUE_OPTIONS };

static const struct option_spec options[] = {
    VALUE_OPTION_SPECS,
    {"meta", 0, NULL, "print value, seq and put as one JSON object"},
};

static int print_entry(struct cli *cli, const vigil_entry *entry, bool was_put, bool meta)
{
    struct wire_buffer *out = &cli->out.buffer;

    if (meta)
        json_write_raw(out, "{\"value\":");
    if (!json_write_value(out, (struct bytes){entry->value, entry->size}))
        return cli_error(cli, "the value cannot be shown as JSON");
    if (meta) {
        json_write_member(out, ",\"seq\":", was_put ? entry->seq : entry->modified);
        json_write_raw(out, was_put ? ",\"put\":true}" : ",\"put\":false}");
    }
    json_write_raw(out, "\n");
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *key = arguments->words[0];
    struct wire_buffer value;
    vigil_entry entry;
    bool was_put = false;

    int err = value_argument_begin(cli, arguments, values, &value);
    if (err != EXIT_DONE)
        goto out;
    int error = vigil_set_default(cli->connection, key, value.data, value.size, &was_put, &entry);
    if (error == VIGIL_OK)
        err = print_entry(cli, &entry, was_put, values[OPTION_META] != NULL);
    else
        err = value_argument_mutation_failure(cli, error, key, &(vigil_result){0, 0, 0});
out:
    wire_buffer_free(&value);
    return err;
}

const struct command command_setdefault = {
    .name = "setdefault",
    .words = "KEY [JSON]",
    .words_min = 1,
    .words_max = 2,
    .summary = "sets a key if there is none, and prints its value",
    .text =
        "Sets KEY to the value if it is absent, and prints the value that it then has: its own if\n"
        "it had one.\n",
    .examples = "  vigil setdefault config/web '{\"port\":8080}'\n"
                "  vigil setdefault leader \"\\\"$HOSTNAME\\\"\" --meta\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
