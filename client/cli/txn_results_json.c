/* txn_results_json.c - what the operations of a transaction have given, as JSON. */
#include "client/cli/json_write.h"
#include "client/cli/txn_json_parts.h"

static bool write_rows(struct wire_buffer *out, const vigil_txn_result *result)
{
    vigil_row row;
    size_t at = 0;

    json_write_raw(out, ",\"rows\":[");
    for (bool first = true; vigil_txn_row(result, &at, &row); first = false) {
        json_write_raw(out, first ? "{\"key\":" : ",{\"key\":");
        json_write_string(out, (struct bytes){(const uint8_t *)row.key, row.key_size});
        json_write_member(out, ",\"seq\":", row.modified);
        json_write_raw(out, ",\"value\":");
        if (!json_write_value(out, (struct bytes){row.value, row.size}))
            return false;
        json_write_raw(out, "}");
    }
    json_write_raw(out, "]");
    return true;
}

static struct bytes text_bytes(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static bool write_result(struct wire_buffer *out, const struct named_operation *named,
                         const vigil_txn_result *result)
{
    const struct operation *operation = named->operation;
    bool on_prefix = (operation->flags & ON_PREFIX) != 0;

    json_write_raw(out, "{\"op\":");
    json_write_string(out, text_bytes(operation->name));
    json_write_raw(out, on_prefix ? ",\"prefix\":" : ",\"key\":");
    json_write_string(out, text_bytes(named->name));
    if (on_prefix && result->key != NULL) {
        json_write_raw(out, ",\"key\":");
        json_write_string(out, text_bytes(result->key));
    }
    if ((operation->flags & TELLS_NO_KEY) == 0) {
        json_write_raw(out, result->present ? ",\"present\":true" : ",\"present\":false");
        json_write_member(
            out, (operation->flags & TELLS_SEQ) != 0 ? ",\"seq\":" : ",\"prev_seq\":", result->seq);
    }
    if (operation->op == VIGIL_OP_LIST) {
        if (!write_rows(out, result))
            return false;
    } else if (operation->value_name != NULL && result->value != NULL) {
        json_write_raw(out, ",\"");
        json_write_raw(out, operation->value_name);
        json_write_raw(out, "\":");
        if (!json_write_value(out, (struct bytes){result->value, result->size}))
            return false;
    }
    json_write_raw(out, "}");
    return true;
}

bool txn_json_write(const struct txn_json *t, struct wire_buffer *out, bool succeeded, uint64_t seq,
                    const vigil_txn_result *results, size_t count)
{
    int branch = succeeded ? 0 : 1;

    if (count != t->counts[branch])
        return false;
    json_write_raw(out, succeeded ? "{\"succeeded\":true" : "{\"succeeded\":false");
    json_write_member(out, ",\"seq\":", seq);
    json_write_raw(out, ",\"results\":[");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            json_write_raw(out, ",");
        if (!write_result(out, &t->branches[branch][i], &results[i]))
            return false;
    }
    json_write_raw(out, "]}");
    return true;
}
