#define _GNU_SOURCE
/* evidence_requests.c - reads the lines of requests and of their answers. */
#include <string.h>

#include "tests/torture/evidence_lines.h"
#include "tests/torture/evidence_words.h"

static void condition(struct words *w, struct operation *o)
{
    char *text = words_next(w);
    if (strcmp(text, "-") == 0)
        return;
    o->condition = *text;
    struct words operand = {text + 1, false};
    o->condition_operand = words_number(&operand);
    w->failed |= operand.failed || (o->condition != 's' && o->condition != 'v');
}

static void compares(struct words *w, struct evidence *e, struct operation *o)
{
    o->first_compare = e->changes.count;
    o->compare_count = words_number(w);
    for (size_t i = 0; i < o->compare_count && !w->failed; i++) {
        struct seen_change c = {.key = words_key(w, e)};
        c.prev_seq = words_number(w);
        *LIST_ADD(&e->changes) = c;
    }
}

static void txn(struct words *w, struct evidence *e, struct operation *o)
{
    compares(w, e, o);
    o->first_change = e->changes.count;
    o->change_count = words_number(w);
    for (size_t i = 0; i < o->change_count && !w->failed; i++) {
        const char *kind = words_next(w);
        struct seen_change c = {.op = (uint8_t)(*kind == 'p' ? 1 : *kind == 'd' ? 2 : 3)};
        c.key = words_key(w, e);
        if (*kind != 'd')
            c.mark = words_number(w);
        *LIST_ADD(&e->changes) = c;
    }
}

static void work(struct words *w, struct evidence *e, struct operation *o)
{
    static const char *const ways[WORK_WAYS] = WORK_WAY_NAMES;
    static const char *const codes[WORK_CODES] = WORK_CODE_NAMES;
    o->way = (enum work_way)words_place(w, ways, WORK_WAYS);
    compares(w, e, o);
    o->first_step = e->steps.count;
    o->step_count = words_number(w);
    w->failed |= o->way == WORK_WAYS || o->step_count == 0;
    for (size_t i = 0; i < o->step_count && !w->failed; i++) {
        struct work_step s = {.code = (enum work_code)words_place(w, codes, WORK_CODES)};
        s.key = words_key(w, e);
        s.by = (int64_t)words_number(w);
        if (s.code == WORK_MOVE)
            s.other = words_key(w, e);
        else
            s.mark = words_value(w, e, &s.shown);
        w->failed |= s.code == WORK_CODES;
        *LIST_ADD(&e->steps) = s;
    }
}

static void wait_asked(struct words *w, struct evidence *e, struct operation *o)
{
    o->key = words_key(w, e);
    char *since = words_next(w);
    o->since_state = strcmp(since, "-") == 0;
    struct words position = {since, false};
    if (!o->since_state)
        o->since = words_number(&position);
    o->divisor = words_number(w);
    o->remainder = words_number(w);
    o->until = words_number(w);
    w->failed |= position.failed || o->divisor == 0;
}

static void cursor_asked(struct words *w, struct evidence *e, struct operation *o)
{
    o->key = words_key(w, e);
    if (o->kind == OPERATION_CURSOR_OPEN) {
        o->filter = words_filter(w, e, words_number(w));
    } else if (o->kind == OPERATION_CURSOR_ACKNOWLEDGE) {
        o->acknowledges = words_number(w);
        o->waits = words_number(w) != 0;
    }
}

static bool line_asked(struct words *w, struct evidence *e)
{
    static const char *const kinds[OPERATION_KINDS] = {
        "put",  "del",     "incr", "txn", "do",   "get",    "list",  "wait",  "compact",
        "peek", "history", "open", "ack", "look", "backup", "grant", "renew", "revoke"};
    struct operation o = {
        .source = evidence_source(e), .process = e->processes, .end_us = NEVER, .error = NO_ANSWER};
    o.id = words_number(w);
    o.start_us = words_number(w);
    o.kind = (enum operation_kind)words_place(w, kinds, OPERATION_KINDS);
    switch (o.kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
        o.key = words_key(w, e);
        if (o.kind == OPERATION_PUT)
            o.mark = words_mark(w);
        condition(w, &o);
        break;
    case OPERATION_INCR:
        o.key = words_key(w, e);
        o.mark = words_number(w);
        break;
    case OPERATION_TXN:
        txn(w, e, &o);
        break;
    case OPERATION_DO:
        work(w, e, &o);
        break;
    case OPERATION_WAIT:
        wait_asked(w, e, &o);
        break;
    case OPERATION_LEASE_OPEN:
        o.ttl_ms = words_number(w);
        break;
    case OPERATION_LEASE_RENEW:
    case OPERATION_LEASE_CLOSE:
        o.lease = words_number(w);
        break;
    case OPERATION_PEEK:
    case OPERATION_HISTORY:
        o.key = words_key(w, e);
        break;
    case OPERATION_CURSOR_OPEN:
    case OPERATION_CURSOR_ACKNOWLEDGE:
    case OPERATION_CURSOR_LOOK:
        cursor_asked(w, e, &o);
        break;
    case OPERATION_GET:
    case OPERATION_LIST:
    case OPERATION_COMPACT:
    case OPERATION_BACKUP:
        break;
    default:
        return false;
    }
    *LIST_ADD(&e->operations) = o;
    return !w->failed;
}

