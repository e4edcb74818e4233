#define _GNU_SOURCE
/*
 * test_server_cursors.c - named cursors of the real server: moves that were
 * acknowledged outlive kills, the newest opening fences off the ones before,
 * retention waits for the slowest cursor up to the limits, and then says so.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/raw_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WAIT_S = 30, PUTS_PER_MESSAGE = 100 };

struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    char data[128];
    char listen[160];
    struct server_process server;
    void *zmq;
    struct raw_client client;
    struct reply_header reply; /* the newest */
    struct wire_reader body;
    char text[LIMIT_ERROR_TEXT + 1];
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_true(temp_folder_make(f->folder));
    snprintf(f->data, sizeof f->data, "%s/data", f->folder);
    snprintf(f->listen, sizeof f->listen, "ipc://%s/sock", f->folder);
    f->zmq = zmq_ctx_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    server_stop(&f->server, SIGKILL);
    raw_close(&f->client);
    zmq_ctx_term(f->zmq);
    temp_folder_remove(f->folder);
    free(f);
    return 0;
}

/* options: up to 6, NULL at the end. */
static void start(struct fixture *f, const char *const *options)
{
    const char *arguments[16] = {"--data", f->data, "--listen", f->listen, "--checkpoint-records",
                                 "50"};
    for (size_t i = 0; options && options[i]; i++)
        arguments[6 + i] = options[i];
    if (!server_start(&f->server, TEST_VIGILD, arguments)) {
        char log[SERVER_LOG_SIZE];
        server_log(&f->server, log);
        fail_msg("vigild ended with %d: %s", f->server.exit_status, log);
    }
    raw_open(&f->client, f->zmq, f->listen);
}

static void restart(struct fixture *f, int signal, const char *const *options)
{
    raw_close(&f->client);
    (void)server_stop(&f->server, signal);
    start(f, options);
}

/* Sends what was begun, one request. */
static int call(struct fixture *f)
{
    f->text[0] = '\0';
    int status = raw_call(&f->client, &f->reply, &f->body);
    struct reply_error error;
    if (status > ERR_OK && reply_error_read(&f->body, &error)) {
        memcpy(f->text, error.text.data, error.text.size);
        f->text[error.text.size] = '\0';
    }
    return status;
}

/* ---- requests ---- */

static int call_open(struct fixture *f, const char *name, uint64_t position, const char *prefix,
                     struct reply_cursor_open *ret_opened)
{
    struct wire_buffer body;
    wire_buffer_init(&body, 4096);
    request_cursor_open_write(
        &body, &(struct request_cursor_open){.position = position, .name = raw_text(name)});
    if (prefix) {
        wire_write_u16(&body, 1);
        wire_write_u8(&body, PATTERN_PREFIX);
        wire_write_bytes16(&body, raw_text(prefix));
    }
    raw_begin(&f->client, 0);
    raw_add(&f->client, OP_CURSOR_OPEN, prefix ? 0 : REQUEST_CURSOR_AS_STORED, &body);
    wire_buffer_free(&body);
    int status = call(f);
    if (status == ERR_OK)
        assert_true(reply_cursor_open_read(&f->body, ret_opened));
    return status;
}

static int call_move(struct fixture *f, const char *name, uint64_t holder, uint64_t position)
{
    struct wire_buffer body;
    wire_buffer_init(&body, 4096);
    request_cursor_move_write(&body,
                              &(struct request_cursor_move){.holder = holder,
                                                            .epoch = f->client.reply_header.epoch,
                                                            .position = position,
                                                            .name = raw_text(name)});
    raw_begin(&f->client, 0);
    raw_add(&f->client, OP_CURSOR_MOVE, 0, &body);
    wire_buffer_free(&body);
    return call(f);
}

static int call_delete(struct fixture *f, const char *name)
{
    struct wire_buffer body;
    wire_buffer_init(&body, 4096);
    request_cursor_delete_write(&body, &(struct request_cursor_delete){.name = raw_text(name)});
    raw_begin(&f->client, 0);
    raw_add(&f->client, OP_CURSOR_DELETE, 0, &body);
    wire_buffer_free(&body);
    return call(f);
}

