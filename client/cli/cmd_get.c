/* cmd_get.c - vigil get KEY. */
#include "client/cli/change_line.h"
#include "client/cli/command.h"
#include "client/cli/json_write.h"

enum { OPTION_META, OPTION_RAW };

static const struct option_spec options[] = {
    {"meta", 0, NULL, "print the value with its seq, created, version and as_of"},
    {"raw", 'r', NULL, "print a string or binary value's bytes as they are"},
};

/* The bytes of a string or of binary, and no newline behind them that is not in it. */
static bool print_raw(struct wire_buffer *out, const vigil_entry *entry)
{
    const char *text = NULL;
    const void *data = NULL;
    size_t size = 0;

    if (vigil_unpack_string(entry->value, entry->size, &text, &size) == VIGIL_OK)
        data = text;
    else if (vigil_unpack_binary(entry->value, entry->size, &data, &size) != VIGIL_OK)
        return false;
    wire_write_raw(out, data, size);
    return true;
}

static int print_entry(struct cli *cli, const vigil_entry *entry, const char *const *values)
{
    struct wire_buffer *out = &cli->out.buffer;
    bool ok = true;

    if (values[OPTION_META] != NULL) {
        ok = change_line_write_entry(out, entry, true);
    } else if (values[OPTION_RAW] == NULL || !print_raw(out, entry)) {
        ok = json_write_value(out, (struct bytes){entry->value, entry->size});
        json_write_raw(out, "\n");
    }
    return ok ? EXIT_DONE : cli_error(cli, "the value of %s is damaged", entry->key);
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *key = arguments->words[0];
    vigil_entry entry;

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_get(cli->connection, key, &entry);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    if (!entry.present) {
        cli_note(cli, "no such key: %s", key);
        return EXIT_NOT_SO;
    }
    return print_entry(cli, &entry, values);
}

const struct command command_get = {
    .name = "get",
    .words = "KEY",
    .words_min = 1,
    .words_max = 1,
    .summary = "prints a key's value",
    .text = "Prints the value of KEY as JSON. Exit code 3 if there is no such key.\n"
            "With --meta, also where it changed last (seq) and first (created), how often it has\n"
            "changed since (version), and the seq as of which this holds (as_of).\n",
    .examples = "  vigil get job/7\n"
                "  vigil get motd --raw\n"
                "  vigil get job/7 --meta | jq .seq\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
