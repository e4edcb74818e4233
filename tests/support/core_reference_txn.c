/* core_reference_txn.c - random transactions, by running them on a copy of all keys. */
#include "tests/support/core_reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void free_bytes(struct bytes b)
{
    free((void *)(uintptr_t)b.data);
}

struct txn_list {
    size_t count;
    struct {
        uint8_t op;
        uint8_t key;
        char prefix[4];
        int64_t by;
        struct ref_value value;
    } ops[REF_TXN_OPS];
};

static bool is_of_prefix(uint8_t op)
{
    return (op >= TXN_POP_ANY && op <= TXN_PUSH) || op == TXN_KEYS;
}

/* Of no key, of many, or of one. */
static void random_prefix(struct reference *ref, char prefix[4])
{
    size_t size = sample_below(&ref->random, 4);
    const char *name = ref->key_names[sample_below(&ref->random, REF_KEYS)];
    memset(prefix, 0, 4);
    memcpy(prefix, name, strlen(name) < size ? strlen(name) : size);
}

static bool has_prefix(const struct reference *ref, size_t key, const char *prefix)
{
    return strncmp(ref->key_names[key], prefix, strlen(prefix)) == 0;
}

/* What is pushed is popped by the next: its key is none of the reference's. */
#define PUSHED_PREFIX "~/"

static uint8_t random_op(struct reference *ref, const struct txn_list *list, size_t i)
{
    static const uint8_t ops[] = {
        OP_PUT,      OP_PUT,          OP_PUT,          OP_DELETE, OP_INCR,    OP_GET,
        OP_GET,      TXN_APPEND,      TXN_APPEND,      TXN_ADD,   TXN_ADD,    TXN_SET_DEFAULT,
        TXN_POP,     TXN_SET_DEFAULT, TXN_POP_ANY,     TXN_COUNT, TXN_LIST,   TXN_PUSH,
        TXN_POP_ANY, OP_PUT,          TXN_SET_DEFAULT, TXN_KEYS,  TXN_PUT_TTL};
    if (i > 0 && list->ops[i - 1].op == TXN_PUSH)
        return TXN_POP_ANY;
    if (sample_below(&ref->random, 100) == 0)
        return TXN_CLEAR;
    uint8_t op = ops[sample_below(&ref->random, sizeof ops)];
    return op == TXN_PUSH && i + 1 == list->count ? OP_PUT : op;
}

static void random_txn_op(struct reference *ref, struct txn_list *list, size_t i, size_t keys)
{
    uint8_t op = random_op(ref, list, i);
    uint8_t key = (uint8_t)sample_below(&ref->random, keys);
    list->ops[i].key = key;
    list->ops[i].by = op == TXN_LIST || op == TXN_KEYS ? (int64_t)sample_below(&ref->random, 6)
                                                       : ref_random_by(ref);
    if (op == TXN_PUT_TTL)
        list->ops[i].by = 1 + (int64_t)sample_below(&ref->random, 300);
    list->ops[i].value = ref_random_value(ref);
    random_prefix(ref, list->ops[i].prefix);
    if (op == TXN_PUSH || (i > 0 && list->ops[i - 1].op == TXN_PUSH))
        memcpy(list->ops[i].prefix, PUSHED_PREFIX, sizeof PUSHED_PREFIX);
    if (op == TXN_APPEND || op == TXN_ADD) {
        const struct ref_value *is = &ref->keys[key].value;
        if (is->is_array && is->size + REF_TXN_OPS > REF_ELEMENTS)
            op = TXN_POP;
        list->ops[i].value =
            (struct ref_value){.is_integer = true, .integer = (int)sample_below(&ref->random, 8)};
    }
    list->ops[i].op = op;
}

