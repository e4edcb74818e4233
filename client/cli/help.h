/* help.h - the table of the commands, and what --help and `vigil help` print. */
#ifndef VIGIL_CLI_HELP_H
#define VIGIL_CLI_HELP_H

#include "client/cli/command.h"

/* In the order of the enum in main.c. */
extern const struct option_spec help_global_options[];
extern const size_t help_global_option_count;

/* NULL if there is none of that name. */
const struct command *help_find_command(const char *name);
/* Says so, and which one may have been meant. EXIT_USAGE. */
int help_unknown_command(const struct cli *cli, const char *name);

/* "vigil NAME [OPTION]... WORDS" */
enum { HELP_USAGE_SIZE = 80 };
void help_usage(const struct command *command, char text[HELP_USAGE_SIZE]);

void help_write_overview(struct wire_buffer *out);
void help_write_command(struct wire_buffer *out, const struct command *command);
void help_write_version(struct wire_buffer *out);

#endif
