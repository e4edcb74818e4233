#define _POSIX_C_SOURCE 200809L
/*
 * queue.c - items that each get done, though workers die: queue/NAME//item/ has them
 * in the order of their push, queue/NAME//claim/ the mark of whoever works on one. A
 * mark ends with its worker's lease, and then the item is free again.
 */
#include "client/contender.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/clock.h"
#include "protocol/value.h"

struct vigil_claim {
    vigil *v;
    char item[LIMIT_KEY_SIZE + 1];
    char mark[LIMIT_KEY_SIZE + 1];
    uint64_t seq; /* of the mark's record; 0: it was not put */
    void *value;  /* a copy of the item's */
    size_t size;
};

enum {
    LOOK_AT_FIRST = 16,
    LOOK_AT_MOST = 256, /* beyond it, and where a reply has no room for the marks: whole lists */
    LOOK_TRIES = 64     /* each goes on where the one before has stopped among items long done */
};

struct queue {
    vigil *v;
    char items[LIMIT_KEY_SIZE + 1]; /* prefixes */
    char marks[LIMIT_KEY_SIZE + 1];
    char pattern[LIMIT_KEY_SIZE + 1];
    vigil_watch *watch; /* once nothing was free */
    uint64_t seq;       /* up to where the queue has been looked at */
    uint64_t epoch;
};

static int queue_names(vigil *v, const char *name, struct queue *q)
{
    char full[CONTENDER_NAME_SIZE];
    *q = (struct queue){.v = v};
    int err = contender_name(v, "queue", name, full);
    if (err)
        return err;
    (void)snprintf(q->items, sizeof q->items, "%s//item/", full);
    (void)snprintf(q->marks, sizeof q->marks, "%s//claim/", full);
    (void)snprintf(q->pattern, sizeof q->pattern, "%s//*", full);
    return ERR_OK;
}

int vigil_queue_push(vigil *v, const char *name, const void *value, size_t size, uint64_t *ret_seq)
{
    struct queue q;
    int err = queue_names(v, name, &q);
    return err ? err : vigil_push(v, q.items, value, size, NULL, ret_seq);
}

/* ---- which item is free ---- */

/* The next key of a listing, without its prefix. False: there is none. */
static bool next_name(struct wire_reader *r, uint32_t *left, size_t prefix_size,
                      struct bytes *ret_name)
{
    struct bytes element;
    struct bytes key;
    if (*left == 0 || !value_next(r, &element) || !value_read_string(element, &key) ||
        key.size < prefix_size)
        return false;
    --*left;
    *ret_name = (struct bytes){key.data + prefix_size, key.size - prefix_size};
    return true;
}

/* Both listings are in order. False: all of them have a mark. */
static bool find_free(const struct queue *q, const vigil_txn_result *items,
                      const vigil_txn_result *marks, struct bytes *ret_name, uint32_t *ret_looked)
{
    struct wire_reader i = wire_reader_of(items->value, items->size);
    struct wire_reader m = wire_reader_of(marks->value, marks->size);
    uint32_t items_left = 0;
    uint32_t marks_left = 0;
    struct bytes mark;
    (void)value_next_array(&i, &items_left);
    (void)value_next_array(&m, &marks_left);
    *ret_looked = items_left;
    bool is_mark = next_name(&m, &marks_left, strlen(q->marks), &mark);
    while (next_name(&i, &items_left, strlen(q->items), ret_name)) {
        while (is_mark && bytes_compare(mark, *ret_name) < 0)
            is_mark = next_name(&m, &marks_left, strlen(q->marks), &mark);
        if (!is_mark || !bytes_equal(mark, *ret_name))
            return true;
    }
    return false;
}

/* The first items and all marks, at one seq. */
static int look(struct queue *q, uint32_t most, const vigil_txn_result **ret_results)
{
    vigil_txn *t;
    size_t count = 0;
    int err = vigil_txn_new(&t);
    if (err) {
        (void)connection_fail(q->v, err, NULL);
        return err;
    }
    (void)vigil_txn_keys(t, q->items, most);
    (void)vigil_txn_keys(t, q->marks, 0);
    for (int tries = 1;; tries++) {
        err = vigil_txn_commit(q->v, t, NULL, &q->seq, ret_results, &count);
        if (err != ERR_LIMIT || tries == LOOK_TRIES)
            break;
    }
    q->epoch = q->v->epoch;
    vigil_txn_free(t);
    if (!err && count != 2) {
        (void)connection_malformed(q->v);
        return ERR_MALFORMED;
    }
    return err;
}

