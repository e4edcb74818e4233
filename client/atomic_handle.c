/* atomic_handle.c - what an atomic function reads and writes through its handle. */
#include "client/arguments.h"
#include "client/atomic.h"
#include "client/read.h"

#include <stdlib.h>

#include "protocol/value.h"

static int fail(struct vigil_atomic *a, int error)
{
    if (a->error == ERR_OK)
        a->error = error;
    return error;
}

static int fail_memory(struct vigil_atomic *a)
{
    (void)fail(a, connection_fail(a->v, ERR_NO_MEMORY, NULL));
    return ERR_NO_MEMORY;
}

/* ---- a run ---- */

void atomic_listing_free(struct atomic_listing *listing)
{
    atomic_set_free(&listing->rows);
    free(listing);
}

void atomic_forget_reads(struct vigil_atomic *a)
{
    atomic_set_clear(&a->reads);
    while (a->listings) {
        struct atomic_listing *next = a->listings->next;
        atomic_listing_free(a->listings);
        a->listings = next;
    }
}

void atomic_begin_run(struct vigil_atomic *a)
{
    a->run++;
    a->error = ERR_OK;
    atomic_set_clear(&a->writes);
    while (a->replaced) {
        struct atomic_item *next = a->replaced->next;
        free(a->replaced);
        a->replaced = next;
    }
    for (size_t i = 0; i < a->reads.count; i++)
        a->reads.items[i]->is_used = false;
    for (struct atomic_listing *l = a->listings; l; l = l->next)
        l->is_used = false;
}

uint32_t vigil_atomic_run(const vigil_atomic *a)
{
    return a->run;
}

/* ---- reading ---- */

/* Nothing that was read in one history says anything about another. */
static int check_epoch(struct vigil_atomic *a, uint64_t epoch)
{
    bool has_read = a->reads.count > 0 || a->listings;
    if (has_read && a->epoch != epoch)
        return fail(a, connection_fail(a->v, ERR_EPOCH_CHANGED, NULL));
    a->epoch = epoch;
    return ERR_OK;
}

static int fetch(struct vigil_atomic *a, const char *key, struct atomic_item **ret_item)
{
    vigil_entry entry;
    uint64_t epoch;
    struct atomic_item *old;
    int err = read_entry(a->v, key, a->v->request_timeout_ms, &entry, &epoch);
    if (err)
        return fail(a, err);
    err = check_epoch(a, epoch);
    if (err)
        return err;
    struct bytes value = {entry.value, entry.size};
    struct atomic_item *item = atomic_item_new((struct bytes){(const uint8_t *)key, strlen(key)},
                                               value, entry.present ? entry.modified : 0);
    if (!item || atomic_set_put(&a->reads, item, &old)) {
        free(item);
        return fail_memory(a);
    }
    *ret_item = item;
    return ERR_OK;
}

