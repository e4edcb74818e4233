/*
 * command.h - what a command of `vigil` is, and what all of them have in common:
 * the table, the connection, the output, the way errors are told.
 *
 * Rules for every command:
 *  1. Standard output carries data only; words for people go to standard error
 *     as "vigil: COMMAND: what happened: what to do next".
 *  2. run returns an exit code (enum exit_code).
 */
#ifndef VIGIL_CLI_COMMAND_H
#define VIGIL_CLI_COMMAND_H

#include "client/cli/command_line.h"
#include "client/cli/output.h"

#include <vigil.h>

enum exit_code {
    EXIT_DONE = 0,
    EXIT_ERROR = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_SO = 3, /* no such key, condition false */
    EXIT_TIMED_OUT = 4,
    EXIT_POSITION = 5, /* compacted, another epoch, a position ahead */
    EXIT_UNREACHABLE = 6
};

struct command;

/* One run of the program. */
struct cli {
    const struct command *command; /* NULL before it is known */
    const char *endpoint;          /* NULL: the library's default */
    int connect_timeout_ms;        /* as vigil_options has them */
    int request_timeout_ms;
    vigil *connection; /* after cli_connect; closed by main */
    struct output out;
    int stop_signal; /* the signal that ended the command, and with which main ends; 0: none */
};

struct command {
    const char *name;
    const char *words; /* "KEY JSON" */
    size_t words_min;
    size_t words_max;
    const char *summary; /* one line, for the list of commands */
    const char *text;    /* what --help says below the usage line; ends in a newline */
    const char *examples;
    const struct option_spec *options;
    size_t option_count;
    /* values: of the options, in the table's order. */
    int (*run)(struct cli *cli, const struct arguments *arguments, const char *const *values);
};

#define OPTION_COUNT(specs) (sizeof(specs) / sizeof((specs)[0]))

extern const struct command command_put, command_get, command_del, command_incr, command_ls,
    command_watch, command_wait, command_history, command_load, command_compact, command_status,
    command_ping, command_verify, command_cursors, command_backup, command_txn, command_setdefault,
    command_pop, command_append, command_add, command_clear, command_count, command_push,
    command_update, command_call, command_function, command_lock, command_elect;

/* Opens the connection, or says why not. The exit code. */
int cli_connect(struct cli *cli);
/* Writes what the command has put into cli->out, unless a signal ended it. Takes the exit code that
 * the command would return, and returns it, or that of a failed write. */
int cli_finish(struct cli *cli, int exit_code);

/* Each prints one line to standard error and returns the exit code. */
int cli_usage_error(const struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A file, standard output or the like: EXIT_ERROR. */
int cli_error(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A failed call of the library: its sentence, and what to do next. */
int cli_failure(const struct cli *cli, int error);
/* The exit code that belongs to a code of the library. */
int cli_exit_code(int error);
/* COMPACTED, EPOCH_CHANGED or POSITION_AHEAD: with what was asked for, and what the server has. */
int cli_position_failure(const struct cli *cli, int error, vigil_position position,
                         uint64_t server_epoch, uint64_t head, uint64_t oldest);
/* A line that is no error. */
void cli_note(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Values of options. Each returns EXIT_DONE, or says what is wrong with it; text NULL leaves
 * *ret as it is. */
int cli_read_u64(const struct cli *cli, const char *option, const char *text, uint64_t *ret);
int cli_read_duration(const struct cli *cli, const char *option, const char *text, int *ret_ms);

#endif
