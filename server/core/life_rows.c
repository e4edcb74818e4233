/*
 * life_rows.c - the rows of lives, of leases and of their clock: with a batch, and
 * at start. The key is a kind, and what it is of. Layouts, little-endian:
 *
 *   1               the clock (life_clock.c)
 *   2 u64 id        a lease: 0 u32 ttl_ms; the id big-endian
 *   3 the key       a life: 0 u8 kind (1 ends by itself, 2 with a lease)  1 7 bytes 0
 *                   8 u64 modified  16 u64 set_ms  24 u64 end_ms, or the lease's id
 *
 * A lease has its whole time again after a start: whoever renews it could not.
 */
#include "server/core/core_state.h"

#include "protocol/key.h"

#include <assert.h>

static_assert((int)LIFE_BOOT_SIZE == (int)BOOT_ID_SIZE, "the boot's name as the journal has it");

enum { OF_CLOCK = 1, OF_LEASE = 2, OF_KEY = 3 };
enum {
    NAME_SIZE_MAX = 1 + LIMIT_KEY_SIZE,
    LEASE_NAME_SIZE = 9,
    LEASE_ROW_SIZE = 4,
    LIFE_ROW_SIZE = 32,
    ROW_OVERHEAD = 64,
    CLOCK_WITH_BATCH_MS = 1000,
    CLOCK_ALONE_MS = 10000,
    LOST_LEASE_MS = 60000 /* of one whose row is gone */
};

typedef int put_life(void *context, struct bytes name, struct bytes row);

/* ---- writing ---- */

static size_t name_of(uint8_t kind, struct bytes of, uint8_t out[NAME_SIZE_MAX])
{
    out[0] = kind;
    if (of.size > 0)
        memcpy(out + 1, of.data, of.size);
    return 1 + of.size;
}

static int put_key(const struct life *l, put_life *put, void *context)
{
    uint8_t name[NAME_SIZE_MAX];
    uint8_t row[LIFE_ROW_SIZE] = {0};
    struct bytes named = {name, name_of(OF_KEY, life_key(l), name)};
    if (l->terms.kind == LIFE_NONE)
        return put(context, named, (struct bytes){NULL, 0});
    row[0] = (uint8_t)l->terms.kind;
    wire_store_u64(row + 8, l->terms.modified);
    wire_store_u64(row + 16, l->terms.set_ms);
    wire_store_u64(row + 24, l->terms.kind == LIFE_TTL ? l->terms.end_ms : l->terms.lease->id);
    return put(context, named, (struct bytes){row, sizeof row});
}

static int put_lease(const struct key_lease *l, put_life *put, void *context)
{
    uint8_t name[LEASE_NAME_SIZE] = {OF_LEASE};
    uint8_t row[LEASE_ROW_SIZE];
    for (unsigned i = 0; i < 8; i++)
        name[1 + i] = (uint8_t)(l->id >> (56 - 8 * i));
    wire_store_u32(row, l->ttl_ms);
    return put(context, (struct bytes){name, sizeof name},
               (struct bytes){row, l->is_ended ? 0 : sizeof row});
}

/* ---- the clock's row ---- */

static bool has_lives(const struct core *core)
{
    return core->lives.lives.count > 0 || core->lives.leases.count > 0;
}

static bool clock_is_due(const struct core *core, uint64_t now_ms, uint64_t every_ms)
{
    const struct life_clock *c = &core->life_clock;
    return has_lives(core) && (!c->is_written || now_ms - c->written_ms >= every_ms);
}

uint32_t core_life_clock_wait_ms(const struct core *core, uint64_t now_ms)
{
    const struct life_clock *c = &core->life_clock;
    if (!has_lives(core))
        return UINT32_MAX;
    if (clock_is_due(core, now_ms, CLOCK_ALONE_MS))
        return 0;
    return (uint32_t)(CLOCK_ALONE_MS - (now_ms - c->written_ms));
}

void core_life_clock_ask(struct core *core)
{
    core->life_clock.is_written = false;
}

static int put_clock(struct core *core, put_life *put, void *context)
{
    static const uint8_t name[1] = {OF_CLOCK};
    uint8_t row[LIFE_CLOCK_ROW_SIZE];
    struct life_clock *c = &core->life_clock;
    c->is_in_batch = false;
    if (!clock_is_due(core, core->now_ms, CLOCK_WITH_BATCH_MS))
        return ERR_OK;
    life_clock_row_encode(c, core->now_ms, row);
    int err = put(context, (struct bytes){name, sizeof name}, (struct bytes){row, sizeof row});
    c->is_in_batch = err == ERR_OK;
    c->in_batch_ms = core->now_ms;
    return err;
}

