/* client_fixture.c - see client_fixture.h. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

void client_fixture_start_server(struct client_fixture *f)
{
    const char *arguments[CLIENT_FIXTURE_OPTIONS_MAX + 6];
    size_t n = 0;
    arguments[n++] = "--listen";
    arguments[n++] = f->endpoint;
    arguments[n++] = "--data";
    arguments[n++] = f->data;
    arguments[n++] = "--durability=process";
    for (size_t i = 0; i < CLIENT_FIXTURE_OPTIONS_MAX && f->options[i]; i++)
        arguments[n++] = f->options[i];
    arguments[n] = NULL;
    if (!server_start(&f->server, f->program, arguments)) {
        char log[SERVER_LOG_SIZE];
        server_log(&f->server, log);
        fail_msg("vigild does not start: %s", log);
    }
}

vigil *client_fixture_connect(struct client_fixture *f, int request_timeout_ms)
{
    vigil *v = NULL;
    vigil_options options = {.endpoint = f->endpoint,
                             .connect_timeout_ms = 20000,
                             .request_timeout_ms = request_timeout_ms,
                             .client_name = "test"};
    int err = vigil_open(&options, &v);
    if (err)
        fail_msg("vigil_open: %s", vigil_failure_text(NULL));
    return v;
}

void client_fixture_open(struct client_fixture *f, const char *program, const char *const *options)
{
    memset(f, 0, sizeof *f);
    f->program = program;
    for (size_t i = 0; options && options[i]; i++) {
        assert_true(i < CLIENT_FIXTURE_OPTIONS_MAX);
        f->options[i] = options[i];
    }
    assert_true(temp_folder_make(f->folder));
    snprintf(f->data, sizeof f->data, "%s/data", f->folder);
    snprintf(f->endpoint, sizeof f->endpoint, "ipc://%s/s", f->folder);
    client_fixture_start_server(f);
    f->v = client_fixture_connect(f, 0);
}

void client_fixture_kill_server(struct client_fixture *f)
{
    server_stop(&f->server, SIGKILL);
}

void client_fixture_close(struct client_fixture *f)
{
    vigil_close(f->v);
    f->v = NULL;
    if (f->server.pid)
        assert_int_equal(server_stop(&f->server, SIGTERM), 0);
    temp_folder_remove(f->folder);
}

void client_fixture_replace_data(struct client_fixture *f)
{
    assert_int_equal(f->server.pid, 0);
    temp_folder_remove(f->data);
}

uint64_t put_integer(vigil *v, const char *key, int64_t value)
{
    uint8_t bytes[16];
    vigil_result result;
    size_t size = vigil_pack_int(bytes, sizeof bytes, value);
    int err = vigil_put(v, key, bytes, size, NULL, &result);
    if (err)
        fail_msg("put %s: %s: %s", key, vigil_error_name(err), vigil_failure_text(v));
    return result.seq;
}

int64_t integer_of(const void *value, size_t size)
{
    int64_t integer = 0;
    assert_int_equal(vigil_unpack_int(value, size, &integer), VIGIL_OK);
    return integer;
}

uint64_t server_figure(vigil *v, const char *name)
{
    const void *map;
    size_t size;
    uint64_t figure = 0;
    assert_int_equal(vigil_status(v, &map, &size), VIGIL_OK);
    const uint8_t *end = (const uint8_t *)map + size;
    /* The name as MessagePack has it: its length stands before it. */
    char named[64];
    int length = snprintf(named, sizeof named, "%c%s", (char)(0xa0 + strlen(name)), name);
    const uint8_t *at = memmem(map, size, named, (size_t)length);
    assert_non_null(at);
    at += length;
    size_t figure_size = *at < 0x80 ? 1 : 1 + ((size_t)1 << (*at & 3));
    assert_true(figure_size <= (size_t)(end - at));
    assert_int_equal(vigil_unpack_uint(at, figure_size, &figure), VIGIL_OK);
    return figure;
}

void send_integer(vigil *v, const char *key, int64_t value)
{
    uint8_t bytes[16];
    size_t size = vigil_pack_int(bytes, sizeof bytes, value);
    int err = vigil_send_put(v, key, bytes, size, NULL, NULL);
    if (err)
        fail_msg("send %s: %s", key, vigil_failure_text(v));
}

uint64_t receive_all(vigil *v)
{
    uint64_t seq = 0;
    while (vigil_pending(v) > 0) {
        vigil_completion completion;
        int err = vigil_receive(v, 20000, &completion);
        if (err || completion.error)
            fail_msg("receive: %s, %s: %s", vigil_error_name(err),
                     vigil_error_name(err ? err : completion.error), vigil_failure_text(v));
        seq = completion.result.seq;
    }
    return seq;
}
