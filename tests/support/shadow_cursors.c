/* shadow_cursors.c - see shadow_cursors.h. */
#include "tests/support/shadow_cursors.h"

#include "protocol/key.h"

#include <stdlib.h>

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

/* ---- the list ---- */

static size_t place_of(const struct shadow_cursors *s, struct bytes name)
{
    size_t at = 0;
    while (at < s->count && bytes_compare(s->list[at].name, name) < 0)
        at++;
    return at;
}

static struct shadow_cursor *find(struct shadow_cursors *s, struct bytes name)
{
    size_t at = place_of(s, name);
    return at < s->count && bytes_equal(s->list[at].name, name) ? &s->list[at] : NULL;
}

static struct bytes copy_of(struct bytes b)
{
    return (struct bytes){copy_exactly(b.data, b.size), b.size};
}

static void free_cursor(const struct shadow_cursor *c)
{
    free((void *)(uintptr_t)c->name.data);
    free((void *)(uintptr_t)c->filter.data);
}

static struct shadow_cursor *add(struct shadow_cursors *s, struct bytes name)
{
    size_t at = place_of(s, name);
    CHECK(s->count < SHADOW_CURSORS_MAX && s->count < s->limit);
    memmove(&s->list[at + 1], &s->list[at], (s->count - at) * sizeof s->list[0]);
    s->list[at] = (struct shadow_cursor){.name = copy_of(name)};
    s->count++;
    return &s->list[at];
}

static void take_out(struct shadow_cursors *s, struct shadow_cursor *c)
{
    size_t at = (size_t)(c - s->list);
    free_cursor(c);
    s->count--;
    memmove(&s->list[at], &s->list[at + 1], (s->count - at) * sizeof s->list[0]);
}

/* Whether the request's filter is the same as written in canonical form. */
static bool filter_is(struct bytes asked, struct bytes canonical)
{
    struct filter *f = malloc(sizeof *f);
    struct wire_reader r = wire_reader_of(asked.data, asked.size);
    struct wire_buffer written;
    wire_buffer_init(&written, SIZE_MAX / 2);
    CHECK(f);
    bool same = filter_read(&r, f) == ERR_OK && wire_read_complete(&r);
    if (same) {
        filter_write(&written, f);
        same = bytes_equal((struct bytes){written.data, written.size}, canonical);
    }
    wire_buffer_free(&written);
    free(f);
    return same;
}

/* ---- requests and their replies ---- */

struct exchange {
    struct shadow_cursors *s;
    const struct core_fixture *f;
    struct request_header request;
    struct wire_reader body; /* of the request */
    struct parsed_reply reply;
};

static void opened(struct exchange *x)
{
    struct request_cursor_open asked;
    struct reply_cursor_open got;
    bool as_stored = (x->request.flags & REQUEST_CURSOR_AS_STORED) != 0;
    if (!request_cursor_open_read(&x->body, &asked)) {
        CHECK(x->reply.header.status != ERR_OK);
        return;
    }
    struct shadow_cursor *c = find(x->s, asked.name);
    uint16_t status = x->reply.header.status;
    CHECK(status != ERR_NOT_FOUND || (!c && as_stored));
    CHECK(status != ERR_CONFLICT || (c && !as_stored && !filter_is(asked.filter, c->filter)));
    CHECK(status != ERR_LIMIT || asked.filter.size > 0);
    if (status != ERR_OK)
        return;
    CHECK(reply_cursor_open_read(&x->reply.body, &got));
    CHECK(as_stored ? asked.filter.size == 0 : filter_is(asked.filter, got.filter));
    CHECK(key_valid(asked.name) && asked.name.size <= LIMIT_CURSOR_NAME);
    CHECK(got.is_new == (c == NULL));
    if (!c) {
        CHECK(!as_stored && (asked.epoch == 0 || asked.epoch == x->f->epoch));
        CHECK(got.holder != 0 && got.epoch == x->f->epoch);
        CHECK(got.position ==
              (asked.position == UINT64_MAX ? x->reply.header.seq : asked.position));
        CHECK(got.position <= x->reply.header.seq);
        c = add(x->s, asked.name);
        c->filter = copy_of(got.filter);
        c->epoch = got.epoch;
        c->position = got.position;
    } else {
        CHECK(got.holder == c->holder + 1 && got.epoch == c->epoch);
        CHECK(got.position == c->position && bytes_equal(got.filter, c->filter));
    }
    c->holder = got.holder;
}

