/* txn_json.c - reads a transaction; see txn_json.h. */
#include "client/cli/duration.h"
#include "client/cli/txn_json_parts.h"
#include "protocol/limits.h"

#include <stdlib.h>

static const struct operation operations[] = {
    {"put", VIGIL_OP_PUT, HAS_VALUE | HAS_TTL, NULL},
    {"delete", VIGIL_OP_DELETE, 0, NULL},
    {"incr", VIGIL_OP_INCR, HAS_BY, "value"},
    {"get", VIGIL_OP_GET, TELLS_SEQ, "value"},
    {"append", VIGIL_OP_APPEND, HAS_VALUE, "length"},
    {"add", VIGIL_OP_ADD, HAS_VALUE, "length"},
    {"set_default", VIGIL_OP_SET_DEFAULT, HAS_VALUE | TELLS_SEQ, "value"},
    {"pop", VIGIL_OP_POP, 0, "value"},
    {"pop_any", VIGIL_OP_POP_ANY, ON_PREFIX, "value"},
    {"clear", VIGIL_OP_CLEAR, ON_PREFIX | TELLS_NO_KEY, "count"},
    {"count", VIGIL_OP_COUNT, ON_PREFIX | TELLS_NO_KEY, "count"},
    {"list", VIGIL_OP_LIST, ON_PREFIX | HAS_LIMIT | TELLS_NO_KEY, "rows"},
    {"push", VIGIL_OP_PUSH, ON_PREFIX | HAS_VALUE | TELLS_NO_KEY, NULL},
};
enum { OPERATION_COUNT = sizeof(operations) / sizeof(operations[0]) };

int txn_json_new(struct txn_json **ret_txn)
{
    struct txn_json *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return ERR_NO_MEMORY;
    wire_buffer_init(&t->value, LIMIT_MESSAGE_SIZE_MAX);
    if (json_reader_new(&t->reader) != ERR_OK || vigil_txn_new(&t->txn) != VIGIL_OK) {
        txn_json_free(t);
        return ERR_NO_MEMORY;
    }
    *ret_txn = t;
    return ERR_OK;
}

void txn_json_free(struct txn_json *t)
{
    if (t == NULL)
        return;
    json_reader_free(t->reader);
    json_object_put(t->tree);
    vigil_txn_free(t->txn);
    wire_buffer_free(&t->value);
    free(t->branches[0]);
    free(t->branches[1]);
    free(t);
}

const vigil_txn *txn_json_txn(const struct txn_json *t)
{
    return t->txn;
}

/* ---- members ---- */

static int refuse(struct failure *failure, const char *what)
{
    return failure_set(failure, ERR_BAD_VALUE, "%s", what);
}

/* A key or a prefix; the library looks whether it is a valid one. */
static int read_name(struct json_object *tree, const char *member, const char **ret_name,
                     struct failure *failure)
{
    if (!json_object_is_type(tree, json_type_string))
        return failure_set(failure, ERR_BAD_VALUE, "\"%s\" is no string", member);
    const char *text = json_object_get_string(tree);
    if (strlen(text) != (size_t)json_object_get_string_len(tree))
        return failure_set(failure, ERR_BAD_KEY, "\"%s\": %s", member, error_text(ERR_BAD_KEY));
    *ret_name = text;
    return ERR_OK;
}

static int read_unsigned(struct json_object *tree, const char *member, uint64_t most,
                         uint64_t *ret_number, struct failure *failure)
{
    if (!json_object_is_type(tree, json_type_int) || json_object_get_int64(tree) < 0 ||
        json_object_get_uint64(tree) > most)
        return failure_set(failure, ERR_BAD_VALUE,
                           "\"%s\" is no whole number from 0 on, or too large", member);
    *ret_number = json_object_get_uint64(tree);
    return ERR_OK;
}

static int read_by(struct json_object *tree, int64_t *ret_by, struct failure *failure)
{
    if (!json_object_is_type(tree, json_type_int))
        return refuse(failure, "\"by\" is no whole number");
    *ret_by = json_object_get_int64(tree);
    if (*ret_by == INT64_MAX && json_object_get_uint64(tree) != INT64_MAX)
        return refuse(failure, "\"by\" does not fit 64 bits with a sign");
    return ERR_OK;
}

