/* core_fixture.c - see core_fixture.h. */
#include "tests/support/core_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- lists ---- */

static void *grown(void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? *capacity * 2 : 64;
    items = realloc(items, *capacity * item_size);
    assert_non_null(items);
    return items;
}

void bytes_list_add(struct bytes_list *list, struct bytes item)
{
    list->items = grown(list->items, list->count, &list->capacity, sizeof list->items[0]);
    list->items[list->count++] = (struct bytes){copy_exactly(item.data, item.size), item.size};
}

static void bytes_free(struct bytes b)
{
    free((void *)(uintptr_t)b.data);
}

void bytes_list_clear(struct bytes_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        bytes_free(list->items[i]);
    free(list->items);
    *list = (struct bytes_list){0};
}

/* ---- the state ---- */

static struct fixture_row *find_row(const struct core_fixture *f, struct bytes key)
{
    for (size_t i = 0; i < f->row_count; i++) {
        if (bytes_equal(f->rows[i].key, key))
            return &f->rows[i];
    }
    return NULL;
}

const struct state_row *core_fixture_row(const struct core_fixture *f, struct bytes key)
{
    const struct fixture_row *row = find_row(f, key);
    return row ? &row->row : NULL;
}

static int state_get(void *context, struct bytes key, struct state_row *ret_row)
{
    struct core_fixture *f = context;
    f->state_gets++;
    if (f->state_error)
        return f->state_error;
    const struct fixture_row *row = find_row(f, key);
    if (!row)
        return ERR_NOT_FOUND;
    *ret_row = row->row;
    return ERR_OK;
}

static int state_seek(void *context, struct bytes from)
{
    struct core_fixture *f = context;
    if (f->state_error)
        return f->state_error;
    assert_true(from.size <= sizeof f->seek_from);
    memcpy(f->seek_from, from.data ? from.data : (const uint8_t *)"", from.size);
    f->seek_size = from.size;
    f->seeks++;
    return ERR_OK;
}

static int state_next(void *context, struct bytes *ret_key, struct state_row *ret_row)
{
    struct core_fixture *f = context;
    struct bytes from = {f->seek_from, f->seek_size};
    const struct fixture_row *first = NULL;
    f->state_gets++;
    if (f->state_error)
        return f->state_error;
    for (size_t i = 0; i < f->row_count; i++) {
        if (bytes_compare(f->rows[i].key, from) >= 0 &&
            (!first || bytes_compare(f->rows[i].key, first->key) < 0))
            first = &f->rows[i];
    }
    if (!first)
        return ERR_NOT_FOUND;
    /* The next one is not less than this key and a zero byte. */
    memcpy(f->seek_from, first->key.data, first->key.size);
    f->seek_from[first->key.size] = 0;
    f->seek_size = first->key.size + 1;
    *ret_key = first->key;
    *ret_row = first->row;
    return ERR_OK;
}

static uint64_t clock_us(void *context)
{
    struct core_fixture *f = context;
    f->clock_us += f->clock_step_us;
    return f->clock_us;
}

static void random_bytes(void *context, uint8_t *out, size_t size)
{
    struct core_fixture *f = context;
    sample_fill(&f->random, out, size);
}

static int stage_row(void *context, struct bytes key, const struct state_row *row)
{
    struct core_fixture *f = context;
    f->staged = grown(f->staged, f->staged_count, &f->staged_capacity, sizeof f->staged[0]);
    struct fixture_row *staged = &f->staged[f->staged_count++];
    *staged = (struct fixture_row){{copy_exactly(key.data, key.size), key.size}, *row};
    staged->row.value.data = copy_exactly(row->value.data, row->value.size);
    return ERR_OK;
}

static void row_free(struct fixture_row *row)
{
    bytes_free(row->key);
    bytes_free(row->row.value);
}

static int stage_session(void *context, uint64_t session, struct bytes row)
{
    struct core_fixture *f = context;
    f->staged_sessions = grown(f->staged_sessions, f->staged_session_count,
                               &f->staged_session_capacity, sizeof f->staged_sessions[0]);
    f->staged_sessions[f->staged_session_count++] =
        (struct fixture_session){session, {copy_exactly(row.data, row.size), row.size}};
    return ERR_OK;
}

static void drop_staged_sessions(struct core_fixture *f)
{
    for (size_t i = 0; i < f->staged_session_count; i++)
        bytes_free(f->staged_sessions[i].row);
    f->staged_session_count = 0;
    f->sessions_staged = false;
}

/* Those that the batch must write, and at most so many others. */
static void stage_sessions(struct core_fixture *f, uint32_t others_max)
{
    drop_staged_sessions(f);
    assert_int_equal(core_session_rows(f->core, others_max, stage_session, f), ERR_OK);
    f->sessions_staged = true;
}

