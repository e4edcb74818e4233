/* core_reference_requests.c - random requests, and what each of them must do and answer. */
#include "tests/support/core_reference.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- what is expected ---- */

static void *grown(void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? *capacity * 2 : 64;
    items = realloc(items, *capacity * item_size);
    assert_non_null(items);
    return items;
}

struct ref_expected *ref_expect(struct reference *ref, uint8_t op, uint64_t id, int status,
                                uint64_t seq)
{
    ref->expected =
        grown(ref->expected, ref->expected_count, &ref->expected_capacity, sizeof ref->expected[0]);
    struct ref_expected *e = &ref->expected[ref->expected_count++];
    *e = (struct ref_expected){.op = op,
                               .id = id,
                               .status = (uint16_t)status,
                               .seq = seq,
                               .check = status == ERR_OK || status == ERR_CONFLICT ? REF_SEQ
                                                                                   : REF_STATUS,
                               .body_at = ref->bodies.size};
    return e;
}

/* The reply's whole body is what has been written to ref->bodies since expect. */
void ref_expect_body(struct reference *ref)
{
    struct ref_expected *e = &ref->expected[ref->expected_count - 1];
    e->check = REF_BODY;
    e->body_size = ref->bodies.size - e->body_at;
}

/* ---- changes ---- */

struct ref_value ref_random_value(struct reference *ref)
{
    struct sample *r = &ref->random;
    struct ref_value value = {.seed = (uint32_t)sample_u64(r)};
    size_t kind = sample_below(r, 100);
    if (kind < 50) {
        static const int64_t bases[] = {0, 127, 255, 65535, INT64_MAX, -32, -129, INT64_MIN};
        value.is_integer = true;
        value.integer = bases[sample_below(r, 8)];
        if (sample_below(r, 10) == 0)
            value.integer = ((__int128)1 << 64) - 1;
    } else if (kind < 96) {
        value.size = 5 + (uint32_t)sample_below(r, 60);
    } else if (kind < 99) {
        value.size = 900 + (uint32_t)sample_below(r, 5000);
    } else {
        value.size = 8000 + (uint32_t)sample_below(r, 10000);
    }
    return value;
}

struct ref_record *ref_new_record(struct reference *ref, uint64_t session, uint64_t number)
{
    ref->records = grown(ref->records, ref->last, &ref->record_capacity, sizeof ref->records[0]);
    struct ref_record *record = &ref->records[ref->last++];
    *record = (struct ref_record){.session = session, .number = number};
    return record;
}

void ref_change_key(struct reference *ref, struct ref_record *record, uint8_t key, bool is_put,
                    const struct ref_value *value)
{
    struct ref_key *k = &ref->keys[key];
    record->changes = realloc(record->changes, (record->count + 1u) * sizeof record->changes[0]);
    assert_non_null(record->changes);
    struct ref_change *c = &record->changes[record->count++];
    *c = (struct ref_change){.key = key, .is_put = is_put, .prev_seq = k->modified};
    record->keys |= UINT64_C(1) << key;
    if (is_put) {
        c->value = *value;
        k->created = k->present ? k->created : ref->last;
        k->version = k->present ? k->version + 1 : 1;
        k->value = *value;
    } else {
        k->created = 0;
        k->version = 0;
    }
    k->present = is_put;
    k->modified = ref->last;
}

/* 0, or the error of adding by to the key's value. */
int ref_add_integer(const struct ref_key *k, int64_t by, struct ref_value *ret_value)
{
    struct ref_value value = {.is_integer = true};
    if (k->present && !k->value.is_integer)
        return ERR_NOT_AN_INTEGER;
    value.integer = (k->present ? k->value.integer : 0) + by;
    if (value.integer > ((__int128)1 << 64) - 1 || value.integer < -((__int128)1 << 63))
        return ERR_OUT_OF_RANGE;
    *ret_value = value;
    return ERR_OK;
}

bool ref_value_equals(const struct ref_value *a, const struct ref_value *b)
{
    if (a->is_array || b->is_array)
        return a->is_array && b->is_array && a->size == b->size && a->integer == b->integer;
    if (a->is_integer || b->is_integer)
        return a->is_integer && b->is_integer && a->integer == b->integer;
    /* Five bytes are a header only; the rest depends on the seed's lowest byte. */
    return a->size == b->size && (a->size == 5 || ((a->seed ^ b->seed) & 0xff) == 0);
}