static bool starts_with(struct bytes key, struct bytes prefix)
{
    return key.size >= prefix.size &&
           (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
}

/* What a listing of this run says about the key; false if none covers it. */
static bool find_listed(const struct vigil_atomic *a, struct bytes key, struct bytes *ret_value)
{
    for (const struct atomic_listing *l = a->listings; l; l = l->next) {
        if (l->is_used && starts_with(key, l->prefix)) {
            const struct atomic_item *row = atomic_set_find(&l->rows, key);
            *ret_value = row ? atomic_item_value(row) : (struct bytes){NULL, 0};
            return true;
        }
    }
    return false;
}

int vigil_atomic_get(vigil_atomic *a, const char *key, const void **ret_value, size_t *ret_size)
{
    struct bytes k;
    struct bytes value;
    if (a->error)
        return a->error;
    int err = arguments_key(a->v, key, &k);
    if (err)
        return fail(a, err);
    struct atomic_item *item = atomic_set_find(&a->writes, k);
    if (item) {
        value = atomic_item_value(item);
    } else if (!find_listed(a, k, &value)) {
        item = atomic_set_find(&a->reads, k);
        err = item ? ERR_OK : fetch(a, key, &item);
        if (err)
            return err;
        item->is_used = true;
        value = atomic_item_value(item);
    }
    if (ret_value)
        *ret_value = value.data;
    if (ret_size)
        *ret_size = value.data ? value.size : 0;
    return ERR_OK;
}

/* ---- listing ---- */

static bool keep_row(void *context, const vigil_entry *entry)
{
    struct atomic_set *rows = context;
    struct atomic_item *old;
    struct atomic_item *item =
        atomic_item_new((struct bytes){(const uint8_t *)entry->key, strlen(entry->key)},
                        (struct bytes){entry->value, entry->size}, entry->modified);
    if (!item || atomic_set_put(rows, item, &old)) {
        free(item);
        return false;
    }
    return true;
}

static int load(struct vigil_atomic *a, struct bytes prefix, struct atomic_listing **ret_listing)
{
    struct atomic_listing *l = calloc(1, sizeof *l);
    if (!l)
        return fail_memory(a);
    if (prefix.size > 0)
        memcpy(l->text, prefix.data, prefix.size);
    l->prefix = (struct bytes){(const uint8_t *)l->text, prefix.size};
    int err = vigil_list(a->v, l->text, true, 0, keep_row, &l->rows, &l->seq);
    if (err == ERR_INTERRUPTED)
        err = connection_fail(a->v, ERR_NO_MEMORY, NULL);
    if (err)
        (void)fail(a, err);
    else
        err = check_epoch(a, a->v->epoch);
    if (err) {
        atomic_listing_free(l);
        return err;
    }
    l->next = a->listings;
    a->listings = l;
    *ret_listing = l;
    return ERR_OK;
}

/* The next of the rows and the writes, which hide rows; NULL: no more with the prefix. */
static const struct atomic_item *next_row(const struct vigil_atomic *a,
                                          const struct atomic_listing *l, size_t *row_at,
                                          size_t *write_at)
{
    const struct atomic_item *row = *row_at < l->rows.count ? l->rows.items[*row_at] : NULL;
    const struct atomic_item *written =
        *write_at < a->writes.count ? a->writes.items[*write_at] : NULL;
    if (written && !starts_with(atomic_item_key(written), l->prefix))
        written = NULL;
    int order = !written ? -1
                : !row   ? 1
                         : bytes_compare(atomic_item_key(row), atomic_item_key(written));
    *row_at += row && order <= 0;
    *write_at += written && order >= 0;
    return order < 0 ? row : written;
}

int vigil_atomic_list(vigil_atomic *a, const char *prefix,
                      bool (*each)(void *context, const vigil_entry *entry), void *context)
{
    struct bytes p;
    if (a->error)
        return a->error;
    if (!each) {
        (void)fail(a, connection_fail(a->v, ERR_INVALID, NULL));
        return ERR_INVALID;
    }
    int err = arguments_prefix(a->v, prefix, &p);
    if (err)
        return fail(a, err);
    struct atomic_listing *l = a->listings;
    while (l && !bytes_equal(l->prefix, p))
        l = l->next;
    err = l ? ERR_OK : load(a, p, &l);
    if (err)
        return err;
    l->is_used = true;
    size_t row_at = 0;
    size_t write_at = atomic_set_lower_bound(&a->writes, p);
    for (const struct atomic_item *item; (item = next_row(a, l, &row_at, &write_at));) {
        struct bytes value = atomic_item_value(item);
        vigil_entry entry = {.key = item->bytes,
                             .value = value.data,
                             .size = value.size,
                             .present = true,
                             .modified = item->seq,
                             .seq = l->seq};
        if (item->present && !each(context, &entry))
            return VIGIL_INTERRUPTED;
    }
    return ERR_OK;
}

/* ---- writing ---- */

static int write_item(struct vigil_atomic *a, struct bytes key, struct bytes value)
{
    struct atomic_item *old = NULL;
    if (a->writes.count == LIMIT_TXN_OPS && !atomic_set_find(&a->writes, key))
        return fail(
            a, connection_fail(a->v, ERR_LIMIT, "more than %d keys are written", LIMIT_TXN_OPS));
    struct atomic_item *item = atomic_item_new(key, value, 0);
    if (!item || atomic_set_put(&a->writes, item, &old)) {
        free(item);
        return fail_memory(a);
    }
    if (old) {
        old->next = a->replaced;
        a->replaced = old;
    }
    return ERR_OK;
}

int vigil_atomic_put(vigil_atomic *a, const char *key, const void *value, size_t size)
{
    struct bytes k;
    struct bytes given;
    if (a->error)
        return a->error;
    int err = arguments_key(a->v, key, &k);
    if (err == ERR_OK)
        err = arguments_value(a->v, value, size, &given);
    return err ? fail(a, err) : write_item(a, k, given);
}

int vigil_atomic_delete(vigil_atomic *a, const char *key)
{
    struct bytes k;
    if (a->error)
        return a->error;
    int err = arguments_key(a->v, key, &k);
    return err ? fail(a, err) : write_item(a, k, (struct bytes){NULL, 0});
}

int vigil_atomic_incr(vigil_atomic *a, const char *key, int64_t by, int64_t *ret_integer)
{
    const void *value;
    size_t size;
    uint8_t sum[VALUE_INTEGER_SIZE_MAX];
    struct value_integer number = {false, 0};
    int err = vigil_atomic_get(a, key, &value, &size);
    if (err)
        return err;
    if (value)
        err = value_read_integer((struct bytes){value, size}, &number);
    if (err == ERR_OK)
        err = value_integer_add(number, by, &number);
    if (err)
        return fail(a, connection_fail(a->v, err, NULL));
    err = vigil_atomic_put(a, key, sum, value_write_integer(number, sum));
    if (err == ERR_OK && ret_integer)
        *ret_integer =
            !number.negative && number.bits > INT64_MAX ? INT64_MAX : (int64_t)number.bits;
    return err;
}
