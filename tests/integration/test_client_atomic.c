/*
 * vigil_atomically against a real server: nobody's increment is lost, what was listed counts as
 * read, a conflict costs one round trip, and a client that is stopped in its turn stops nobody.
 *
 * ctest: TIMEOUT=240 PROCESSORS=2
 */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "protocol/value.h"
#include "protocol/limits.h"
#include "tests/support/client_fixture.h"

static struct client_fixture f;

static int set_up(void **state)
{
    (void)state;
    static const char *const options[] = {"--durability", "process", NULL};
    client_fixture_open(&f, TEST_VIGILD, options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    client_fixture_close(&f);
    return 0;
}

/* ---- one handle ---- */

static int64_t get_integer(vigil_atomic *a, const char *key)
{
    const void *value;
    size_t size;
    assert_int_equal(vigil_atomic_get(a, key, &value, &size), VIGIL_OK);
    return value ? integer_of(value, size) : -1;
}

static void put_integer_in(vigil_atomic *a, const char *key, int64_t number)
{
    uint8_t value[16];
    assert_int_equal(vigil_atomic_put(a, key, value, vigil_pack_int(value, sizeof value, number)),
                     VIGIL_OK);
}

static int64_t stored(const char *key)
{
    vigil_entry entry;
    assert_int_equal(vigil_get(f.v, key, &entry), VIGIL_OK);
    return entry.present ? integer_of(entry.value, entry.size) : -1;
}

static bool gather(void *context, const vigil_entry *entry)
{
    char *text = context;
    size_t used = strlen(text);
    (void)snprintf(text + used, 256 - used, "%s=%d ", entry->key,
                   (int)integer_of(entry->value, entry->size));
    return true;
}

static void expect_list(vigil_atomic *a, const char *prefix, const char *expected)
{
    char text[256] = "";
    assert_int_equal(vigil_atomic_list(a, prefix, gather, text), VIGIL_OK);
    assert_string_equal(text, expected);
}

static int sees_its_own_writes(vigil_atomic *a, void *context)
{
    const void *old;
    size_t size;
    (void)context;
    assert_int_equal(get_integer(a, "p/b"), 2);
    assert_int_equal(vigil_atomic_get(a, "p/b", &old, &size), VIGIL_OK);
    put_integer_in(a, "p/b", 20);
    put_integer_in(a, "p/a", 1);
    put_integer_in(a, "p/z", 26);
    put_integer_in(a, "q", 7);
    assert_int_equal(vigil_atomic_delete(a, "p/c"), VIGIL_OK);
    assert_int_equal(vigil_atomic_delete(a, "p/never"), VIGIL_OK);
    assert_int_equal(get_integer(a, "p/b"), 20);
    assert_int_equal(get_integer(a, "p/c"), -1);
    assert_int_equal(integer_of(old, size), 2); /* what was read stays */
    expect_list(a, "p/", "p/a=1 p/b=20 p/d=4 p/z=26 ");
    put_integer_in(a, "p/a", 11);
    assert_int_equal(get_integer(a, "p/d"), 4);
    expect_list(a, "p/", "p/a=11 p/b=20 p/d=4 p/z=26 ");
    expect_list(a, "", "p/a=11 p/b=20 p/d=4 p/z=26 q=7 ");
    expect_list(a, "p/never", "");
    int64_t sum;
    assert_int_equal(vigil_atomic_incr(a, "n", 5, &sum), VIGIL_OK);
    assert_int_equal(vigil_atomic_incr(a, "n", -2, &sum), VIGIL_OK);
    assert_int_equal(sum, 3);
    assert_int_equal(vigil_atomic_run(a), 1);
    return 0;
}

static void a_run_sees_its_own_writes(void **state)
{
    (void)state;
    uint64_t seq;
    put_integer(f.v, "p/b", 2);
    put_integer(f.v, "p/c", 3);
    uint64_t head = put_integer(f.v, "p/d", 4);
    assert_int_equal(vigil_atomically(f.v, sees_its_own_writes, NULL, NULL, &seq), VIGIL_OK);
    assert_int_equal(seq, head + 1);
    assert_int_equal(stored("p/a"), 11);
    assert_int_equal(stored("p/b"), 20);
    assert_int_equal(stored("p/c"), -1);
    assert_int_equal(stored("n"), 3);
    assert_int_equal(vigil_ping(f.v), VIGIL_OK);
    vigil_info info;
    vigil_get_info(f.v, &info);
    assert_int_equal(info.head, head + 1);
}

static int reads_only(vigil_atomic *a, void *context)
{
    (void)context;
    assert_int_equal(get_integer(a, "a"), 1);
    assert_int_equal(get_integer(a, "b"), -1);
    return 0;
}

static int ends_itself(vigil_atomic *a, void *context)
{
    put_integer_in(a, "a", 99);
    return *(int *)context;
}

static int makes_a_mistake(vigil_atomic *a, void *context)
{
    put_integer_in(a, "a", 99);
    assert_int_equal(vigil_atomic_put(a, "a", "\xc1", 1), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_atomic_delete(a, "b"), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_atomic_get(a, "b", NULL, NULL), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_atomically(context, ends_itself, context, NULL, NULL), VIGIL_INVALID);
    return 0;
}

static int adds_to_text(vigil_atomic *a, void *context)
{
    (void)context;
    assert_int_equal(vigil_atomic_put(a, "text", "\xa1x", 2), VIGIL_OK);
    assert_int_equal(vigil_atomic_incr(a, "text", 1, NULL), VIGIL_NOT_AN_INTEGER);
    return 0;
}

static void without_effect(void **state)
{
    (void)state;
    uint64_t seq = 0;
    int value = -5;
    uint64_t head = put_integer(f.v, "a", 1);
    assert_int_equal(vigil_atomically(f.v, reads_only, NULL, NULL, &seq), VIGIL_OK);
    assert_int_equal(seq, head);
    assert_int_equal(vigil_atomically(f.v, ends_itself, &value, NULL, &seq), -5);
    assert_int_equal(vigil_atomically(f.v, makes_a_mistake, f.v, NULL, &seq), VIGIL_BAD_VALUE);
    assert_int_equal(vigil_atomically(f.v, adds_to_text, NULL, NULL, &seq), VIGIL_NOT_AN_INTEGER);
    assert_int_equal(vigil_atomically(f.v, NULL, NULL, NULL, &seq), VIGIL_INVALID);
    assert_int_equal(seq, head);
    assert_int_equal(stored("a"), 1);
    assert_int_equal(put_integer(f.v, "a", 2), head + 1);
}

/* ---- conflicts ---- */

struct disturbed {
    vigil *other;
    uint32_t runs; /* that are disturbed */
    uint32_t seen; /* runs so far */
    int64_t values[8];
};

static int is_disturbed(vigil_atomic *a, void *context)
{
    struct disturbed *d = context;
    int64_t x = get_integer(a, "x");
    (void)get_integer(a, "y");
    (void)get_integer(a, "unread before");
    d->values[d->seen++] = x;
    assert_int_equal(d->seen, vigil_atomic_run(a));
    if (d->seen <= d->runs)
        put_integer(d->other, "x", 100 + d->seen);
    put_integer_in(a, "sum", x + 1);
    return 0;
}

/* How many requests the server has had. */
static uint64_t requests(vigil *v)
{
    const void *map;
    size_t size;
    assert_int_equal(vigil_status(v, &map, &size), VIGIL_OK);
    struct wire_reader r = wire_reader_of(map, size);
    uint64_t number = 0;
    const uint8_t *p = map;
    r.at += p[0] == 0xde ? 3 : p[0] == 0xdf ? 5 : 1;
    for (struct bytes name, value, text; value_next(&r, &name) && value_next(&r, &value);) {
        if (value_read_string(name, &text) && text.size == 8 &&
            memcmp(text.data, "requests", 8) == 0)
            assert_int_equal(vigil_unpack_uint(value.data, value.size, &number), VIGIL_OK);
    }
    assert_true(number > 0);
    return number;
}

static void a_conflict_brings_the_values(void **state)
{
    (void)state;
    vigil *other = client_fixture_connect(&f, 0);
    struct disturbed d = {.other = other, .runs = 3};
    put_integer(f.v, "x", 100); /* opens the sessions */
    put_integer(other, "y", 1);
    uint64_t before = requests(other);
    assert_int_equal(vigil_atomically(f.v, is_disturbed, &d, NULL, NULL), VIGIL_OK);
    assert_int_equal(d.seen, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(d.values[i], 100 + i);
    assert_int_equal(stored("sum"), 104);
    /* Three gets, four transactions, the other's puts; the get of the line above, and the status. */
    assert_int_equal(requests(other) - before, 3 + 4 + 3 + 1 + 1);
    vigil_close(other);
}

static void the_time_is_over(void **state)
{
    (void)state;
    vigil *other = client_fixture_connect(&f, 0);
    struct disturbed d = {.other = other, .runs = 8};
    vigil_atomic_options options = {.timeout_ms = 1};
    put_integer(f.v, "x", 100);
    int err = VIGIL_OK;
    while (d.seen < 8 && err == VIGIL_OK) { /* a very fast machine needs a second call */
        err = vigil_atomically(f.v, is_disturbed, &d, &options, NULL);
        if (err == VIGIL_OK)
            fail_msg("%u runs within a millisecond", d.seen);
    }
    assert_int_equal(err, VIGIL_CONFLICT);
    assert_int_equal(stored("sum"), -1);
    assert_non_null(strstr(vigil_failure_text(f.v), "runs"));
    vigil_close(other);
}

enum { LARGE = 40000, LARGE_KEYS = 3 };

static int reads_much(vigil_atomic *a, void *context)
{
    struct disturbed *d = context;
    for (int i = 0; i < LARGE_KEYS; i++) {
        char key[24];
        const void *value;
        size_t size;
        (void)snprintf(key, sizeof key, "large/%d", i);
        assert_int_equal(vigil_atomic_get(a, key, &value, &size), VIGIL_OK);
        assert_true(size > LARGE);
    }
    d->values[d->seen++] = get_integer(a, "x");
    if (d->seen <= d->runs)
        put_integer(d->other, "x", d->seen);
    put_integer_in(a, "x", 77);
    return 0;
}

/* More than a session keeps of a reply. */
static void what_was_read_does_not_fit_a_reply(void **state)
{
    (void)state;
    static uint8_t value[LARGE + 8];
    static const char text[LARGE];
    vigil *other = client_fixture_connect(&f, 0);
    struct disturbed d = {.other = other, .runs = 2};
    size_t size = vigil_pack_binary(value, sizeof value, text, LARGE);
    for (int i = 0; i < LARGE_KEYS; i++) {
        char key[24];
        (void)snprintf(key, sizeof key, "large/%d", i);
        assert_int_equal(vigil_put(f.v, key, value, size, NULL, NULL), VIGIL_OK);
    }
    put_integer(f.v, "x", 0);
    assert_int_equal(vigil_atomically(f.v, reads_much, &d, NULL, NULL), VIGIL_OK);
    assert_int_equal(d.seen, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(d.values[i], i);
    assert_int_equal(stored("x"), 77);
    vigil_close(other);
}

/* ---- many at once ---- */

enum { CONTENDERS = 32, TIMES = 25 };

struct contender {
    pthread_t thread;
    uint32_t runs_max;
    int64_t results[TIMES];
    int error;
};

struct increment {
    int64_t result;
    uint32_t runs;
};

static int increment(vigil_atomic *a, void *context)
{
    struct increment *i = context;
    i->runs = vigil_atomic_run(a);
    return vigil_atomic_incr(a, "counter", 1, &i->result);
}

static void *contend(void *context)
{
    struct contender *c = context;
    vigil_options options = {.endpoint = f.endpoint, .request_timeout_ms = 60000};
    vigil *v = NULL;
    c->error = vigil_open(&options, &v);
    for (int i = 0; i < TIMES && c->error == VIGIL_OK; i++) {
        struct increment one = {0};
        c->error = vigil_atomically(v, increment, &one, NULL, NULL);
        c->results[i] = one.result;
        c->runs_max = one.runs > c->runs_max ? one.runs : c->runs_max;
    }
    vigil_close(v);
    return NULL;
}

static struct contender contenders[CONTENDERS];

static void start_contenders(void)
{
    memset(contenders, 0, sizeof contenders);
    for (int i = 0; i < CONTENDERS; i++)
        assert_int_equal(pthread_create(&contenders[i].thread, NULL, contend, &contenders[i]), 0);
}

/* Each result from first on was had once. Returns the most runs that one of them took. */
static uint32_t join_contenders(int64_t first)
{
    static bool had[CONTENDERS * TIMES];
    uint32_t runs_max = 0;
    memset(had, 0, sizeof had);
    for (int i = 0; i < CONTENDERS; i++)
        assert_int_equal(pthread_join(contenders[i].thread, NULL), 0);
    for (int i = 0; i < CONTENDERS; i++) {
        struct contender *c = &contenders[i];
        assert_int_equal(c->error, VIGIL_OK);
        runs_max = c->runs_max > runs_max ? c->runs_max : runs_max;
        for (int j = 0; j < TIMES; j++) {
            int64_t at = c->results[j] - first;
            assert_in_range(at, 0, CONTENDERS * TIMES - 1);
            assert_false(had[at]);
            had[at] = true;
        }
    }
    return runs_max;
}

static void everybody_gets_through(void **state)
{
    (void)state;
    start_contenders();
    uint32_t runs_max = join_contenders(1);
    print_message("%d increments by %d clients; at most %u runs\n", CONTENDERS * TIMES, CONTENDERS,
                  runs_max);
    assert_int_equal(stored("counter"), CONTENDERS * TIMES);
    assert_true(runs_max <= 64);
}

/* The replies of some are lost together with the server. */
static void each_takes_effect_once(void **state)
{
    (void)state;
    start_contenders();
    for (int64_t next = 50; next <= 250; next += 50) {
        while (stored("counter") < next)
            continue;
        client_fixture_kill_server(&f);
        client_fixture_start_server(&f);
    }
    (void)join_contenders(1);
    assert_int_equal(stored("counter"), CONTENDERS * TIMES);
}

/* ---- a prefix as one thing ---- */

enum { SEATS = 5, GUESTS = 6, VISITS = 40 };

struct guest {
    pthread_t thread;
    int number;
    int seated;
    int error;
    bool too_many;
};

struct visit {
    struct guest *guest;
    int taken;
    bool is_new;
};

static bool count_seat(void *context, const vigil_entry *entry)
{
    (void)entry;
    ++*(int *)context;
    return true;
}

/* Takes a seat of its own if there are few enough, or leaves it. No two write the same key. */
static int take_or_leave(vigil_atomic *a, void *context)
{
    struct visit *visit = context;
    char key[24];
    const void *value;
    int taken = 0;
    (void)snprintf(key, sizeof key, "seat/%d", visit->guest->number);
    int err = vigil_atomic_list(a, "seat/", count_seat, &taken);
    if (err == VIGIL_OK)
        err = vigil_atomic_get(a, key, &value, NULL);
    if (err)
        return err;
    visit->taken = taken;
    visit->is_new = !value && taken < SEATS;
    if (value)
        return vigil_atomic_delete(a, key);
    return taken < SEATS ? vigil_atomic_put(a, key, "\xc3", 1) : 0;
}

static void *visit_often(void *context)
{
    struct guest *g = context;
    vigil_options options = {.endpoint = f.endpoint, .request_timeout_ms = 60000};
    vigil *v = NULL;
    g->error = vigil_open(&options, &v);
    for (int i = 0; i < VISITS && g->error == VIGIL_OK; i++) {
        struct visit visit = {.guest = g};
        g->error = vigil_atomically(v, take_or_leave, &visit, NULL, NULL);
        g->seated += visit.is_new;
        g->too_many |= visit.taken > SEATS;
    }
    vigil_close(v);
    return NULL;
}

static void what_was_listed_counts_as_read(void **state)
{
    (void)state;
    static struct guest guests[GUESTS];
    const char *pattern = "seat/*";
    vigil_watch_options options = {.patterns = &pattern, .pattern_count = 1};
    vigil_watch *w;
    const vigil_event *event;
    int taken = 0;
    int seated = 0;
    assert_int_equal(vigil_watch_open(f.v, &options, &w), VIGIL_OK);
    for (int i = 0; i < GUESTS; i++) {
        guests[i] = (struct guest){.number = i};
        assert_int_equal(pthread_create(&guests[i].thread, NULL, visit_often, &guests[i]), 0);
    }
    for (int i = 0; i < GUESTS; i++) {
        assert_int_equal(pthread_join(guests[i].thread, NULL), 0);
        assert_int_equal(guests[i].error, VIGIL_OK);
        assert_false(guests[i].too_many);
        seated += guests[i].seated;
    }
    assert_true(seated > SEATS);
    /* Never more than there are seats, at no record. */
    uint64_t last = put_integer(f.v, "seat/end", 1);
    for (uint64_t seq = 0; seq < last;) {
        assert_int_equal(vigil_watch_next(w, 20000, &event), VIGIL_OK);
        seq = event->record.seq;
        if (seq == last)
            break;
        taken += event->record.changes[0].op == VIGIL_PUT ? 1 : -1;
        assert_in_range(taken, 0, SEATS);
    }
    vigil_watch_close(w);
}

/* ---- a client that stops in its turn ---- */

struct stopped {
    int to_parent;
    int from_parent;
};

static int stops_in_its_turn(vigil_atomic *a, void *context)
{
    struct stopped *s = context;
    char byte;
    if (vigil_atomic_incr(a, "counter", 1, NULL) != VIGIL_OK)
        return -1;
    if (vigil_atomic_run(a) == 1) {
        /* Somebody writes: this run fails, and the next has its turn. */
        if (write(s->to_parent, "r", 1) != 1 || read(s->from_parent, &byte, 1) != 1)
            return -1;
    } else if (vigil_atomic_run(a) == 2) {
        if (write(s->to_parent, "t", 1) != 1)
            return -1;
        (void)raise(SIGSTOP);
    }
    return 0;
}

static int be_stopped(struct stopped s)
{
    vigil_options options = {.endpoint = f.endpoint, .request_timeout_ms = 60000};
    vigil_atomic_options one_try = {.tries = 1};
    vigil *v = NULL;
    int err = vigil_open(&options, &v);
    if (err == VIGIL_OK)
        err = vigil_atomically(v, stops_in_its_turn, &s, &one_try, NULL);
    vigil_close(v);
    return err == VIGIL_OK ? 0 : 1;
}

static void who_stops_in_its_turn_stops_nobody(void **state)
{
    (void)state;
    int to_parent[2];
    int to_child[2];
    char byte;
    int status;
    assert_int_equal(pipe(to_parent), 0);
    assert_int_equal(pipe(to_child), 0);
    pid_t child = fork(); /* which makes a connection of its own */
    assert_true(child >= 0);
    if (child == 0)
        _exit(be_stopped((struct stopped){to_parent[1], to_child[0]}));
    assert_int_equal(read(to_parent[0], &byte, 1), 1);
    assert_int_equal(byte, 'r');
    put_integer(f.v, "counter", 0);
    assert_int_equal(write(to_child[1], "g", 1), 1);
    assert_int_equal(read(to_parent[0], &byte, 1), 1);
    assert_int_equal(byte, 't');
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));

    start_contenders();
    (void)join_contenders(1);
    assert_int_equal(stored("counter"), CONTENDERS * TIMES);
    /* It goes on where it was: too late. */
    assert_int_equal(kill(child, SIGCONT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(stored("counter"), CONTENDERS * TIMES + 1);
    for (int i = 0; i < 2; i++) {
        close(to_parent[i]);
        close(to_child[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_sees_its_own_writes),
        TEST(without_effect),
        TEST(a_conflict_brings_the_values),
        TEST(the_time_is_over),
        TEST(what_was_read_does_not_fit_a_reply),
        TEST(everybody_gets_through),
        TEST(each_takes_effect_once),
        TEST(what_was_listed_counts_as_read),
        TEST(who_stops_in_its_turn_stops_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