int64_t ref_random_by(struct reference *ref)
{
    static const int64_t bys[] = {1, -1, 100, -1000, INT64_MAX, INT64_MIN, 0};
    return bys[sample_below(&ref->random, 7)];
}

/* ---- ends ---- */

static uint8_t key_of(const struct reference *ref, struct bytes name)
{
    uint8_t key = 0;
    while (key < REF_KEYS && !bytes_equal(bytes_of(ref->key_names[key]), name))
        key++;
    assert_true(key < REF_KEYS); /* nobody puts another */
    return key;
}

void reference_take_ends(struct reference *ref, const struct core_fixture *f)
{
    uint64_t end_ms = 0;
    ref->now_ms = f->now_ms;
    for (size_t i = 0; i < core_batch_record_count(f->core); i++) {
        struct bytes record = core_batch_record_at(f->core, i);
        struct record_header h;
        struct change c;
        assert_int_equal(record_check(record, &h), ERR_OK);
        assert_int_equal(h.count, 1);
        struct change_iterator changes = record_changes(record.data);
        assert_true(change_next(&changes, &c));
        uint8_t key = key_of(ref, c.key);
        struct ref_key *k = &ref->keys[key];
        assert_true(k->present && k->end_ms != 0 && k->end_ms <= f->now_ms);
        assert_true(k->end_ms >= end_ms); /* those whose end came first go first */
        end_ms = k->end_ms;
        struct ref_record *ended = ref_new_record(ref, 0, 0);
        ref_change_key(ref, ended, key, false, NULL);
        ended->changes[0].is_end = true;
        k->end_ms = 0;
        ref->expired++;
    }
    for (size_t key = 0; key < REF_KEYS; key++)
        assert_true(ref->keys[key].end_ms == 0 || ref->keys[key].end_ms > f->now_ms);
}

/* ---- single keys ---- */

struct condition {
    uint8_t flags;
    uint64_t seq;
    struct ref_value value;
};

static struct condition random_condition(struct reference *ref, const struct ref_key *k)
{
    struct condition c = {0};
    struct sample *r = &ref->random;
    if (sample_below(r, 3) > 0)
        return c;
    if (sample_below(r, 2)) {
        c.flags |= REQUEST_IF_SEQ;
        c.seq = sample_below(r, 2) ? k->modified : sample_below(r, 2) ? 0 : ref->last;
    }
    if (sample_below(r, 2)) {
        c.flags |= REQUEST_IF_VALUE;
        c.value = k->present && sample_below(r, 3) ? k->value : ref_random_value(ref);
    }
    return c;
}

static bool condition_holds(const struct condition *c, const struct ref_key *k)
{
    if ((c->flags & REQUEST_IF_SEQ) != 0 && c->seq != (k->present ? k->modified : 0))
        return false;
    return (c->flags & REQUEST_IF_VALUE) == 0 ||
           (k->present && ref_value_equals(&c->value, &k->value));
}

static struct bytes condition_value(const struct condition *c)
{
    return c->flags & REQUEST_IF_VALUE ? ref_value_bytes(&c->value) : (struct bytes){NULL, 0};
}

static void free_bytes(struct bytes b)
{
    free((void *)(uintptr_t)b.data);
}

static void random_put(struct reference *ref, struct core_fixture *f, struct ref_origin origin)
{
    uint8_t key = (uint8_t)sample_below(&ref->random, REF_KEYS);
    struct ref_key *k = &ref->keys[key];
    struct ref_value value = ref_random_value(ref);
    struct condition condition = random_condition(ref, k);
    struct bytes bytes = ref_value_bytes(&value);
    struct bytes expected = condition_value(&condition);
    uint64_t prev_seq = k->modified;
    uint64_t id =
        request_put_if(f, ref->key_names[key], bytes, condition.flags, condition.seq, expected);
    free_bytes(bytes);
    free_bytes(expected);
    if (!condition_holds(&condition, k)) {
        (void)ref_expect(ref, OP_PUT, id, ERR_CONFLICT, k->present ? k->modified : 0);
        return;
    }
    struct ref_record *record = ref_new_record(ref, origin.session, origin.number);
    ref_change_key(ref, record, key, true, &value);
    k->end_ms = 0;
    (void)ref_expect(ref, OP_PUT, id, ERR_OK, ref->last);
    reply_put_write(&ref->bodies, &(struct reply_put){.prev_seq = prev_seq, .version = k->version});
    ref_expect_body(ref);
}