static bool join(char out[LIMIT_KEY_SIZE + 1], const char *prefix, struct bytes name)
{
    size_t prefix_size = strlen(prefix);
    if (prefix_size + name.size > LIMIT_KEY_SIZE)
        return false;
    memcpy(out, prefix, prefix_size);
    memcpy(out + prefix_size, name.data, name.size);
    out[prefix_size + name.size] = '\0';
    return true;
}

static int set_names(const struct queue *q, vigil_claim *c, struct bytes name)
{
    return join(c->item, q->items, name) && join(c->mark, q->marks, name)
               ? ERR_OK
               : connection_malformed(q->v);
}

/* ---- the same, however many there are ---- */

struct lists {
    const struct queue *q;
    vigil_claim *claim;
    char **marks; /* without their prefix, in order */
    size_t mark_count;
    size_t capacity;
    size_t at; /* the first mark that is not before the item at hand */
    int error; /* NOT_FOUND as long as no item was free */
};

static bool take_mark(void *context, const vigil_entry *e)
{
    struct lists *l = context;
    if (l->mark_count == l->capacity) {
        size_t capacity = l->capacity ? 2 * l->capacity : LOOK_AT_MOST;
        char **marks = realloc(l->marks, capacity * sizeof *marks);
        if (!marks)
            return false;
        l->marks = marks;
        l->capacity = capacity;
    }
    l->marks[l->mark_count] = strdup(e->key + strlen(l->q->marks));
    return l->marks[l->mark_count] && ++l->mark_count;
}

static bool take_item(void *context, const vigil_entry *e)
{
    struct lists *l = context;
    const char *name = e->key + strlen(l->q->items);
    while (l->at < l->mark_count && strcmp(l->marks[l->at], name) < 0)
        l->at++;
    if (l->at < l->mark_count && strcmp(l->marks[l->at], name) == 0)
        return true;
    l->error = set_names(l->q, l->claim, (struct bytes){(const uint8_t *)name, strlen(name)});
    return false;
}

/* The marks are looked at first: one that goes before the items are listed is a change after the
 * queue's seq, and one that comes is noticed when the item is to be marked. */
static int choose_from_lists(struct queue *q, vigil_claim *c)
{
    struct lists l = {.q = q, .claim = c, .error = ERR_NOT_FOUND};
    int err = vigil_list(q->v, q->marks, false, 0, take_mark, &l, &q->seq);
    q->epoch = q->v->epoch;
    if (err == ERR_INTERRUPTED)
        err = connection_fail(q->v, ERR_NO_MEMORY, NULL);
    if (!err)
        err = vigil_list(q->v, q->items, false, 0, take_item, &l, NULL);
    if (!err || err == ERR_INTERRUPTED)
        err = l.error;
    for (size_t i = 0; i < l.mark_count; i++)
        free(l.marks[i]);
    free(l.marks);
    return err;
}

/* NOT_FOUND: there is none. The claim gets the two keys. */
static int choose(struct queue *q, vigil_claim *c)
{
    for (uint32_t most = LOOK_AT_FIRST; most <= LOOK_AT_MOST; most *= 4) {
        const vigil_txn_result *results;
        struct bytes name;
        uint32_t looked;
        int err = look(q, most, &results);
        if (err == ERR_TOO_LARGE)
            break;
        if (err)
            return err;
        if (find_free(q, &results[0], &results[1], &name, &looked))
            return set_names(q, c, name);
        if (looked < most)
            return ERR_NOT_FOUND;
    }
    return choose_from_lists(q, c);
}

/* ---- claiming ---- */

/* *ret_taken false: somebody else was faster. */
static int put_mark(vigil_claim *c, const vigil_lease *lease, bool *ret_taken)
{
    static const uint8_t nil = 0xc0;
    vigil_txn *t;
    int err = vigil_txn_new(&t);
    if (err)
        return connection_fail(c->v, err, NULL);
    (void)vigil_txn_if_exists(t, c->item, true);
    (void)vigil_txn_if_exists(t, c->mark, false);
    (void)vigil_txn_put_lease(t, c->mark, &nil, sizeof nil, vigil_lease_id(lease));
    err = vigil_txn_commit(c->v, t, ret_taken, &c->seq, NULL, NULL);
    vigil_txn_free(t);
    if (err || !*ret_taken)
        c->seq = 0; /* the seq of something else */
    return err;
}

int vigil_claim_guard(const vigil_claim *c, vigil_txn *t)
{
    return vigil_txn_if_seq(t, c->mark, VIGIL_EQUAL, c->seq);
}