static void random_txn_list(struct reference *ref, struct core_fixture *f, struct txn_list *list)
{
    list->count = sample_below(&ref->random, REF_TXN_OPS + 1);
    size_t keys = 1 + sample_below(&ref->random, REF_KEYS); /* few: often the same */
    wire_write_u16(&f->message, (uint16_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        random_txn_op(ref, list, i, keys);
        struct txn_op op = {.op = list->ops[i].op,
                            .by = list->ops[i].by,
                            .key = bytes_of(ref->key_names[list->ops[i].key])};
        if (is_of_prefix(op.op))
            op.key = bytes_of(list->ops[i].prefix);
        if (op.op == OP_PUT || op.op == TXN_APPEND || op.op == TXN_ADD ||
            op.op == TXN_SET_DEFAULT || op.op == TXN_PUSH || op.op == TXN_PUT_TTL)
            op.value = ref_value_bytes(&list->ops[i].value);
        txn_op_write(&f->message, &op);
        free_bytes(op.value);
    }
}

/* Nothing after number? Where deletions may have been compacted that is not known. */
static bool random_prefix_compare(struct reference *ref, struct core_fixture *f)
{
    char prefix[4];
    uint64_t newest = 0;
    random_prefix(ref, prefix);
    for (size_t key = 0; key < REF_KEYS; key++) {
        if (has_prefix(ref, key, prefix) && ref->keys[key].modified > newest)
            newest = ref->keys[key].modified;
    }
    uint64_t number = newest + sample_below(&ref->random, 3);
    if (sample_below(&ref->random, 3) == 0)
        number = f->oldest + sample_below(&ref->random, (size_t)(ref->last - f->oldest + 3));
    number -= number > 0;
    struct txn_compare c = {COMPARE_PREFIX, COMPARE_EQUAL, number, bytes_of(prefix), {NULL, 0}};
    txn_compare_write(&f->message, &c);
    bool known = number + 1 >= f->oldest;
    bool holds = number >= ref->last || (known && newest <= number);
    ref->prefix_compares[holds]++;
    return holds;
}

static bool random_compare(struct reference *ref, struct core_fixture *f)
{
    struct sample *r = &ref->random;
    if (sample_below(r, 4) == 0)
        return random_prefix_compare(ref, f);
    size_t key = sample_below(r, REF_KEYS);
    const struct ref_key *k = &ref->keys[key];
    struct txn_compare c = {.target = (uint8_t)(COMPARE_SEQ + sample_below(r, 4)),
                            .key = bytes_of(ref->key_names[key])};
    c.relation = (uint8_t)(COMPARE_EQUAL + sample_below(r, c.target == COMPARE_VALUE ? 2 : 4));
    uint64_t actual = 0;
    if (k->present)
        actual = c.target == COMPARE_SEQ      ? k->modified
                 : c.target == COMPARE_EXISTS ? 1
                                              : k->version;
    bool holds;
    if (c.target == COMPARE_VALUE) {
        struct ref_value value = sample_below(r, 2) ? k->value : ref_random_value(ref);
        if (!value.is_integer && !value.is_array && value.size == 0)
            value.size = 5;
        c.value = ref_value_bytes(&value);
        bool equal = k->present && ref_value_equals(&value, &k->value);
        holds = equal == (c.relation == COMPARE_EQUAL);
    } else {
        c.number = sample_below(r, 2) ? actual : actual + sample_below(r, 3) - 1;
        holds = c.relation == COMPARE_EQUAL       ? actual == c.number
                : c.relation == COMPARE_NOT_EQUAL ? actual != c.number
                : c.relation == COMPARE_LESS      ? actual < c.number
                                                  : actual > c.number;
    }
    txn_compare_write(&f->message, &c);
    free_bytes(c.value);
    return holds;
}

struct txn_run {
    struct ref_key before[REF_KEYS];
    struct ref_key keys[REF_KEYS];
    uint8_t touched[REF_KEYS];
    size_t touched_count;
    uint64_t own_seq; /* what a key that the list has changed shows */
    uint64_t record_seq;
    uint64_t now_ms;
    struct bytes pushed; /* the value, and the key's number in its list */
    size_t pushed_at;
};

static bool is_touched(const struct txn_run *run, uint8_t key)
{
    for (size_t i = 0; i < run->touched_count; i++) {
        if (run->touched[i] == key)
            return true;
    }
    return false;
}

static void touch(struct txn_run *run, uint8_t key)
{
    if (!is_touched(run, key))
        run->touched[run->touched_count++] = key;
}

static uint64_t shown_seq(const struct txn_run *run, uint8_t key)
{
    bool own = is_touched(run, key) && (run->keys[key].present || run->before[key].present);
    return own ? run->own_seq : run->before[key].modified;
}

/* ---- what results hold ---- */

static void write_text(struct wire_buffer *b, struct bytes text)
{
    wire_write_u8(b, (uint8_t)(0xa0 | text.size));
    wire_write_raw(b, text.data, text.size);
}

static void write_value(struct wire_buffer *b, const struct ref_value *value)
{
    struct bytes bytes = ref_value_bytes(value);
    wire_write_raw(b, bytes.data, bytes.size);
    free_bytes(bytes);
}

static void write_number(struct wire_buffer *b, uint64_t number)
{
    struct bytes bytes = ref_integer_bytes(number);
    wire_write_raw(b, bytes.data, bytes.size);
    free_bytes(bytes);
}

static struct bytes pushed_key(const struct txn_run *run, char out[32])
{
    int size = snprintf(out, 32, PUSHED_PREFIX "%016llx-%04x", (unsigned long long)run->record_seq,
                        (unsigned)run->pushed_at);
    return (struct bytes){(const uint8_t *)out, (size_t)size};
}

/* ---- operations on one key ---- */

static int run_append(struct ref_key *k, const struct ref_value *element, bool once,
                      struct txn_result *result, struct wire_buffer *value)
{
    struct ref_value *v = &k->value;
    if (!k->present)
        *v = (struct ref_value){.is_array = true};
    if (!v->is_array)
        return ERR_BAD_VALUE;
    bool has = false;
    for (uint32_t i = 0; i < v->size; i++)
        has = has || (v->integer >> (8 * i) & 0x7f) == element->integer;
    if (once)
        result->present = has;
    if (!once || !has) {
        assert_true(v->size < REF_ELEMENTS);
        v->integer |= element->integer << (8 * v->size++);
        k->present = true;
    }
    write_number(value, v->size);
    return once && has ? ERR_CONFLICT : ERR_OK; /* no change */
}

static int run_key_op(struct txn_run *run, uint8_t op, uint8_t key, int64_t by,
                      const struct ref_value *given, struct txn_result *result,
                      struct wire_buffer *value)
{
    struct ref_key *k = &run->keys[key];
    int err = ERR_OK;
    switch (op) {
    case OP_GET:
        result->seq = shown_seq(run, key);
        if (k->present)
            write_value(value, &k->value);
        return ERR_OK;
    case TXN_SET_DEFAULT:
        if (k->present) {
            result->seq = shown_seq(run, key);
            write_value(value, &k->value);
            return ERR_OK;
        }
        write_value(value, given);
        k->value = *given;
        k->present = true;
        break;
    case TXN_POP:
        if (k->present)
            write_value(value, &k->value);
        k->present = false;
        k->end_ms = 0;
        break;
    case TXN_APPEND:
    case TXN_ADD:
        err = run_append(k, given, op == TXN_ADD, result, value);
        if (err == ERR_CONFLICT) {
            result->seq = shown_seq(run, key);
            return ERR_OK;
        }
        break;
    case OP_INCR:
        err = ref_add_integer(k, by, &k->value);
        if (!err)
            write_value(value, &k->value);
        k->present = true;
        break;
    default:
        k->present = op != OP_DELETE;
        k->value = *given;
        k->end_ms = op == TXN_PUT_TTL ? run->now_ms + (uint64_t)by + 1 : 0;
    }
    if (!err)
        touch(run, key);
    return err;
}

/* ---- operations on prefixes ---- */

static void run_pop_any(const struct reference *ref, struct txn_run *run, const char *prefix,
                        struct txn_result *result, struct wire_buffer *value)
{
    char name[32];
    result->present = 0;
    result->seq = 0;
    if (strcmp(prefix, PUSHED_PREFIX) == 0) {
        wire_write_u8(value, 0x92);
        write_text(value, pushed_key(run, name));
        wire_write_raw(value, run->pushed.data, run->pushed.size);
        free_bytes(run->pushed);
        run->pushed = (struct bytes){NULL, 0};
        result->present = 1;
        return;
    }
    uint8_t key = 0;
    while (key < REF_KEYS && !(run->keys[key].present && has_prefix(ref, key, prefix)))
        key++;
    if (key == REF_KEYS)
        return;
    wire_write_u8(value, 0x92);
    write_text(value, bytes_of(ref->key_names[key]));
    write_value(value, &run->keys[key].value);
    result->present = 1;
    result->seq = run->before[key].modified;
    run->keys[key].present = false;
    run->keys[key].end_ms = 0;
    touch(run, key);
}

static void run_all(const struct reference *ref, struct txn_run *run, uint8_t op,
                    const char *prefix, uint64_t most, struct txn_result *result,
                    struct wire_buffer *value)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < REF_KEYS; i++) {
        uint8_t key = (uint8_t)i;
        if (!run->keys[key].present || !has_prefix(ref, key, prefix))
            continue;
        if ((op == TXN_LIST || op == TXN_KEYS) && most > 0 && count == most)
            break;
        count++;
        if (op == TXN_CLEAR) {
            run->keys[key].present = false;
            run->keys[key].end_ms = 0;
            touch(run, key);
        } else if (op == TXN_KEYS) {
            write_text(value, bytes_of(ref->key_names[key]));
        } else if (op == TXN_LIST) {
            wire_write_u8(value, 0x93);
            write_text(value, bytes_of(ref->key_names[key]));
            write_number(value, shown_seq(run, key));
            write_value(value, &run->keys[key].value);
        }
    }
    result->present = count > 0;
    result->seq = 0;
    if (op != TXN_LIST && op != TXN_KEYS) {
        write_number(value, count);
        return;
    }
    uint8_t head[3] = {(uint8_t)(0x90 | count)};
    size_t head_size = 1;
    if (count > 15) {
        memcpy(head, ((uint8_t[3]){0xdc, 0, (uint8_t)count}), 3);
        head_size = 3;
    }
    size_t size = value->size;
    assert_non_null(wire_extend(value, head_size));
    memmove(value->data + head_size, value->data, size);
    memcpy(value->data, head, head_size);
}

