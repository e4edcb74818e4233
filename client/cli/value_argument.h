/* value_argument.h - values and conditions as the command line names them. */
#ifndef VIGIL_CLI_VALUE_ARGUMENT_H
#define VIGIL_CLI_VALUE_ARGUMENT_H

#include "client/cli/command.h"

/* A value's MessagePack is small beside its JSON, and the server's limit is lower still. */
enum { VALUE_ARGUMENT_SIZE_MAX = 64 << 20 };

enum value_form { VALUE_JSON, VALUE_STRING, VALUE_BINARY };

/* Appends the value that text[0..size) writes in this form to out; text[size] is a NUL. what names
 * the text in messages. EXIT_DONE, or failure_code after a message. */
int value_argument_parse(const struct cli *cli, const char *what, struct bytes text,
                         enum value_form form, int failure_code, struct wire_buffer *out);
/* The content of a file ("-": standard input), followed by a NUL that is not counted. */
int value_argument_read_file(const struct cli *cli, const char *path, struct wire_buffer *out);

/* The value of a command line: word (NULL: not given; "-" is standard input) or the content of file,
 * exactly one of which is given, taken as --string or --binary say. */
int value_argument_read(const struct cli *cli, const char *word, const char *file,
                        const char *string, const char *binary, struct wire_buffer *value);
/* The options of a command whose value is its second word, before those of its own. */
enum { VALUE_OPTION_STRING, VALUE_OPTION_BINARY, VALUE_OPTION_FILE, VALUE_OPTIONS };
/* clang-format off */
#define VALUE_OPTION_SPECS \
    {"string", 0, NULL, "the value is text, to be taken as it is"}, \
    {"binary", 0, NULL, "the value is bytes, to be taken as they are"}, \
    {"file", 'f', "FILE", "take the value from a file (-: standard input)"}
/* clang-format on */
/* The value of such a command line, and then the connection. value is initialised, and to be freed
 * whatever is returned. */
int value_argument_begin(struct cli *cli, const struct arguments *arguments,
                         const char *const *values, struct wire_buffer *value);
/* --if-seq, --if-absent, --if-value (each NULL if not given) as a condition. The value goes to
 * storage, which has to outlive the condition. */
int value_argument_condition(const struct cli *cli, const char *if_seq, const char *if_absent,
                             const char *if_value, struct wire_buffer *storage,
                             vigil_condition *ret_condition);
/* Tells a failed mutation: a condition that did not hold with where the key stands. */
int value_argument_mutation_failure(const struct cli *cli, int error, const char *key,
                                    const vigil_result *result);

#endif
