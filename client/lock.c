/* lock.c - locks and elections: to be the first of those who contend for a name (contender.h). */
#include "client/contender.h"

#include <stdlib.h>

#include "client/clock.h"

struct vigil_lock {
    struct contender contender;
};

static int enter(vigil *v, const char *kind, const char *name, const void *value, size_t size,
                 uint32_t ttl_ms, vigil_lock **ret_lock)
{
    char full[CONTENDER_NAME_SIZE];
    if (!ret_lock)
        return connection_fail(v, ERR_INVALID, NULL);
    int err = contender_name(v, kind, name, full);
    if (err)
        return err;
    vigil_lock *l = calloc(1, sizeof *l);
    if (!l)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    err = contender_enter(&l->contender, v, full, value, size, ttl_ms, NULL);
    if (err) {
        free(l);
        return err;
    }
    *ret_lock = l;
    return ERR_OK;
}

int vigil_lock_enter(vigil *v, const char *name, const void *value, size_t size, uint32_t ttl_ms,
                     vigil_lock **ret_lock)
{
    static const uint8_t nil = 0xc0;
    return enter(v, "lock", name, value ? value : &nil, value ? size : sizeof nil, ttl_ms,
                 ret_lock);
}

int vigil_elect_enter(vigil *v, const char *name, const void *value, size_t size, uint32_t ttl_ms,
                      vigil_lock **ret_lock)
{
    return enter(v, "election", name, value, size, ttl_ms, ret_lock);
}

int vigil_lock_wait(vigil_lock *l, int timeout_ms)
{
    return contender_wait_first(&l->contender, deadline_after(timeout_ms));
}

static int wait_or_leave(vigil_lock *l, int timeout_ms, vigil_lock **ret_lock)
{
    int err = vigil_lock_wait(l, timeout_ms);
    if (err)
        vigil_lock_release(l);
    else
        *ret_lock = l;
    return err;
}

int vigil_lock_acquire(vigil *v, const char *name, uint32_t ttl_ms, int timeout_ms,
                       vigil_lock **ret_lock)
{
    vigil_lock *l = NULL;
    if (!ret_lock)
        return connection_fail(v, ERR_INVALID, NULL);
    int err = vigil_lock_enter(v, name, NULL, 0, ttl_ms, &l);
    return err ? err : wait_or_leave(l, timeout_ms, ret_lock);
}

int vigil_elect(vigil *v, const char *name, const void *value, size_t size, uint32_t ttl_ms,
                int timeout_ms, vigil_lock **ret_lock)
{
    vigil_lock *l = NULL;
    if (!ret_lock)
        return connection_fail(v, ERR_INVALID, NULL);
    int err = vigil_elect_enter(v, name, value, size, ttl_ms, &l);
    return err ? err : wait_or_leave(l, timeout_ms, ret_lock);
}

int vigil_elected(vigil *v, const char *name, uint64_t *ret_seq, void **ret_value, size_t *ret_size)
{
    char full[CONTENDER_NAME_SIZE];
    int err = contender_name(v, "election", name, full);
    return err ? err : contender_first(v, full, 0, ret_seq, ret_value, ret_size);
}

uint64_t vigil_lock_seq(const vigil_lock *l)
{
    return l->contender.seq;
}

int64_t vigil_lock_left_ms(const vigil_lock *l)
{
    return vigil_lease_left_ms(l->contender.lease);
}

int vigil_lock_check(vigil_lock *l)
{
    return contender_check(&l->contender);
}

int vigil_lock_guard(const vigil_lock *l, vigil_txn *t)
{
    return vigil_txn_if_seq(t, l->contender.key, VIGIL_EQUAL, l->contender.seq);
}

void vigil_lock_release(vigil_lock *l)
{
    if (!l)
        return;
    contender_leave(&l->contender);
    free(l);
}
