/* key_lease.c - leases for keys: opening, renewing, closing, and how long one surely lives. */
#define _GNU_SOURCE
#include "client/key_lease.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/clock.h"
#include "client/keeper.h"

/* ---- a renewal ---- */

void key_lease_answered(struct vigil_lease *l, int64_t sent_ms, bool known)
{
    int64_t until_ms = sent_ms + l->ttl_ms;
    int64_t before_ms = atomic_load(&l->safe_until_ms);
    if (!known)
        atomic_store(&l->ended, true);
    while (known && until_ms > before_ms &&
           !atomic_compare_exchange_weak(&l->safe_until_ms, &before_ms, until_ms))
        ;
}

void key_lease_write_renewal(const struct vigil_lease *l, struct wire_buffer *b)
{
    wire_write_u16(b, 1);
    wire_write_u64(b, l->id);
}

bool key_lease_read_renewal(struct wire_reader *body, bool *ret_known)
{
    uint16_t count = wire_read_u16(body);
    uint8_t known = wire_read_u8(body);
    if (!wire_read_complete(body) || count != 1 || known > 1)
        return false;
    *ret_known = known == 1;
    return true;
}

/* ---- opening ---- */

/* sent_ms: before the request went out. */
static int ask_for_lease(struct vigil *v, uint32_t ttl_ms, uint64_t *ret_id, int64_t *ret_sent_ms)
{
    struct call call;
    struct wire_buffer *b;
    struct reply_lease_open body;
    *ret_sent_ms = clock_boot_ms();
    int err = connection_request_begin(v, OP_LEASE_OPEN, 0, 4, &b);
    if (err)
        return err;
    request_lease_open_write(b, &(struct request_lease_open){.ttl_ms = ttl_ms});
    err = connection_call(v, &call, v->request_timeout_ms);
    if (err)
        return err;
    if (!reply_lease_open_read(&call.reply.body, &body) || body.lease == 0)
        return connection_malformed(v);
    *ret_id = body.lease;
    return ERR_OK;
}

static int close_at_server(struct vigil *v, uint64_t id)
{
    struct call call;
    struct wire_buffer *b;
    int err = connection_request_begin(v, OP_LEASE_CLOSE, 0, 8, &b);
    if (err)
        return err;
    request_lease_close_write(b, &(struct request_lease_close){.lease = id});
    return connection_call(v, &call, v->request_timeout_ms);
}

static void free_lease(struct vigil_lease *l)
{
    keeper_free(l->keeper);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

/* What a keeper needs comes first: then the lease is not opened in vain. */
static int open_lease(vigil *v, uint32_t ttl_ms, bool is_kept, vigil_lease **ret_lease)
{
    int64_t sent_ms;
    int err = ERR_OK;
    if (!ret_lease)
        return connection_fail(v, ERR_INVALID, NULL);
    struct vigil_lease *l = calloc(1, sizeof *l);
    if (!l)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    l->v = v;
    l->ttl_ms = ttl_ms;
    l->fd = is_kept ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (is_kept)
        err = l->fd < 0 ? connection_fail(v, ERR_LIMIT, "cannot make a descriptor")
                        : keeper_new(v, ttl_ms, &l->keeper);
    if (err == ERR_OK)
        err = ask_for_lease(v, ttl_ms, &l->id, &sent_ms);
    if (err)
        goto fail;
    key_lease_answered(l, sent_ms, true);
    if (is_kept && keeper_start(l->keeper, l) != ERR_OK) {
        (void)close_at_server(v, l->id);
        err = connection_fail(v, ERR_LIMIT, "cannot start the thread that renews the lease");
        goto fail;
    }
    *ret_lease = l;
    return ERR_OK;
fail:
    free_lease(l);
    return err;
}

int vigil_lease_open(vigil *v, uint32_t ttl_ms, vigil_lease **ret_lease)
{
    return open_lease(v, ttl_ms, true, ret_lease);
}

int vigil_lease_open_by_hand(vigil *v, uint32_t ttl_ms, vigil_lease **ret_lease)
{
    return open_lease(v, ttl_ms, false, ret_lease);
}

/* ---- using it ---- */

uint64_t vigil_lease_id(const vigil_lease *l)
{
    return l->id;
}

int64_t vigil_lease_left_ms(const vigil_lease *l)
{
    int64_t left_ms = atomic_load(&l->safe_until_ms) - clock_boot_ms();
    return left_ms > 0 && !atomic_load(&l->ended) ? left_ms : 0;
}

bool vigil_lease_has_ended(const vigil_lease *l)
{
    return atomic_load(&l->ended);
}

int vigil_lease_fd(const vigil_lease *l)
{
    return l->fd;
}

int vigil_lease_renew(vigil_lease *l)
{
    struct vigil *v = l->v;
    struct call call;
    struct wire_buffer *b;
    bool known;
    int64_t sent_ms = clock_boot_ms();
    int err = connection_request_begin(v, OP_LEASE_RENEW, 0, KEY_LEASE_RENEWAL_SIZE, &b);
    if (err)
        return err;
    key_lease_write_renewal(l, b);
    err = connection_call(v, &call, v->request_timeout_ms);
    if (err)
        return err;
    if (!key_lease_read_renewal(&call.reply.body, &known))
        return connection_malformed(v);
    key_lease_answered(l, sent_ms, known);
    return known ? ERR_OK : connection_fail(v, ERR_LEASE_ENDED, NULL);
}

int vigil_lease_close(vigil_lease *l)
{
    if (!l)
        return ERR_OK;
    /* It is kept meanwhile: its connection may have to be made anew first, and then it ends here rather
     * than by itself. */
    bool had_ended = atomic_load(&l->ended);
    int err = close_at_server(l->v, l->id);
    /* The request may have been sent twice, over a connection that was lost: then this is what the
     * second one was told. */
    if (err == ERR_LEASE_ENDED && !had_ended && atomic_load(&l->safe_until_ms) > clock_boot_ms())
        err = ERR_OK;
    free_lease(l);
    return err;
}
