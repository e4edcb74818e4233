/* snapshot.c - the state that a filter sees, consistent at one seq. */
#include "client/snapshot.h"

#include <stdlib.h>

#include "client/arguments.h"
#include "client/clock.h"
#include "client/read.h"
#include "client/replay_trip.h"
#include "protocol/key.h"
#include "protocol/record.h"

enum { TRIES_MAX = 5 };

struct loading {
    struct vigil *v;
    const struct filter *filter;
    bool with_values;
    struct trip_patience patience;
    struct snapshot snapshot;
    uint64_t start;  /* records after it are to be applied */
    uint64_t target; /* up to here at least */
};

void snapshot_free(struct snapshot *s)
{
    row_table_free(&s->table);
}

int snapshot_malformed(struct vigil *v)
{
    return connection_fail(v, ERR_MALFORMED, "the server's reply was not understood");
}

/* Every reply must be of one epoch. */
static int check_epoch(struct loading *l, uint64_t epoch)
{
    if (l->snapshot.epoch == 0)
        l->snapshot.epoch = epoch;
    if (l->snapshot.epoch != epoch)
        return connection_fail(l->v, ERR_EPOCH_CHANGED, NULL);
    return ERR_OK;
}

/* ---- rows ---- */

static int take_rows(struct loading *l, const struct reply_list *page, char *last,
                     size_t *ret_last_size)
{
    struct wire_reader r = wire_reader_of(page->rows.data, page->rows.size);
    for (uint32_t i = 0; i < page->count; i++) {
        struct list_row row;
        if (!list_row_read(&r, &row) || !key_valid(row.key))
            return snapshot_malformed(l->v);
        memcpy(last, row.key.data, row.key.size);
        *ret_last_size = row.key.size;
        if (row.version == 0)
            continue; /* deleted: only a place to go on from */
        struct bytes value = l->with_values ? row.value : (struct bytes){0};
        int err = row_table_put(&l->snapshot.table, row.key, value, row.created, row.modified,
                                row.version);
        if (err)
            return connection_fail(l->v, err, NULL);
    }
    return wire_read_complete(&r) ? ERR_OK : snapshot_malformed(l->v);
}

static void write_list(struct wire_buffer *b, const void *context)
{
    request_list_write(b, context);
}

static int load_page(struct loading *l, struct bytes prefix, char *last, size_t *last_size,
                     bool *ret_more)
{
    struct vigil *v = l->v;
    struct replay_call call = {0};
    struct reply_list page = {0};
    struct request_list request = {
        .epoch = l->snapshot.epoch, .prefix = prefix, .after = {(const uint8_t *)last, *last_size}};
    struct trip_question question = {OP_LIST, l->with_values ? REQUEST_LIST_VALUES : 0, write_list,
                                     &request};
    int err = replay_trip(v, &question, &l->patience, &call);
    if (err)
        goto out;
    err = call.header.op == OP_LIST && reply_list_read(&call.body, &page) ? ERR_OK
                                                                          : snapshot_malformed(v);
    if (err == ERR_OK)
        err = check_epoch(l, call.message.epoch);
    if (err)
        goto out;
    if (page.applied < l->start)
        l->start = page.applied;
    if (call.message.head > l->target)
        l->target = call.message.head;
    err =
        page.more && page.count == 0 ? snapshot_malformed(v) : take_rows(l, &page, last, last_size);
    *ret_more = page.more;
out:
    replay_call_reset(v, &call);
    return err;
}

static int load_prefix(struct loading *l, struct bytes prefix)
{
    char last[LIMIT_KEY_SIZE];
    size_t last_size = 0;
    bool more = true;
    int err = ERR_OK;
    while (err == ERR_OK && more)
        err = load_page(l, prefix, last, &last_size, &more);
    return err;
}

