/*
 * history.c - all retained changes of one key: the server walks the chain backwards, it is handed
 * out forwards.
 */
#include "client/arguments.h"
#include "client/read.h"
#include "client/record_reader.h"
#include "client/replay_trip.h"
#include "client/snapshot.h"

#include <stdlib.h>

/* The records, newest first, copied out of the replies. */
struct chain {
    uint8_t **records;
    size_t count;
    size_t capacity;
};

static void chain_free(struct chain *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->records[i]);
    free(c->records);
}

static int chain_add(struct chain *c, const uint8_t *record, size_t size)
{
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? c->capacity * 2 : 64;
        uint8_t **records = realloc(c->records, capacity * sizeof *records);
        if (!records)
            return ERR_NO_MEMORY;
        c->records = records;
        c->capacity = capacity;
    }
    uint8_t *copy = malloc(size);
    if (!copy)
        return ERR_NO_MEMORY;
    memcpy(copy, record, size);
    c->records[c->count++] = copy;
    return ERR_OK;
}

struct walk {
    struct vigil *v;
    struct bytes key;
    uint64_t epoch;
    uint64_t next_seq;
    uint8_t end; /* enum history_end */
    struct chain chain;
};

static int take_page(struct walk *w, const struct reply_history *page)
{
    struct wire_reader r = wire_reader_of(page->records.data, page->records.size);
    bool stuck = page->end == HISTORY_MORE && page->next_seq >= w->next_seq;
    if (page->end > HISTORY_COMPACTED || stuck)
        return snapshot_malformed(w->v);
    for (uint32_t i = 0; i < page->count; i++) {
        struct record_header header;
        int err = record_check((struct bytes){r.at, wire_left(&r)}, &header);
        if (err == ERR_OK)
            err = chain_add(&w->chain, r.at, header.size);
        if (err)
            return connection_fail(w->v, err, NULL);
        r.at += header.size;
    }
    w->end = page->end;
    w->next_seq = page->next_seq;
    return ERR_OK;
}

static void write_history(struct wire_buffer *b, const void *context)
{
    request_history_write(b, context);
}

static int ask_page(struct walk *w, const struct trip_patience *patience)
{
    struct replay_call call = {0};
    struct reply_history page = {0};
    struct request_history request = {.epoch = w->epoch, .from_seq = w->next_seq, .key = w->key};
    struct trip_question question = {OP_HISTORY, 0, write_history, &request};
    int err = replay_trip(w->v, &question, patience, &call);
    if (err == ERR_OK && (call.header.op != OP_HISTORY || !reply_history_read(&call.body, &page)))
        err = snapshot_malformed(w->v);
    if (err == ERR_OK)
        err = take_page(w, &page);
    replay_call_reset(w->v, &call);
    return err;
}

static int hand_out(struct walk *w, bool (*each)(void *context, const vigil_record *record),
                    void *context)
{
    struct record_reader reader = {0};
    int err = ERR_OK;
    for (size_t i = w->chain.count; i > 0 && err == ERR_OK; i--) {
        const uint8_t *bytes = w->chain.records[i - 1];
        struct record_header header;
        vigil_record record;
        err = record_peek((struct bytes){bytes, wire_load_u32(bytes)}, &header);
        if (err == ERR_OK)
            err = record_reader_read(&reader, w->epoch, bytes, &header, &record);
        if (err)
            connection_fail(w->v, err, NULL);
        else if (!each(context, &record))
            err = connection_fail(w->v, ERR_INTERRUPTED, "the application stopped the history");
    }
    record_reader_free(&reader);
    return err;
}

int vigil_history(vigil *v, const char *key, int timeout_ms,
                  bool (*each)(void *context, const vigil_record *record), void *context,
                  bool *ret_complete)
{
    struct walk w = {.v = v, .end = HISTORY_COMPLETE};
    vigil_entry entry;
    struct trip_patience patience = trip_patience_of(timeout_ms);
    if (!each)
        return connection_fail(v, ERR_INVALID, NULL);
    int err = arguments_key(v, key, &w.key);
    if (err)
        return err;
    do {
        err = read_entry(v, key, trip_timeout_ms(v, &patience), &entry, &w.epoch);
    } while (trip_again(&patience, err));
    if (err)
        return err;
    w.next_seq = entry.modified;
    /* Nothing known of the key: it never was, or its end has been compacted as well. */
    if (entry.modified == 0 && v->oldest > 1)
        w.end = HISTORY_COMPACTED;
    if (entry.modified != 0)
        w.end = HISTORY_MORE;
    while (err == ERR_OK && w.end == HISTORY_MORE)
        err = ask_page(&w, &patience);
    if (err == ERR_OK)
        err = hand_out(&w, each, context);
    if (err == ERR_OK && ret_complete)
        *ret_complete = w.end == HISTORY_COMPLETE;
    chain_free(&w.chain);
    return err;
}
