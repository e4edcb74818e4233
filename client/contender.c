/* contender.c - see contender.h. */
#include "client/contender.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/arguments.h"
#include "client/clock.h"

/* ---- who is there ---- */

/* Of one listing: whether this one's key is there, and the key just before it. */
struct line {
    const struct contender *c;
    bool is_in_it;
    uint64_t before_seq; /* 0: it is the first */
    char before[LIMIT_KEY_SIZE + 1];
};

static bool look_at(void *context, const vigil_entry *e)
{
    struct line *line = context;
    if (e->created == line->c->seq)
        line->is_in_it = strcmp(e->key, line->c->key) == 0;
    if (e->created < line->c->seq && e->created > line->before_seq) {
        line->before_seq = e->created;
        (void)snprintf(line->before, sizeof line->before, "%s", e->key);
    }
    return true;
}

int contender_has_ended(const struct contender *c)
{
    return connection_fail(c->v, ERR_LEASE_ENDED, "%s: its lease has ended: enter again", c->key);
}

/* For how long to wait at once: so often it is looked whether the lease still lives. */
enum { LOOK_EVERY_MS = 1000 };

int contender_patience_ms(const struct contender *c, int64_t deadline)
{
    if (vigil_lease_has_ended(c->lease))
        return 0;
    return deadline_left_ms(deadline, clock_now_ms(), LOOK_EVERY_MS);
}

/* Whether to go on after err: a server that is away may come back, and the lease with it. */
static bool may_retry(const struct contender *c, int err, int64_t deadline)
{
    return (err == ERR_TIMEOUT || err == ERR_DISCONNECTED) &&
           contender_patience_ms(c, deadline) > 0;
}

static int look(struct contender *c, int64_t deadline, struct line *ret_line)
{
    int err;
    do {
        *ret_line = (struct line){.c = c};
        /* With no time left it is looked all the same: 0 is a round trip. */
        err = vigil_list(c->v, c->prefix, false, contender_patience_ms(c, deadline), look_at,
                         ret_line, NULL);
    } while (err && may_retry(c, err, deadline));
    if (err)
        return err;
    return ret_line->is_in_it && c->v->epoch == c->epoch ? ERR_OK : contender_has_ended(c);
}

/* ---- entering ---- */

int contender_name(struct vigil *v, const char *kind, const char *name,
                   char out[CONTENDER_NAME_SIZE])
{
    size_t size = name ? strlen(name) : 0;
    if (size == 0 || size > CONTENDER_NAME_MAX || name[size - 1] == '/' || strstr(name, "//"))
        return connection_fail(v, ERR_BAD_KEY,
                               "a name has 1 to %d bytes, no // in it and no / at its end",
                               CONTENDER_NAME_MAX);
    (void)snprintf(out, CONTENDER_NAME_SIZE, "%s/%s", kind, name);
    return ERR_OK;
}

static int make_names(struct contender *c, const char *name)
{
    struct bytes ignored;
    size_t size = (size_t)snprintf(c->prefix, sizeof c->prefix, "%s//", name);
    if (size < sizeof c->prefix)
        size = (size_t)snprintf(c->key, sizeof c->key, "%s%016llx", c->prefix,
                                (unsigned long long)vigil_lease_id(c->lease));
    if (size >= sizeof c->key)
        return connection_fail(c->v, ERR_BAD_KEY, "the name is too long");
    return arguments_key(c->v, c->key, &ignored);
}

static int put_key(struct contender *c, const void *value, size_t size, uint64_t *ret_count)
{
    vigil_txn *t;
    const vigil_txn_result *results;
    size_t result_count = 0;
    bool succeeded = false;
    int err = vigil_txn_new(&t);
    if (err)
        return connection_fail(c->v, err, NULL);
    (void)vigil_txn_if_exists(t, c->key, false);
    (void)vigil_txn_put_lease(t, c->key, value, size, vigil_lease_id(c->lease));
    if (ret_count)
        (void)vigil_txn_count(t, c->prefix);
    err = vigil_txn_commit(c->v, t, &succeeded, &c->seq, &results, &result_count);
    vigil_txn_free(t);
    c->epoch = c->v->epoch;
    if (!err && !succeeded)
        return connection_fail(c->v, ERR_CONFLICT, "%s is there already", c->key);
    if (!err && ret_count &&
        (result_count != 2 ||
         vigil_unpack_uint(results[1].value, results[1].size, ret_count) != VIGIL_OK))
        return connection_malformed(c->v);
    return err;
}