static int run_one(const struct reference *ref, struct txn_run *run, const struct txn_list *list,
                   size_t i, struct txn_result *result, struct wire_buffer *value)
{
    uint8_t op = list->ops[i].op;
    uint8_t key = list->ops[i].key;
    const char *prefix = list->ops[i].prefix;
    char name[32];
    *result = (struct txn_result){.op = op};
    if (op == TXN_POP_ANY) {
        run_pop_any(ref, run, prefix, result, value);
    } else if (op == TXN_PUSH) {
        run->pushed = ref_value_bytes(&list->ops[i].value);
        run->pushed_at = i;
        write_text(value, pushed_key(run, name));
    } else if (is_of_prefix(op)) {
        run_all(ref, run, op, prefix, (uint64_t)list->ops[i].by, result, value);
    } else {
        result->present = run->keys[key].present;
        result->seq = run->before[key].modified;
        return run_key_op(run, op, key, list->ops[i].by, &list->ops[i].value, result, value);
    }
    return ERR_OK;
}

/* Runs the list on a copy and writes the results; own_seq: what a key that it changed shows. */
static int run_txn_list(struct reference *ref, const struct txn_list *list, uint64_t own_seq,
                        struct txn_run *run)
{
    struct wire_buffer value;
    int err = ERR_OK;
    wire_buffer_init(&value, SIZE_MAX / 2);
    memcpy(run->before, ref->keys, sizeof run->before);
    memcpy(run->keys, ref->keys, sizeof run->keys);
    run->touched_count = 0;
    run->own_seq = own_seq;
    run->record_seq = ref->last + 1;
    run->now_ms = ref->now_ms;
    run->pushed = (struct bytes){NULL, 0};
    wire_write_u16(&ref->bodies, (uint16_t)list->count);
    for (size_t i = 0; i < list->count && !err; i++) {
        struct txn_result result;
        wire_buffer_clear(&value);
        err = run_one(ref, run, list, i, &result, &value);
        result.value = (struct bytes){value.data, value.size};
        if (!err)
            txn_result_write(&ref->bodies, &result);
        ref->txn_results[result.op] += !err;
    }
    free_bytes(run->pushed);
    wire_buffer_free(&value);
    return err;
}

