/* history.c - see history.h. */
#define _GNU_SOURCE

#include "tests/powerloss/history.h"

#include <stdio.h>

#include "protocol/record.h"
#include "tests/support/sample_bytes.h"

static void fill(struct history_change *c, uint64_t n, size_t size)
{
    c->value[0] = 0xc5; /* binary, 16 bits of size */
    c->value[1] = (uint8_t)(size >> 8);
    c->value[2] = (uint8_t)size;
    sample_fill(&(struct sample){n}, c->value + 3, size);
    c->value_size = size + 3;
}

static void name(struct history_change *c, const char *family, uint64_t number, uint64_t n,
                 uint64_t period)
{
    snprintf(c->key, sizeof c->key, "%s %llu", family, (unsigned long long)number);
    c->prev_seq = n > period ? n - period : 0;
    c->deleted = false;
    c->value_size = 0;
}

/* Some values need pages of their own in LMDB's file. */
static size_t value_size(uint64_t n)
{
    if (n % 61 == 0)
        return 9000;
    return n % 97 == 0 ? 3000 : 40 + n % 50;
}

enum { FIRST_KEYS = 40, SECOND_EVERY = 7, SECOND_KEYS = 10 };

static size_t journal_changes(uint64_t n, struct history_change out[HISTORY_CHANGES_MAX])
{
    name(&out[0], "first", n % FIRST_KEYS, n, FIRST_KEYS);
    out[0].deleted = n % 13 == 0;
    if (!out[0].deleted)
        fill(&out[0], n, value_size(n));
    if (n % SECOND_EVERY != 0)
        return 1;
    name(&out[1], "second", n / SECOND_EVERY % SECOND_KEYS, n,
         (uint64_t)SECOND_EVERY * SECOND_KEYS);
    out[1].deleted = n % 11 == 0;
    if (!out[1].deleted)
        fill(&out[1], n + 1, 20);
    return 2;
}

enum { SERVER_KEYS = 50 };

static size_t server_changes(uint64_t n, struct history_change out[HISTORY_CHANGES_MAX])
{
    name(&out[0], "key", n % SERVER_KEYS, n, SERVER_KEYS);
    fill(&out[0], n, value_size(n));
    return 1;
}

const struct history journal_history = {journal_changes, SECOND_EVERY *SECOND_KEYS};
const struct history server_history = {server_changes, SERVER_KEYS};

struct bytes history_record(const struct history *h, uint64_t n, struct wire_buffer *b)
{
    static struct history_change changes[HISTORY_CHANGES_MAX];
    struct record_writer w;
    size_t count = h->changes(n, changes);
    wire_buffer_clear(b);
    record_begin(&w, b, n, n * 1000, 0, 0);
    for (size_t i = 0; i < count; i++) {
        struct change c = {.op = changes[i].deleted ? CHANGE_DELETE : CHANGE_PUT,
                           .prev_seq = changes[i].prev_seq,
                           .key = history_key(&changes[i]),
                           .value = history_value(&changes[i])};
        record_add(&w, &c);
    }
    return (struct bytes){b->data, record_end(&w)};
}

struct state_row history_row(uint64_t n, const struct history_change *c)
{
    return (struct state_row){.created = n,
                              .modified = n,
                              .version = c->deleted ? 0 : 1,
                              .deleted = c->deleted,
                              .value = history_value(c)};
}