static void moved(struct exchange *x)
{
    struct request_cursor_move asked;
    struct reply_cursor_move got;
    if (!request_cursor_move_read(&x->body, &asked)) {
        CHECK(x->reply.header.status != ERR_OK);
        return;
    }
    struct shadow_cursor *c = find(x->s, asked.name);
    uint16_t status = x->reply.header.status;
    CHECK(status != ERR_NOT_FOUND || !c);
    CHECK(status != ERR_CURSOR_TAKEN || (c && c->holder != asked.holder));
    if (status != ERR_OK)
        return;
    CHECK(reply_cursor_move_read(&x->reply.body, &got));
    CHECK(c && c->holder == asked.holder);
    CHECK(asked.epoch == x->f->epoch && c->epoch == x->f->epoch);
    CHECK(asked.position <= x->reply.header.seq);
    c->position = asked.position > c->position ? asked.position : c->position;
    CHECK(got.position == c->position);
}

static void deleted(struct exchange *x)
{
    struct request_cursor_delete asked;
    if (!request_cursor_delete_read(&x->body, &asked)) {
        CHECK(x->reply.header.status != ERR_OK);
        return;
    }
    struct shadow_cursor *c = find(x->s, asked.name);
    CHECK(x->reply.header.status != ERR_NOT_FOUND || !c);
    if (x->reply.header.status != ERR_OK)
        return;
    CHECK(c);
    take_out(x->s, c);
}

static void listed(struct exchange *x)
{
    struct request_cursor_list asked;
    struct reply_cursor_list got;
    if (x->reply.header.status != ERR_OK)
        return;
    CHECK(request_cursor_list_read(&x->body, &asked));
    CHECK(reply_cursor_list_read(&x->reply.body, &got));
    struct wire_reader r = wire_reader_of(got.rows.data, got.rows.size);
    size_t at = place_of(x->s, asked.after);
    at += at < x->s->count && bytes_equal(x->s->list[at].name, asked.after);
    CHECK(got.count <= x->s->count - at);
    CHECK(got.more == (got.count < x->s->count - at));
    CHECK(got.count > 0 || !got.more);
    for (uint32_t i = 0; i < got.count; i++, at++) {
        const struct shadow_cursor *c = &x->s->list[at];
        struct cursor_row row;
        CHECK(cursor_row_read(&r, &row));
        CHECK(bytes_equal(row.name, c->name) && bytes_equal(row.filter, c->filter));
        CHECK(row.epoch == c->epoch && row.position == c->position && row.holder == c->holder);
        CHECK(row.created_us <= row.moved_us && row.moved_us <= got.time_us);
    }
    CHECK(wire_read_complete(&r));
}

static void take_exchange(struct exchange *x)
{
    switch (x->request.op) {
    case OP_CURSOR_OPEN:
        opened(x);
        break;
    case OP_CURSOR_MOVE:
        moved(x);
        break;
    case OP_CURSOR_DELETE:
        deleted(x);
        break;
    case OP_CURSOR_LIST:
        listed(x);
        break;
    default:
        break;
    }
}

/* ---- batches ---- */

void shadow_cursors_sent(struct shadow_cursors *s, struct bytes message)
{
    bytes_list_add(&s->sent, message);
}

void shadow_cursors_committed(struct shadow_cursors *s, const struct core_fixture *f)
{
    for (size_t m = 0; m < s->sent.count; m++) {
        struct bytes message = s->sent.items[m];
        struct wire_reader r = wire_reader_of(message.data, message.size);
        struct request_message_header h;
        if (request_message_read(&r, &h) != ERR_OK)
            continue;
        struct exchange x = {.s = s, .f = f, .reply = core_fixture_reply(f, m, 0)};
        if (x.reply.message.count != h.count || x.reply.header.op == 0)
            continue; /* refused as a whole */
        for (uint16_t i = 0; i < h.count; i++) {
            x.reply = core_fixture_reply(f, m, i);
            if (request_read(&r, &x.request, &x.body) != ERR_OK)
                break;
            take_exchange(&x);
        }
    }
    bytes_list_clear(&s->sent);
}

void shadow_cursors_aborted(struct shadow_cursors *s)
{
    bytes_list_clear(&s->sent);
}

void shadow_cursors_check(struct shadow_cursors *s, struct core_fixture *f)
{
    core_fixture_message(f, 0, 0);
    (void)request_start(f, OP_CURSOR_LIST);
    request_cursor_list_write(&f->message, &(struct request_cursor_list){.after = {NULL, 0}});
    request_finish(f);
    struct exchange x = {.s = s, .f = f, .reply = core_fixture_ask(f, "checker")};
    x.body = wire_reader_of("\0", 2);
    CHECK(x.reply.header.status == ERR_OK);
    listed(&x);
}

void shadow_cursors_free(struct shadow_cursors *s)
{
    for (size_t i = 0; i < s->count; i++)
        free_cursor(&s->list[i]);
    s->count = 0;
    bytes_list_clear(&s->sent);
}