/* Removes the mark, if it is still this claim's, and with it the item, if that is done. */
static int end_claim(vigil_claim *c, bool done)
{
    vigil_txn *t;
    bool held = false;
    int err = vigil_txn_new(&t);
    if (err)
        return connection_fail(c->v, err, NULL);
    (void)vigil_claim_guard(c, t);
    (void)vigil_txn_delete(t, c->mark);
    if (done)
        (void)vigil_txn_delete(t, c->item);
    err = vigil_txn_commit(c->v, t, &held, NULL, NULL, NULL);
    vigil_txn_free(t);
    if (!err && !held)
        err = connection_fail(c->v, ERR_LEASE_ENDED,
                              "%s is not claimed any more: another worker may have it", c->item);
    return err;
}

/* Nobody touches a claimed item but who has claimed it: it is read afterwards, whatever its size. */
static int read_item(vigil_claim *c)
{
    vigil_entry entry;
    int err = vigil_get(c->v, c->item, &entry);
    if (!err && !entry.present)
        err = connection_fail(c->v, ERR_NOT_FOUND, "%s was removed after it was claimed", c->item);
    if (err)
        return err;
    c->value = malloc(entry.size ? entry.size : 1);
    if (!c->value)
        return connection_fail(c->v, ERR_NO_MEMORY, NULL);
    memcpy(c->value, entry.value, entry.size);
    c->size = entry.size;
    return ERR_OK;
}

/* NOT_FOUND: nothing is free. */
static int try_claim(struct queue *q, const vigil_lease *lease, vigil_claim *c)
{
    for (;;) {
        bool taken = false;
        int err = choose(q, c);
        if (!err)
            err = put_mark(c, lease, &taken);
        if (err)
            return err;
        if (taken)
            err = read_item(c);
        if (taken && err != ERR_NOT_FOUND)
            return err;
        if (taken)
            (void)end_claim(c, false);
    }
}

/* Until something has been pushed, or a mark has gone. */
static int wait_for_change(struct queue *q, int64_t deadline)
{
    const char *const patterns[] = {q->pattern};
    const vigil_watch_options options = {.patterns = patterns,
                                         .pattern_count = 1,
                                         .since = VIGIL_SINCE_POSITION,
                                         .position = {q->epoch, q->seq}};
    const vigil_event *event;
    int err = q->watch ? ERR_OK : vigil_watch_open(q->v, &options, &q->watch);
    while (!err) {
        err = vigil_watch_next(q->watch, deadline_timeout_ms(deadline), &event);
        if (err == ERR_DISCONNECTED && clock_now_ms() < deadline)
            err = ERR_OK;
        else if (!err && event->kind == VIGIL_EVENT_RECORD && event->record.seq > q->seq)
            return ERR_OK;
    }
    if (err != ERR_COMPACTED && err != ERR_EPOCH_CHANGED && err != ERR_POSITION_AHEAD)
        return err;
    vigil_watch_close(q->watch); /* the next look tells, and a new watch goes on from there */
    q->watch = NULL;
    return ERR_OK;
}

int vigil_queue_claim(vigil *v, const char *name, const vigil_lease *lease, int timeout_ms,
                      vigil_claim **ret_claim)
{
    struct queue q;
    int64_t deadline = deadline_after(timeout_ms);
    if (!lease || !ret_claim)
        return connection_fail(v, ERR_INVALID, NULL);
    int err = queue_names(v, name, &q);
    if (err)
        return err;
    vigil_claim *c = calloc(1, sizeof *c);
    if (!c)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    c->v = v;
    do {
        err = try_claim(&q, lease, c);
    } while (err == ERR_NOT_FOUND && (err = wait_for_change(&q, deadline)) == ERR_OK);
    vigil_watch_close(q.watch);
    if (err) {
        vigil_claim_return(c);
        return err;
    }
    *ret_claim = c;
    return ERR_OK;
}

/* ---- what becomes of it ---- */

const char *vigil_claim_key(const vigil_claim *c)
{
    return c->item;
}

const void *vigil_claim_value(const vigil_claim *c, size_t *ret_size)
{
    *ret_size = c->size;
    return c->value;
}

uint64_t vigil_claim_seq(const vigil_claim *c)
{
    return c->seq;
}

static void claim_free(vigil_claim *c)
{
    free(c->value);
    free(c);
}

int vigil_claim_done(vigil_claim *c)
{
    int err = end_claim(c, true);
    if (!err || err == ERR_LEASE_ENDED)
        claim_free(c);
    return err;
}

void vigil_claim_return(vigil_claim *c)
{
    if (!c)
        return;
    if (c->seq != 0)
        (void)end_claim(c, false);
    claim_free(c);
}