static void random_delete(struct reference *ref, struct core_fixture *f, struct ref_origin origin)
{
    uint8_t key = (uint8_t)sample_below(&ref->random, REF_KEYS);
    struct ref_key *k = &ref->keys[key];
    struct condition condition = random_condition(ref, k);
    struct bytes expected = condition_value(&condition);
    uint64_t prev_seq = k->modified;
    f->next_flags = condition.flags;
    uint64_t id = request_start(f, OP_DELETE);
    request_delete_write(&f->message, &(struct request_delete){.expect_seq = condition.seq,
                                                               .key = bytes_of(ref->key_names[key]),
                                                               .expect_value = expected});
    request_finish(f);
    free_bytes(expected);
    if (!condition_holds(&condition, k)) {
        (void)ref_expect(ref, OP_DELETE, id, ERR_CONFLICT, k->present ? k->modified : 0);
    } else if (!k->present) {
        (void)ref_expect(ref, OP_DELETE, id, ERR_NOT_FOUND, 0);
    } else {
        struct ref_record *record = ref_new_record(ref, origin.session, origin.number);
        ref_change_key(ref, record, key, false, NULL);
        k->end_ms = 0;
        (void)ref_expect(ref, OP_DELETE, id, ERR_OK, ref->last);
        reply_delete_write(&ref->bodies, &(struct reply_delete){.prev_seq = prev_seq});
        ref_expect_body(ref);
    }
}

static void random_incr(struct reference *ref, struct core_fixture *f, struct ref_origin origin)
{
    uint8_t key = (uint8_t)sample_below(&ref->random, REF_KEYS);
    struct ref_key *k = &ref->keys[key];
    struct ref_value value;
    int64_t by = ref_random_by(ref);
    uint64_t id = request_incr(f, ref->key_names[key], by);
    int err = ref_add_integer(k, by, &value);
    if (err) {
        (void)ref_expect(ref, OP_INCR, id, err, 0);
        return;
    }
    struct ref_record *record = ref_new_record(ref, origin.session, origin.number);
    ref_change_key(ref, record, key, true, &value);
    (void)ref_expect(ref, OP_INCR, id, ERR_OK, ref->last);
    struct bytes bytes = ref_value_bytes(&value);
    reply_incr_write(&ref->bodies, &(struct reply_incr){.version = k->version, .value = bytes});
    ref_expect_body(ref);
    free_bytes(bytes);
}

/* ---- reads ---- */

static void write_get(struct reference *ref, size_t key)
{
    const struct ref_key *k = &ref->keys[key];
    struct reply_get body = {.present = k->present, .modified = k->modified};
    if (k->present) {
        body.created = k->created;
        body.version = k->version;
        body.value = ref_value_bytes(&k->value);
    }
    reply_get_write(&ref->bodies, &body);
    free_bytes(body.value);
}

static void random_get(struct reference *ref, struct core_fixture *f)
{
    size_t key = sample_below(&ref->random, REF_KEYS);
    uint64_t id = request_get(f, ref->key_names[key]);
    (void)ref_expect(ref, OP_GET, id, ERR_OK, ref->last);
    write_get(ref, key);
    ref_expect_body(ref);
}

static void get_keys(struct reference *ref, struct core_fixture *f, size_t first, size_t count)
{
    uint64_t id = request_start(f, OP_GET_MANY);
    (void)ref_expect(ref, OP_GET_MANY, id, ERR_OK, ref->last);
    wire_write_u16(&f->message, (uint16_t)count);
    wire_write_u16(&ref->bodies, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        size_t key = (first + i) % REF_KEYS;
        wire_write_bytes16(&f->message, bytes_of(ref->key_names[key]));
        write_get(ref, key);
    }
    request_finish(f);
    ref_expect_body(ref);
}