static bool changes_anything(const struct txn_run *run)
{
    for (size_t i = 0; i < run->touched_count; i++) {
        if (run->keys[run->touched[i]].present || run->before[run->touched[i]].present)
            return true;
    }
    return false;
}

void ref_random_txn(struct reference *ref, struct core_fixture *f, struct ref_origin origin)
{
    struct txn_list lists[2];
    struct txn_run run;
    uint64_t id = request_start(f, OP_TXN);
    size_t compares = sample_below(&ref->random, 3);
    bool holds = true;
    wire_write_u16(&f->message, (uint16_t)compares);
    for (size_t i = 0; i < compares; i++)
        holds = random_compare(ref, f) && holds;
    random_txn_list(ref, f, &lists[0]);
    random_txn_list(ref, f, &lists[1]);
    request_finish(f);

    const struct txn_list *list = &lists[holds ? 0 : 1];
    size_t body_at = ref->bodies.size;
    wire_write_u8(&ref->bodies, holds);
    int err = run_txn_list(ref, list, ref->last + 1, &run);
    if (err || !changes_anything(&run)) {
        ref->bodies.size = body_at;
        (void)ref_expect(ref, OP_TXN, id, err, ref->last);
        if (err)
            return;
        wire_write_u8(&ref->bodies, holds);
        (void)run_txn_list(ref, list, 0, &run);
        ref_expect_body(ref);
        return;
    }
    struct ref_record *record = ref_new_record(ref, origin.session, origin.number);
    for (size_t i = 0; i < run.touched_count; i++) {
        uint8_t key = run.touched[i];
        if (run.keys[key].present || run.before[key].present)
            ref_change_key(ref, record, key, run.keys[key].present, &run.keys[key].value);
        ref->keys[key].end_ms = run.keys[key].end_ms;
    }
    struct ref_expected *e = ref_expect(ref, OP_TXN, id, ERR_OK, ref->last);
    e->body_at = body_at;
    ref_expect_body(ref);
}