static int call_compact(struct fixture *f, uint64_t before)
{
    struct wire_buffer body;
    wire_buffer_init(&body, 64);
    request_compact_write(&body, &(struct request_compact){.before = before});
    raw_begin(&f->client, 0);
    raw_add(&f->client, OP_COMPACT, 0, &body);
    wire_buffer_free(&body);
    return call(f);
}

static void put_many(struct fixture *f, uint64_t count)
{
    for (uint64_t done = 0; done < count;) {
        raw_begin(&f->client, 0);
        for (unsigned i = 0; i < PUTS_PER_MESSAGE && done < count; i++, done++)
            raw_add_put(&f->client, "k", raw_text("\x01"));
        raw_send(&f->client);
        assert_true(raw_receive(&f->client));
    }
}

static uint64_t oldest(struct fixture *f)
{
    raw_begin(&f->client, 0);
    raw_add_empty(&f->client, OP_PING);
    assert_int_equal(call(f), ERR_OK);
    return f->client.reply_header.oldest;
}

static void wait_for_oldest(struct fixture *f, uint64_t seq)
{
    time_t deadline = time(NULL) + WAIT_S;
    while (oldest(f) != seq && time(NULL) < deadline)
        continue;
    assert_int_equal(oldest(f), seq);
}

/* A figure of status: the shortest form of a small integer follows its name. */
static unsigned figure(struct fixture *f, const char *name)
{
    struct reply_status status;
    raw_begin(&f->client, 0);
    raw_add_empty(&f->client, OP_STATUS);
    assert_int_equal(call(f), ERR_OK);
    assert_true(reply_status_read(&f->body, &status));
    char text[64];
    int size = snprintf(text, sizeof text, "%c%s", (char)(0xa0 | strlen(name)), name);
    const uint8_t *at = memmem(status.map.data, status.map.size, text, (size_t)size);
    assert_non_null(at);
    assert_true(at[size] < 128);
    return at[size];
}

/* ---- tests ---- */

static void test_moves_outlive_kills(void **state)
{
    struct fixture *f = *state;
    struct reply_cursor_open opened;
    start(f, NULL);
    assert_int_equal(call_open(f, "billing", UINT64_MAX, "k", &opened), ERR_OK);
    assert_true(opened.is_new);
    assert_int_equal(opened.position, 0);
    assert_int_equal(figure(f, "cursors"), 1);
    uint64_t holder = opened.holder;
    for (uint64_t round = 1; round <= 8; round++) {
        put_many(f, 20);
        for (uint64_t position = 20 * round - 19; position <= 20 * round; position++)
            assert_int_equal(call_move(f, "billing", holder, position), ERR_OK);
        restart(f, SIGKILL, NULL);
        (void)oldest(f); /* the epoch, for the next move */
        /* Whoever held it goes on, until somebody opens it. */
        assert_int_equal(call_move(f, "billing", holder, 20 * round), ERR_OK);
        assert_int_equal(call_open(f, "billing", 0, NULL, &opened), ERR_OK);
        assert_false(opened.is_new);
        assert_int_equal(opened.position, 20 * round);
        assert_int_equal(opened.holder, holder + 1);
        assert_int_equal(call_move(f, "billing", holder, 20 * round), ERR_CURSOR_TAKEN);
        restart(f, SIGKILL, NULL);
        (void)oldest(f);
        assert_int_equal(call_move(f, "billing", holder, 20 * round), ERR_CURSOR_TAKEN);
        holder = opened.holder;
    }
    assert_int_equal(call_open(f, "billing", 0, "other", &opened), ERR_CONFLICT);
    assert_non_null(strstr(f->text, "prefix 'k'"));
    assert_int_equal(call_delete(f, "billing"), ERR_OK);
    restart(f, SIGTERM, NULL);
    assert_int_equal(call_delete(f, "billing"), ERR_NOT_FOUND);
}

