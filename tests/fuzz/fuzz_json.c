/*
 * JSON of the command line, both ways, and lines of `vigil load`.
 *
 *  - What is taken for JSON becomes one valid value, and its text reads back as the same bytes.
 *  - Any valid value has a text, of one line, that is JSON.
 *  - A line to load is a mutation or has an error's sentence.
 */
#include <assert.h>
#include <stdlib.h>

#include "client/cli/json_read.h"
#include "client/cli/json_write.h"
#include "client/cli/load_line.h"
#include "protocol/errors.h"
#include "protocol/value.h"

enum { INPUT_SIZE_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct bytes written(const struct wire_buffer *b)
{
    return (struct bytes){b->data, b->size};
}

static bool read_value(struct bytes text, struct wire_buffer *out)
{
    struct failure failure = {0};
    struct json_reader *reader = NULL;
    if (json_reader_new(&reader) != ERR_OK)
        abort();
    int err = json_read_value(reader, text, out, &failure);
    json_reader_free(reader);
    assert(err == ERR_OK || failure.text[0] != '\0');
    return err == ERR_OK;
}

/* A value that JSON has made: its text, without the NUL, reads back as the same. */
static void check_there_and_back(struct bytes value)
{
    struct wire_buffer text;
    wire_buffer_init(&text, SIZE_MAX);
    struct wire_buffer back;
    wire_buffer_init(&back, SIZE_MAX);
    assert(value_valid(value));
    bool has_text = json_write_value(&text, value);
    assert(has_text);
    assert(!memchr(text.data, '\n', text.size));
    wire_write_u8(&text, 0);
    bool is_json = read_value((struct bytes){text.data, text.size - 1}, &back);
    assert(is_json);
    assert(bytes_equal(written(&back), value));
    wire_buffer_free(&text);
    wire_buffer_free(&back);
}

static void check_text(struct bytes text)
{
    struct wire_buffer value;
    wire_buffer_init(&value, SIZE_MAX);
    if (read_value(text, &value))
        check_there_and_back(written(&value));
    wire_buffer_free(&value);
}

static void check_value(struct bytes value)
{
    struct wire_buffer text;
    wire_buffer_init(&text, SIZE_MAX);
    bool has_text = json_write_value(&text, value);
    assert(has_text || !value_valid(value));
    if (has_text && value_valid(value)) {
        wire_write_u8(&text, 0);
        struct wire_buffer back;
        wire_buffer_init(&back, SIZE_MAX);
        bool is_json = read_value((struct bytes){text.data, text.size - 1}, &back);
        assert(is_json);
        check_there_and_back(written(&back));
        wire_buffer_free(&back);
    }
    wire_buffer_free(&text);
}

static void check_line(struct bytes text)
{
    struct failure failure = {0};
    struct load_line *line = NULL;
    if (load_line_new(&line) != ERR_OK)
        abort();
    int err = load_line_parse(line, text, &failure);
    assert(err == ERR_OK || failure.text[0] != '\0');
    load_line_free(line);
}

/* The first byte says what the others are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_SIZE_MAX)
        return 0;
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    struct bytes rest = {(const uint8_t *)text, size - 1};
    switch (data[0]) {
    case 'v':
        check_value(rest);
        break;
    case 'l':
        check_line(rest);
        break;
    default:
        check_text(rest);
    }
    free(text);
    return 0;
}