/* The request of this process that an answer is for. */
static struct operation *answered(struct words *w, struct evidence *e)
{
    uint64_t id = words_number(w);
    for (size_t i = e->operations.count; i > e->first_open_operation; i--) {
        struct operation *o = &e->operations.items[i - 1];
        if (o->id == id) {
            w->failed |= o->end_us != NEVER;
            o->end_us = words_number(w);
            o->error = (int)words_number(w);
            return o;
        }
    }
    w->failed = true;
    return NULL;
}

static bool line_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = words_number(w);
    o->prev_seq = words_number(w);
    o->version = words_number(w);
    o->result_mark = words_mark(w);
    if (o->kind == OPERATION_LEASE_OPEN)
        o->lease = o->prev_seq;
    return !w->failed;
}

static bool line_work_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = words_number(w);
    o->succeeded = words_number(w) != 0;
    uint64_t count = words_number(w);
    o->results_known = count > 0;
    w->failed |= count > 0 && count != o->step_count;
    for (uint64_t i = 0; i < count && !w->failed; i++) {
        struct work_step *s = &e->steps.items[o->first_step + i];
        s->present = (unsigned)words_number(w);
        s->seq = words_number(w);
        s->result_mark = words_mark(w);
        char *name = words_next(w);
        s->result_key = strcmp(name, "-") == 0 ? NO_KEY : evidence_key(e, name);
    }
    return !w->failed;
}

static bool line_txn_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = words_number(w);
    o->succeeded = words_number(w) != 0;
    return !w->failed;
}

static bool line_get_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = words_number(w);
    uint64_t count = words_number(w);
    for (uint64_t i = 0; i < count && !w->failed; i++) {
        struct entry_claim c = {.operation = (size_t)(o - e->operations.items), .seq = o->seq};
        c.key = words_key(w, e);
        c.present = words_number(w) != 0;
        c.modified = words_number(w);
        c.created = words_number(w);
        c.version = words_number(w);
        c.mark = words_mark(w);
        *LIST_ADD(&e->entries) = c;
    }
    return !w->failed;
}

static bool line_list_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->seq = words_number(w);
    struct digest_claim c = {.source = evidence_source(e), .seq = o->seq};
    c.operation = (size_t)(o - e->operations.items);
    c.filter = words_filter(w, e, 1);
    c.count = words_number(w);
    c.digest = words_number(w);
    if (!w->failed && o->error == 0)
        *LIST_ADD(&e->digests) = c;
    return !w->failed;
}

static bool line_wait_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->succeeded = words_number(w) != 0;
    o->seq = words_number(w);
    o->result_mark = words_mark(w);
    return !w->failed;
}

static bool line_history_answer(struct words *w, struct evidence *e)
{
    struct operation *o = answered(w, e);
    if (!o)
        return false;
    o->succeeded = words_number(w) != 0;
    o->count = words_number(w);
    o->first = words_number(w);
    o->seq = words_number(w);
    o->digest = words_number(w);
    return !w->failed;
}

bool evidence_request_line(struct words *w, struct evidence *e, char kind)
{
    switch (kind) {
    case 'O':
        return line_asked(w, e);
    case 'R':
        return line_answer(w, e);
    case 'S':
        return line_txn_answer(w, e);
    case 'A':
        return line_work_answer(w, e);
    case 'G':
        return line_get_answer(w, e);
    case 'L':
        return line_list_answer(w, e);
    case 'T':
        return line_wait_answer(w, e);
    case 'K':
        return line_history_answer(w, e);
    default:
        return false;
    }
}
