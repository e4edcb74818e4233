/*
 * life.h - how long keys live: each with an end of its own, or with a lease, with
 * which all its keys end; and what the batch at hand has changed of that.
 *
 *   key --put with a time to live--> life --> in the heap, by its end
 *   key --put with a lease---------> life --> in the lease's list; the lease is in the heap
 *
 * Ends are in milliseconds of life time (life_clock.h), which a reboot does not set back.
 *
 * 1. A life knows the change of its key that it belongs to (modified). One whose
 *    key has changed without it means nothing.
 * 2. What a batch does is taken back by an abort, which allocates nothing and
 *    cannot fail: lives and leases that a batch ends are kept until it is over, and
 *    the heap has room for all of them. Renewals are not taken back: a key may live
 *    longer, but never shorter.
 * 3. Pointers stay valid until the end of a batch.
 *
 * Threads: the core's.
 */
#ifndef VIGIL_SERVER_CORE_LIFE_H
#define VIGIL_SERVER_CORE_LIFE_H

#include "protocol/wire.h"
#include "server/core/table.h"

/* What a change does to its key's life. */
enum life_effect_kind {
    LIFE_EFFECT_KEEP, /* it goes on as it is */
    LIFE_EFFECT_END,  /* the key lives on without end, or is gone */
    LIFE_EFFECT_TTL,  /* it ends so many milliseconds later */
    LIFE_EFFECT_LEASE /* it ends with this lease */
};
struct life_effect {
    enum life_effect_kind kind;
    uint64_t number; /* milliseconds, or the lease's id */
};

/* What ends at a time: a life, or a lease with all of its keys. */
struct ending {
    uint64_t end_ms;
    size_t place; /* in the heap */
    bool is_lease;
    bool is_placed;
};

struct key_lease;
enum life_kind { LIFE_NONE, LIFE_TTL, LIFE_LEASE };
struct life_terms {
    enum life_kind kind;
    uint64_t modified;       /* seq of the key's change that it belongs to */
    uint64_t set_ms;         /* when it was given; never later than now */
    uint64_t end_ms;         /* TTL */
    struct key_lease *lease; /* LEASE */
};

struct life {
    struct ending ending; /* first: the heap's items are these */
    uint64_t hash;
    struct life_terms terms; /* of kind NONE only within a batch */
    struct life *next;       /* of the same lease */
    struct life *previous;
    bool is_expiring; /* its key is in the record that is being made */
    /* Of the batch at hand, if that touched it. */
    struct life *next_touched;
    uint64_t batch;
    struct life_terms before;
    uint16_t key_size;
    uint8_t key[];
};

struct key_lease {
    struct ending ending; /* first */
    uint64_t id;
    uint32_t ttl_ms;
    struct life *first;
    size_t count;
    /* Of the batch at hand, if that opened or ended it. */
    struct key_lease *next_touched;
    uint64_t batch;
    bool is_new;
    bool is_ended;
};

/* Zeroed: empty. */
struct life_table {
    struct table lives;  /* by the key's hash */
    struct table leases; /* by id, which is random */
    struct ending **heap;
    size_t heap_count;
    size_t heap_capacity; /* at least as many as there are lives and leases */
    struct life *touched;
    size_t touched_count;
    struct key_lease *leases_touched;
    size_t leases_touched_count;
};

void life_table_free(struct life_table *t);

static inline struct bytes life_key(const struct life *l)
{
    return (struct bytes){l->key, l->key_size};
}
/* NULL: there is none. */
struct life *life_find(const struct life_table *t, struct bytes key, uint64_t hash);
/* What ends first, or NULL. */
static inline struct ending *life_first_ending(const struct life_table *t)
{
    return t->heap_count > 0 ? t->heap[0] : NULL;
}
/* Later than it was; not taken back by an abort. */
void life_postpone(struct life_table *t, struct ending *e, uint64_t end_ms);

/* ---- at start, outside of a batch ---- */

/* The caller knows that there is none for this key, or with this id. ERR_OK, ERR_NO_MEMORY. */
int life_restore(struct life_table *t, struct bytes key, uint64_t hash,
                 const struct life_terms *terms);
int key_lease_restore(struct life_table *t, uint64_t id, uint32_t ttl_ms,
                      struct key_lease **ret_lease);

/* Each lease ends its whole time after now. */
void life_renew_all(struct life_table *t, uint64_t now_ms);

/* ---- within a batch ---- */

/* The key's life becomes this. ERR_OK, ERR_NO_MEMORY. */
int life_set(struct life_table *t, struct bytes key, uint64_t hash, const struct life_terms *terms,
             uint64_t batch);
/* It ends, or becomes another. Cannot fail. */
void life_change(struct life_table *t, struct life *l, const struct life_terms *terms,
                 uint64_t batch);
/* NULL: there is none, or it has ended. */
struct key_lease *key_lease_find(const struct life_table *t, uint64_t id);
/* The caller knows that the id is free. ERR_OK, ERR_NO_MEMORY. */
int key_lease_open(struct life_table *t, uint64_t id, uint32_t ttl_ms, uint64_t end_ms,
                   uint64_t batch, struct key_lease **ret_lease);
/* None of its keys' lives is its own any more. */
void key_lease_end(struct life_table *t, struct key_lease *l, uint64_t batch);
void life_batch_commit(struct life_table *t);
void life_batch_abort(struct life_table *t);

#endif