/* ---- streams ---- */

static void open_filter(struct reference *ref, struct core_fixture *f, size_t peer, size_t filter)
{
    struct ref_stream *s = &ref->streams[filter];
    uint64_t id = request_open(f, ref->filters[filter].patterns, ref->filters[filter].count);
    if (!s->exists) {
        memset(s, 0, sizeof *s);
        s->exists = true;
        s->last = ref->last;
        s->emitted_last = ref->last;
    }
    s->leases[peer]++;
    ref->peer_known[peer] = true;
    struct ref_expected *e = ref_expect(ref, OP_STREAM_OPEN, id, ERR_OK, ref->last);
    e->check = REF_OPEN;
    e->filter = (uint8_t)filter;
    e->topic_known = s->topic_known;
    e->last = s->last;
}

static void write_topic(struct reference *ref, struct core_fixture *f, const struct ref_stream *s)
{
    static const uint8_t unknown[TOPIC_SIZE] = {9};
    (void)ref;
    wire_write_raw(&f->message, s->topic_known ? s->topic : unknown, TOPIC_SIZE);
}

static void random_renew(struct reference *ref, struct core_fixture *f, size_t peer)
{
    size_t count = sample_below(&ref->random, 4);
    uint64_t id = request_start(f, OP_STREAM_RENEW);
    (void)ref_expect(ref, OP_STREAM_RENEW, id, ERR_OK, ref->last);
    wire_write_u16(&f->message, (uint16_t)count);
    wire_write_u16(&ref->bodies, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        struct ref_stream *s = &ref->streams[sample_below(&ref->random, REF_FILTERS)];
        write_topic(ref, f, s);
        wire_write_u8(&ref->bodies, s->topic_known);
        if (s->topic_known && s->leases[peer] == 0) {
            s->leases[peer] = 1;
            ref->peer_known[peer] = true;
        }
    }
    request_finish(f);
    ref_expect_body(ref);
}

static void random_close(struct reference *ref, struct core_fixture *f, size_t peer)
{
    struct ref_stream *s = &ref->streams[sample_below(&ref->random, REF_FILTERS)];
    uint64_t id = request_start(f, OP_STREAM_CLOSE);
    write_topic(ref, f, s);
    request_finish(f);
    if (!s->topic_known || s->leases[peer] == 0) {
        (void)ref_expect(ref, OP_STREAM_CLOSE, id, ERR_NO_STREAM, 0);
        return;
    }
    s->leases[peer]--;
    (void)ref_expect(ref, OP_STREAM_CLOSE, id, ERR_OK, ref->last);
    ref_expect_body(ref);
}

/* ---- the rest ---- */

static void random_compact(struct reference *ref, struct core_fixture *f)
{
    uint64_t before = f->oldest + sample_below(&ref->random, (size_t)(ref->last - f->oldest + 3));
    uint64_t id = request_start(f, OP_COMPACT);
    request_compact_write(&f->message, &(struct request_compact){.before = before});
    request_finish(f);
    if (before > ref->last) {
        (void)ref_expect(ref, OP_COMPACT, id, ERR_POSITION_AHEAD, 0);
        return;
    }
    if (before > f->oldest && before > ref->compact_target)
        ref->compact_target = before;
    (void)ref_expect(ref, OP_COMPACT, id, ERR_OK, ref->last);
    reply_compact_write(&ref->bodies, &(struct reply_compact){.oldest = f->oldest});
    ref_expect_body(ref);
}

