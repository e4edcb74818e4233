/*
 * test_client_500.c - 500 clients, all connected at once, increment a counter once each:
 * with incr, with a function in Lua, and with vigil_atomically. Whatever the way, the results
 * are 1 to 500, each once, and every watcher sees 500 records, in which the counter has these
 * values one after another. (The fourth way, `vigil update`, is in tests/cli/update_500.sh.)
 *
 * ctest: TIMEOUT=120 PROCESSORS=2 LABELS=no-tsan
 */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/client_fixture.h"

enum { CLIENTS = 500, PATIENCE_MS = 100000, STACK_SIZE = 512 * 1024 };

static struct client_fixture f;

/* ---- the ways ---- */

enum way { WAY_INCR, WAY_LUA, WAY_ATOMICALLY, WAYS };

static const char *const keys[WAYS] = {"500/incr", "500/lua", "500/atomically"};
static const char end_key[] = "500/end";

static int with_incr(vigil *v, int64_t *ret_result)
{
    return vigil_incr(v, keys[WAY_INCR], 1, ret_result, NULL, NULL, NULL);
}

static int with_lua(vigil *v, int64_t *ret_result)
{
    static const char source[] = "return incr(args[1], 1)";
    const vigil_function function = {.source = source, .source_size = sizeof source - 1};
    uint8_t arguments[64];
    const void *value;
    size_t value_size;
    size_t size = vigil_pack_array(arguments, sizeof arguments, 1);
    size += vigil_pack_string(arguments + size, sizeof arguments - size, keys[WAY_LUA],
                              strlen(keys[WAY_LUA]));
    int err = vigil_call(v, &function, arguments, size, &value, &value_size, NULL);
    return err ? err : vigil_unpack_int(value, value_size, ret_result);
}

static int add_one(vigil_atomic *a, void *context)
{
    const void *value;
    size_t size;
    uint8_t packed[16];
    int64_t *number = context;
    *number = 0;
    int err = vigil_atomic_get(a, keys[WAY_ATOMICALLY], &value, &size);
    if (err == VIGIL_OK && value)
        err = vigil_unpack_int(value, size, number);
    if (err)
        return err;
    size = vigil_pack_int(packed, sizeof packed, ++*number);
    return vigil_atomic_put(a, keys[WAY_ATOMICALLY], packed, size);
}

static int with_atomically(vigil *v, int64_t *ret_result)
{
    return vigil_atomically(v, add_one, ret_result, NULL, NULL);
}

static int (*const ways[WAYS])(vigil *, int64_t *) = {with_incr, with_lua, with_atomically};

/* ---- the clients ---- */

struct client {
    pthread_t thread;
    int error;
    char failure[256];
    int64_t results[WAYS];
};

static struct client clients[CLIENTS];
static pthread_barrier_t all_are_there;

static void *run_client(void *context)
{
    struct client *c = context;
    const vigil_options options = {.endpoint = f.endpoint,
                                   .connect_timeout_ms = PATIENCE_MS,
                                   .request_timeout_ms = PATIENCE_MS};
    vigil *v = NULL;
    c->error = vigil_open(&options, &v);
    for (int way = 0; way < WAYS; way++) {
        (void)pthread_barrier_wait(&all_are_there);
        if (c->error == VIGIL_OK)
            c->error = ways[way](v, &c->results[way]);
    }
    if (c->error != VIGIL_OK)
        (void)snprintf(c->failure, sizeof c->failure, "%s: %s", vigil_error_name(c->error),
                       vigil_failure_text(v));
    vigil_close(v);
    return NULL;
}

static void run_clients(void)
{
    pthread_attr_t small;
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, STACK_SIZE), 0);
    assert_int_equal(pthread_barrier_init(&all_are_there, NULL, CLIENTS), 0);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i].thread, &small, run_client, &clients[i]), 0);
    for (size_t i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
    (void)pthread_barrier_destroy(&all_are_there);
    (void)pthread_attr_destroy(&small);
}

static void each_result_is_had_once(void)
{
    for (int way = 0; way < WAYS; way++) {
        bool had[CLIENTS] = {false};
        for (size_t i = 0; i < CLIENTS; i++) {
            if (clients[i].error != VIGIL_OK)
                fail_msg("client %zu: %s", i, clients[i].failure);
            int64_t at = clients[i].results[way] - 1;
            assert_in_range(at, 0, CLIENTS - 1);
            if (had[at])
                fail_msg("%s: two have got %d", keys[way], (int)at + 1);
            had[at] = true;
        }
    }
}

/* ---- the watchers ---- */