/* Exact keys come from the server's present state. */
static int load_keys(struct loading *l)
{
    char names[LIMIT_FILTER_PATTERNS][LIMIT_KEY_SIZE + 1];
    const char *keys[LIMIT_FILTER_PATTERNS];
    vigil_entry entries[LIMIT_FILTER_PATTERNS];
    size_t n = 0;
    for (size_t i = 0; i < l->filter->count; i++) {
        const struct pattern *p = &l->filter->patterns[i];
        if (p->kind != PATTERN_EXACT)
            continue;
        memcpy(names[n], p->text.data, p->text.size);
        names[n][p->text.size] = '\0';
        keys[n] = names[n];
        n++;
    }
    if (n == 0)
        return ERR_OK;
    int err;
    do {
        err = read_entries(l->v, keys, n, trip_timeout_ms(l->v, &l->patience), entries);
    } while (trip_again(&l->patience, err));
    if (err == ERR_OK)
        err = check_epoch(l, l->v->epoch);
    if (err)
        return err;
    for (size_t i = 0; i < n; i++) {
        const vigil_entry *e = &entries[i];
        struct bytes value = l->with_values ? (struct bytes){e->value, e->size} : (struct bytes){0};
        if (!e->present)
            continue;
        err = row_table_put(&l->snapshot.table,
                            (struct bytes){(const uint8_t *)keys[i], strlen(keys[i])}, value,
                            e->created, e->modified, e->version);
        if (err)
            return connection_fail(l->v, err, NULL);
    }
    if (entries[0].seq < l->start)
        l->start = entries[0].seq;
    if (entries[0].seq > l->target)
        l->target = entries[0].seq;
    return ERR_OK;
}

/* ---- the records since ---- */

static int apply_record(struct loading *l, const uint8_t *record, uint64_t seq)
{
    struct change c;
    for (struct change_iterator i = record_changes(record); change_next(&i, &c);) {
        struct bytes value = l->with_values ? c.value : (struct bytes){0};
        int err = row_table_apply(&l->snapshot.table, seq, c.op == CHANGE_PUT, c.key, value);
        if (err)
            return connection_fail(l->v, err, NULL);
    }
    return ERR_OK;
}

static int apply_records(struct loading *l, const struct reply_replay *reply)
{
    struct wire_reader r = wire_reader_of(reply->records.data, reply->records.size);
    for (uint32_t i = 0; i < reply->count; i++) {
        struct record_header header;
        int err = record_check((struct bytes){r.at, wire_left(&r)}, &header);
        if (err)
            return connection_fail(l->v, err, "a record after %llu is damaged",
                                   (unsigned long long)l->snapshot.seq);
        err = apply_record(l, r.at, header.seq);
        if (err)
            return err;
        r.at += header.size;
    }
    return ERR_OK;
}

static void write_replay(struct wire_buffer *b, const void *context)
{
    const struct loading *l = context;
    request_replay_write(b, &(struct request_replay){.epoch = l->snapshot.epoch,
                                                     .after = l->snapshot.seq,
                                                     .until = UINT64_MAX});
    filter_write(b, l->filter);
}

static int load_records(struct loading *l)
{
    struct vigil *v = l->v;
    struct replay_call call = {0};
    struct reply_replay reply = {0};
    struct trip_question question = {OP_REPLAY, 0, write_replay, l};
    int err = replay_trip(v, &question, &l->patience, &call);
    if (err == ERR_OK && (call.header.op != OP_REPLAY || !reply_replay_read(&call.body, &reply) ||
                          reply.from != l->snapshot.seq || reply.to < reply.from ||
                          (reply.to == reply.from && reply.to < l->target)))
        err = snapshot_malformed(v);
    if (err == ERR_OK)
        err = check_epoch(l, call.message.epoch);
    if (err == ERR_OK)
        err = apply_records(l, &reply);
    if (err == ERR_OK)
        l->snapshot.seq = reply.to;
    replay_call_reset(v, &call);
    return err;
}

static int load_once(struct loading *l)
{
    /* What was acknowledged to anybody is at or below this head. */
    int err;
    do {
        err = read_head(l->v, trip_timeout_ms(l->v, &l->patience));
    } while (trip_again(&l->patience, err));
    if (err)
        return err;
    l->start = UINT64_MAX;
    l->target = l->v->head;
    for (size_t i = 0; i < l->filter->count && err == ERR_OK; i++) {
        if (l->filter->patterns[i].kind == PATTERN_PREFIX)
            err = load_prefix(l, l->filter->patterns[i].text);
    }
    if (err == ERR_OK)
        err = load_keys(l);
    l->snapshot.seq = l->start;
    while (err == ERR_OK && l->snapshot.seq < l->target)
        err = load_records(l);
    return err;
}

int snapshot_load(struct vigil *v, const struct filter *filter, bool with_values, int timeout_ms,
                  struct snapshot *ret_snapshot)
{
    struct trip_patience patience = trip_patience_of(timeout_ms);
    int err = ERR_COMPACTED;
    for (int i = 0; i < TRIES_MAX && (err == ERR_COMPACTED || err == ERR_EPOCH_CHANGED); i++) {
        struct loading l = {
            .v = v, .filter = filter, .with_values = with_values, .patience = patience};
        err = load_once(&l);
        if (err == ERR_OK)
            *ret_snapshot = l.snapshot;
        else
            snapshot_free(&l.snapshot);
    }
    return err;
}
