#define _GNU_SOURCE
/* polite.c - see polite.h. */
#include "tests/hostile/polite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vigil.h>

enum {
    SAMPLES = 1 << 18, /* the first so many of a measurement */
    FIXED_KEYS = 32,
    PACE_US = 500,
    PATIENCE_MS = 60000,
    THREADS_MAX = 16,
    SMALL = 256, /* bytes of a busy thread's values */
    LARGE = 1000000,
    WINDOW = 256, /* requests of it under way */
    WINDOW_LARGE = 4
};

struct samples {
    pthread_mutex_t lock;
    uint64_t us[SAMPLES];
    size_t count;
};

struct polite {
    const char *endpoint;
    pthread_t writer;
    pthread_t watcher;
    vigil *writing;
    vigil *watching;
    vigil_watch *watch;
    _Atomic bool stop;
    _Atomic bool paused;
    _Atomic uint64_t written; /* counters 1..written were acknowledged */
    _Atomic(const char *) fault;
    struct samples put;
    struct samples delivery;
};

/* What the writer puts: its counter, and when it began. */
struct note {
    uint64_t counter;
    uint64_t began_us;
};
enum { NOTE_SIZE = 2 + sizeof(struct note) };

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void pace(void)
{
    struct timespec t = {.tv_nsec = PACE_US * 1000};
    nanosleep(&t, NULL);
}

static void add_sample(struct samples *s, uint64_t us)
{
    pthread_mutex_lock(&s->lock);
    if (s->count < SAMPLES)
        s->us[s->count++] = us;
    pthread_mutex_unlock(&s->lock);
}

static void blame(struct polite *p, const char *what, const vigil *v)
{
    const char *none = NULL;
    if (atomic_compare_exchange_strong(&p->fault, &none, what))
        fprintf(stderr, "polite: %s (%s)\n", what, vigil_failure_text(v));
}

/* ---- the writer ---- */

static bool fixed_is_well(struct polite *p, int i, bool write)
{
    char key[32];
    uint8_t value[64];
    vigil_entry entry;
    snprintf(key, sizeof key, "polite-fixed/%d", i);
    size_t size = vigil_pack_string(value, sizeof value, key, strlen(key));
    if (write)
        return vigil_put(p->writing, key, value, size, NULL, NULL) == VIGIL_OK;
    return vigil_get(p->writing, key, &entry) == VIGIL_OK && entry.size == size &&
           memcmp(entry.value, value, size) == 0 && entry.version == 1;
}

static void write_one(struct polite *p, uint64_t counter)
{
    uint8_t value[64];
    vigil_entry entry;
    struct note note = {.counter = counter, .began_us = now_us()};
    size_t size = vigil_pack_binary(value, sizeof value, &note, sizeof note);
    if (vigil_put(p->writing, "polite/count", value, size, NULL, NULL) != VIGIL_OK) {
        blame(p, "a put failed", p->writing);
        return;
    }
    add_sample(&p->put, now_us() - note.began_us);
    atomic_store(&p->written, counter);
    if (counter % 16 != 0)
        return;
    if (vigil_get(p->writing, "polite/count", &entry) != VIGIL_OK || entry.size != size ||
        memcmp(entry.value, value, size) != 0)
        blame(p, "a get did not give what was put", p->writing);
    if (!fixed_is_well(p, (int)(counter / 16 % FIXED_KEYS), false))
        blame(p, "a key that nobody touched has changed", p->writing);
}

static void *write_all(void *context)
{
    struct polite *p = context;
    for (uint64_t counter = 1; !atomic_load(&p->stop) && !atomic_load(&p->fault);) {
        if (!atomic_load(&p->paused))
            write_one(p, counter++);
        pace();
    }
    return NULL;
}

/* ---- the watcher ---- */

/* True while there is more to see. */
static bool goes_on(struct polite *p, uint64_t seen)
{
    return !atomic_load(&p->fault) && (!atomic_load(&p->stop) || seen < atomic_load(&p->written));
}

static void *watch_all(void *context)
{
    struct polite *p = context;
    uint64_t seen = 0;
    uint64_t last_us = now_us();
    while (goes_on(p, seen)) {
        const vigil_event *event;
        struct note note;
        const void *data;
        size_t size;
        int err = vigil_watch_next(p->watch, 100, &event);
        if (err == VIGIL_TIMEOUT && atomic_load(&p->written) > seen &&
            now_us() - last_us > PATIENCE_MS * UINT64_C(1000))
            blame(p, "the watcher got nothing any more", p->watching);
        if (err == VIGIL_TIMEOUT)
            continue;
        if (err != VIGIL_OK) {
            blame(p, "the watch failed", p->watching);
            break;
        }
        if (event->kind != VIGIL_EVENT_RECORD)
            continue;
        const vigil_change *change = &event->record.changes[0];
        if (vigil_unpack_binary(change->value, change->size, &data, &size) != VIGIL_OK ||
            size != sizeof note) {
            blame(p, "the watcher got what nobody wrote", p->watching);
            break;
        }
        memcpy(&note, data, sizeof note);
        if (note.counter != seen + 1)
            blame(p, "the watcher missed a record, or got one twice", p->watching);
        seen = note.counter;
        last_us = now_us();
        add_sample(&p->delivery, last_us - note.began_us);
    }
    return NULL;
}

