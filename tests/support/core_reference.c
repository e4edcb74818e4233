/* core_reference.c - keys, values, records, and the life of the reference. */
#include "tests/support/core_reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

const char *ref_peer_name(size_t peer)
{
    static const char *const names[REF_PEERS] = {"p0", "p1", "p2", "p3", "p4", "p5"};
    return names[peer];
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void make_keys(struct reference *ref)
{
    for (size_t i = 0; i < REF_KEYS; i++) {
        bool is_new;
        do {
            size_t size = 1 + sample_below(&ref->random, REF_KEY_SIZE - 2);
            for (size_t n = 0; n < size; n++)
                ref->key_names[i][n] = "ab/"[sample_below(&ref->random, 3)];
            ref->key_names[i][size] = '\0';
            is_new = true;
            for (size_t other = 0; other < i; other++)
                is_new = is_new && strcmp(ref->key_names[i], ref->key_names[other]) != 0;
        } while (!is_new);
    }
    qsort(ref->key_names, REF_KEYS, sizeof ref->key_names[0], compare_names);
}

static bool pattern_sees(const struct pattern *p, struct bytes key)
{
    if (p->kind == PATTERN_EXACT)
        return bytes_equal(p->text, key);
    return p->text.size <= key.size && memcmp(p->text.data, key.data, p->text.size) == 0;
}

static void make_filter(struct reference *ref, struct ref_filter *filter)
{
    filter->count = 1 + sample_below(&ref->random, REF_FILTER_PATTERNS);
    filter->keys = 0;
    for (size_t i = 0; i < filter->count; i++) {
        struct pattern *p = &filter->patterns[i];
        memcpy(filter->texts[i], ref->key_names[sample_below(&ref->random, REF_KEYS)],
               REF_KEY_SIZE);
        p->kind = sample_below(&ref->random, 2) ? PATTERN_EXACT : PATTERN_PREFIX;
        p->text = bytes_of(filter->texts[i]);
        if (p->kind == PATTERN_PREFIX)
            p->text.size = sample_below(&ref->random, p->text.size < 3 ? p->text.size + 1 : 3);
    }
    for (size_t key = 0; key < REF_KEYS; key++) {
        for (size_t i = 0; i < filter->count; i++) {
            if (pattern_sees(&filter->patterns[i], bytes_of(ref->key_names[key])))
                filter->keys |= UINT64_C(1) << key;
        }
    }
}

/* The first sees everything, the others differ in what they see. */
static void make_filters(struct reference *ref)
{
    ref->filters[0] = (struct ref_filter){.count = 1,
                                          .patterns = {{PATTERN_PREFIX, {NULL, 0}}},
                                          .keys = (UINT64_C(1) << REF_KEYS) - 1};
    for (size_t i = 1; i < REF_FILTERS; i++) {
        bool is_new;
        do {
            make_filter(ref, &ref->filters[i]);
            is_new = true;
            for (size_t other = 0; other < i; other++)
                is_new = is_new && ref->filters[i].keys != ref->filters[other].keys;
        } while (!is_new);
    }
}

void reference_open(struct reference *ref, uint64_t seed)
{
    *ref = (struct reference){.random = {seed}};
    wire_buffer_init(&ref->bodies, SIZE_MAX / 2);
    make_keys(ref);
    make_filters(ref);
}

void reference_close(struct reference *ref)
{
    ref->head = 0;
    reference_abort(ref);
    free(ref->records);
    free(ref->expected);
    wire_buffer_free(&ref->bodies);
}

/* ---- values ---- */

static struct bytes integer_bytes(__int128 n)
{
    uint8_t *data = malloc(9);
    assert_non_null(data);
    static const uint8_t unsigned_tags[] = {0xcc, 0xcd, 0xce, 0xcf};
    static const uint8_t signed_tags[] = {0xd0, 0xd1, 0xd2, 0xd3};
    if (n >= -32 && n < 128) {
        data[0] = (uint8_t)n;
        return (struct bytes){data, 1};
    }
    size_t width = 0; /* 1, 2, 4, 8 bytes */
    if (n >= 0) {
        while (n >> (8 << width))
            width++;
        data[0] = unsigned_tags[width];
    } else {
        while (n < -((__int128)1 << ((8 << width) - 1)))
            width++;
        data[0] = signed_tags[width];
    }
    size_t bytes = (size_t)1 << width;
    for (size_t i = 0; i < bytes; i++)
        data[1 + i] = (uint8_t)(n >> (8 * (bytes - 1 - i)));
    return (struct bytes){data, 1 + bytes};
}

struct bytes ref_integer_bytes(uint64_t n)
{
    return integer_bytes(n);
}

static struct bytes array_bytes(const struct ref_value *value)
{
    uint8_t *data = malloc(3 + (size_t)value->size);
    size_t at = 0;
    assert_non_null(data);
    if (value->size < 16) {
        data[at++] = (uint8_t)(0x90 | value->size);
    } else {
        data[at++] = 0xdc;
        data[at++] = 0;
        data[at++] = (uint8_t)value->size;
    }
    for (uint32_t i = 0; i < value->size; i++)
        data[at++] = (uint8_t)(value->integer >> (8 * i) & 0x7f);
    return (struct bytes){data, at};
}

struct bytes ref_value_bytes(const struct ref_value *value)
{
    if (value->is_array)
        return array_bytes(value);
    return value->is_integer ? integer_bytes(value->integer) : value_blob(value->size, value->seed);
}

/* ---- records ---- */

const struct ref_record *ref_record(const struct reference *ref, uint64_t seq)
{
    assert_true(seq > 0 && seq <= ref->last);
    return &ref->records[seq - 1];
}

uint64_t ref_next(const struct reference *ref, uint64_t keys, uint64_t after)
{
    for (uint64_t seq = after + 1; seq <= ref->head; seq++) {
        if (ref->records[seq - 1].keys & keys)
            return seq;
    }
    return 0;
}

static void check_change(const struct reference *ref, const struct ref_change *expected,
                         uint16_t part, const struct change *change)
{
    assert_int_equal(change->op, expected->is_put   ? CHANGE_PUT
                                 : expected->is_end ? CHANGE_EXPIRE
                                                    : CHANGE_DELETE);
    assert_int_equal(change->part, part);
    assert_int_equal(change->prev_seq, expected->prev_seq);
    assert_true(bytes_equal(change->key, bytes_of(ref->key_names[expected->key])));
    if (!expected->is_put)
        return;
    struct bytes value = ref_value_bytes(&expected->value);
    assert_true(bytes_equal(change->value, value));
    free((void *)(uintptr_t)value.data);
}

void ref_check_view(const struct reference *ref, uint64_t keys, uint64_t seq, struct bytes bytes)
{
    const struct ref_record *record = ref_record(ref, seq);
    struct record_header h;
    assert_int_equal(record_check(bytes, &h), ERR_OK);
    assert_int_equal(h.size, bytes.size);
    assert_int_equal(h.seq, seq);
    assert_int_equal(h.session, record->session);
    assert_int_equal(h.number, record->number);
    assert_int_equal(h.parts, record->count);
    struct change_iterator i = record_changes(bytes.data);
    struct change change;
    for (uint16_t n = 0; n < record->count; n++) {
        if ((keys & UINT64_C(1) << record->changes[n].key) == 0)
            continue;
        assert_true(change_next(&i, &change));
        check_change(ref, &record->changes[n], (uint16_t)(n + 1), &change);
    }
    assert_false(change_next(&i, &change));
}

/* ---- a batch ---- */

void reference_begin(struct reference *ref)
{
    ref->last = ref->head;
    ref->expected_count = 0;
    wire_buffer_clear(&ref->bodies);
    memcpy(ref->keys_before, ref->keys, sizeof ref->keys);
    for (size_t i = 0; i < REF_FILTERS; i++)
        memcpy(ref->leases_before[i], ref->streams[i].leases, sizeof ref->leases_before[i]);
    ref->compact_target_before = ref->compact_target;
}

void reference_commit(struct reference *ref)
{
    for (uint64_t seq = ref->head + 1; seq <= ref->last; seq++) {
        for (size_t i = 0; i < REF_FILTERS; i++) {
            struct ref_stream *s = &ref->streams[i];
            if (s->exists && seq > s->last && (ref->filters[i].keys & ref_record(ref, seq)->keys))
                s->last = seq;
        }
    }
    ref->head = ref->last;
}

void reference_abort(struct reference *ref)
{
    memcpy(ref->keys, ref->keys_before, sizeof ref->keys);
    ref->compact_target = ref->compact_target_before;
    for (; ref->last > ref->head; ref->last--)
        free(ref->records[ref->last - 1].changes);
    for (size_t i = 0; i < REF_FILTERS; i++) {
        struct ref_stream *s = &ref->streams[i];
        memcpy(s->leases, ref->leases_before[i], sizeof s->leases);
        if (s->last > ref->head)
            s->last = ref->head;
        if (s->emitted_last > ref->head)
            s->emitted_last = ref->head;
    }
}

void reference_restart(struct reference *ref)
{
    memset(ref->streams, 0, sizeof ref->streams);
    memset(ref->peer_known, 0, sizeof ref->peer_known);
    ref->compact_target = 0;
}

void reference_tick(struct reference *ref, uint64_t now_ms)
{
    for (size_t p = 0; p < REF_PEERS; p++) {
        bool silent = ref->peer_known[p] && ref->peer_seen_ms[p] + LEASE_MS <= now_ms;
        bool has_lease = false;
        for (size_t i = 0; i < REF_FILTERS; i++) {
            if (silent)
                ref->streams[i].leases[p] = 0;
            has_lease = has_lease || ref->streams[i].leases[p] > 0;
        }
        ref->peer_known[p] = has_lease;
    }
    for (size_t i = 0; i < REF_FILTERS; i++) {
        struct ref_stream *s = &ref->streams[i];
        bool has_lease = false;
        for (size_t p = 0; p < REF_PEERS; p++)
            has_lease = has_lease || s->leases[p] > 0;
        if (!has_lease)
            memset(s, 0, sizeof *s);
    }
}

/* ---- replies ---- */

static void check_reply(struct reference *ref, const struct ref_expected *e,
                        struct parsed_reply *reply)
{
    assert_int_equal(reply->header.op, e->op);
    assert_int_equal(reply->header.id, e->id);
    assert_int_equal(reply->header.status, e->status);
    if (e->check >= REF_SEQ)
        assert_int_equal(reply->header.seq, e->seq);
    if (e->check == REF_BODY) {
        struct bytes expected = {ref->bodies.data + e->body_at, e->body_size};
        assert_true(bytes_equal((struct bytes){reply->body.at, wire_left(&reply->body)}, expected));
    }
    if (e->check != REF_OPEN)
        return;
    struct reply_stream_open body;
    struct ref_stream *s = &ref->streams[e->filter];
    assert_true(reply_stream_open_read(&reply->body, &body));
    assert_int_equal(body.last, e->last);
    assert_true(body.interval_ms >= BOOKMARK_IDLE_MS);
    assert_int_equal(body.topic.size, TOPIC_SIZE);
    if (e->topic_known)
        assert_memory_equal(s->topic, body.topic.data, TOPIC_SIZE);
    memcpy(s->topic, body.topic.data, TOPIC_SIZE);
    s->topic_known = true;
}

void reference_check_replies(struct reference *ref, const struct core_fixture *f, int code)
{
    size_t done = 0;
    for (size_t m = 0; m < core_reply_count(f->core); m++) {
        uint16_t count = core_fixture_reply(f, m, 0).message.count;
        for (size_t r = 0; r < count; r++, done++) {
            struct parsed_reply reply = core_fixture_reply(f, m, r);
            assert_true(done < ref->expected_count);
            assert_int_equal(reply.message.head, ref->head);
            assert_int_equal(reply.message.oldest, f->oldest);
            struct ref_expected e = ref->expected[done];
            if (code) {
                e.status = (uint16_t)code;
                e.check = REF_STATUS;
            }
            check_reply(ref, &e, &reply);
        }
    }
    assert_int_equal(done, ref->expected_count);
}
