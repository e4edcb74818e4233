/* cmd_put.c - vigil put KEY JSON, for ever, for a time, or for as long as the command runs. */
#include "client/cli/command.h"
#include "client/cli/json_write.h"
#include "client/cli/put_session.h"
#include "client/cli/value_argument.h"

enum {
    OPTION_IF_SEQ,
    OPTION_IF_ABSENT,
    OPTION_IF_VALUE,
    OPTION_STRING,
    OPTION_BINARY,
    OPTION_FILE,
    OPTION_TTL,
    OPTION_SESSION,
    OPTION_META
};

static const struct option_spec options[] = {
    {"if-seq", 0, "N", "only if the key was changed last at seq N (0: only if absent)"},
    {"if-absent", 0, NULL, "only if there is no such key"},
    {"if-value", 0, "JSON", "only if the key has exactly this value"},
    {"string", 0, NULL, "the value is text, to be taken as it is"},
    {"binary", 0, NULL, "the value is bytes, to be taken as they are"},
    {"file", 'f', "FILE", "take the value from a file (-: standard input)"},
    {"ttl", 0, "DUR", "the key ends by itself after this time (30s, 500ms, 2h)"},
    {"session", 0, NULL, "the key ends with this command, which stays until it is stopped"},
    {"meta", 0, NULL, "print seq, prev_seq and (without an end) version as a JSON object"},
};

/* 0: none was given. */
static int read_ttl(const struct cli *cli, const char *const *values, int *ret_ttl_ms)
{
    int err = cli_read_duration(cli, "--ttl", values[OPTION_TTL], ret_ttl_ms);
    if (err == EXIT_DONE && values[OPTION_TTL] != NULL && *ret_ttl_ms <= 0)
        return cli_usage_error(cli, "a key lives for at least 1ms: --ttl 30s, say");
    return err;
}

static int put(struct cli *cli, const char *key, const struct wire_buffer *value, int ttl_ms,
               const struct put_session *session, const vigil_condition *condition,
               vigil_result *ret_result)
{
    vigil *v = cli->connection;

    if (session->lease != NULL)
        return vigil_put_lease(v, key, value->data, value->size, vigil_lease_id(session->lease),
                               condition, ret_result);
    if (ttl_ms > 0)
        return vigil_put_ttl(v, key, value->data, value->size, (uint64_t)ttl_ms, condition,
                             ret_result);
    return vigil_put(v, key, value->data, value->size, condition, ret_result);
}

static void print_result(struct wire_buffer *out, const vigil_result *result, bool meta)
{
    if (meta) {
        json_write_member(out, "{\"seq\":", result->seq);
        json_write_member(out, ",\"prev_seq\":", result->prev_seq);
        if (result->version > 0) /* told of plain puts */
            json_write_member(out, ",\"version\":", result->version);
        json_write_raw(out, "}\n");
    } else {
        json_write_u64(out, result->seq);
        json_write_raw(out, "\n");
    }
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *key = arguments->words[0];
    struct wire_buffer value;
    struct wire_buffer condition_value;
    vigil_condition condition;
    vigil_result result = {0, 0, 0};
    struct put_session session = PUT_SESSION_INIT;
    int ttl_ms = 0;
    const char *word = arguments->word_count == 2 ? arguments->words[1] : values[OPTION_FILE];
    bool read_stdin = word != NULL && strcmp(word, "-") == 0;

    wire_buffer_init(&value, VALUE_ARGUMENT_SIZE_MAX);
    wire_buffer_init(&condition_value, VALUE_ARGUMENT_SIZE_MAX);
    int err = value_argument_condition(cli, values[OPTION_IF_SEQ], values[OPTION_IF_ABSENT],
                                       values[OPTION_IF_VALUE], &condition_value, &condition);
    if (err == EXIT_DONE)
        err = read_ttl(cli, values, &ttl_ms);
    if (err == EXIT_DONE)
        err = value_argument_read(cli, arguments->word_count == 2 ? arguments->words[1] : NULL,
                                  values[OPTION_FILE], values[OPTION_STRING], values[OPTION_BINARY],
                                  &value);
    if (err == EXIT_DONE)
        err = cli_connect(cli);
    if (err != EXIT_DONE)
        goto out;
    if (values[OPTION_SESSION] != NULL) {
        err = put_session_open(cli, ttl_ms, &session);
        if (err != EXIT_DONE)
            goto out;
    }
    int error = put(cli, key, &value, ttl_ms, &session, &condition, &result);
    if (error == VIGIL_OK)
        print_result(&cli->out.buffer, &result, values[OPTION_META] != NULL);
    else
        err = value_argument_mutation_failure(cli, error, key, &result);
    if (session.lease != NULL)
        err = put_session_end(cli, &session, err, read_stdin);
out:
    wire_buffer_free(&value);
    wire_buffer_free(&condition_value);
    return err;
}

const struct command command_put = {
    .name = "put",
    .words = "KEY [JSON]",
    .words_min = 1,
    .words_max = 2,
    .summary = "sets a key to a value",
    .text =
        "Sets KEY to the value and prints the seq of the change. By then it is durable, and on\n"
        "its way to every watcher. JSON may be - for standard input.\n"
        "Several keys at once, all or none: 'vigil txn', or a line {\"txn\":[...]} of 'vigil load'.\n"
        "With an --if- option that does not hold, nothing is done, and the exit code is 3.\n"
        "With --ttl the key ends by itself: every watcher sees an \"expire\", never early. Putting\n"
        "it again without --ttl takes the end away.\n"
        "With --session the command stays, and the key ends when it does: at SIGINT or SIGTERM at\n"
        "once (exit code 0), also at the end of standard input where that is a pipe; if it is\n"
        "killed, after --ttl (10s unless told). If the server has ended the key meanwhile, which\n"
        "also happens to a command that was stopped for too long, it says so: exit code 1.\n",
    .examples = "  vigil put job/7 '{\"state\":\"queued\",\"tries\":0}'\n"
                "  vigil put motd --string 'Back at nine'\n"
                "  vigil put config/web --file web.json\n"
                "  vigil put lock/build --if-absent \"$$\"\n"
                "  vigil put job/7 '\"running\"' --if-seq 1042\n"
                "  vigil put --ttl 30s seen/web1 true\n"
                "  vigil put --session worker/$HOSTNAME '\"up\"' &\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
