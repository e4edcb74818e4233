/* core_reference_txn.c - random transactions, by running them on a copy of all keys. */
#include "tests/support/core_reference.h"

#include <setjmp.h>
#include <stdarg.h>

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
        int64_t by;
        struct ref_value value;
    } ops[REF_TXN_OPS];
};

static void random_txn_list(struct reference *ref, struct core_fixture *f, struct txn_list *list)
{
    static const uint8_t ops[] = {OP_PUT, OP_PUT, OP_DELETE, OP_INCR, OP_GET};
    list->count = sample_below(&ref->random, REF_TXN_OPS + 1);
    size_t keys = 1 + sample_below(&ref->random, REF_KEYS); /* few: often the same */
    wire_write_u16(&f->message, (uint16_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        list->ops[i].op = ops[sample_below(&ref->random, sizeof ops)];
        list->ops[i].key = (uint8_t)sample_below(&ref->random, keys);
        list->ops[i].by = ref_random_by(ref);
        list->ops[i].value = ref_random_value(ref);
        struct txn_op op = {.op = list->ops[i].op,
                            .by = list->ops[i].by,
                            .key = bytes_of(ref->key_names[list->ops[i].key])};
        if (op.op == OP_PUT)
            op.value = ref_value_bytes(&list->ops[i].value);
        txn_op_write(&f->message, &op);
        free_bytes(op.value);
    }
}

static bool random_compare(struct reference *ref, struct core_fixture *f)
{
    struct sample *r = &ref->random;
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
        if (!value.is_integer && value.size == 0)
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
    uint8_t touched[REF_TXN_OPS];
    size_t touched_count;
};

static bool is_touched(const struct txn_run *run, uint8_t key)
{
    for (size_t i = 0; i < run->touched_count; i++) {
        if (run->touched[i] == key)
            return true;
    }
    return false;
}

/* Runs the list on a copy and writes the results; own_seq: what a key that it changed shows. */
static int run_txn_list(struct reference *ref, const struct txn_list *list, uint64_t own_seq,
                        struct txn_run *run)
{
    memcpy(run->before, ref->keys, sizeof run->before);
    memcpy(run->keys, ref->keys, sizeof run->keys);
    run->touched_count = 0;
    wire_write_u16(&ref->bodies, (uint16_t)list->count);
    for (size_t i = 0; i < list->count; i++) {
        uint8_t key = list->ops[i].key;
        struct ref_key *k = &run->keys[key];
        const struct ref_key *before = &run->before[key];
        struct txn_result result = {
            .op = list->ops[i].op, .present = k->present, .seq = before->modified};
        int err = ERR_OK;
        if (result.op == OP_GET) {
            if (is_touched(run, key) && (k->present || before->present))
                result.seq = own_seq;
            if (k->present)
                result.value = ref_value_bytes(&k->value);
        } else if (result.op == OP_INCR) {
            err = ref_add_integer(k, list->ops[i].by, &k->value);
            if (!err)
                result.value = ref_value_bytes(&k->value);
            k->present = true;
        } else {
            k->present = result.op == OP_PUT;
            k->value = list->ops[i].value;
        }
        if (err)
            return err;
        if (result.op != OP_GET && !is_touched(run, key))
            run->touched[run->touched_count++] = key;
        txn_result_write(&ref->bodies, &result);
        free_bytes(result.value);
    }
    return ERR_OK;
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
    }
    struct ref_expected *e = ref_expect(ref, OP_TXN, id, ERR_OK, ref->last);
    e->body_at = body_at;
    ref_expect_body(ref);
}