struct watcher {
    const char *name;
    const char *patterns[2]; /* besides the end's */
    size_t pattern_count;
    int keys_seen; /* of the three */
    bool before;
    bool waits; /* does nothing until all clients are done */
    pthread_t thread;
    vigil *v;
    vigil_watch *watch;
    int64_t values[WAYS]; /* the newest */
    char failure[256];
};

static struct watcher watchers[] = {
    {.name = "one key", .patterns = {"500/incr"}, .pattern_count = 1, .keys_seen = 1},
    {.name = "two keys",
     .patterns = {"500/lua", "500/atomically"},
     .pattern_count = 2,
     .keys_seen = 2},
    {.name = "a prefix", .patterns = {"500/*"}, .pattern_count = 1, .keys_seen = WAYS},
    {.name = "everything", .keys_seen = WAYS},
    {.name = "values before",
     .patterns = {"500/*"},
     .pattern_count = 1,
     .keys_seen = WAYS,
     .before = true},
    {.name = "a late one",
     .patterns = {"500/*"},
     .pattern_count = 1,
     .keys_seen = WAYS,
     .waits = true},
};
enum { WATCHERS = sizeof watchers / sizeof watchers[0] };

static void open_watcher(struct watcher *w)
{
    const char *patterns[3] = {w->patterns[0], w->patterns[1]};
    if (w->pattern_count > 0)
        patterns[w->pattern_count] = end_key;
    const vigil_watch_options options = {.patterns = patterns,
                                         .pattern_count =
                                             w->pattern_count > 0 ? w->pattern_count + 1 : 0,
                                         .before = w->before};
    w->v = client_fixture_connect(&f, PATIENCE_MS);
    assert_int_equal(vigil_watch_open(w->v, &options, &w->watch), VIGIL_OK);
}

/* A counter's records: each has the next number, and the one before as what it was. */
static bool take_change(struct watcher *w, const vigil_change *change)
{
    for (int way = 0; way < WAYS; way++) {
        int64_t number = 0;
        int64_t before = 0;
        if (strcmp(change->key, keys[way]) != 0)
            continue;
        if (vigil_unpack_int(change->value, change->size, &number) != VIGIL_OK ||
            number != w->values[way] + 1)
            return false;
        if (w->before && change->before == VIGIL_BEFORE_VALUE &&
            vigil_unpack_int(change->before_value, change->before_size, &before) != VIGIL_OK)
            return false;
        if (w->before && before != w->values[way])
            return false;
        w->values[way] = number;
        return true;
    }
    return false;
}

static void *run_watcher(void *context)
{
    struct watcher *w = context;
    for (;;) {
        const vigil_event *event;
        int err = vigil_watch_next(w->watch, PATIENCE_MS, &event);
        if (err != VIGIL_OK) {
            (void)snprintf(w->failure, sizeof w->failure, "%s: %s", vigil_error_name(err),
                           vigil_failure_text(w->v));
            return NULL;
        }
        const vigil_record *record = &event->record;
        if (strcmp(record->changes[0].key, end_key) == 0)
            return NULL;
        if (record->count != 1 || !take_change(w, &record->changes[0])) {
            (void)snprintf(w->failure, sizeof w->failure, "record %llu, %s, does not follow",
                           (unsigned long long)record->seq, record->changes[0].key);
            return NULL;
        }
    }
}

static void start_watchers(bool waiting)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        if (watchers[i].waits == waiting)
            assert_int_equal(pthread_create(&watchers[i].thread, NULL, run_watcher, &watchers[i]),
                             0);
    }
}

static void every_watcher_has_seen_all(void)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        struct watcher *w = &watchers[i];
        int complete = 0;
        assert_int_equal(pthread_join(w->thread, NULL), 0);
        if (w->failure[0] != '\0')
            fail_msg("the watcher of %s: %s", w->name, w->failure);
        for (int way = 0; way < WAYS; way++)
            complete += w->values[way] == CLIENTS;
        if (complete != w->keys_seen)
            fail_msg("the watcher of %s has seen %d, %d and %d records", w->name, (int)w->values[0],
                     (int)w->values[1], (int)w->values[2]);
        vigil_watch_close(w->watch);
        vigil_close(w->v);
    }
}

static void five_hundred_increment_a_counter(void **state)
{
    (void)state;
    client_fixture_open(&f, TEST_VIGILD, NULL);
    for (size_t i = 0; i < WATCHERS; i++)
        open_watcher(&watchers[i]);
    start_watchers(false);
    run_clients();
    uint64_t end = put_integer(f.v, end_key, 0);
    start_watchers(true);
    every_watcher_has_seen_all();
    each_result_is_had_once();
    assert_int_equal(end, WAYS * CLIENTS + 1); /* and no record besides */
    client_fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(five_hundred_increment_a_counter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