void core_fixture_drop_staged(struct core_fixture *f)
{
    for (size_t i = 0; i < f->staged_count; i++)
        row_free(&f->staged[i]);
    f->staged_count = 0;
    f->batch_applied = 0;
    drop_staged_sessions(f);
    fixture_cursors_drop_staged(&f->cursors);
    fixture_cursors_drop_staged(&f->lives);
}

static void commit_staged_sessions(struct core_fixture *f)
{
    for (size_t i = 0; i < f->staged_session_count; i++) {
        struct fixture_session *staged = &f->staged_sessions[i];
        size_t at = 0;
        while (at < f->session_count && f->sessions[at].session != staged->session)
            at++;
        if (at < f->session_count) {
            bytes_free(f->sessions[at].row);
        } else {
            f->sessions =
                grown(f->sessions, f->session_count, &f->session_capacity, sizeof f->sessions[0]);
            f->session_count++;
        }
        f->sessions[at] = *staged;
        if (staged->row.size == 0) {
            bytes_free(staged->row);
            f->sessions[at] = f->sessions[--f->session_count];
        }
    }
    f->staged_session_count = 0;
    f->sessions_staged = false;
}

static void commit_staged(struct core_fixture *f)
{
    for (size_t i = 0; i < f->staged_count; i++) {
        struct fixture_row *staged = &f->staged[i];
        struct fixture_row *row = find_row(f, staged->key);
        if (row && row->row.modified > staged->row.modified) {
            row_free(staged);
        } else if (row) {
            row_free(row);
            *row = *staged;
        } else {
            f->rows = grown(f->rows, f->row_count, &f->row_capacity, sizeof f->rows[0]);
            f->rows[f->row_count++] = *staged;
        }
    }
    f->staged_count = 0;
    commit_staged_sessions(f);
    if (f->batch_applied)
        f->applied = f->batch_applied;
    f->batch_applied = 0;
}

/* ---- life ---- */

static void open_core(struct core_fixture *f)
{
    static const uint16_t ports[1][3] = {{7001, 7002, 7003}};
    struct core_source source = {.context = f,
                                 .state_get = state_get,
                                 .state_seek = state_seek,
                                 .state_next = state_next,
                                 .processor_us = clock_us,
                                 .clock_us = clock_us,
                                 .random = random_bytes};
    struct core_identity identity = {.epoch = f->epoch,
                                     .incarnation = f->incarnation,
                                     .server = "vigild test",
                                     .stream_suffix = ".stream",
                                     .replay_suffix = ".replay",
                                     .ports = ports,
                                     .ports_count = 1};
    uint64_t head = core_fixture_head(f);
    assert_int_equal(
        core_new(&source, &f->limits, &identity, head, f->oldest, f->applied, &f->core), ERR_OK);
    for (size_t i = 0; i < f->session_count; i++)
        assert_int_equal(core_restore_session(f->core, f->sessions[i].session, f->sessions[i].row),
                         ERR_OK);
    fixture_cursors_restore(&f->cursors, f->core);
    fixture_lives_restore(&f->lives, f->core);
    core_life_start(f->core, f->boot, f->now_ms);
    for (uint64_t seq = f->applied + 1; seq <= head; seq++)
        assert_int_equal(core_restore(f->core, core_fixture_record(f, seq)), ERR_OK);
}

void core_fixture_open(struct core_fixture *f, uint64_t seed, const struct core_limits *limits)
{
    *f = (struct core_fixture){.random = {seed},
                               .epoch = 0xe9,
                               .incarnation = 1,
                               .time_us = 1000000,
                               .now_ms = 5000,
                               .journal_first = 1,
                               .oldest = 1,
                               .next_id = 100,
                               .boot = "boot 1"};
    if (limits)
        f->limits = *limits;
    wire_buffer_init(&f->message, SIZE_MAX / 2);
    open_core(f);
}

void core_fixture_close(struct core_fixture *f)
{
    core_free(f->core);
    core_fixture_drop_staged(f);
    for (size_t i = 0; i < f->row_count; i++)
        row_free(&f->rows[i]);
    for (size_t i = 0; i < f->session_count; i++)
        bytes_free(f->sessions[i].row);
    free(f->sessions);
    free(f->staged_sessions);
    free(f->rows);
    free(f->staged);
    fixture_cursors_free(&f->cursors);
    fixture_cursors_free(&f->lives);
    bytes_list_clear(&f->journal);
    bytes_list_clear(&f->emitted);
    wire_buffer_free(&f->message);
}

void core_fixture_restart(struct core_fixture *f)
{
    core_free(f->core);
    core_fixture_drop_staged(f);
    f->incarnation++;
    open_core(f);
}

