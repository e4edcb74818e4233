/* value_argument.c - see value_argument.h. */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/value_argument.h"

#include "client/cli/json_read.h"
#include "protocol/key.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static int parse_json(struct bytes text, struct wire_buffer *out, struct failure *failure)
{
    struct json_reader *reader = NULL;

    if (json_reader_new(&reader) != ERR_OK)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    int err = json_read_value(reader, text, out, failure);
    json_reader_free(reader);
    return err;
}

int value_argument_parse(const struct cli *cli, const char *what, struct bytes text,
                         enum value_form form, int failure_code, struct wire_buffer *out)
{
    struct failure failure;

    if (form == VALUE_JSON) {
        if (parse_json(text, out, &failure) == ERR_OK)
            return EXIT_DONE;
        cli_error(cli, "%s: %s (--string takes text as it is)", what, failure.text);
        return failure_code;
    }
    if (form == VALUE_STRING && !utf8_valid(text)) {
        cli_error(cli, "%s: a string must be UTF-8; --binary takes any bytes", what);
        return failure_code;
    }
    size_t size = form == VALUE_STRING ? vigil_pack_string(NULL, 0, NULL, text.size)
                                       : vigil_pack_binary(NULL, 0, NULL, text.size);
    uint8_t *p = wire_extend(out, size);
    if (p == NULL)
        return cli_error(cli, "%s: too large", what);
    if (form == VALUE_STRING)
        vigil_pack_string(p, size, (const char *)text.data, text.size);
    else
        vigil_pack_binary(p, size, text.data, text.size);
    return EXIT_DONE;
}

static bool read_all(int fd, struct wire_buffer *out)
{
    enum { BLOCK = 65536 };

    for (;;) {
        uint8_t *p = wire_extend(out, BLOCK);
        if (p == NULL) {
            errno = EFBIG;
            return false;
        }
        ssize_t got = read(fd, p, BLOCK);
        out->size -= BLOCK - (got > 0 ? (size_t)got : 0);
        if (got == 0)
            return true;
        if (got < 0 && errno != EINTR)
            return false;
    }
}

int value_argument_read_file(const struct cli *cli, const char *path, struct wire_buffer *out)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? 0 : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || !read_all(fd, out)) {
        int exit_code = cli_error(cli, "cannot read %s: %s", is_stdin ? "standard input" : path,
                                  strerror(errno));
        if (!is_stdin && fd >= 0)
            close(fd);
        return exit_code;
    }
    if (!is_stdin)
        close(fd);
    wire_write_u8(out, 0);
    if (out->failed)
        return cli_error(cli, "cannot read %s: too large", path);
    out->size--;
    return EXIT_DONE;
}

int value_argument_read(const struct cli *cli, const char *word, const char *file,
                        const char *string, const char *binary, struct wire_buffer *value)
{
    enum value_form form = VALUE_JSON;
    struct wire_buffer text;

    if (string != NULL && binary != NULL)
        return cli_usage_error(cli, "a value is either --string or --binary");
    if ((word != NULL) == (file != NULL))
        return cli_usage_error(cli, "give the value either as an argument or with --file");
    if (string != NULL)
        form = VALUE_STRING;
    else if (binary != NULL)
        form = VALUE_BINARY;
    if (file == NULL && strcmp(word, "-") == 0)
        file = "-";
    if (file == NULL)
        return value_argument_parse(cli, "the value",
                                    (struct bytes){(const uint8_t *)word, strlen(word)}, form,
                                    EXIT_USAGE, value);
    wire_buffer_init(&text, VALUE_ARGUMENT_SIZE_MAX);
    int err = value_argument_read_file(cli, file, &text);
    if (err == EXIT_DONE)
        err = value_argument_parse(cli, file, (struct bytes){text.data, text.size}, form,
                                   EXIT_ERROR, value);
    wire_buffer_free(&text);
    return err;
}

int value_argument_begin(struct cli *cli, const struct arguments *arguments,
                         const char *const *values, struct wire_buffer *value)
{
    wire_buffer_init(value, VALUE_ARGUMENT_SIZE_MAX);
    int err = value_argument_read(cli, arguments->word_count == 2 ? arguments->words[1] : NULL,
                                  values[VALUE_OPTION_FILE], values[VALUE_OPTION_STRING],
                                  values[VALUE_OPTION_BINARY], value);
    return err == EXIT_DONE ? cli_connect(cli) : err;
}

int value_argument_condition(const struct cli *cli, const char *if_seq, const char *if_absent,
                             const char *if_value, struct wire_buffer *storage,
                             vigil_condition *ret_condition)
{
    vigil_condition condition = {.if_seq = if_seq != NULL || if_absent != NULL};

    if ((if_seq != NULL) + (if_absent != NULL) + (if_value != NULL) > 1)
        return cli_usage_error(cli, "only one of the --if- options can be given");
    int err = cli_read_u64(cli, "if-seq", if_seq, &condition.seq);
    if (err != EXIT_DONE)
        return err;
    if (if_value != NULL) {
        struct bytes text = {(const uint8_t *)if_value, strlen(if_value)};
        err = value_argument_parse(cli, "--if-value", text, VALUE_JSON, EXIT_USAGE, storage);
        if (err != EXIT_DONE)
            return err;
        condition.if_value = storage->data;
        condition.if_value_size = storage->size;
    }
    *ret_condition = condition;
    return EXIT_DONE;
}

int value_argument_mutation_failure(const struct cli *cli, int error, const char *key,
                                    const vigil_result *result)
{
    switch (error) {
    case VIGIL_CONFLICT:
        if (result->seq == 0)
            cli_note(cli, "nothing done, because %s is absent", key);
        else
            cli_note(cli,
                     "nothing done, because the condition does not hold: %s was changed last "
                     "at seq %" PRIu64,
                     key, result->seq);
        return EXIT_NOT_SO;
    case VIGIL_NOT_FOUND:
        cli_note(cli, "no such key: %s", key);
        return EXIT_NOT_SO;
    case VIGIL_DISCONNECTED:
    case VIGIL_TIMEOUT:
        cli_failure(cli, error);
        if (cli->connection != NULL)
            cli_note(cli, "it may or may not have taken effect: look with 'vigil get %s'", key);
        return cli_exit_code(error);
    default:
        return cli_failure(cli, error);
    }
}
