/*
 * Random requests about few named cursors, in batches that are committed or
 * aborted, with restarts and changes of the epoch between them, compared with the
 * list of shadow_cursors.h.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/shadow_cursors.h"

enum { BATCHES = 30000, NAMES = 7, LIMIT = 5 };

struct model {
    struct core_fixture f;
    struct shadow_cursors shadow;
    struct sample random;
    uint64_t by_status[ERR_CURSOR_TAKEN + 1];
    uint64_t aborts;
};

static const char *const names[NAMES] = {"a", "aa", "ab", "b", "c", "d", "ü"};

static size_t draw(struct model *m, size_t below)
{
    return sample_below(&m->random, below);
}

static struct bytes draw_name(struct model *m)
{
    return bytes_of(names[draw(m, NAMES)]);
}

static uint64_t draw_epoch(struct model *m)
{
    size_t kind = draw(m, 10);
    return kind < 4 ? 0 : m->f.epoch + (kind == 9);
}

/* Around head, and sometimes beyond it. */
static uint64_t draw_position(struct model *m)
{
    uint64_t last = core_fixture_head(&m->f) + 2;
    size_t back = draw(m, 30);
    return back < last ? last - back : 0;
}

static void add_open(struct model *m)
{
    struct core_fixture *f = &m->f;
    bool as_stored = draw(m, 4) == 0;
    struct request_cursor_open body = {.epoch = draw_epoch(m),
                                       .position = draw(m, 3) ? draw_position(m) : UINT64_MAX,
                                       .name = draw_name(m)};
    f->next_flags = as_stored ? REQUEST_CURSOR_AS_STORED : 0;
    (void)request_start(f, OP_CURSOR_OPEN);
    request_cursor_open_write(&f->message, &body);
    if (!as_stored) {
        /* Mostly the name's own filter. */
        struct bytes text = draw(m, 8) ? body.name : draw_name(m);
        wire_write_u16(&f->message, 1);
        wire_write_u8(&f->message, PATTERN_EXACT);
        wire_write_bytes16(&f->message, text);
    }
    request_finish(f);
}

static void add_move(struct model *m)
{
    struct core_fixture *f = &m->f;
    struct request_cursor_move body = {.holder = 1,
                                       .epoch = draw(m, 20) ? f->epoch : f->epoch + 1,
                                       .position = draw_position(m),
                                       .name = draw_name(m)};
    if (m->shadow.count > 0 && draw(m, 10) > 0) {
        const struct shadow_cursor *c = &m->shadow.list[draw(m, m->shadow.count)];
        body.name = c->name;
        body.holder = c->holder - (draw(m, 6) == 0);
    }
    (void)request_start(f, OP_CURSOR_MOVE);
    request_cursor_move_write(&f->message, &body);
    request_finish(f);
}

static void add_request(struct model *m)
{
    struct core_fixture *f = &m->f;
    size_t kind = draw(m, 100);
    if (kind < 35) {
        add_open(m);
    } else if (kind < 75) {
        add_move(m);
    } else if (kind < 85) {
        (void)request_start(f, OP_CURSOR_DELETE);
        request_cursor_delete_write(&f->message,
                                    &(struct request_cursor_delete){.name = draw_name(m)});
        request_finish(f);
    } else if (kind < 90) {
        (void)request_start(f, OP_CURSOR_LIST);
        request_cursor_list_write(&f->message,
                                  &(struct request_cursor_list){.after = draw_name(m)});
        request_finish(f);
    } else {
        (void)request_put(f, "k", value_number(1));
    }
}

static void run_batch(struct model *m)
{
    core_fixture_begin(&m->f);
    for (size_t messages = 1 + draw(m, 3); messages > 0; messages--) {
        core_fixture_message(&m->f, draw(m, 6) ? 0 : MESSAGE_STOP_ON_ERROR, 0);
        for (size_t requests = 1 + draw(m, 6); requests > 0; requests--)
            add_request(m);
        shadow_cursors_sent(&m->shadow, core_fixture_message_bytes(&m->f));
        core_fixture_send(&m->f, "p");
    }
    if (draw(m, 5) == 0) {
        core_fixture_abort(&m->f, ERR_IO, "a test");
        shadow_cursors_aborted(&m->shadow);
        m->aborts++;
        return;
    }
    core_fixture_commit(&m->f);
    for (size_t i = 0; i < core_reply_count(m->f.core); i++) {
        struct parsed_reply reply = core_fixture_reply(&m->f, i, 0);
        for (uint16_t r = 0; r < reply.message.count; r++) {
            uint16_t status = core_fixture_reply(&m->f, i, r).header.status;
            assert_true(status <= ERR_CURSOR_TAKEN);
            m->by_status[status]++;
        }
    }
    shadow_cursors_committed(&m->shadow, &m->f);
}

static void test_model(void **state)
{
    struct model *m = calloc(1, sizeof *m);
    static const struct core_limits limits = {.cursors_max = LIMIT};
    static const int met[] = {
        ERR_OK,    ERR_NOT_FOUND,   ERR_CONFLICT, ERR_EPOCH_CHANGED, ERR_POSITION_AHEAD,
        ERR_LIMIT, ERR_CURSOR_TAKEN};
    (void)state;
    assert_non_null(m);
    m->random = (struct sample){97};
    m->shadow.limit = LIMIT;
    core_fixture_open(&m->f, 98, &limits);
    for (unsigned i = 0; i < BATCHES; i++) {
        run_batch(m);
        m->f.time_us += draw(m, 3);
        if (draw(m, 20) == 0)
            shadow_cursors_check(&m->shadow, &m->f);
        if (draw(m, 100) == 0) {
            m->f.epoch += draw(m, 4) == 0;
            core_fixture_restart(&m->f);
            shadow_cursors_check(&m->shadow, &m->f);
        }
    }
    /* A model that never meets the rare cases would prove nothing. */
    for (size_t i = 0; i < sizeof met / sizeof met[0]; i++) {
        print_message("%s: %llu\n", error_name(met[i]), (unsigned long long)m->by_status[met[i]]);
        assert_true(m->by_status[met[i]] > 100);
    }
    assert_true(m->aborts > 1000);
    shadow_cursors_free(&m->shadow);
    core_fixture_close(&m->f);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
