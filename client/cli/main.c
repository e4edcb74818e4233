/* main.c - the command `vigil`: finds the command, reads its arguments, runs it. */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/command.h"
#include "client/cli/help.h"
#include "client/cli/stop_signal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_SERVER, OPTION_CONNECT_TIMEOUT, OPTION_REQUEST_TIMEOUT, OPTION_HELP, OPTION_VERSION };

/* vigil_options takes 0 for its default, so no time at all is the shortest one. */
static int at_least_1ms(int ms)
{
    return ms == 0 ? 1 : ms;
}

static int set_up(struct cli *cli, const struct option_table *global)
{
    int err = cli_read_duration(cli, "connect-timeout", global->values[OPTION_CONNECT_TIMEOUT],
                                &cli->connect_timeout_ms);
    if (err == EXIT_DONE)
        err = cli_read_duration(cli, "request-timeout", global->values[OPTION_REQUEST_TIMEOUT],
                                &cli->request_timeout_ms);
    cli->connect_timeout_ms = at_least_1ms(cli->connect_timeout_ms);
    cli->request_timeout_ms = at_least_1ms(cli->request_timeout_ms);
    cli->endpoint = global->values[OPTION_SERVER];
    return err;
}

static int run_command(struct cli *cli, struct option_table *global, int argc, char **argv)
{
    const struct command *command = cli->command;
    struct option_table local = {.specs = command->options, .count = command->option_count};
    struct option_table *const tables[] = {&local, global};
    struct arguments arguments = {.word_count = 0};
    char error[COMMAND_LINE_ERROR_SIZE];

    if (command_line_parse(tables, 2, false, argc, argv, &arguments, error) < 0)
        return cli_usage_error(cli, "%s", error);
    if (global->values[OPTION_HELP] != NULL) {
        help_write_command(&cli->out.buffer, command);
        return EXIT_DONE;
    }
    if (global->values[OPTION_VERSION] != NULL) {
        help_write_version(&cli->out.buffer);
        return EXIT_DONE;
    }
    if (arguments.word_count < command->words_min || arguments.word_count > command->words_max) {
        char usage[HELP_USAGE_SIZE];
        help_usage(command, usage);
        return cli_usage_error(cli, "%s; usage: %s",
                               arguments.word_count < command->words_min
                                   ? "an argument is missing"
                                   : "there is an argument too many",
                               usage);
    }
    int err = set_up(cli, global);
    return err != EXIT_DONE ? err : command->run(cli, &arguments, local.values);
}

static int run_help(struct cli *cli, int argc, char **argv)
{
    if (argc == 0) {
        help_write_overview(&cli->out.buffer);
        return EXIT_DONE;
    }
    const struct command *command = help_find_command(argv[0]);
    if (command == NULL)
        return help_unknown_command(cli, argv[0]);
    help_write_command(&cli->out.buffer, command);
    return EXIT_DONE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    struct option_table global = {.specs = help_global_options, .count = help_global_option_count};
    struct option_table *const tables[] = {&global};
    struct arguments none = {.word_count = 0};
    char error[COMMAND_LINE_ERROR_SIZE];

    int taken = command_line_parse(tables, 1, true, argc, argv, &none, error);
    if (taken < 0)
        return cli_usage_error(cli, "%s", error);
    if (global.values[OPTION_VERSION] != NULL) {
        help_write_version(&cli->out.buffer);
        return EXIT_DONE;
    }
    argc -= taken;
    argv += taken;
    if (argc == 0 && global.values[OPTION_HELP] == NULL)
        return cli_usage_error(cli, "a command is missing");
    if (argc == 0 || strcmp(argv[0], "help") == 0)
        return run_help(cli, argc > 0 ? argc - 1 : 0, argv + 1);
    cli->command = help_find_command(argv[0]);
    if (cli->command == NULL)
        return help_unknown_command(cli, argv[0]);
    return run_command(cli, &global, argc - 1, argv + 1);
}

/* A socket must not become standard output because somebody closed that. */
static void open_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= 2);
    if (fd > 2)
        close(fd);
}

int main(int argc, char **argv)
{
    struct cli cli = {.connect_timeout_ms = 5000, .request_timeout_ms = 5000};

    open_standard_descriptors();
    /* A reader that has gone shows as EPIPE, see output.h. */
    signal(SIGPIPE, SIG_IGN);
    output_init(&cli.out, 1);
    int exit_code = run(&cli, argc - 1, argv + 1);
    exit_code = cli_finish(&cli, exit_code);
    vigil_close(cli.connection);
    output_free(&cli.out);
    if (cli.stop_signal != 0)
        stop_signal_die(cli.stop_signal);
    return exit_code;
}
