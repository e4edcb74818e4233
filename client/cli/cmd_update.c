/* cmd_update.c - vigil update KEY JQ: a jq expression over the present value, atomically. */
#include "client/cli/command.h"
#include "client/cli/filter_jq.h"
#include "client/cli/json_write.h"
#include "client/cli/value_argument.h"

enum { OPTION_DEFAULT, OPTION_META };

static const struct option_spec options[] = {
    {"default", 0, "JSON", "what an absent key counts as (default: null)"},
    {"meta", 0, NULL, "print value and seq as one JSON object"},
};

/* What the function says when it does not want its writes made. */
enum { NO_OUTPUT = -1, NO_UPDATE = -2 };

struct update {
    const char *key;
    struct filter_jq *filter;
    struct wire_buffer default_value;
    struct wire_buffer value; /* the new one */
    struct failure failure;
};

static int apply(vigil_atomic *a, void *context)
{
    struct update *u = context;
    struct bytes present = {NULL, 0};
    const void *data = NULL;
    size_t outputs = 0;

    int error = vigil_atomic_get(a, u->key, &data, &present.size);
    if (error != VIGIL_OK)
        return error;
    present.data = data;
    if (data == NULL)
        present = (struct bytes){u->default_value.data, u->default_value.size};
    wire_buffer_clear(&u->value);
    if (filter_jq_transform(u->filter, present, &u->value, &outputs, &u->failure) != ERR_OK)
        return NO_UPDATE;
    if (outputs == 0)
        return NO_OUTPUT;
    return vigil_atomic_put(a, u->key, u->value.data, u->value.size);
}

static int tell(struct cli *cli, const struct update *u, int error)
{
    switch (error) {
    case NO_OUTPUT:
        cli_note(cli, "nothing done: the expression has no output for the value of %s", u->key);
        return EXIT_NOT_SO;
    case NO_UPDATE:
        return cli_error(cli, "%s", u->failure.text);
    case VIGIL_CONFLICT:
        cli_note(cli,
                 "nothing done: others have changed %s each time; --request-timeout gives it "
                 "more time",
                 u->key);
        return EXIT_TIMED_OUT;
    default:
        return value_argument_mutation_failure(cli, error, u->key, &(vigil_result){0, 0, 0});
    }
}

static int update(struct cli *cli, struct update *u, bool meta)
{
    struct wire_buffer *out = &cli->out.buffer;
    uint64_t seq = 0;

    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int error = vigil_atomically(cli->connection, apply, u, NULL, &seq);
    if (error != VIGIL_OK)
        return tell(cli, u, error);
    if (meta)
        json_write_raw(out, "{\"value\":");
    json_write_value(out, (struct bytes){u->value.data, u->value.size});
    if (meta) {
        json_write_member(out, ",\"seq\":", seq);
        json_write_raw(out, "}");
    }
    json_write_raw(out, "\n");
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    struct update u = {.key = arguments->words[0]};
    const char *default_json = values[OPTION_DEFAULT];
    int err = EXIT_DONE;

    wire_buffer_init(&u.default_value, VALUE_ARGUMENT_SIZE_MAX);
    wire_buffer_init(&u.value, VALUE_ARGUMENT_SIZE_MAX);
    if (default_json != NULL) {
        struct bytes text = {(const uint8_t *)default_json, strlen(default_json)};
        err =
            value_argument_parse(cli, "--default", text, VALUE_JSON, EXIT_USAGE, &u.default_value);
    }
    if (err == EXIT_DONE && filter_jq_new(arguments->words[1], &u.filter, &u.failure) != ERR_OK)
        err = cli_usage_error(cli, "the jq expression: %s", u.failure.text);
    if (err == EXIT_DONE)
        err = update(cli, &u, values[OPTION_META] != NULL);
    filter_jq_free(u.filter);
    wire_buffer_free(&u.default_value);
    wire_buffer_free(&u.value);
    return err;
}

const struct command command_update = {
    .name = "update",
    .words = "KEY JQ",
    .words_min = 2,
    .words_max = 2,
    .summary = "changes a value by a jq expression",
    .text =
        "Puts at KEY what the jq expression makes of its value, and prints that. Nobody else's\n"
        "change is lost: if KEY changes meanwhile, the expression runs again over the new value.\n"
        "An absent key counts as null, or as --default. Without output ('empty') nothing is done,\n"
        "and the exit code is 3; several outputs are an error. jq's numbers are 64-bit floats, so\n"
        "a value with an integer beyond 2^53 is refused rather than rounded.\n",
    .examples =
        "  vigil update job/7 '.state = \"done\" | .tries += 1'\n"
        "  vigil update members --default '[]' '. + [\"ann\"] | unique'\n"
        "  vigil update job/7 'if .state == \"queued\" then .state = \"taken\" else empty end'\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
