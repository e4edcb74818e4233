/* filter_jq.c - see filter_jq.h: libjq, compiled once, run on each value. */
#include "client/cli/filter_jq.h"

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
    if (f->jq == NULL) {
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

int filter_jq_evaluate(struct filter_jq *f, struct bytes value, bool *ret_holds,
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
    int err = end_of_outputs(output, failure);
    if (err == ERR_OK)
        *ret_holds = false;
    return err;
}