static void random_nonsense(struct reference *ref, struct core_fixture *f)
{
    static const struct {
        uint8_t op;
        uint8_t flags;
        uint16_t status;
        uint8_t size;
        uint8_t body[18];
    } nonsense[] = {
        {OP_LIST, 0, ERR_UNKNOWN_OP, 0, {0}},
        {77, 0, ERR_UNKNOWN_OP, 3, {1, 2, 3}},
        {OP_GET, 0, ERR_BAD_KEY, 2, {0, 0}},
        {OP_GET, 0, ERR_BAD_KEY, 4, {2, 0, 'a', 0xff}},
        {OP_GET, 0, ERR_MALFORMED, 4, {1, 0, 'a', 'b'}},
        {OP_GET, 1, ERR_MALFORMED, 3, {1, 0, 'a'}},
        {OP_PUT, 0, ERR_MALFORMED, 5, {0}},
        {OP_TXN, 0, ERR_INVALID, 18, {1, 0, 9, 1, 0}},
        {OP_TXN, 0, ERR_MALFORMED, 6, {0, 0, 0, 0, 1, 0}},
        {OP_STREAM_OPEN, 0, ERR_INVALID, 2, {0, 0}},
        {OP_STREAM_CLOSE, 0, ERR_MALFORMED, 2, {0, 0}},
        {OP_PING, 0, ERR_MALFORMED, 1, {0}},
        {OP_HELLO, 0, ERR_VERSION, 6, {7, 0, 9, 0, 0, 0}},
    };
    size_t i = sample_below(&ref->random, sizeof nonsense / sizeof nonsense[0]);
    f->next_flags = nonsense[i].flags;
    uint64_t id = request_start(f, nonsense[i].op);
    wire_write_raw(&f->message, nonsense[i].body, nonsense[i].size);
    request_finish(f);
    (void)ref_expect(ref, nonsense[i].op, id, nonsense[i].status, 0);
}

static void random_request(struct reference *ref, struct core_fixture *f, size_t peer,
                           uint64_t session)
{
    /* Not within a session: that takes both a session and a number. */
    const struct ref_origin origin = {0, 0};
    size_t kind = sample_below(&ref->random, 100);
    f->next_number = session ? 0 : sample_below(&ref->random, 100);
    if (kind < 34)
        random_put(ref, f, origin);
    else if (kind < 46)
        random_delete(ref, f, origin);
    else if (kind < 56)
        random_incr(ref, f, origin);
    else if (kind < 70)
        ref_random_txn(ref, f, origin);
    else if (kind < 82)
        random_get(ref, f);
    else if (kind < 85)
        get_keys(ref, f, sample_below(&ref->random, REF_KEYS), sample_below(&ref->random, 6));
    else if (kind < 87)
        open_filter(ref, f, peer, sample_below(&ref->random, REF_FILTERS));
    else if (kind < 90)
        random_renew(ref, f, peer);
    else if (kind < 94)
        random_close(ref, f, peer);
    else if (kind < 96)
        random_compact(ref, f);
    else if (kind < 97)
        (void)ref_expect(ref, OP_PING, request_plain(f, OP_PING), ERR_OK, ref->last);
    else
        random_nonsense(ref, f);
}

/* What was refused because the request before it failed must change nothing: such messages are
 * made of reads and of what fails. */
static void stopped_message(struct reference *ref, struct core_fixture *f)
{
    core_fixture_message(f, MESSAGE_STOP_ON_ERROR, 0);
    random_get(ref, f);
    random_nonsense(ref, f);
    (void)ref_expect(ref, OP_PUT, request_put(f, ref->key_names[0], value_number(1)), ERR_ABORTED,
                     0);
    (void)ref_expect(ref, OP_INCR, request_incr(f, ref->key_names[1], 1), ERR_ABORTED, 0);
}

static void note_peer(struct reference *ref, const struct core_fixture *f, size_t peer)
{
    ref->peer_seen_ms[peer] = f->now_ms;
}

void reference_message(struct reference *ref, struct core_fixture *f, size_t peer)
{
    note_peer(ref, f, peer);
    if (sample_below(&ref->random, 50) == 0) {
        stopped_message(ref, f);
        return;
    }
    uint64_t session = sample_below(&ref->random, 3);
    core_fixture_message(f, 0, session);
    size_t count = 1 + sample_below(&ref->random, 5);
    for (size_t i = 0; i < count; i++)
        random_request(ref, f, peer, session);
}

void reference_message_open(struct reference *ref, struct core_fixture *f, size_t peer,
                            size_t filter)
{
    note_peer(ref, f, peer);
    core_fixture_message(f, 0, 0);
    open_filter(ref, f, peer, filter);
}

void reference_message_all_keys(struct reference *ref, struct core_fixture *f, size_t peer)
{
    note_peer(ref, f, peer);
    core_fixture_message(f, 0, 0);
    get_keys(ref, f, 0, REF_KEYS);
}
