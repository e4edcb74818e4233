/* cmd_push.c - vigil push PREFIX JSON. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum { OPTION_META = VALUE_OPTIONS };

static const struct option_spec options[] = {
    VALUE_OPTION_SPECS,
    {"meta", 0, NULL, "print key and seq as one JSON object"},
};

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *prefix = arguments->words[0];
    struct wire_buffer *out = &cli->out.buffer;
    struct wire_buffer value;
    const char *key = NULL;
    uint64_t seq = 0;

    int err = value_argument_begin(cli, arguments, values, &value);
    if (err != EXIT_DONE)
        goto out;
    int error = vigil_push(cli->connection, prefix, value.data, value.size, &key, &seq);
    if (error != VIGIL_OK) {
        err = cli_failure(cli, error);
        goto out;
    }
    if (values[OPTION_META] != NULL) {
        json_write_raw(out, "{\"key\":");
        json_write_string(out, (struct bytes){(const uint8_t *)key, strlen(key)});
        json_write_member(out, ",\"seq\":", seq);
        json_write_raw(out, "}\n");
    } else {
        json_write_raw(out, key);
        json_write_raw(out, "\n");
    }
out:
    wire_buffer_free(&value);
    return err;
}

const struct command command_push = {
    .name = "push",
    .words = "PREFIX [JSON]",
    .words_min = 1,
    .words_max = 2,
    .summary = "puts a value at a new key that sorts by time",
    .text =
        "Puts the value at a new key, PREFIX and behind it what sorts by the time of the push, and\n"
        "prints the key. 'vigil pop --any PREFIX' takes the oldest: a queue.\n",
    .examples = "  vigil push jobs/ '{\"file\":\"a.mkv\"}'\n"
                "  vigil pop --any jobs/\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