uint64_t core_fixture_head(const struct core_fixture *f)
{
    return f->journal_first + f->journal.count - 1;
}

struct bytes core_fixture_record(const struct core_fixture *f, uint64_t seq)
{
    assert_true(seq >= f->journal_first && seq <= core_fixture_head(f));
    return f->journal.items[seq - f->journal_first];
}

void core_fixture_compact(struct core_fixture *f, uint64_t seq)
{
    size_t dropped = 0;
    while (f->journal_first + dropped < seq && dropped < f->journal.count)
        bytes_free(f->journal.items[dropped++]);
    f->journal.count -= dropped;
    if (dropped > 0)
        memmove(f->journal.items, f->journal.items + dropped,
                f->journal.count * sizeof f->journal.items[0]);
    f->journal_first += dropped;
    f->oldest = f->journal_first;
    core_set_oldest(f->core, f->oldest);
}

/* ---- building a message ---- */

void core_fixture_message(struct core_fixture *f, uint32_t flags, uint64_t session)
{
    wire_buffer_clear(&f->message);
    f->message_count = 0;
    request_message_begin(&f->message,
                          &(struct request_message_header){
                              .flags = flags, .session = session, .acknowledged = f->acknowledged});
}

uint64_t request_start(struct core_fixture *f, uint8_t op)
{
    struct request_header h = {
        .op = op, .flags = f->next_flags, .id = f->next_id++, .number = f->next_number};
    f->next_flags = 0;
    f->next_number = 0;
    f->request_at = request_begin(&f->message, &h);
    return h.id;
}

void request_finish(struct core_fixture *f)
{
    message_part_end(&f->message, f->request_at);
    message_set_count(&f->message, 0, ++f->message_count);
}

uint64_t request_put(struct core_fixture *f, const char *key, struct bytes value)
{
    return request_put_if(f, key, value, 0, 0, (struct bytes){NULL, 0});
}

uint64_t request_put_if(struct core_fixture *f, const char *key, struct bytes value, uint8_t flags,
                        uint64_t seq, struct bytes expected)
{
    f->next_flags = flags;
    uint64_t id = request_start(f, OP_PUT);
    request_put_write(&f->message, &(struct request_put){.expect_seq = seq,
                                                         .key = bytes_of(key),
                                                         .value = value,
                                                         .expect_value = expected});
    request_finish(f);
    return id;
}

uint64_t request_delete(struct core_fixture *f, const char *key)
{
    uint64_t id = request_start(f, OP_DELETE);
    request_delete_write(&f->message, &(struct request_delete){.key = bytes_of(key)});
    request_finish(f);
    return id;
}

uint64_t request_incr(struct core_fixture *f, const char *key, int64_t by)
{
    uint64_t id = request_start(f, OP_INCR);
    request_incr_write(&f->message, &(struct request_incr){.by = by, .key = bytes_of(key)});
    request_finish(f);
    return id;
}

uint64_t request_get(struct core_fixture *f, const char *key)
{
    uint64_t id = request_start(f, OP_GET);
    request_get_write(&f->message, &(struct request_get){.key = bytes_of(key)});
    request_finish(f);
    return id;
}

uint64_t request_open(struct core_fixture *f, const struct pattern *patterns, size_t count)
{
    uint64_t id = request_start(f, OP_STREAM_OPEN);
    wire_write_u16(&f->message, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        wire_write_u8(&f->message, patterns[i].kind);
        wire_write_bytes16(&f->message, patterns[i].text);
    }
    request_finish(f);
    return id;
}

uint64_t request_plain(struct core_fixture *f, uint8_t op)
{
    uint64_t id = request_start(f, op);
    request_finish(f);
    return id;
}

struct bytes core_fixture_message_bytes(struct core_fixture *f)
{
    return (struct bytes){f->message.data, f->message.size};
}

/* ---- running it ---- */

void core_fixture_begin(struct core_fixture *f)
{
    core_batch_begin(f->core, f->time_us, f->now_ms);
}

void core_fixture_send_bytes(struct core_fixture *f, const char *peer, struct bytes message)
{
    /* A copy that ends where its block ends, and is gone when the request has been applied. */
    uint8_t *copy = copy_exactly(message.data, message.size);
    assert_int_equal(core_request(f->core, bytes_of(peer), (struct bytes){copy, message.size}),
                     ERR_OK);
    free(copy);
}

void core_fixture_send(struct core_fixture *f, const char *peer)
{
    core_fixture_send_bytes(f, peer, core_fixture_message_bytes(f));
}

void core_fixture_slice(struct core_fixture *f, uint32_t rows_max)
{
    uint64_t applied;
    stage_sessions(f, rows_max);
    assert_int_equal(core_checkpoint_slice(f->core, rows_max, stage_row, f, &applied), ERR_OK);
    if (applied)
        f->batch_applied = applied;
}

