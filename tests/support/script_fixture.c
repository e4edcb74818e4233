/* script_fixture.c - see script_fixture.h. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/script_fixture.h"

#include <stdlib.h>
#include <time.h>

#include "protocol/value.h"
#include "tests/support/sample_bytes.h"

/* ---- the keys ---- */

static struct script_fixture_key *find(struct script_fixture *f, struct bytes key)
{
    for (size_t i = 0; i < f->count; i++) {
        if (bytes_equal(f->keys[i].key, key))
            return &f->keys[i];
    }
    return NULL;
}

static struct bytes copy_of(struct bytes b)
{
    return (struct bytes){copy_exactly(b.data, b.size), b.size};
}

static void set(struct script_fixture *f, struct bytes key, struct bytes value, uint64_t ttl_ms)
{
    struct script_fixture_key *k = find(f, key);
    if (!k) {
        size_t at = 0;
        assert_true(f->count < SCRIPT_FIXTURE_KEYS);
        while (at < f->count && bytes_compare(f->keys[at].key, key) < 0)
            at++;
        memmove(&f->keys[at + 1], &f->keys[at], (f->count - at) * sizeof f->keys[0]);
        f->count++;
        k = &f->keys[at];
        *k = (struct script_fixture_key){.key = copy_of(key)};
    }
    uint8_t *before = (uint8_t *)k->value.data;
    k->value = copy_of(value);
    k->ttl_ms = ttl_ms;
    free(before);
}

/* ---- the host ---- */

static int host_get(void *context, struct bytes key, bool *ret_present, struct bytes *ret_value)
{
    const struct script_fixture_key *k = find(context, key);
    *ret_present = k != NULL;
    if (k)
        *ret_value = k->value;
    return ERR_OK;
}

static int host_put(void *context, struct bytes key, struct bytes value, uint64_t ttl_ms)
{
    struct script_fixture *f = context;
    if (f->fail_with != ERR_OK)
        return f->fail_with;
    set(f, key, value, ttl_ms);
    return ERR_OK;
}

static int host_remove(void *context, struct bytes key, bool *ret_was_present)
{
    struct script_fixture *f = context;
    struct script_fixture_key *k = find(f, key);
    *ret_was_present = k != NULL;
    if (k) {
        free((void *)k->key.data);
        free((void *)k->value.data);
        f->count--;
        size_t at = (size_t)(k - f->keys);
        memmove(k, k + 1, (f->count - at) * sizeof *k);
    }
    return ERR_OK;
}

static int host_incr(void *context, struct bytes key, int64_t by, struct bytes *ret_value)
{
    struct script_fixture *f = context;
    const struct script_fixture_key *k = find(f, key);
    struct value_integer number = {false, 0};
    int err = k ? value_read_integer(k->value, &number) : ERR_OK;
    if (!err)
        err = value_integer_add(number, by, &number);
    if (err)
        return err;
    *ret_value = (struct bytes){f->number, value_write_integer(number, f->number)};
    set(f, key, *ret_value, 0);
    return ERR_OK;
}

static int host_list(void *context, struct bytes prefix, size_t limit,
                     const struct bytes **ret_keys, size_t *ret_count)
{
    struct script_fixture *f = context;
    size_t n = 0;
    for (size_t i = 0; i < f->count && n < limit; i++) {
        struct bytes key = f->keys[i].key;
        if (key.size >= prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0)
            f->listed[n++] = key;
    }
    *ret_keys = f->listed;
    *ret_count = n;
    return ERR_OK;
}

static uint64_t host_clock(void *context)
{
    struct script_fixture *f = context;
    struct timespec t;
    if (f->fake_clock_us != 0) {
        f->fake_clock_us += f->fake_clock_step_us;
        return f->fake_clock_us;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- life ---- */

void script_fixture_start(struct script_fixture *f)
{
    *f = (struct script_fixture){0};
    f->host = (struct script_host){.context = f,
                                   .get = host_get,
                                   .put = host_put,
                                   .remove = host_remove,
                                   .incr = host_incr,
                                   .list = host_list,
                                   .clock_us = host_clock};
    /* Generous: what a test is about is not how fast the machine is. */
    f->limits.time_ms = 200000; /* nothing that a busy machine reaches */
    assert_int_equal(script_engine_new(&f->engine), ERR_OK);
}

void script_fixture_stop(struct script_fixture *f)
{
    script_engine_free(f->engine);
    for (size_t i = 0; i < f->count; i++) {
        free((void *)f->keys[i].key.data);
        free((void *)f->keys[i].value.data);
    }
}

void script_fixture_set(struct script_fixture *f, const char *key, struct bytes value)
{
    set(f, bytes_of(key), value, 0);
}

const struct script_fixture_key *script_fixture_find(const struct script_fixture *f,
                                                     const char *key)
{
    for (size_t i = 0; i < f->count; i++) {
        if (bytes_equal(f->keys[i].key, bytes_of(key)))
            return &f->keys[i];
    }
    return NULL;
}

/* ---- calls ---- */

int script_fixture_run_bytes(struct script_fixture *f, struct bytes source,
                             const struct bytes *arguments)
{
    static const uint8_t no_arguments[] = {0x90};
    struct script_call call = {.name = bytes_of("test"),
                               .source = source,
                               .arguments =
                                   arguments ? *arguments : (struct bytes){no_arguments, 1},
                               .now_us = f->now_us,
                               .host = &f->host,
                               .limits = f->limits,
                               .check_only = f->check_only};
    return script_call(f->engine, &call, &f->result);
}

int script_fixture_run(struct script_fixture *f, const char *source, const struct bytes *arguments)
{
    return script_fixture_run_bytes(f, bytes_of(source), arguments);
}

static void expect_success(struct script_fixture *f, const char *source)
{
    int err = script_fixture_run(f, source, NULL);
    if (err)
        print_error("%s\nfailed as %s: %s\n", source, error_name(err),
                    script_error_text(f->engine, SCRIPT_TEXT_MAX));
    assert_int_equal(err, ERR_OK);
}

void script_expect(struct script_fixture *f, const char *source, const char *result, size_t size)
{
    expect_success(f, source);
    if (f->result.size != size || memcmp(f->result.data, result, size) != 0)
        print_error("%s\nreturned something else\n", source);
    assert_int_equal(f->result.size, size);
    assert_memory_equal(f->result.data, result, size);
}

void script_expect_integer(struct script_fixture *f, const char *source, int64_t value)
{
    struct value_integer number;
    expect_success(f, source);
    if (value_read_integer(f->result, &number))
        print_error("%s\nreturned no integer\n", source);
    assert_int_equal(value_read_integer(f->result, &number), ERR_OK);
    if ((int64_t)number.bits != value)
        print_error("%s\nreturned something else\n", source);
    assert_int_equal((int64_t)number.bits, value);
}

void script_expect_true(struct script_fixture *f, const char *source)
{
    script_expect(f, source, "\xc3", 1);
}

void script_expect_failure(struct script_fixture *f, const char *source, const char *text)
{
    int err = script_fixture_run(f, source, NULL);
    const char *said = script_error_text(f->engine, SCRIPT_TEXT_MAX);
    if (err != ERR_SCRIPT || !strstr(said, text))
        print_error("%s\n%s, '%s' instead of '%s'\n", source, error_name(err), said, text);
    assert_int_equal(err, ERR_SCRIPT);
    assert_non_null(strstr(said, text));
    assert_true(strlen(said) <= SCRIPT_TEXT_MAX);
    strcpy(f->text, said);
    script_expect_integer(f, "return 1 + 1", 2);
}
