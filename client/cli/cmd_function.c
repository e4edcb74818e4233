/* cmd_function.c - vigil function put|get|list|delete: the functions that are stored. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

#include <stdio.h>

enum { KEY_SIZE_MAX = 512 };

/* The key of the function; too long a name is left too long, for the library to refuse. */
static const char *key_of(const char *name, char key[KEY_SIZE_MAX])
{
    snprintf(key, KEY_SIZE_MAX, VIGIL_FUNCTIONS "%s", name);
    return key;
}

/* ---- put ---- */

static int store(struct cli *cli, const char *name, struct bytes source)
{
    const vigil_function function = {.source = (const char *)source.data,
                                     .source_size = source.size};
    char key[KEY_SIZE_MAX];
    struct wire_buffer value;
    vigil_result result = {0, 0, 0};

    wire_buffer_init(&value, VALUE_ARGUMENT_SIZE_MAX);
    int err = value_argument_parse(cli, "the function", source, VALUE_STRING, EXIT_ERROR, &value);
    if (err == EXIT_DONE)
        err = cli_connect(cli);
    if (err == EXIT_DONE) {
        int error = vigil_function_check(cli->connection, &function);
        if (error == VIGIL_OK)
            error = vigil_put(cli->connection, key_of(name, key), value.data, value.size, NULL,
                              &result);
        if (error != VIGIL_OK)
            err = cli_failure(cli, error);
    }
    if (err == EXIT_DONE) {
        json_write_u64(&cli->out.buffer, result.seq);
        json_write_raw(&cli->out.buffer, "\n");
    }
    wire_buffer_free(&value);
    return err;
}

static int put(struct cli *cli, const struct arguments *arguments)
{
    struct wire_buffer source;
    if (arguments->word_count != 3)
        return cli_usage_error(cli, "put takes a NAME and a FILE");
    wire_buffer_init(&source, VALUE_ARGUMENT_SIZE_MAX);
    int err = value_argument_read_file(cli, arguments->words[2], &source);
    if (err == EXIT_DONE)
        err = store(cli, arguments->words[1],
                    (struct bytes){source.data ? source.data : (const uint8_t *)"", source.size});
    wire_buffer_free(&source);
    return err;
}

/* ---- get, list, delete ---- */

static int get(struct cli *cli, const struct arguments *arguments)
{
    char key[KEY_SIZE_MAX];
    vigil_entry entry;
    const char *text;
    size_t size;

    if (arguments->word_count != 2)
        return cli_usage_error(cli, "get takes a NAME");
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_get(cli->connection, key_of(arguments->words[1], key), &entry);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    if (!entry.present) {
        cli_note(cli, "there is no function %s", arguments->words[1]);
        return EXIT_NOT_SO;
    }
    if (vigil_unpack_string(entry.value, entry.size, &text, &size) != VIGIL_OK)
        return cli_error(cli, "%s is no function: its value is not a string", key);
    wire_write_raw(&cli->out.buffer, text, size);
    return EXIT_DONE;
}

static bool print_name(void *context, const vigil_entry *entry)
{
    struct output *out = context;
    const char *name = entry->key + strlen(VIGIL_FUNCTIONS);
    wire_write_raw(&out->buffer, name, strlen(name));
    wire_write_u8(&out->buffer, '\n');
    return true;
}

static int list(struct cli *cli, const struct arguments *arguments)
{
    if (arguments->word_count != 1)
        return cli_usage_error(cli, "list takes no more words");
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_list(cli->connection, VIGIL_FUNCTIONS, false, 0, print_name, &cli->out, NULL);
    return error == VIGIL_OK ? EXIT_DONE : cli_failure(cli, error);
}

static int delete (struct cli *cli, const struct arguments *arguments)
{
    char key[KEY_SIZE_MAX];
    vigil_result result;

    if (arguments->word_count != 2)
        return cli_usage_error(cli, "delete takes a NAME");
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_delete(cli->connection, key_of(arguments->words[1], key), NULL, &result);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    json_write_u64(&cli->out.buffer, result.seq);
    json_write_raw(&cli->out.buffer, "\n");
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    static const struct {
        const char *word;
        int (*run)(struct cli *cli, const struct arguments *arguments);
    } verbs[] = {{"put", put}, {"get", get}, {"list", list}, {"delete", delete}};

    (void)values;
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(arguments->words[0], verbs[i].word) == 0)
            return verbs[i].run(cli, arguments);
    return cli_usage_error(cli, "there are put, get, list and delete, not '%s'",
                           arguments->words[0]);
}

const struct command command_function = {
    .name = "function",
    .words = "put NAME FILE | get NAME | list | delete NAME",
    .words_min = 1,
    .words_max = 3,
    .summary = "stores functions for 'vigil call'",
    .text =
        "put: stores the function in FILE (-: standard input) as NAME and prints the seq of the\n"
        "change; what does not compile is not stored. get: prints its source. list: prints the\n"
        "names. delete: removes it and prints the seq. Functions are part of the state, as the keys\n"
        "vigil/function/NAME: watches see them change.\n",
    .examples = "  vigil function put transfer transfer.lua\n"
                "  vigil function list\n"
                "  vigil function get transfer >transfer.lua\n"
                "  vigil watch 'vigil/function/*'\n",
    .options = NULL,
    .option_count = 0,
    .run = run,
};
