/*
 * write_set.h - what one request has changed so far, above the state: the copy
 * on which transactions and functions work. Only when all has gone well, and the
 * reply is known to fit, does the net outcome become a record. So nothing has to
 * be taken back.
 *
 * 1. A key is in it once, in the order of the first write to it.
 * 2. It borrows the bytes of keys and values: they live until the request ends.
 *    write_set_keep copies what would not.
 * 3. A key that was absent and is absent again changes nothing, and is in no
 *    record.
 *
 * Threads: the core's.
 */
#ifndef VIGIL_SERVER_CORE_WRITE_SET_H
#define VIGIL_SERVER_CORE_WRITE_SET_H

#include "protocol/value.h"
#include "server/core/overlay.h"
#include "server/core/table.h"

struct core;
struct request;
struct key_state;

/* A key that the request wrote. */
struct write_set_key {
    struct bytes key;
    uint64_t hash;
    bool was_present;
    bool is_present;
    struct key_meta before;
    struct bytes value; /* if present */
};

struct write_set_block;

/* Zeroed: empty. */
struct write_set {
    struct write_set_key **keys;
    size_t count;
    size_t capacity;
    struct table table;
    struct write_set_block *blocks; /* of the kept bytes and of the keys, the newest first */
};

void write_set_free(struct write_set *w);
/* Forgets everything, for the next request. expected: keys that it will write, about. ERR_OK,
 * ERR_NO_MEMORY. */
int write_set_begin(struct core *core, size_t expected);
/* A copy that lives until the next begin. ERR_OK, ERR_NO_MEMORY. */
int write_set_keep(struct core *core, struct bytes bytes, struct bytes *ret_kept);

/* What the key is for the request: as it wrote it, otherwise as the state has it. Of a key that the
 * request changed, meta.modified is own_seq. ret_own (may be NULL): it is one of those.
 * The value is valid until the next lookup. Errors of core_lookup_for. */
int write_set_get(struct core *core, struct request *q, struct bytes key, uint64_t own_seq,
                  struct key_state *ret_state, bool *ret_own);
/* ret_before (may be NULL): what it was to the request just before. The caller has checked key and
 * value. ERR_LIMIT: more than LIMIT_TXN_OPS keys; ERR_NO_MEMORY; errors of core_lookup_for. */
int write_set_put(struct core *core, struct request *q, struct bytes key, struct bytes value,
                  struct key_state *ret_before);
int write_set_delete(struct core *core, struct request *q, struct bytes key,
                     struct key_state *ret_before);
/* Whether there will be a record. */
bool write_set_changes_anything(const struct write_set *w);
/* Makes the record and puts its keys into the overlay. reply_at: where the request's reply begins,
 * which is complete. ERR_OK, ERR_NO_MEMORY (the batch must be aborted). */
int write_set_commit(struct core *core, const struct request *q, size_t reply_at);

#endif
