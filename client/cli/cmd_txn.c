/* cmd_txn.c - vigil txn [JSON]. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/txn_json.h"
#include "client/cli/value_argument.h"

static const struct option_spec options[] = {
    {"file", 'f', "FILE", "take the transaction from a file (-: standard input)"},
};
enum { OPTION_FILE };

static int commit(struct cli *cli, const struct txn_json *t)
{
    bool succeeded = false;
    uint64_t seq = 0;
    const vigil_txn_result *results = NULL;
    size_t count = 0;

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error =
        vigil_txn_commit(cli->connection, txn_json_txn(t), &succeeded, &seq, &results, &count);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    if (!txn_json_write(t, &cli->out.buffer, succeeded, seq, results, count))
        return cli_error(cli, "a value cannot be shown as JSON; the transaction is done");
    json_write_raw(&cli->out.buffer, "\n");
    return succeeded ? EXIT_DONE : EXIT_NOT_SO;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *file = values[OPTION_FILE] != NULL ? values[OPTION_FILE] : "-";
    const char *word = arguments->word_count > 0 ? arguments->words[0] : "-";
    struct wire_buffer text;
    struct txn_json *t = NULL;
    struct failure failure = {.text = ""};
    int err = EXIT_DONE;

    if (arguments->word_count > 0 && values[OPTION_FILE] != NULL)
        return cli_usage_error(cli, "give the transaction as an argument or with --file");
    wire_buffer_init(&text, VALUE_ARGUMENT_SIZE_MAX);
    if (strcmp(word, "-") == 0) {
        err = value_argument_read_file(cli, file, &text);
    } else {
        file = "the transaction";
        wire_write_raw(&text, word, strlen(word) + 1);
        text.size--;
    }
    if (err == EXIT_DONE && txn_json_new(&t) != ERR_OK)
        err = cli_error(cli, "out of memory");
    if (err == EXIT_DONE &&
        txn_json_parse(t, (struct bytes){text.data, text.size}, &failure) != ERR_OK)
        err = cli_error(cli, "%s: %s", strcmp(file, "-") == 0 ? "standard input" : file,
                        failure.text);
    if (err == EXIT_ERROR && strcmp(word, "-") != 0)
        err = EXIT_USAGE;
    if (err == EXIT_DONE)
        err = commit(cli, t);
    txn_json_free(t);
    wire_buffer_free(&text);
    return err;
}

const struct command command_txn = {
    .name = "txn",
    .words = "[JSON]",
    .words_min = 0,
    .words_max = 1,
    .summary = "compares, then changes, as one atomic step",
    .text =
        "Reads one transaction, from standard input unless given,\n"
        "  {\"if\":[COMPARE...],\"then\":[OPERATION...],\"else\":[OPERATION...]}\n"
        "runs then if all compares hold and else if not, all of it or nothing, as one record, and\n"
        "prints {\"succeeded\":...,\"seq\":...,\"results\":[...]}. Exit code 3 if it was else.\n"
        "\n"
        "Compares: {\"key\":K,\"seq\":N} (where it changed last; 0: absent), {\"key\":K,\"version\":N},\n"
        "  {\"key\":K,\"value\":V}, {\"key\":K,\"not_value\":V}, {\"key\":K,\"exists\":true},\n"
        "  {\"prefix\":P,\"unchanged_since\":SEQ}. N may be {\"<\":N}, {\">\":N}, {\"!=\":N}, {\"=\":N}.\n"
        "Operations: {\"put\":K,\"value\":V} (and \"ttl\":\"30s\"), {\"delete\":K}, {\"get\":K}, {\"pop\":K},\n"
        "  {\"incr\":K,\"by\":N}, {\"append\":K,\"value\":V}, {\"add\":K,\"value\":V},\n"
        "  {\"set_default\":K,\"value\":V}, {\"pop_any\":P}, {\"clear\":P}, {\"count\":P},\n"
        "  {\"list\":P,\"limit\":N}, {\"push\":P,\"value\":V}. K is a key, P a prefix.\n"
        "Each sees what those before it have done, and has one result. The results may have 64 KiB.\n",
    .examples =
        "  vigil txn '{\"if\":[{\"key\":\"lock\",\"exists\":false}],\n"
        "              \"then\":[{\"put\":\"lock\",\"value\":\"me\"},{\"incr\":\"takings\"}],\n"
        "              \"else\":[{\"get\":\"lock\"}]}'\n"
        "  vigil txn '{\"if\":[{\"key\":\"stock/bolts\",\"version\":{\">\":0}}],\n"
        "              \"then\":[{\"incr\":\"stock/bolts\",\"by\":-12},{\"push\":\"orders/\",\"value\":12}]}'\n"
        "  vigil txn --file move.json\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