int contender_enter(struct contender *c, struct vigil *v, const char *name, const void *value,
                    size_t size, uint32_t ttl_ms, uint64_t *ret_count)
{
    *c = (struct contender){.v = v};
    int err = name ? vigil_lease_open(v, ttl_ms, &c->lease) : connection_fail(v, ERR_BAD_KEY, NULL);
    if (err)
        return err;
    err = make_names(c, name);
    if (!err)
        err = put_key(c, value, size, ret_count);
    if (err)
        contender_leave(c);
    return err;
}

void contender_leave(struct contender *c)
{
    (void)vigil_lease_close(c->lease);
    c->lease = NULL;
}

/* ---- waiting ---- */

static bool is_absent(void *context, const void *value, size_t size, const vigil_change *change)
{
    (void)context;
    (void)size;
    (void)change;
    return value == NULL;
}

/* What the wait would have to see is no longer there: only a new look tells. */
static bool is_worth_a_look(int err)
{
    return err == ERR_COMPACTED || err == ERR_EPOCH_CHANGED || err == ERR_POSITION_AHEAD;
}

int contender_wait_first(struct contender *c, int64_t deadline)
{
    const vigil_wait_options until_gone = {.until = is_absent};
    for (;;) {
        struct line line;
        int err = look(c, deadline, &line);
        if (err || line.before_seq == 0)
            return err;
        do {
            err = vigil_wait(c->v, line.before, &until_gone, contender_patience_ms(c, deadline),
                             NULL);
        } while (err && may_retry(c, err, deadline));
        if (err && vigil_lease_has_ended(c->lease))
            return contender_has_ended(c);
        if (err && !is_worth_a_look(err))
            return err;
    }
}

int contender_check(struct contender *c)
{
    vigil_entry entry;
    int err = vigil_get(c->v, c->key, &entry);
    if (err)
        return err;
    return entry.present && entry.created == c->seq && c->v->epoch == c->epoch
               ? ERR_OK
               : contender_has_ended(c);
}

/* ---- asking from outside ---- */

struct first {
    uint64_t seq;
    void *value;
    size_t size;
    bool failed;
};

static bool take_first(void *context, const vigil_entry *e)
{
    struct first *first = context;
    if (first->seq != 0 && e->created > first->seq)
        return true;
    void *copy = realloc(first->value, e->size ? e->size : 1);
    if (!copy) {
        first->failed = true;
        return false;
    }
    memcpy(copy, e->value, e->size);
    *first = (struct first){.seq = e->created, .value = copy, .size = e->size};
    return true;
}

int contender_first(struct vigil *v, const char *name, int timeout_ms, uint64_t *ret_seq,
                    void **ret_value, size_t *ret_size)
{
    char prefix[LIMIT_KEY_SIZE + 1];
    struct first first = {.seq = 0};
    if (!name || (size_t)snprintf(prefix, sizeof prefix, "%s//", name) >= sizeof prefix)
        return connection_fail(v, ERR_BAD_KEY, NULL);
    int err = vigil_list(v, prefix, true, timeout_ms, take_first, &first, NULL);
    if (first.failed)
        err = connection_fail(v, ERR_NO_MEMORY, NULL);
    if (!err && first.seq == 0)
        err = connection_fail(v, ERR_NOT_FOUND, "%s: nobody is there", name);
    if (err) {
        free(first.value);
        return err;
    }
    *ret_seq = first.seq;
    *ret_value = first.value;
    *ret_size = first.size;
    return ERR_OK;
}
