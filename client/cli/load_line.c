/* load_line.c - see load_line.h. */
#include "client/cli/load_line.h"

#include "client/cli/json_read.h"
#include "protocol/limits.h"

#include <stdlib.h>

enum { MUTATION_SIZE_MAX = LIMIT_MESSAGE_SIZE_MAX, OVERHEAD_SIZE = 64 };

enum load_kind { LOAD_PUT, LOAD_INCR, LOAD_TXN };

struct load_line {
    struct json_reader *reader;
    struct json_object *tree; /* of the line; key points into it */
    vigil_txn *txn;
    struct wire_buffer value;
    enum load_kind kind;
    const char *key;
    int64_t by;
    size_t size;
};

/* The members of one mutation; NULL where there is none. */
struct members {
    struct json_object *op;
    struct json_object *key;
    struct json_object *value;
    struct json_object *by;
    struct json_object *txn;
    bool has_value; /* null is a NULL tree */
};

int load_line_new(struct load_line **ret_line)
{
    struct load_line *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return ERR_NO_MEMORY;
    wire_buffer_init(&l->value, MUTATION_SIZE_MAX);
    if (json_reader_new(&l->reader) != ERR_OK || vigil_txn_new(&l->txn) != VIGIL_OK) {
        load_line_free(l);
        return ERR_NO_MEMORY;
    }
    *ret_line = l;
    return ERR_OK;
}

void load_line_free(struct load_line *l)
{
    if (l == NULL)
        return;
    json_reader_free(l->reader);
    json_object_put(l->tree);
    vigil_txn_free(l->txn);
    wire_buffer_free(&l->value);
    free(l);
}

static int refuse(struct failure *failure, const char *what)
{
    return failure_set(failure, ERR_BAD_VALUE, "%s", what);
}