/* ---- both ---- */

static vigil *connect_to(const char *endpoint)
{
    vigil *v = NULL;
    vigil_options options = {.endpoint = endpoint, .request_timeout_ms = PATIENCE_MS};
    return vigil_open(&options, &v) == VIGIL_OK ? v : NULL;
}

struct polite *polite_start(const char *endpoint)
{
    static const char *const pattern = "polite/*";
    vigil_watch_options options = {.patterns = &pattern, .pattern_count = 1};
    struct polite *p = calloc(1, sizeof *p);
    p->endpoint = endpoint;
    pthread_mutex_init(&p->put.lock, NULL);
    pthread_mutex_init(&p->delivery.lock, NULL);
    p->writing = connect_to(endpoint);
    p->watching = connect_to(endpoint);
    if (!p->writing || !p->watching ||
        vigil_watch_open(p->watching, &options, &p->watch) != VIGIL_OK)
        goto fail;
    for (int i = 0; i < FIXED_KEYS; i++)
        if (!fixed_is_well(p, i, true))
            goto fail;
    pthread_create(&p->writer, NULL, write_all, p);
    pthread_create(&p->watcher, NULL, watch_all, p);
    return p;
fail:
    vigil_watch_close(p->watch);
    vigil_close(p->writing);
    vigil_close(p->watching);
    free(p);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static size_t take(struct samples *s, uint64_t *p50, uint64_t *p99, uint64_t *max)
{
    pthread_mutex_lock(&s->lock);
    size_t count = s->count;
    if (count > 0) {
        qsort(s->us, count, sizeof *s->us, compare);
        *p50 = s->us[count / 2];
        *p99 = s->us[count - 1 - count / 100];
        *max = s->us[count - 1];
    }
    s->count = 0;
    pthread_mutex_unlock(&s->lock);
    return count;
}

void polite_measure(struct polite *p, struct latencies *ret)
{
    struct latencies l = {0};
    l.count = take(&p->put, &l.put_p50, &l.put_p99, &l.put_max);
    take(&p->delivery, &l.delivery_p50, &l.delivery_p99, &l.delivery_max);
    if (ret)
        *ret = l;
}

size_t polite_puts(const struct polite *p)
{
    struct samples *s = (struct samples *)&p->put;
    pthread_mutex_lock(&s->lock);
    size_t count = s->count;
    pthread_mutex_unlock(&s->lock);
    return atomic_load(&p->fault) ? SIZE_MAX : count; /* nobody is to wait for more */
}

void polite_pause(struct polite *p, bool on)
{
    atomic_store(&p->paused, on);
}

static bool count_row(void *context, const vigil_entry *entry)
{
    (void)entry;
    ++*(int *)context;
    return true;
}

const char *polite_end(struct polite *p)
{
    int rows = 0;
    atomic_store(&p->stop, true);
    pthread_join(p->writer, NULL);
    pthread_join(p->watcher, NULL);
    for (int i = 0; i < FIXED_KEYS && !atomic_load(&p->fault); i++)
        if (!fixed_is_well(p, i, false))
            blame(p, "a key that nobody touched has changed", p->writing);
    if (!atomic_load(&p->fault) && (vigil_list(p->writing, "polite-fixed/", true, PATIENCE_MS,
                                               count_row, &rows, NULL) != VIGIL_OK ||
                                    rows != FIXED_KEYS))
        blame(p, "the listing is not what was written", p->writing);
    const char *fault = atomic_load(&p->fault);
    vigil_watch_close(p->watch);
    vigil_close(p->writing);
    vigil_close(p->watching);
    free(p);
    return fault;
}

/* ---- the yardstick ---- */

struct busy {
    const char *endpoint;
    bool large;
    _Atomic bool stop;
    pthread_t threads[THREADS_MAX];
    unsigned count;
};

static void *keep_busy(void *context)
{
    struct busy *b = context;
    vigil *v = connect_to(b->endpoint);
    size_t bytes = b->large ? LARGE : SMALL;
    size_t window = b->large ? WINDOW_LARGE : WINDOW;
    uint8_t *data = calloc(1, bytes);
    uint8_t *value = calloc(1, bytes + 16);
    size_t size = vigil_pack_binary(value, bytes + 16, data, bytes);
    for (uint64_t i = 0; v && !atomic_load(&b->stop); i++) {
        vigil_completion done;
        char key[32];
        snprintf(key, sizeof key, "busy/%llu", (unsigned long long)(i % 1000));
        if (vigil_send_put(v, key, value, size, NULL, NULL) != VIGIL_OK)
            break;
        while (vigil_pending(v) > window && vigil_receive(v, 1000, &done) == VIGIL_OK)
            continue;
    }
    vigil_close(v);
    free(data);
    free(value);
    return NULL;
}

struct busy *busy_start(const char *endpoint, unsigned threads, bool large)
{
    struct busy *b = calloc(1, sizeof *b);
    b->large = large;
    b->endpoint = endpoint;
    for (; b->count < threads && b->count < THREADS_MAX; b->count++)
        pthread_create(&b->threads[b->count], NULL, keep_busy, b);
    return b;
}

void busy_end(struct busy *b)
{
    atomic_store(&b->stop, true);
    for (unsigned i = 0; i < b->count; i++)
        pthread_join(b->threads[i], NULL);
    free(b);
}
