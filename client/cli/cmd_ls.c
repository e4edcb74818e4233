/* cmd_ls.c - vigil ls [PREFIX]. */
#include "client/cli/change_line.h"
#include "client/cli/command.h"
#include "client/cli/json_write.h"

enum { OPTION_VALUES, OPTION_JSON };
enum { FLUSH_SIZE = 1 << 18 };

static const struct option_spec options[] = {
    {"values", 0, NULL, "one JSON object a line: key, value, seq, created, version, as_of"},
    {"json", 0, NULL, "the same without the values"},
};

struct listing {
    struct cli *cli;
    bool as_json;
    bool with_values;
    enum output_result result;
    bool damaged;
};

/* A name that would not fit a line as it is, or looks like a quoted one. */
static bool needs_quotes(const char *key)
{
    if (*key == '"')
        return true;
    for (; *key != '\0'; key++)
        if ((unsigned char)*key < 0x20 || *key == 0x7f)
            return true;
    return false;
}

static bool print_entry(void *context, const vigil_entry *entry)
{
    struct listing *listing = context;
    struct wire_buffer *out = &listing->cli->out.buffer;

    if (listing->as_json) {
        listing->damaged = !change_line_write_entry(out, entry, listing->with_values);
        if (listing->damaged)
            return false;
    } else {
        struct bytes key = {(const uint8_t *)entry->key, strlen(entry->key)};
        if (needs_quotes(entry->key))
            json_write_string(out, key);
        else
            wire_write_raw(out, key.data, key.size);
        wire_write_u8(out, '\n');
    }
    if (out->size >= FLUSH_SIZE)
        listing->result = output_flush(&listing->cli->out);
    return listing->result == OUTPUT_OK;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *prefix = arguments->word_count > 0 ? arguments->words[0] : "";
    struct listing listing = {
        .cli = cli,
        .as_json = values[OPTION_VALUES] != NULL || values[OPTION_JSON] != NULL,
        .with_values = values[OPTION_VALUES] != NULL,
    };
    uint64_t seq = 0;

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error =
        vigil_list(cli->connection, prefix, listing.with_values, 0, print_entry, &listing, &seq);
    if (listing.damaged)
        return cli_error(cli, "a value is damaged");
    /* cli_finish flushes again, and says what is wrong with the output. */
    if (error == VIGIL_OK || listing.result != OUTPUT_OK)
        return EXIT_DONE;
    return cli_failure(cli, error);
}

const struct command command_ls = {
    .name = "ls",
    .words = "[PREFIX]",
    .words_min = 0,
    .words_max = 1,
    .summary = "lists keys",
    .text =
        "Prints the keys that start with PREFIX, one a line, in bytewise order, as they were at\n"
        "one seq. A key with control characters, or with a double quote at its start, is\n"
        "printed as a JSON string. With --values or --json each line is one JSON object, whose\n"
        "as_of is that seq: 'watch --since' it to go on from there.\n",
    .examples = "  vigil ls\n"
                "  vigil ls job/ --values | jq -r 'select(.value.state == \"failed\") | .key'\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
