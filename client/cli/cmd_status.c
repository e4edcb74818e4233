/* cmd_status.c - vigil status. */
#include "client/cli/command.h"
#include "client/cli/json_read.h"
#include "client/cli/json_write.h"

enum { OPTION_JSON };

static const struct option_spec options[] = {
    {"json", 0, NULL, "one JSON object"},
};

/* The figures as lines "name  value", by way of their JSON. */
static int print_table(struct cli *cli, struct bytes figures)
{
    struct wire_buffer *out = &cli->out.buffer;
    struct wire_buffer text;
    struct json_reader *reader = NULL;
    struct json_object *tree = NULL;
    struct failure failure = {.text = "out of memory"};
    int exit_code = EXIT_DONE;

    wire_buffer_init(&text, 1 << 20);
    json_write_value(&text, figures);
    wire_write_u8(&text, 0);
    if (text.failed || json_reader_new(&reader) != ERR_OK ||
        json_read_tree(reader, (struct bytes){text.data, text.size - 1}, &tree, &failure) !=
            ERR_OK ||
        !json_object_is_type(tree, json_type_object)) {
        exit_code = cli_error(cli, "the server's figures cannot be read: %s", failure.text);
        goto out;
    }
    size_t width = 0;
    json_object_object_foreach(tree, measured, ignored)
    {
        (void)ignored;
        width = strlen(measured) > width ? strlen(measured) : width;
    }
    json_object_object_foreach(tree, name, figure)
    {
        json_write_raw(out, name);
        for (size_t i = strlen(name); i < width + 2; i++)
            wire_write_u8(out, ' ');
        json_write_raw(out, json_object_get_string(figure));
        wire_write_u8(out, '\n');
    }
out:
    json_object_put(tree);
    json_reader_free(reader);
    wire_buffer_free(&text);
    return exit_code;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const void *map = NULL;
    size_t size = 0;

    (void)arguments;
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_status(cli->connection, &map, &size);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    struct bytes figures = {map, size};
    if (values[OPTION_JSON] == NULL)
        return print_table(cli, figures);
    if (!json_write_value(&cli->out.buffer, figures))
        return cli_error(cli, "the server's figures cannot be read");
    json_write_raw(&cli->out.buffer, "\n");
    return EXIT_DONE;
}

const struct command command_status = {
    .name = "status",
    .words = "",
    .words_min = 0,
    .words_max = 0,
    .summary = "prints the server's figures",
    .text = "Prints what the server knows of itself: its journal (epoch, head, oldest), its\n"
            "watchers, what it has done since it started.\n",
    .examples = "  vigil status\n"
                "  vigil status --json | jq .head\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
