/*
 * command_line.h - reads a command's options and words by a table of the options.
 *
 * Long options take their value as --name VALUE or --name=VALUE, short ones as
 * -n VALUE or -nVALUE. Options and words may be mixed; -- ends the options. What
 * starts like a negative number, and "-" itself, is a word and not an option.
 */
#ifndef VIGIL_CLI_COMMAND_LINE_H
#define VIGIL_CLI_COMMAND_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct option_spec {
    const char *name;  /* without the dashes */
    char letter;       /* 0: none */
    const char *value; /* what the help calls its value; NULL: a flag */
    const char *help;  /* may have several lines */
};

enum { OPTIONS_MAX = 16, WORDS_MAX = 64 };

/* A table of options, and where its values go: values[i] is the text of specs[i], "" for a flag that
 * was given, NULL for what was not. A repeated option: the last one counts. */
struct option_table {
    const struct option_spec *specs;
    size_t count; /* at most OPTIONS_MAX */
    const char *values[OPTIONS_MAX];
};

struct arguments {
    const char *words[WORDS_MAX + 1]; /* one more than any command takes, so that too many shows */
    size_t word_count;
};

enum { COMMAND_LINE_ERROR_SIZE = 256 };

/* Sorts argv[0..argc) into the tables, those named first being looked at first, and the words. Stops
 * before the first word if only_options is set. Returns how many of argv it took, or -1 with a
 * sentence in error. All pointers point into argv. */
int command_line_parse(struct option_table *const *tables, size_t table_count, bool only_options,
                       int argc, char *const *argv, struct arguments *arguments,
                       char error[COMMAND_LINE_ERROR_SIZE]);

/* The name among count that is most like a mistyped one, or NULL if none is near. */
const char *command_line_closest(const char *typed, const char *const *names, size_t count);

#endif
