/* help.c - see help.h. */
#include "client/cli/help.h"

#include <stdio.h>
#include <string.h>

const struct option_spec help_global_options[] = {
    {"server", 's', "ENDPOINT",
     "the server: ipc:///path or tcp://host:port\n"
     "(default: VIGIL_SERVER, else ipc://$XDG_RUNTIME_DIR/vigil.sock)"},
    {"connect-timeout", 0, "DUR", "how long to try to reach it (default 5s)"},
    {"request-timeout", 0, "DUR", "how long to wait for each of its answers (default 5s)"},
    {"help", 'h', NULL, "this text"},
    {"version", 0, NULL, "the version (without a command)"},
};
const size_t help_global_option_count = OPTION_COUNT(help_global_options);

static const struct command *const commands[] = {
    &command_put,    &command_get,    &command_del,      &command_incr,       &command_txn,
    &command_update, &command_call,   &command_function, &command_setdefault, &command_pop,
    &command_append, &command_add,    &command_push,     &command_clear,      &command_count,
    &command_ls,     &command_watch,  &command_wait,     &command_history,    &command_load,
    &command_lock,   &command_elect,  &command_compact,  &command_cursors,    &command_status,
    &command_ping,   &command_backup, &command_verify,
};
enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static const char intro[] = "vigil - a state that processes share, and every change of it\n"
                            "\n"
                            "usage: vigil [-s ENDPOINT] COMMAND [ARGUMENT]...\n"
                            "\n"
                            "Commands ('vigil help COMMAND' tells more, with examples):\n";

static const char exit_codes[] =
    "\n"
    "Values are JSON. Data goes to standard output, everything else to standard error.\n"
    "A DUR is 10s, 500ms, 2m, 1h, or forever; a number alone is seconds.\n"
    "Exit codes: 0 done, 1 error, 2 usage, 3 no such key or condition false, 4 timed out,\n"
    "            5 compacted, another epoch, or a position ahead, 6 cannot reach the server\n";

static void write_text(struct wire_buffer *out, const char *text)
{
    wire_write_raw(out, text, strlen(text));
}

static void write_padded(struct wire_buffer *out, const char *text, size_t width)
{
    size_t size = strlen(text);

    write_text(out, text);
    for (; size < width; size++)
        wire_write_u8(out, ' ');
}

static void write_option(struct wire_buffer *out, const struct option_spec *spec)
{
    enum { COLUMN = 29 };
    char left[64];

    if (spec->letter != 0)
        snprintf(left, sizeof(left), "  -%c, --%s %s", spec->letter, spec->name,
                 spec->value != NULL ? spec->value : "");
    else
        snprintf(left, sizeof(left), "      --%s %s", spec->name,
                 spec->value != NULL ? spec->value : "");
    write_padded(out, left, COLUMN);
    if (strlen(left) >= COLUMN) {
        write_text(out, "\n");
        write_padded(out, "", COLUMN);
    }
    for (const char *line = spec->help;;) {
        size_t size = strcspn(line, "\n");
        wire_write_raw(out, line, size);
        write_text(out, "\n");
        if (line[size] == '\0')
            return;
        line += size + 1;
        write_padded(out, "", COLUMN);
    }
}

static void write_options(struct wire_buffer *out, const char *title,
                          const struct option_spec *specs, size_t count)
{
    if (count == 0)
        return;
    write_text(out, title);
    for (size_t i = 0; i < count; i++)
        write_option(out, &specs[i]);
}

const struct command *help_find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

int help_unknown_command(const struct cli *cli, const char *name)
{
    const char *names[COMMAND_COUNT];

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i]->name;
    const char *closest = command_line_closest(name, names, COMMAND_COUNT);
    if (closest != NULL)
        return cli_usage_error(cli, "unknown command '%.64s'; did you mean '%s'?", name, closest);
    return cli_usage_error(cli, "unknown command '%.64s'", name);
}

void help_usage(const struct command *command, char text[HELP_USAGE_SIZE])
{
    snprintf(text, HELP_USAGE_SIZE, "vigil %s [OPTION]...%s%s", command->name,
             *command->words != '\0' ? " " : "", command->words);
}

void help_write_overview(struct wire_buffer *out)
{
    char left[64];

    write_text(out, intro);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        snprintf(left, sizeof(left), "  %s %s", commands[i]->name, commands[i]->words);
        write_padded(out, left, 24);
        write_text(out, commands[i]->summary);
        write_text(out, "\n");
    }
    write_options(out, "\nOptions of all commands:\n", help_global_options,
                  help_global_option_count);
    write_text(out, exit_codes);
}

void help_write_command(struct wire_buffer *out, const struct command *command)
{
    char usage[HELP_USAGE_SIZE];

    help_usage(command, usage);
    write_text(out, "vigil ");
    write_text(out, command->name);
    write_text(out, " - ");
    write_text(out, command->summary);
    write_text(out, "\n\nusage: ");
    write_text(out, usage);
    write_text(out, "\n\n");
    write_text(out, command->text);
    write_options(out, "\nOptions:\n", command->options, command->option_count);
    write_options(out, "\nOptions of all commands:\n", help_global_options,
                  help_global_option_count - 1);
    write_text(out, "\nExamples:\n");
    write_text(out, command->examples);
}

void help_write_version(struct wire_buffer *out)
{
    write_text(out, "vigil ");
    write_text(out, vigil_version());
    write_text(out, "\n");
}
