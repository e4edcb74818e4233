/* cmd_cursors.c - vigil cursors [NAME]... */
#include "client/cli/change_line.h"
#include "client/cli/command.h"
#include "client/cli/json_write.h"

#include <inttypes.h>
#include <stdio.h>

enum { OPTION_DELETE };
enum { FLUSH_SIZE = 1 << 18 };

static const struct option_spec options[] = {
    {"delete", 0, NULL, "delete them: what they still needed may then be discarded"},
};

struct listing {
    struct cli *cli;
    const struct arguments *wanted; /* no words: all */
    bool found[WORDS_MAX];
    enum output_result result;
};

static void write_text(struct wire_buffer *out, const char *text)
{
    json_write_string(out, (struct bytes){(const uint8_t *)text, strlen(text)});
}

static void write_time(struct wire_buffer *out, const char *name, uint64_t time_us)
{
    char text[CHANGE_LINE_TIME_SIZE];

    change_line_format_time(time_us, text);
    json_write_raw(out, name);
    write_text(out, text);
}

static void write_cursor(struct wire_buffer *out, const vigil_cursor *cursor)
{
    char age[32];
    char epoch[17];

    snprintf(age, sizeof(age), "%" PRIu64 ".%03" PRIu64, cursor->age_us / 1000000,
             cursor->age_us / 1000 % 1000);
    snprintf(epoch, sizeof(epoch), "%016" PRIx64, cursor->position.epoch);
    json_write_raw(out, "{\"name\":");
    write_text(out, cursor->name);
    json_write_member(out, ",\"position\":", cursor->position.seq);
    json_write_member(out, ",\"lag\":", cursor->lag);
    json_write_raw(out, ",\"age_s\":");
    json_write_raw(out, age);
    for (size_t i = 0; i < cursor->pattern_count; i++) {
        json_write_raw(out, i == 0 ? ",\"patterns\":[" : ",");
        write_text(out, cursor->patterns[i]);
    }
    write_time(out, "],\"moved\":", cursor->moved_us);
    write_time(out, ",\"created\":", cursor->created_us);
    json_write_raw(out, ",\"epoch\":");
    write_text(out, epoch);
    json_write_raw(out, "}\n");
}

static bool is_wanted(struct listing *listing, const char *name)
{
    const struct arguments *wanted = listing->wanted;
    bool found = wanted->word_count == 0;

    for (size_t i = 0; i < wanted->word_count; i++) {
        if (strcmp(wanted->words[i], name) == 0) {
            listing->found[i] = true;
            found = true;
        }
    }
    return found;
}

static bool print_cursor(void *context, const vigil_cursor *cursor)
{
    struct listing *listing = context;
    struct output *out = &listing->cli->out;

    if (!is_wanted(listing, cursor->name))
        return true;
    write_cursor(&out->buffer, cursor);
    if (out->buffer.size >= FLUSH_SIZE)
        listing->result = output_flush(out);
    return listing->result == OUTPUT_OK;
}

static int list(struct cli *cli, const struct arguments *arguments)
{
    struct listing listing = {.cli = cli, .wanted = arguments};
    int exit_code = EXIT_DONE;

    int error = vigil_cursor_each(cli->connection, print_cursor, &listing);
    /* cli_finish flushes again, and says what is wrong with the output. */
    if (listing.result != OUTPUT_OK)
        return EXIT_DONE;
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    for (size_t i = 0; i < arguments->word_count; i++) {
        if (!listing.found[i]) {
            cli_note(cli, "there is no cursor %s", arguments->words[i]);
            exit_code = EXIT_NOT_SO;
        }
    }
    return exit_code;
}

/* One that is not there does not keep the others. */
static int delete_all(struct cli *cli, const struct arguments *arguments)
{
    int exit_code = EXIT_DONE;

    for (size_t i = 0; i < arguments->word_count; i++) {
        int error = vigil_cursor_delete(cli->connection, arguments->words[i]);
        if (error == VIGIL_OK)
            continue;
        exit_code = cli_failure(cli, error);
        if (error != VIGIL_NOT_FOUND)
            return exit_code;
    }
    return exit_code;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const bool deletes = values[OPTION_DELETE] != NULL;

    if (deletes && arguments->word_count == 0)
        return cli_usage_error(cli, "--delete needs the NAME of a cursor");
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    return deletes ? delete_all(cli, arguments) : list(cli, arguments);
}

const struct command command_cursors = {
    .name = "cursors",
    .words = "[NAME]...",
    .words_min = 0,
    .words_max = WORDS_MAX,
    .summary = "lists the named cursors of watches, or deletes some",
    .text =
        "Prints one JSON object for each cursor, or for each that is named: name, position (the\n"
        "seq up to which it has been acknowledged), lag (records after that), age_s (seconds since\n"
        "it was acknowledged last), patterns, moved, created and epoch. Exit code 3 if one that is\n"
        "named is not there. 'vigil watch --name NAME' makes them and moves them; nobody else\n"
        "deletes them.\n",
    .examples = "  vigil cursors\n"
                "  vigil cursors | jq -r 'select(.lag > 100000) | .name'\n"
                "  vigil cursors --delete billing\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
