/* command_line.c - see command_line.h. No state, no output: any thread. */
#include "client/cli/command_line.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE_MAX = 32, CLOSE_ENOUGH = 2 };

/* Levenshtein's distance, over one row of its table. Long words are far from everything. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t a_size = strlen(a);
    size_t b_size = strlen(b);
    size_t row[NAME_SIZE_MAX + 1];

    if (a_size > NAME_SIZE_MAX || b_size > NAME_SIZE_MAX)
        return NAME_SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t removed = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = replaced < removed ? replaced : removed;
        }
    }
    return row[b_size];
}

const char *command_line_closest(const char *typed, const char *const *names, size_t count)
{
    const char *closest = NULL;
    size_t least = CLOSE_ENOUGH + 1;

    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(typed, names[i]);
        if (distance < least && distance < strlen(names[i])) {
            least = distance;
            closest = names[i];
        }
    }
    return closest;
}

static const struct option_spec *find_option(struct option_table *const *tables, size_t table_count,
                                             const char *name, size_t name_size,
                                             const char ***ret_value)
{
    for (size_t t = 0; t < table_count; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct option_spec *spec = &tables[t]->specs[i];
            bool found = name_size == 1 ? spec->letter == name[0]
                                        : strlen(spec->name) == name_size &&
                                              memcmp(spec->name, name, name_size) == 0;
            if (found) {
                *ret_value = &tables[t]->values[i];
                return spec;
            }
        }
    }
    return NULL;
}

static void explain_unknown(struct option_table *const *tables, size_t table_count,
                            const char *dashes, const char *name, size_t name_size, char *error)
{
    const char *names[4 * OPTIONS_MAX];
    size_t count = 0;
    char typed[NAME_SIZE_MAX + 1];

    for (size_t t = 0; t < table_count; t++)
        for (size_t i = 0; i < tables[t]->count && count < 4 * OPTIONS_MAX; i++)
            names[count++] = tables[t]->specs[i].name;
    snprintf(typed, sizeof(typed), "%.*s", (int)(name_size < 64 ? name_size : 64), name);
    const char *closest = name_size > 1 ? command_line_closest(typed, names, count) : NULL;
    if (closest != NULL)
        snprintf(error, COMMAND_LINE_ERROR_SIZE, "unknown option '%s%s'; did you mean '--%s'?",
                 dashes, typed, closest);
    else
        snprintf(error, COMMAND_LINE_ERROR_SIZE, "unknown option '%s%s'", dashes, typed);
}

/* The option at argv[0]. Returns 1, or 2 if its value is the argument after it, or -1. */
static int parse_option(struct option_table *const *tables, size_t table_count, int argc,
                        char *const *argv, char *error)
{
    bool is_long = argv[0][1] == '-';
    const char *dashes = is_long ? "--" : "-";
    const char *name = argv[0] + (is_long ? 2 : 1);
    size_t name_size = is_long ? strcspn(name, "=") : 1;
    const char *attached = NULL;
    const char **value = NULL;

    if (is_long && name[name_size] == '=')
        attached = name + name_size + 1;
    else if (!is_long && name[1] != '\0')
        attached = name + 1;

    /* A long name of one letter is no short one. */
    const struct option_spec *spec =
        is_long && name_size == 1 ? NULL
                                  : find_option(tables, table_count, name, name_size, &value);
    if (spec == NULL) {
        explain_unknown(tables, table_count, dashes, name, is_long ? name_size : strlen(name),
                        error);
        return -1;
    }
    if (spec->value == NULL) {
        if (attached != NULL) {
            snprintf(error, COMMAND_LINE_ERROR_SIZE, "option '--%s' takes no value", spec->name);
            return -1;
        }
        *value = "";
        return 1;
    }
    if (attached != NULL) {
        *value = attached;
        return 1;
    }
    if (argc < 2) {
        snprintf(error, COMMAND_LINE_ERROR_SIZE, "option '--%s' needs a value: --%s %s", spec->name,
                 spec->name, spec->value);
        return -1;
    }
    *value = argv[1];
    return 2;
}

static bool is_option(const char *argument)
{
    bool negative_number = isdigit((unsigned char)argument[1]) || argument[1] == '.';
    return argument[0] == '-' && argument[1] != '\0' && !negative_number;
}

int command_line_parse(struct option_table *const *tables, size_t table_count, bool only_options,
                       int argc, char *const *argv, struct arguments *arguments,
                       char error[COMMAND_LINE_ERROR_SIZE])
{
    bool options_ended = false;
    int at = 0;

    while (at < argc) {
        if (!options_ended && strcmp(argv[at], "--") == 0) {
            options_ended = true;
            at++;
        } else if (!options_ended && is_option(argv[at])) {
            int taken = parse_option(tables, table_count, argc - at, argv + at, error);
            if (taken < 0)
                return -1;
            at += taken;
        } else if (only_options) {
            break;
        } else {
            if (arguments->word_count <= WORDS_MAX)
                arguments->words[arguments->word_count++] = argv[at];
            at++;
        }
    }
    return at;
}
