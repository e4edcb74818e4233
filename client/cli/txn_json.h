/*
 * txn_json.h - a transaction as JSON, and its results.
 *
 *   {"if": [COMPARE...], "then": [OPERATION...], "else": [OPERATION...]}
 *
 * Each may be missing. A COMPARE, where RELATION is a number or an object of "=", "!=", "<", ">":
 *   {"key":K,"seq":RELATION}        where the key changed last; 0: it is absent
 *   {"key":K,"version":RELATION}
 *   {"key":K,"value":V}   {"key":K,"not_value":V}   {"key":K,"exists":true}
 *   {"prefix":P,"unchanged_since":SEQ}
 * An OPERATION:
 *   {"put":K,"value":V}   and "ttl":"30s"    {"delete":K}   {"get":K}   {"pop":K}
 *   {"incr":K,"by":N}     by is 1 unless given
 *   {"append":K,"value":V}   {"add":K,"value":V}   {"set_default":K,"value":V}
 *   {"pop_any":P}   {"clear":P}   {"count":P}   {"list":P,"limit":N}   {"push":P,"value":V}
 * Any other member is an error.
 */
#ifndef VIGIL_CLI_TXN_JSON_H
#define VIGIL_CLI_TXN_JSON_H

#include "protocol/failure.h"
#include "protocol/wire.h"

#include <vigil.h>

/* A parsed transaction. One thread at a time. */
struct txn_json;

int txn_json_new(struct txn_json **ret_txn);
void txn_json_free(struct txn_json *t);
/* text.data[text.size] is a NUL. ERR_OK, or ERR_BAD_VALUE and the like with a sentence that says
 * where: "then[2]: ...". */
int txn_json_parse(struct txn_json *t, struct bytes text, struct failure *failure);
const vigil_txn *txn_json_txn(const struct txn_json *t);
/* Appends {"succeeded":...,"seq":...,"results":[...]} without a newline. False if a value cannot be
 * shown. */
bool txn_json_write(const struct txn_json *t, struct wire_buffer *out, bool succeeded, uint64_t seq,
                    const vigil_txn_result *results, size_t count);

#endif
