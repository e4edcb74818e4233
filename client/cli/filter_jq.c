/* filter_jq.c - see filter_jq.h: libjq, compiled once, run on each value. */
#include "client/cli/filter_jq.h"

#include "client/cli/json_read.h"
#include "client/cli/json_write.h"
#include "protocol/limits.h"

#include <jq.h>
#include <jv.h>
#include <stdio.h>
#include <stdlib.h>

/* A value's JSON is at most six times as long (\u0000), with room for tags. */
enum { TEXT_SIZE_MAX = 8 * LIMIT_VALUE_SIZE_MAX };

struct filter_jq {
    jq_state *jq;
    struct json_reader *reader;
    struct wire_buffer text;
    char message[400]; /* the first line of jq's first complaint, which is the one that explains */
};

static void collect_message(void *context, jv message)
{
    struct filter_jq *f = context;
    jv text = jv_get_kind(message) == JV_KIND_STRING ? message : jv_dump_string(message, 0);

    if (f->message[0] == '\0') {
        const char *line = jv_string_value(text);
        static const char prefix[] = "jq: error: ";
        if (strncmp(line, prefix, sizeof(prefix) - 1) == 0)
            line += sizeof(prefix) - 1;
        size_t size = strcspn(line, "\n");
        while (size > 0 && (line[size - 1] == ':' || line[size - 1] == ' '))
            size--; /* the expression would come next */
        snprintf(f->message, sizeof(f->message), "%.*s", (int)size, line);
    }
    jv_free(text);
}

int filter_jq_new(const char *expression, struct filter_jq **ret_filter, struct failure *failure)
{
    struct filter_jq *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    wire_buffer_init(&f->text, TEXT_SIZE_MAX);
    f->jq = jq_init();
    if (f->jq == NULL || json_reader_new(&f->reader) != ERR_OK) {
        filter_jq_free(f);
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    jq_set_error_cb(f->jq, collect_message, f);
    if (!jq_compile(f->jq, expression)) {
        int err = failure_set(failure, ERR_INVALID, "%s", f->message);
        filter_jq_free(f);
        return err;
    }
    *ret_filter = f;
    return ERR_OK;
}

void filter_jq_free(struct filter_jq *f)
{
    if (f == NULL)
        return;
    if (f->jq != NULL)
        jq_teardown(&f->jq);
    json_reader_free(f->reader);
    wire_buffer_free(&f->text);
    free(f);
}

static bool is_truthy(jv output)
{
    jv_kind kind = jv_get_kind(output);
    return kind != JV_KIND_FALSE && kind != JV_KIND_NULL;
}

/* Why the outputs ended: an error of the expression, or ERR_OK. Takes last. */
static int end_of_outputs(jv last, struct failure *failure)
{
    int err = ERR_OK;

    if (jv_invalid_has_msg(jv_copy(last))) {
        jv message = jv_invalid_get_msg(jv_copy(last));
        jv text = jv_get_kind(message) == JV_KIND_STRING ? jv_copy(message)
                                                         : jv_dump_string(jv_copy(message), 0);
        err = failure_set(failure, ERR_INVALID, "%s", jv_string_value(text));
        jv_free(text);
        jv_free(message);
    }
    jv_free(last);
    return err;
}

/* The value as jq's. Takes nothing. */
static int read_input(struct filter_jq *f, struct bytes value, jv *ret_input,
                      struct failure *failure)
{
    jv input = jv_null();

    if (value.data != NULL) {
        wire_buffer_clear(&f->text);
        if (!json_write_value(&f->text, value))
            return failure_set(failure, ERR_INVALID, "the value cannot be shown as JSON");
        input = jv_parse_sized((const char *)f->text.data, (int)f->text.size);
        if (!jv_is_valid(input))
            return end_of_outputs(input, failure);
    }
    *ret_input = input;
    return ERR_OK;
}

int filter_jq_evaluate(struct filter_jq *f, struct bytes value, bool *ret_holds,
                       struct failure *failure)
{
    jv input = jv_null();
    int err = read_input(f, value, &input, failure);

    if (err != ERR_OK)
        return err;
    jq_start(f->jq, input, 0);
    jv output = jq_next(f->jq);
    while (jv_is_valid(output)) {
        bool holds = is_truthy(output);
        jv_free(output);
        if (holds) {
            *ret_holds = true;
            return ERR_OK;
        }
        output = jq_next(f->jq);
    }
    err = end_of_outputs(output, failure);
    if (err == ERR_OK)
        *ret_holds = false;
    return err;
}

/* ---- making a value ---- */

/* Whether jq, whose numbers are floats, would change an integer of it. */
static bool would_round(struct json_object *tree)
{
    static const int64_t exact = INT64_C(1) << 53;

    switch (json_object_get_type(tree)) {
    case json_type_int: {
        int64_t number = json_object_get_int64(tree); /* at its end where it does not fit */
        return number > exact || number < -exact;
    }
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(tree); i++)
            if (would_round(json_object_array_get_idx(tree, i)))
                return true;
        return false;
    case json_type_object: {
        json_object_object_foreach(tree, name, member)
        {
            (void)name;
            if (would_round(member))
                return true;
        }
        return false;
    }
    default:
        return false;
    }
}

/* The input's text is in f->text. */
static int check_integers(struct filter_jq *f, struct failure *failure)
{
    struct json_object *tree = NULL;

    wire_write_u8(&f->text, 0);
    if (f->text.failed)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    int err =
        json_read_tree(f->reader, (struct bytes){f->text.data, f->text.size - 1}, &tree, failure);
    if (err == ERR_OK && would_round(tree))
        err = failure_set(failure, ERR_INVALID,
                          "the value has an integer beyond 2^53, which jq would round");
    json_object_put(tree);
    return err;
}

/* Takes output. */
static int output_to_value(struct filter_jq *f, jv output, struct wire_buffer *out,
                           struct failure *failure)
{
    jv text = jv_dump_string(output, 0);
    struct bytes bytes = {(const uint8_t *)jv_string_value(text),
                          (size_t)jv_string_length_bytes(jv_copy(text))};
    int err = json_read_value(f->reader, bytes, out, failure);

    jv_free(text);
    return err;
}

int filter_jq_transform(struct filter_jq *f, struct bytes value, struct wire_buffer *out,
                        size_t *ret_count, struct failure *failure)
{
    jv input = jv_null();
    int err = read_input(f, value, &input, failure);

    if (err != ERR_OK)
        return err;
    if (value.data != NULL)
        err = check_integers(f, failure);
    if (err != ERR_OK) {
        jv_free(input);
        return err;
    }
    jq_start(f->jq, input, 0);
    jv output = jq_next(f->jq);
    if (!jv_is_valid(output)) {
        *ret_count = 0;
        return end_of_outputs(output, failure);
    }
    err = output_to_value(f, output, out, failure);
    if (err != ERR_OK)
        return err;
    jv second = jq_next(f->jq);
    if (jv_is_valid(second)) {
        jv_free(second);
        return failure_set(failure, ERR_INVALID,
                           "the expression has several outputs; one is needed");
    }
    *ret_count = 1;
    return end_of_outputs(second, failure);
}