static void collect(void *context, struct bytes message)
{
    struct core_fixture *f = context;
    bytes_list_add(&f->emitted, message);
}

void core_fixture_commit(struct core_fixture *f)
{
    uint64_t seq = core_fixture_head(f);
    for (size_t i = 0; i < core_batch_record_count(f->core); i++) {
        struct bytes record = core_batch_record_at(f->core, i);
        struct record_header h;
        assert_int_equal(record_check(record, &h), ERR_OK);
        assert_int_equal(h.size, record.size);
        assert_int_equal(h.seq, ++seq);
        bytes_list_add(&f->journal, record);
    }
    if (!f->sessions_staged)
        stage_sessions(f, 0);
    commit_staged(f);
    fixture_cursors_stage(&f->cursors, f->core);
    fixture_cursors_commit(&f->cursors);
    fixture_lives_stage(&f->lives, f->core);
    fixture_cursors_commit(&f->lives);
    core_batch_commit(f->core);
    core_publish(f->core, collect, f);
}

void core_fixture_abort(struct core_fixture *f, int code, const char *text)
{
    core_fixture_drop_staged(f);
    core_batch_abort(f->core, code, text);
}

void core_fixture_run(struct core_fixture *f, const char *peer)
{
    core_fixture_begin(f);
    core_fixture_send(f, peer);
    core_all_read(f->core);
    core_fixture_commit(f);
}

uint32_t core_fixture_tick(struct core_fixture *f, uint64_t ms)
{
    f->now_ms += ms;
    f->time_us += ms * 1000;
    return core_tick(f->core, f->now_ms, collect, f);
}

void core_fixture_clear_emitted(struct core_fixture *f)
{
    bytes_list_clear(&f->emitted);
}

/* ---- looking at replies ---- */

struct parsed_reply core_fixture_reply(const struct core_fixture *f, size_t m, size_t r)
{
    struct parsed_reply reply;
    struct bytes peer;
    struct bytes message;
    assert_true(m < core_reply_count(f->core));
    core_reply_at(f->core, m, &peer, &message);
    struct wire_reader reader = wire_reader_of(message.data, message.size);
    assert_int_equal(reply_message_read(&reader, &reply.message), ERR_OK);
    assert_true(r < reply.message.count);
    for (size_t i = 0; i <= r; i++)
        assert_int_equal(reply_read(&reader, &reply.header, &reply.body), ERR_OK);
    if (r == reply.message.count - 1u)
        assert_int_equal(wire_left(&reader), 0);
    reply.text[0] = '\0';
    if (reply.header.status != ERR_OK) {
        struct wire_reader body = reply.body;
        struct reply_error error;
        assert_true(reply_error_read(&body, &error));
        (void)snprintf(reply.text, sizeof reply.text, "%.*s", (int)error.text.size,
                       (const char *)error.text.data);
    }
    return reply;
}

struct parsed_reply core_fixture_ask(struct core_fixture *f, const char *peer)
{
    core_fixture_run(f, peer);
    assert_int_equal(core_reply_count(f->core), 1);
    return core_fixture_reply(f, 0, 0);
}

struct reply_get core_fixture_get(struct core_fixture *f, const char *key)
{
    struct reply_get body;
    core_fixture_message(f, 0, 0);
    (void)request_get(f, key);
    struct parsed_reply reply = core_fixture_ask(f, "reader");
    assert_int_equal(reply.header.status, ERR_OK);
    assert_true(reply_get_read(&reply.body, &body));
    return body;
}

/* ---- values ---- */

static uint8_t *value_slot(void)
{
    static uint8_t slots[4][64];
    static unsigned next;
    return slots[next++ % 4];
}

struct bytes value_number(uint8_t n)
{
    uint8_t *slot = value_slot();
    slot[0] = n & 0x7f;
    return (struct bytes){slot, 1};
}

struct bytes value_text(const char *text)
{
    uint8_t *slot = value_slot();
    size_t size = strlen(text);
    assert_true(size < 32);
    slot[0] = (uint8_t)(0xa0 | size);
    memcpy(slot + 1, text, size);
    return (struct bytes){slot, size + 1};
}

struct bytes value_blob(size_t size, uint32_t seed)
{
    assert_true(size >= 5);
    uint8_t *data = malloc(size);
    assert_non_null(data);
    data[0] = 0xc6; /* bin 32 */
    size_t rest = size - 5;
    for (size_t i = 0; i < 4; i++)
        data[1 + i] = (uint8_t)(rest >> (24 - 8 * i));
    for (size_t i = 0; i < rest; i++)
        data[5 + i] = (uint8_t)(seed + i * 31);
    return (struct bytes){data, size};
}
