/* cmd_incr.c - vigil incr KEY [BY]. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/position.h"
#include "client/cli/value_argument.h"

enum { OPTION_META };

static const struct option_spec options[] = {
    {"meta", 0, NULL, "print value, seq and version as one JSON object"},
};

static bool parse_i64(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    uint64_t magnitude = 0;

    if (!position_parse_u64(text + (negative || *text == '+'), &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = (int64_t)(negative ? 0 - magnitude : magnitude);
    return true;
}

static void print_result(struct wire_buffer *out, struct bytes value, const vigil_result *result,
                         bool meta)
{
    if (!meta) {
        json_write_value(out, value);
        json_write_raw(out, "\n");
        return;
    }
    json_write_raw(out, "{\"value\":");
    json_write_value(out, value);
    json_write_member(out, ",\"seq\":", result->seq);
    json_write_member(out, ",\"version\":", result->version);
    json_write_raw(out, "}\n");
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *key = arguments->words[0];
    int64_t by = 1;
    const void *value = NULL;
    size_t size = 0;
    vigil_result result = {0, 0, 0};

    if (arguments->word_count == 2 && !parse_i64(arguments->words[1], &by))
        return cli_usage_error(cli, "BY is a whole number of 64 bits, not '%s'",
                               arguments->words[1]);
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_incr(cli->connection, key, by, NULL, &value, &size, &result);
    if (error != VIGIL_OK)
        return value_argument_mutation_failure(cli, error, key, &result);
    print_result(&cli->out.buffer, (struct bytes){value, size}, &result,
                 values[OPTION_META] != NULL);
    return EXIT_DONE;
}

const struct command command_incr = {
    .name = "incr",
    .words = "KEY [BY]",
    .words_min = 1,
    .words_max = 2,
    .summary = "adds to a number",
    .text =
        "Adds BY (default 1, may be negative) to the integer at KEY, which counts as 0 if it is\n"
        "absent, and prints the new value. No two of these get the same one.\n",
    .examples = "  vigil incr tickets\n"
                "  vigil incr stock/bolts -12\n"
                "  vigil incr tickets --meta\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