void life_clock_batch_end(struct life_clock *c, bool is_durable)
{
    if (c->is_in_batch && is_durable) {
        c->is_written = true;
        c->written_ms = c->in_batch_ms;
    }
    c->is_in_batch = false;
}

/* ---- a batch's rows ---- */

int core_life_rows(struct core *core, put_life *put, void *context)
{
    int err = put_clock(core, put, context);
    for (const struct key_lease *l = core->lives.leases_touched; l && !err; l = l->next_touched)
        err = put_lease(l, put, context);
    for (const struct life *l = core->lives.touched; l && !err; l = l->next_touched)
        err = put_key(l, put, context);
    return err;
}

uint64_t core_life_row_bytes(const struct core *core)
{
    uint64_t bytes = ROW_OVERHEAD + LIFE_CLOCK_ROW_SIZE;
    if (!has_lives(core))
        return 0;
    bytes += core->lives.leases_touched_count * (uint64_t)(ROW_OVERHEAD + LEASE_ROW_SIZE);
    for (const struct life *l = core->lives.touched; l; l = l->next_touched)
        bytes += (uint64_t)ROW_OVERHEAD + LIFE_ROW_SIZE + l->key_size;
    return bytes;
}

/* ---- start ---- */

static int restore_lease(struct core *core, struct bytes of, struct bytes row)
{
    struct key_lease *l;
    uint64_t id = 0;
    if (of.size != LEASE_NAME_SIZE - 1 || row.size != LEASE_ROW_SIZE)
        return ERR_CORRUPT;
    for (unsigned i = 0; i < 8; i++)
        id = id << 8 | of.data[i];
    uint32_t ttl_ms = wire_load_u32(row.data);
    if (id == 0 || ttl_ms == 0 || ttl_ms > LIMIT_LEASE_TTL_MS || key_lease_find(&core->lives, id))
        return ERR_CORRUPT;
    return key_lease_restore(&core->lives, id, ttl_ms, &l);
}

static int restore_key(struct core *core, struct bytes key, struct bytes row)
{
    struct life_table *t = &core->lives;
    uint64_t hash = core_key_hash(core, key);
    if (!key_valid(key) || row.size != LIFE_ROW_SIZE || life_find(t, key, hash))
        return ERR_CORRUPT;
    struct life_terms terms = {.kind = row.data[0] == LIFE_TTL ? LIFE_TTL : LIFE_LEASE,
                               .modified = wire_load_u64(row.data + 8),
                               .set_ms = wire_load_u64(row.data + 16)};
    uint64_t number = wire_load_u64(row.data + 24);
    if ((row.data[0] != LIFE_TTL && row.data[0] != LIFE_LEASE) || terms.modified == 0)
        return ERR_CORRUPT;
    if (terms.kind == LIFE_TTL) {
        terms.end_ms = number;
    } else {
        terms.lease = key_lease_find(t, number);
        /* Its row is damaged. The keys are to end all the same, if nobody renews it. */
        if (!terms.lease && key_lease_restore(t, number, LOST_LEASE_MS, &terms.lease))
            return ERR_NO_MEMORY;
    }
    life_clock_seen(&core->life_clock, terms.set_ms);
    return life_restore(t, key, hash, &terms);
}

int core_restore_life(struct core *core, struct bytes name, struct bytes row)
{
    if (name.size == 0)
        return ERR_CORRUPT;
    struct bytes of = {name.data + 1, name.size - 1};
    switch (name.data[0]) {
    case OF_CLOCK:
        return of.size == 0 ? life_clock_row_decode(&core->life_clock, row) : ERR_CORRUPT;
    case OF_LEASE:
        return restore_lease(core, of, row);
    case OF_KEY:
        return restore_key(core, of, row);
    default:
        return ERR_CORRUPT;
    }
}

void core_life_start(struct core *core, const char boot[BOOT_ID_SIZE], uint64_t now_ms)
{
    struct life_table *t = &core->lives;
    assert(!core->batch.is_open);
    if (now_ms > core->now_ms)
        core->now_ms = now_ms;
    life_clock_start(&core->life_clock, (const uint8_t *)boot, core->now_ms);
    life_renew_all(t, core_life_now(core));
}
