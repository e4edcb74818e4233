/* cmd_wait.c - vigil wait KEY [--until JQ]. */
#include "client/cli/change_line.h"
#include "client/cli/command.h"
#include "client/cli/filter_jq.h"
#include "client/cli/position.h"

enum { OPTION_UNTIL, OPTION_CHANGE, OPTION_SINCE, OPTION_TIMEOUT };

static const struct option_spec options[] = {
    {"until", 'u', "JQ", "a jq expression over the value (null: no such key)"},
    {"change", 0, NULL, "look at changes only, not at the present value"},
    {"since", 0, "POSITION", "look at all changes after N or EPOCH:N, or since oldest"},
    {"timeout", 0, "DUR", "end with exit code 4 if nothing satisfies by then"},
};

struct condition {
    const struct cli *cli;
    struct filter_jq *filter;
    bool told; /* that the expression fails on a value */
};

static bool holds(void *context, const void *value, size_t size, const vigil_change *change)
{
    struct condition *condition = context;
    struct failure failure;
    bool result = false;

    (void)change;
    if (filter_jq_evaluate(condition->filter, (struct bytes){value, size}, &result, &failure) ==
        ERR_OK)
        return result;
    if (!condition->told)
        cli_note(condition->cli,
                 "--until fails on a value, which counts as false (said only once): %s",
                 failure.text);
    condition->told = true;
    return false;
}

static int read_options(const struct cli *cli, const char *const *values, struct start *start,
                        int *timeout_ms, struct filter_jq **filter)
{
    struct failure failure;

    if (values[OPTION_SINCE] != NULL && !position_parse_start(values[OPTION_SINCE], start))
        return cli_usage_error(cli, "--since takes N, EPOCH:N, oldest or now, not '%s'",
                               values[OPTION_SINCE]);
    int err = cli_read_duration(cli, "timeout", values[OPTION_TIMEOUT], timeout_ms);
    if (err != EXIT_DONE || values[OPTION_UNTIL] == NULL)
        return err;
    if (filter_jq_new(values[OPTION_UNTIL], filter, &failure) != ERR_OK)
        return cli_usage_error(cli, "--until is no valid jq expression: %s", failure.text);
    return EXIT_DONE;
}

static int report(const struct cli *cli, int error, const struct start *start)
{
    vigil_info info;

    if (error == VIGIL_TIMEOUT) {
        cli_note(cli, "timed out: nothing satisfied the condition");
        return EXIT_TIMED_OUT;
    }
    vigil_get_info(cli->connection, &info);
    return cli_position_failure(cli, error, start->position, info.epoch, info.head, info.oldest);
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    struct condition condition = {.cli = cli};
    struct start start = {VIGIL_SINCE_NOW, {0, 0}};
    vigil_wait_result result;
    int timeout_ms = -1;

    int exit_code = read_options(cli, values, &start, &timeout_ms, &condition.filter);
    if (exit_code == EXIT_DONE)
        exit_code = cli_connect(cli);
    if (exit_code != EXIT_DONE)
        goto out;
    vigil_wait_options wait_options = {
        .change = values[OPTION_CHANGE] != NULL,
        .since = start.since,
        .position = start.position,
        .until = condition.filter != NULL ? holds : NULL,
        .context = &condition,
    };
    int error =
        vigil_wait(cli->connection, arguments->words[0], &wait_options, timeout_ms, &result);
    if (error != VIGIL_OK) {
        exit_code = report(cli, error, &start);
        goto out;
    }
    bool ok = result.from_state ? change_line_write_entry(&cli->out.buffer, &result.entry, true)
                                : change_line_write_record(&cli->out.buffer, &result.record);
    if (!ok)
        exit_code = cli_error(cli, "the value cannot be shown: it is damaged");
out:
    filter_jq_free(condition.filter);
    return exit_code;
}

const struct command command_wait = {
    .name = "wait",
    .words = "KEY",
    .words_min = 1,
    .words_max = 1,
    .summary = "waits until a key's value satisfies a condition",
    .text =
        "Ends when KEY is there, or with --until, when the jq expression gives something else\n"
        "than false and null for its value (for null if KEY is absent). It sees every value the\n"
        "key takes from its start on, however short it lasts, and prints what satisfied: the\n"
        "present value (key, present, value, seq, created, version, as_of), or the change line.\n"
        "With --since, every change after that position counts, the past ones first, and the\n"
        "present value does not. A value on which the expression fails counts as false.\n"
        "jq rounds integers beyond 2^53.\n",
    .examples = "  vigil wait job/7 --until '.state == \"done\"' --timeout 10m\n"
                "  vigil wait job/7 --until '. == null'\n"
                "  vigil wait config/web --change\n"
                "  vigil wait pkg/libc6:amd64 --until '. == \"half-configured\"' --since oldest\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