static void test_retention_waits(void **state)
{
    static const char *const options[] = {"--retain-records", "100", "--cursor-hold-records",
                                          "1000", NULL};
    struct fixture *f = *state;
    struct reply_cursor_open slow;
    struct reply_cursor_open fast;
    start(f, options);
    assert_int_equal(call_open(f, "slow", UINT64_MAX, "", &slow), ERR_OK);
    assert_int_equal(call_open(f, "fast", UINT64_MAX, "", &fast), ERR_OK);
    put_many(f, 900);
    assert_int_equal(call_move(f, "fast", fast.holder, 900), ERR_OK);
    assert_int_equal(call_move(f, "slow", slow.holder, 400), ERR_OK);
    wait_for_oldest(f, 401); /* and not the 801 that retention asks for */
    restart(f, SIGKILL, options);
    put_many(f, 300);
    assert_int_equal(oldest(f), 401);
    assert_int_equal(figure(f, "cursors_overtaken"), 0);
    assert_int_equal(call_move(f, "slow", slow.holder, 500), ERR_OK);
    wait_for_oldest(f, 501);
    /* 1001 records that slow has not seen: one too many. */
    put_many(f, 301);
    wait_for_oldest(f, 901); /* fast is waited for */
    assert_int_equal(figure(f, "cursors_overtaken"), 1);
    assert_int_equal(figure(f, "cursors"), 2);
    assert_true(server_log_has(&f->server, "overtaken cursor slow at 500"));
    assert_true(server_log_has(&f->server, "--cursor-hold-records"));
    assert_false(server_log_has(&f->server, "cursor fast"));
    /* It stays, so that its watcher is told. */
    assert_int_equal(call_open(f, "slow", 0, NULL, &slow), ERR_OK);
    assert_int_equal(slow.position, 500);
    assert_int_equal(call_delete(f, "fast"), ERR_OK);
    wait_for_oldest(f, 1402); /* nobody is waited for any more */
}

static void test_compaction_names_the_cursor(void **state)
{
    static const char *const options[] = {"--cursor-hold-age", "1d", NULL};
    struct fixture *f = *state;
    struct reply_cursor_open opened;
    struct reply_compact compacted;
    int status = ERR_OK;
    start(f, options);
    put_many(f, 300);
    assert_int_equal(call_open(f, "billing", 100, "", &opened), ERR_OK);
    assert_int_equal(opened.position, 100);
    for (unsigned round = 0; round < 2; round++) {
        time_t deadline = time(NULL) + WAIT_S;
        while ((status = call_compact(f, 200)) == ERR_OK && time(NULL) < deadline)
            continue;
        assert_int_equal(status, ERR_CONFLICT);
        assert_non_null(strstr(f->text, "cursor billing"));
        assert_int_equal(oldest(f), 101);
    }
    assert_int_equal(call_compact(f, 101), ERR_OK);
    assert_int_equal(call_delete(f, "billing"), ERR_OK);
    time_t deadline = time(NULL) + WAIT_S;
    do {
        assert_int_equal(call_compact(f, 200), ERR_OK);
        assert_true(reply_compact_read(&f->body, &compacted));
    } while (compacted.oldest < 200 && time(NULL) < deadline);
    assert_int_equal(compacted.oldest, 200);
}

/* Without the options nothing waits; that a cursor was overtaken is said all the same. */
static void test_nothing_waits_unasked(void **state)
{
    static const char *const options[] = {"--retain-records", "100", NULL};
    struct fixture *f = *state;
    struct reply_cursor_open opened;
    start(f, options);
    assert_int_equal(call_open(f, "billing", UINT64_MAX, "", &opened), ERR_OK);
    put_many(f, 300);
    wait_for_oldest(f, 201);
    assert_int_equal(figure(f, "cursors_overtaken"), 1);
    assert_true(server_log_has(&f->server, "overtaken cursor billing at 0"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_moves_outlive_kills),
        TEST(test_retention_waits),
        TEST(test_compaction_names_the_cursor),
        TEST(test_nothing_waits_unasked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
