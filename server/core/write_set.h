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
#include "server/core/key_order.h"
#include "server/core/life.h"
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
    struct life_effect life;
};

struct write_set_block;

/* Zeroed: empty. */
struct write_set {
    struct write_set_key **keys;
    size_t count;
    size_t capacity;
    size_t bytes; /* that the record takes, about */
    struct table table;
    size_t lives;                   /* writes that gave a key an end */
    struct write_set_block *blocks; /* of the kept bytes and of the keys, the newest first */
    bool is_ordered;                /* from the first scan on */
    struct key_order order;
    /* Of all keys with that prefix none before first_from lives in the state that is not in the set,
     * and in the set there is none either. */
    bool first_known;
    struct bytes first_prefix;
    struct bytes first_from;
};

/* A live key, as the request sees it. */
struct write_set_entry {
    struct bytes key;
    struct bytes value;
    uint64_t modified; /* own_seq of one that the request has put */
    bool own;
};
/* Anything but ERR_OK ends the scan, which returns it: an error, or WRITE_SET_STOP. It may write the
 * key that it was given, after a write_set_keep, and no other. */
typedef int write_set_visit(void *context, const struct write_set_entry *entry);
enum { WRITE_SET_STOP = -1 }; /* then the scan returns ERR_OK */

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
 * value. ERR_LIMIT: more than LIMIT_TXN_OPS keys; ERR_TOO_LARGE: more than a record may have;
 * ERR_NO_MEMORY; errors of core_lookup_for. */
int write_set_put(struct core *core, struct request *q, struct bytes key, struct bytes value,
                  struct key_state *ret_before);
/* The same, with what it does to the key's life; of a plain put that is LIFE_EFFECT_END. Errors of
 * life_check_effect, too. */
int write_set_put_living(struct core *core, struct request *q, struct bytes key, struct bytes value,
                         const struct life_effect *life, struct key_state *ret_before);
int write_set_delete(struct core *core, struct request *q, struct bytes key,
                     struct key_state *ret_before);
/* The live keys with this prefix (valid as one, or empty), in bytewise order. The entry is valid until
 * its visit returns, key and value until the request's next change of the state. ERR_LIMIT: more
 * keys than LIMIT_PREFIX_KEYS were to be looked at; ERR_NO_MEMORY; ERR_CORRUPT and other errors of
 * the state; what visit returns. */
int write_set_scan(struct core *core, struct request *q, struct bytes prefix, uint64_t own_seq,
                   write_set_visit *visit, void *context);
/* The first of them. ERR_NOT_FOUND: there is none. Within one request, asking again after it was
 * deleted goes on from there. */
int write_set_first(struct core *core, struct request *q, struct bytes prefix, uint64_t own_seq,
                    struct write_set_entry *ret_entry);
/* Whether there will be a record. */
bool write_set_changes_anything(const struct write_set *w);
/* Makes the record and puts its keys into the overlay. reply_at: where the request's reply begins,
 * which is complete. ERR_OK, ERR_NO_MEMORY (the batch must be aborted). */
int write_set_commit(struct core *core, const struct request *q, size_t reply_at);

#endif
