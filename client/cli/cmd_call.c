/* cmd_call.c - vigil call NAME|-f FILE [ARG]... */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum { OPTION_FILE, OPTION_STRING, OPTION_META };

static const struct option_spec options[] = {
    {"file", 'f', "FILE", "the function is in a file (-: standard input), not a stored one"},
    {"string", 0, NULL, "the ARGs are text, to be taken as they are"},
    {"meta", 0, NULL, "print value and seq as one JSON object"},
};

/* The array's head, then each word's value. */
static int pack_arguments(const struct cli *cli, const char *const *words, size_t count,
                          enum value_form form, struct wire_buffer *out)
{
    int err = EXIT_DONE;
    if (count < 16) {
        wire_write_u8(out, (uint8_t)(0x90 | count));
    } else {
        wire_write_u8(out, 0xdc);
        wire_write_u8(out, (uint8_t)(count >> 8));
        wire_write_u8(out, (uint8_t)count);
    }
    for (size_t i = 0; i < count && err == EXIT_DONE; i++) {
        struct bytes word = {(const uint8_t *)words[i], strlen(words[i])};
        err = value_argument_parse(cli, "an argument", word, form, EXIT_USAGE, out);
    }
    return err;
}

static void print_result(struct wire_buffer *out, struct bytes value, uint64_t seq, bool meta)
{
    if (meta)
        json_write_raw(out, "{\"value\":");
    json_write_value(out, value);
    if (meta) {
        json_write_member(out, ",\"seq\":", seq);
        json_write_raw(out, "}");
    }
    json_write_raw(out, "\n");
}

static int call(struct cli *cli, const vigil_function *function, struct bytes arguments, bool meta)
{
    const void *value = NULL;
    size_t size = 0;
    uint64_t seq = 0;
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error =
        vigil_call(cli->connection, function, arguments.data, arguments.size, &value, &size, &seq);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    print_result(&cli->out.buffer, (struct bytes){value, size}, seq, meta);
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *file = values[OPTION_FILE];
    enum value_form form = values[OPTION_STRING] != NULL ? VALUE_STRING : VALUE_JSON;
    size_t first = file == NULL ? 1 : 0; /* of the ARGs */
    vigil_function function = {.name = file == NULL ? arguments->words[0] : NULL};
    struct wire_buffer source;
    struct wire_buffer packed;

    if (arguments->word_count < first)
        return cli_usage_error(cli, "name a function, or give one with --file");
    wire_buffer_init(&source, VALUE_ARGUMENT_SIZE_MAX);
    wire_buffer_init(&packed, VALUE_ARGUMENT_SIZE_MAX);
    int err =
        pack_arguments(cli, arguments->words + first, arguments->word_count - first, form, &packed);
    if (err == EXIT_DONE && file != NULL) {
        err = value_argument_read_file(cli, file, &source);
        function.source = source.data != NULL ? (const char *)source.data : "";
        function.source_size = source.size;
    }
    if (err == EXIT_DONE)
        err = call(cli, &function, (struct bytes){packed.data, packed.size},
                   values[OPTION_META] != NULL);
    wire_buffer_free(&source);
    wire_buffer_free(&packed);
    return err;
}

const struct command command_call = {
    .name = "call",
    .words = "NAME|-f FILE [ARG]...",
    .words_min = 0,
    .words_max = WORDS_MAX,
    .summary = "runs a function in Lua on the state",
    .text =
        "Runs a stored function ('vigil function put'), or that of a file, at the server: alone, on\n"
        "the state, all or nothing. Its ARGs are JSON, in args[1] and so on. It has get(key),\n"
        "put(key, value), delete(key), incr(key, by), list(prefix) and Lua's string, table, math and\n"
        "utf8. Prints what it returns as JSON. If it fails, nothing has changed; the message and the\n"
        "traceback go to standard error, and the exit code is 1.\n",
    .examples = "  vigil call transfer '\"alice\"' '\"bob\"' 20\n"
                "  vigil call --string greet Alice\n"
                "  echo 'return #list(\"job/\")' | vigil call -f -\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