static int read_ttl(struct json_object *tree, uint32_t *ret_ttl_ms, struct failure *failure)
{
    int ms = 0;

    if (!json_object_is_type(tree, json_type_string) ||
        !duration_parse(json_object_get_string(tree), &ms) || ms < 1)
        return refuse(failure, "\"ttl\" is a time such as \"30s\" or \"500ms\"");
    *ret_ttl_ms = (uint32_t)ms;
    return ERR_OK;
}

static int read_value(struct txn_json *t, struct json_object *tree, struct failure *failure)
{
    wire_buffer_clear(&t->value);
    return json_tree_to_value(tree, &t->value, failure);
}

static int from_library(int error, struct failure *failure)
{
    return error == VIGIL_OK ? ERR_OK : failure_set(failure, error, "%s", vigil_error_text(error));
}

/* ---- compares ---- */

typedef int add_number_compare(vigil_txn *t, const char *key, enum vigil_relation relation,
                               uint64_t number);

/* A number, or {"<": 9} and the like. */
static int read_relation(struct txn_json *t, const char *key, const char *member,
                         struct json_object *tree, add_number_compare *add, struct failure *failure)
{
    static const char *const names[] = {"=", "!=", "<", ">"}; /* in the order of the relations */
    uint64_t number = 0;

    if (!json_object_is_type(tree, json_type_object)) {
        int err = read_unsigned(tree, member, UINT64_MAX, &number, failure);
        return err != ERR_OK ? err : from_library(add(t->txn, key, VIGIL_EQUAL, number), failure);
    }
    if (json_object_object_length(tree) == 0)
        return failure_set(failure, ERR_BAD_VALUE, "\"%s\" is {}: say what it is to be", member);
    json_object_object_foreach(tree, name, operand)
    {
        size_t i = 0;
        while (i < 4 && strcmp(name, names[i]) != 0)
            i++;
        if (i == 4)
            return failure_set(failure, ERR_BAD_VALUE,
                               "unknown relation \"%.64s\" of \"%s\" (known: =, !=, <, >)", name,
                               member);
        int err = read_unsigned(operand, name, UINT64_MAX, &number, failure);
        if (err == ERR_OK)
            err = from_library(add(t->txn, key, (enum vigil_relation)(i + 1), number), failure);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* What is said of a key. */
static int add_key_compare(struct txn_json *t, const char *key, const char *member,
                           struct json_object *tree, struct failure *failure)
{
    bool negated = strcmp(member, "not_value") == 0;

    if (strcmp(member, "seq") == 0)
        return read_relation(t, key, member, tree, vigil_txn_if_seq, failure);
    if (strcmp(member, "version") == 0)
        return read_relation(t, key, member, tree, vigil_txn_if_version, failure);
    if (strcmp(member, "exists") == 0) {
        if (!json_object_is_type(tree, json_type_boolean))
            return refuse(failure, "\"exists\" is neither true nor false");
        return from_library(vigil_txn_if_exists(t->txn, key, json_object_get_boolean(tree)),
                            failure);
    }
    if (!negated && strcmp(member, "value") != 0)
        return failure_set(failure, ERR_BAD_VALUE,
                           "unknown member \"%.64s\" (known: key, seq, version, value, not_value, "
                           "exists; prefix, unchanged_since)",
                           member);
    int err = read_value(t, tree, failure);
    if (err != ERR_OK)
        return err;
    return from_library(vigil_txn_if_value(t->txn, key, negated ? VIGIL_NOT_EQUAL : VIGIL_EQUAL,
                                           t->value.data, t->value.size),
                        failure);
}

static int add_prefix_compare(struct txn_json *t, struct json_object *tree,
                              struct json_object *prefix, struct failure *failure)
{
    struct json_object *since = NULL;
    const char *name = NULL;
    uint64_t seq = 0;

    int err = read_name(prefix, "prefix", &name, failure);
    if (err == ERR_OK && (!json_object_object_get_ex(tree, "unchanged_since", &since) ||
                          json_object_object_length(tree) != 2))
        err = refuse(failure, "with \"prefix\" there is \"unchanged_since\", and nothing else");
    if (err == ERR_OK)
        err = read_unsigned(since, "unchanged_since", UINT64_MAX, &seq, failure);
    if (err != ERR_OK)
        return err;
    return from_library(vigil_txn_if_prefix_unchanged(t->txn, name, seq), failure);
}

static int add_compare(struct txn_json *t, struct json_object *tree, struct failure *failure)
{
    struct json_object *key = NULL;
    const char *name = NULL;

    if (!json_object_is_type(tree, json_type_object))
        return refuse(failure, "a compare is an object such as {\"key\":\"a\",\"seq\":5}");
    if (json_object_object_get_ex(tree, "prefix", &key))
        return add_prefix_compare(t, tree, key, failure);
    if (!json_object_object_get_ex(tree, "key", &key))
        return refuse(failure, "\"key\" is missing");
    int err = read_name(key, "key", &name, failure);
    if (err == ERR_OK && json_object_object_length(tree) == 1)
        err = refuse(failure, "beside \"key\" say what it is to be: seq, version, value, not_value "
                              "or exists");
    if (err != ERR_OK)
        return err;
    json_object_object_foreach(tree, member, operand)
    {
        if (strcmp(member, "key") == 0)
            continue;
        err = add_key_compare(t, name, member, operand, failure);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

/* ---- operations ---- */

struct members {
    const struct operation *operation;
    const char *name;
    unsigned has; /* HAS_ */
    int64_t by;
    uint32_t limit;
    uint32_t ttl_ms;
};

static const struct operation *find_operation(const char *name)
{
    for (size_t i = 0; i < OPERATION_COUNT; i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    return NULL;
}

static int read_member(struct txn_json *t, const char *name, struct json_object *tree,
                       struct members *m, struct failure *failure)
{
    const struct operation *operation = find_operation(name);
    uint64_t limit = 0;
    int err;

    if (operation != NULL) {
        if (m->operation != NULL)
            return failure_set(failure, ERR_BAD_VALUE, "both \"%s\" and \"%s\"", m->operation->name,
                               name);
        m->operation = operation;
        return read_name(tree, name, &m->name, failure);
    }
    if (strcmp(name, "value") == 0) {
        m->has |= HAS_VALUE;
        return read_value(t, tree, failure);
    }
    if (strcmp(name, "by") == 0) {
        m->has |= HAS_BY;
        return read_by(tree, &m->by, failure);
    }
    if (strcmp(name, "limit") == 0) {
        m->has |= HAS_LIMIT;
        err = read_unsigned(tree, name, UINT32_MAX, &limit, failure);
        m->limit = (uint32_t)limit;
        return err;
    }
    if (strcmp(name, "ttl") == 0) {
        m->has |= HAS_TTL;
        return read_ttl(tree, &m->ttl_ms, failure);
    }
    return failure_set(failure, ERR_BAD_VALUE, "unknown member \"%.64s\"", name);
}

static int check_members(const struct members *m, struct failure *failure)
{
    static const char *const names[] = {"value", "by", "limit", "ttl"};

    if (m->operation == NULL)
        return refuse(failure, "no operation (known: put, delete, incr, get, append, add, "
                               "set_default, pop, pop_any, clear, count, list, push)");
    for (unsigned i = 0; i < 4; i++)
        if ((m->has & ~m->operation->flags & 1u << i) != 0)
            return failure_set(failure, ERR_BAD_VALUE, "\"%s\" has no \"%s\"", m->operation->name,
                               names[i]);
    if ((m->operation->flags & ~m->has & HAS_VALUE) != 0)
        return failure_set(failure, ERR_BAD_VALUE, "\"%s\" needs a \"value\"", m->operation->name);
    return ERR_OK;
}

static int add_to_library(struct txn_json *t, const struct members *m)
{
    const void *value = t->value.data;
    size_t size = t->value.size;

    switch (m->operation->op) {
    case VIGIL_OP_DELETE:
        return vigil_txn_delete(t->txn, m->name);
    case VIGIL_OP_INCR:
        return vigil_txn_incr(t->txn, m->name, m->by);
    case VIGIL_OP_GET:
        return vigil_txn_get(t->txn, m->name);
    case VIGIL_OP_APPEND:
        return vigil_txn_append(t->txn, m->name, value, size);
    case VIGIL_OP_ADD:
        return vigil_txn_add(t->txn, m->name, value, size);
    case VIGIL_OP_SET_DEFAULT:
        return vigil_txn_set_default(t->txn, m->name, value, size);
    case VIGIL_OP_POP:
        return vigil_txn_pop(t->txn, m->name);
    case VIGIL_OP_POP_ANY:
        return vigil_txn_pop_any(t->txn, m->name);
    case VIGIL_OP_CLEAR:
        return vigil_txn_clear_prefix(t->txn, m->name);
    case VIGIL_OP_COUNT:
        return vigil_txn_count(t->txn, m->name);
    case VIGIL_OP_LIST:
        return vigil_txn_list(t->txn, m->name, m->limit);
    case VIGIL_OP_PUSH:
        return vigil_txn_push(t->txn, m->name, value, size);
    default:
        return m->ttl_ms > 0 ? vigil_txn_put_ttl(t->txn, m->name, value, size, m->ttl_ms)
                             : vigil_txn_put(t->txn, m->name, value, size);
    }
}

static int add_operation(struct txn_json *t, struct json_object *tree,
                         struct named_operation *ret_named, struct failure *failure)
{
    struct members m = {.by = 1};

    if (!json_object_is_type(tree, json_type_object))
        return refuse(failure, "an operation is an object such as {\"put\":\"a\",\"value\":1}");
    json_object_object_foreach(tree, name, member)
    {
        int err = read_member(t, name, member, &m, failure);
        if (err != ERR_OK)
            return err;
    }
    int err = check_members(&m, failure);
    if (err == ERR_OK && m.operation)
        err = from_library(add_to_library(t, &m), failure);
    *ret_named = (struct named_operation){m.operation, m.name};
    return err;
}

/* ---- the whole ---- */

static int at_element(const char *list, size_t i, int err, const struct failure *within,
                      struct failure *failure)
{
    return err == ERR_OK ? ERR_OK
                         : failure_set(failure, err, "%s[%zu]: %.400s", list, i, within->text);
}

static int check_list(struct json_object *tree, const char *name, size_t most,
                      struct failure *failure)
{
    if (!json_object_is_type(tree, json_type_array))
        return failure_set(failure, ERR_BAD_VALUE, "\"%s\" is no array", name);
    size_t count = json_object_array_length(tree);
    if (count > most)
        return failure_set(failure, ERR_TOO_LARGE, "\"%s\" has %zu elements; %zu are possible",
                           name, count, most);
    return ERR_OK;
}

static int parse_compares(struct txn_json *t, struct json_object *list, struct failure *failure)
{
    int err = check_list(list, "if", LIMIT_TXN_COMPARES, failure);
    size_t count = err == ERR_OK ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        struct failure within = {.text = ""};
        err = add_compare(t, json_object_array_get_idx(list, i), &within);
        err = at_element("if", i, err, &within, failure);
    }
    return err;
}

static int parse_branch(struct txn_json *t, struct json_object *list, int branch,
                        struct failure *failure)
{
    const char *name = branch == 0 ? "then" : "else";
    int err = check_list(list, name, LIMIT_TXN_OPS, failure);
    size_t count = err == ERR_OK ? json_object_array_length(list) : 0;

    if (count == 0)
        return err;
    t->branches[branch] = calloc(count, sizeof(*t->branches[branch]));
    if (t->branches[branch] == NULL)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    t->counts[branch] = count;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        struct failure within = {.text = ""};
        err =
            add_operation(t, json_object_array_get_idx(list, i), &t->branches[branch][i], &within);
        err = at_element(name, i, err, &within, failure);
    }
    return err;
}

static int check_names(struct json_object *tree, struct failure *failure)
{
    if (!json_object_is_type(tree, json_type_object))
        return refuse(failure,
                      "a transaction is an object: {\"if\":[...],\"then\":[...],\"else\":[...]}");
    json_object_object_foreach(tree, name, member)
    {
        (void)member;
        if (strcmp(name, "if") != 0 && strcmp(name, "then") != 0 && strcmp(name, "else") != 0)
            return failure_set(failure, ERR_BAD_VALUE,
                               "unknown member \"%.64s\" (known: if, then, else)", name);
    }
    return ERR_OK;
}

int txn_json_parse(struct txn_json *t, struct bytes text, struct failure *failure)
{
    struct json_object *list = NULL;

    json_object_put(t->tree);
    t->tree = NULL;
    for (int i = 0; i < 2; i++) {
        free(t->branches[i]);
        t->branches[i] = NULL;
        t->counts[i] = 0;
    }
    vigil_txn_clear(t->txn);
    int err = json_read_tree(t->reader, text, &t->tree, failure);
    if (err == ERR_OK)
        err = check_names(t->tree, failure);
    if (err == ERR_OK && json_object_object_get_ex(t->tree, "if", &list))
        err = parse_compares(t, list, failure);
    if (err == ERR_OK && json_object_object_get_ex(t->tree, "then", &list))
        err = parse_branch(t, list, 0, failure);
    vigil_txn_otherwise(t->txn);
    if (err == ERR_OK && json_object_object_get_ex(t->tree, "else", &list))
        err = parse_branch(t, list, 1, failure);
    return err;
}