static bool is_ignored(const char *name)
{
    static const char *const names[] = {"seq",     "prev_seq", "time",    "part",
                                        "parts",   "last",     "before",  "before_unknown",
                                        "present", "created",  "version", "as_of"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int read_members(struct json_object *tree, struct members *ret, struct failure *failure)
{
    struct members members = {.op = NULL};

    if (!json_object_is_type(tree, json_type_object))
        return refuse(failure, "a mutation is a JSON object such as {\"key\":\"a\",\"value\":1}");
    json_object_object_foreach(tree, name, member)
    {
        if (strcmp(name, "key") == 0) {
            members.key = member;
        } else if (strcmp(name, "value") == 0) {
            members.value = member;
            members.has_value = true;
        } else if (strcmp(name, "op") == 0) {
            members.op = member;
        } else if (strcmp(name, "by") == 0) {
            members.by = member;
        } else if (strcmp(name, "txn") == 0) {
            members.txn = member;
        } else if (!is_ignored(name)) {
            return failure_set(failure, ERR_BAD_VALUE,
                               "unknown member \"%.64s\" (known: op, key, value, by, txn)", name);
        }
    }
    *ret = members;
    return ERR_OK;
}

static int read_key(struct json_object *key, const char **ret_key, struct failure *failure)
{
    if (!json_object_is_type(key, json_type_string))
        return refuse(failure, "\"key\" is missing, or no string");
    const char *text = json_object_get_string(key);
    if (strlen(text) != (size_t)json_object_get_string_len(key) || !vigil_key_valid(text))
        return failure_set(failure, ERR_BAD_KEY, "\"key\": %s", error_text(ERR_BAD_KEY));
    *ret_key = text;
    return ERR_OK;
}

static int read_by(struct json_object *by, int64_t *ret_by, struct failure *failure)
{
    *ret_by = 1;
    if (by == NULL)
        return ERR_OK;
    if (!json_object_is_type(by, json_type_int))
        return refuse(failure, "\"by\" is no whole number");
    *ret_by = json_object_get_int64(by);
    if (*ret_by == INT64_MAX && json_object_get_uint64(by) != INT64_MAX)
        return refuse(failure, "\"by\" does not fit 64 bits with a sign");
    return ERR_OK;
}

/* What is to be done: put, delete or incr. */
static int read_op(const struct members *members, enum vigil_op *ret_op, struct failure *failure)
{
    const char *name = "put";

    if (members->op != NULL) {
        if (!json_object_is_type(members->op, json_type_string))
            return refuse(failure, "\"op\" is no string");
        name = json_object_get_string(members->op);
    }
    if (strcmp(name, "put") == 0)
        *ret_op = VIGIL_OP_PUT;
    else if (strcmp(name, "delete") == 0 || strcmp(name, "expire") == 0)
        *ret_op = VIGIL_OP_DELETE;
    else if (strcmp(name, "incr") == 0)
        *ret_op = VIGIL_OP_INCR;
    else
        return failure_set(failure, ERR_BAD_VALUE,
                           "unknown op \"%.64s\" (known: put, delete, incr)", name);
    if ((*ret_op == VIGIL_OP_PUT) != members->has_value)
        return refuse(failure,
                      members->has_value ? "only a put has a \"value\"" : "\"value\" is missing");
    if (*ret_op != VIGIL_OP_INCR && members->by != NULL)
        return refuse(failure, "only an incr has \"by\"");
    return ERR_OK;
}

/* One operation of a transaction. */
static int add_to_txn(struct load_line *l, const struct members *members, struct failure *failure)
{
    enum vigil_op op = VIGIL_OP_PUT;
    const char *key = "";
    int64_t by = 1;
    int error = VIGIL_OK;

    if (members->txn != NULL)
        return refuse(failure, "a \"txn\" within another one");
    int err = read_op(members, &op, failure);
    if (err == ERR_OK)
        err = read_key(members->key, &key, failure);
    if (err == ERR_OK)
        err = read_by(members->by, &by, failure);
    if (err != ERR_OK)
        return err;
    if (op == VIGIL_OP_PUT) {
        wire_buffer_clear(&l->value);
        err = json_tree_to_value(members->value, &l->value, failure);
        if (err != ERR_OK)
            return err;
        error = vigil_txn_put(l->txn, key, l->value.data, l->value.size);
        l->size += l->value.size;
    } else if (op == VIGIL_OP_DELETE) {
        error = vigil_txn_delete(l->txn, key);
    } else {
        error = vigil_txn_incr(l->txn, key, by);
    }
    l->size += strlen(key) + OVERHEAD_SIZE;
    return error == VIGIL_OK ? ERR_OK : failure_set(failure, error, "%s", vigil_error_text(error));
}

static int parse_txn(struct load_line *l, const struct members *members, struct failure *failure)
{
    if (members->op != NULL || members->key != NULL || members->has_value || members->by != NULL)
        return refuse(failure, "beside \"txn\" there is nothing else");
    if (!json_object_is_type(members->txn, json_type_array) ||
        json_object_array_length(members->txn) == 0)
        return refuse(failure, "\"txn\" holds an array of mutations");
    size_t count = json_object_array_length(members->txn);
    if (count > LIMIT_TXN_OPS)
        return failure_set(failure, ERR_TOO_LARGE, "a \"txn\" has at most %d mutations, not %zu",
                           LIMIT_TXN_OPS, count);
    l->kind = LOAD_TXN;
    for (size_t i = 0; i < count; i++) {
        struct failure within = {.text = ""};
        struct members operation = {.op = NULL};
        int err = read_members(json_object_array_get_idx(members->txn, i), &operation, &within);
        if (err == ERR_OK)
            err = add_to_txn(l, &operation, &within);
        if (err != ERR_OK)
            return failure_set(failure, err, "mutation %zu of \"txn\": %.400s", i + 1, within.text);
    }
    return ERR_OK;
}

static int parse_single(struct load_line *l, const struct members *members, struct failure *failure)
{
    enum vigil_op op = VIGIL_OP_PUT;

    int err = read_op(members, &op, failure);
    if (err == ERR_OK && op == VIGIL_OP_DELETE) {
        l->kind = LOAD_TXN;
        return add_to_txn(l, members, failure);
    }
    if (err == ERR_OK)
        err = read_key(members->key, &l->key, failure);
    if (err != ERR_OK)
        return err;
    l->size = strlen(l->key) + OVERHEAD_SIZE;
    if (op == VIGIL_OP_INCR) {
        l->kind = LOAD_INCR;
        return read_by(members->by, &l->by, failure);
    }
    l->kind = LOAD_PUT;
    wire_buffer_clear(&l->value);
    err = json_tree_to_value(members->value, &l->value, failure);
    l->size += l->value.size;
    return err;
}

int load_line_parse(struct load_line *l, struct bytes text, struct failure *failure)
{
    struct members members = {.op = NULL};

    json_object_put(l->tree);
    l->tree = NULL;
    l->size = 0;
    int err = json_read_tree(l->reader, text, &l->tree, failure);
    if (err == ERR_OK)
        err = read_members(l->tree, &members, failure);
    if (err != ERR_OK)
        return err;
    vigil_txn_clear(l->txn);
    return members.txn != NULL ? parse_txn(l, &members, failure)
                               : parse_single(l, &members, failure);
}

size_t load_line_size(const struct load_line *l)
{
    return l->size;
}

int load_line_send(const struct load_line *l, vigil *v)
{
    switch (l->kind) {
    case LOAD_PUT:
        return vigil_send_put(v, l->key, l->value.data, l->value.size, NULL, NULL);
    case LOAD_INCR:
        return vigil_send_incr(v, l->key, l->by, NULL);
    case LOAD_TXN:
        return vigil_send_txn(v, l->txn, NULL);
    }
    return VIGIL_INVALID;
}
