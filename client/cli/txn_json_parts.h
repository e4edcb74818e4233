/* txn_json_parts.h - what the reader of transactions and the writer of their results share. */
#ifndef VIGIL_CLI_TXN_JSON_PARTS_H
#define VIGIL_CLI_TXN_JSON_PARTS_H

#include "client/cli/json_read.h"
#include "client/cli/txn_json.h"

enum {
    HAS_VALUE = 1,
    HAS_BY = 2,
    HAS_LIMIT = 4,
    HAS_TTL = 8,
    ON_PREFIX = 16,   /* what it names is a prefix */
    TELLS_SEQ = 32,   /* its seq is where the key changed last, not where it had changed before */
    TELLS_NO_KEY = 64 /* its result has neither present nor seq */
};

struct operation {
    const char *name;
    enum vigil_op op;
    unsigned flags;
    const char *value_name; /* of the result's value */
};

/* One that was read: what its result is printed with. */
struct named_operation {
    const struct operation *operation;
    const char *name; /* key or prefix; in the tree */
};

struct txn_json {
    struct json_reader *reader;
    struct json_object *tree;
    vigil_txn *txn;
    struct wire_buffer value;
    struct named_operation *branches[2];
    size_t counts[2];
};

#endif
