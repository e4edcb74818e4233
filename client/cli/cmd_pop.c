/* cmd_pop.c - vigil pop KEY, vigil pop --any PREFIX. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum { OPTION_ANY, OPTION_META };

static const struct option_spec options[] = {
    {"any", 0, NULL, "KEY is a prefix: take the first key with it, and print that, too"},
    {"meta", 0, NULL, "print key, value, prev_seq and seq as one JSON object"},
};

static int print_entry(struct cli *cli, const vigil_entry *entry, uint64_t seq, bool with_key,
                       bool meta)
{
    struct wire_buffer *out = &cli->out.buffer;

    if (with_key) {
        json_write_raw(out, "{\"key\":");
        json_write_string(out, (struct bytes){(const uint8_t *)entry->key, strlen(entry->key)});
        json_write_raw(out, ",\"value\":");
    }
    if (!json_write_value(out, (struct bytes){entry->value, entry->size}))
        return cli_error(cli, "the value cannot be shown as JSON; %s is deleted", entry->key);
    if (meta) {
        json_write_member(out, ",\"prev_seq\":", entry->modified);
        json_write_member(out, ",\"seq\":", seq);
    }
    json_write_raw(out, with_key ? "}\n" : "\n");
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *name = arguments->words[0];
    bool any = values[OPTION_ANY] != NULL;
    bool meta = values[OPTION_META] != NULL;
    vigil_entry entry;
    uint64_t seq = 0;

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = any ? vigil_pop_any(cli->connection, name, &entry, &seq)
                    : vigil_pop(cli->connection, name, &entry, &seq);
    if (error == VIGIL_OK)
        return print_entry(cli, &entry, seq, any || meta, meta);
    if (error == VIGIL_NOT_FOUND && any) {
        cli_note(cli, "no key with this prefix: %s", name);
        return EXIT_NOT_SO;
    }
    return value_argument_mutation_failure(cli, error, name, &(vigil_result){0, 0, 0});
}

const struct command command_pop = {
    .name = "pop",
    .words = "KEY",
    .words_min = 1,
    .words_max = 1,
    .summary = "deletes a key and prints what it had",
    .text =
        "Deletes KEY and prints its value; exit code 3 if there is no such key. With --any it is\n"
        "the first key, in bytewise order, that begins with KEY, and {\"key\":...,\"value\":...} is\n"
        "printed. No two of these get the same one. Who takes work like that and dies has taken it.\n",
    .examples = "  vigil pop token/7\n"
                "  while job=$(vigil pop --any jobs/); do work \"$job\"; done\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
