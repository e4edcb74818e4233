#define _GNU_SOURCE
/* actor_readers.c - mirrors, waits, and who has the journal compacted. */
#include "tests/torture/actor_work.h"

#include <stdio.h>
#include <time.h>

enum { LAST_WAIT_MS = 10000, RECENT = 2000 };

/* ---- mirror ---- */

struct content {
    uint64_t count, digest;
    struct accounts accounts;
};

static bool on_key(void *context, const vigil_entry *entry)
{
    struct content *c = context;
    c->count++;
    c->digest += digest_of(entry->key, entry->modified, value_mark(entry->value, entry->size));
    accounts_add(&c->accounts, entry);
    return true;
}

static void write_mirror(struct actor *a, const vigil_mirror *m, uint64_t at_least)
{
    const char *patterns[16];
    struct content content = {0};
    size_t count = actor_filter(a->number, patterns);
    vigil_mirror_each(m, on_key, &content);
    history_begin(&a->history, 'M');
    history_u64(&a->history, history_now_us());
    history_u64(&a->history, vigil_mirror_seq(m));
    history_u64(&a->history, at_least);
    history_u64(&a->history, content.count);
    history_u64(&a->history, content.digest);
    history_u64(&a->history, count);
    for (size_t i = 0; i < count; i++)
        history_word(&a->history, patterns[i]);
    history_end(&a->history);
    for (size_t i = 0; i < count; i++) {
        if (pattern_matches(patterns[i], ACCOUNT_PREFIX)) {
            accounts_write(a, &content.accounts, vigil_mirror_seq(m));
            break;
        }
    }
}

/* Its own write must be in the mirror once it has waited for it. */
static uint64_t write_own(struct actor *a, vigil_mirror *m)
{
    char text[64];
    uint8_t value[80];
    vigil_result result = {0};
    uint64_t id = actor_asks(a, "put");
    int size = snprintf(text, sizeof text, "%u.%llu", a->number, (unsigned long long)id);
    size_t packed = vigil_pack_string(value, sizeof value, text, (size_t)size);
    history_word(&a->history, "a/0");
    history_value(&a->history, value, packed);
    history_word(&a->history, "-");
    history_end(&a->history);
    int err = vigil_put(a->v, "a/0", value, packed, NULL, &result);
    actor_told(a, 'R', id, err);
    history_u64(&a->history, result.seq);
    history_u64(&a->history, result.prev_seq);
    history_u64(&a->history, result.version);
    history_word(&a->history, "-");
    history_end(&a->history);
    return err == VIGIL_OK && vigil_mirror_wait_seq(m, result.seq, 2000) == VIGIL_OK ? result.seq
                                                                                     : 0;
}

int actor_mirror(struct actor *a)
{
    vigil_mirror *m = NULL;
    const char *patterns[16];
    size_t count = actor_filter(a->number, patterns);
    uint64_t head = UINT64_MAX;
    uint64_t deadline = UINT64_MAX;
    for (;;) {
        if (actor_stopping && deadline == UINT64_MAX) {
            deadline = history_now_us() + (uint64_t)DRAIN_SECONDS * 1000000;
            if (!actor_final_head(a, deadline, &head))
                break;
        }
        if (history_now_us() > deadline)
            break;
        if (!a->v && !actor_connect(a))
            continue;
        if (!m && vigil_mirror_open(a->v, patterns, count, 2000, &m) != VIGIL_OK) {
            m = NULL;
            continue;
        }
        uint64_t own = actor_draw(a, 20) == 0 && !actor_stopping ? write_own(a, m) : 0;
        (void)vigil_mirror_update(m, 50, NULL);
        write_mirror(a, m, own);
        if (vigil_mirror_seq(m) >= head) {
            vigil_mirror_close(m);
            return 0;
        }
        if (actor_draw(a, 200) == 0 && !actor_stopping) {
            vigil_mirror_close(m);
            m = NULL;
        }
    }
    fprintf(stderr, "torture_actor: mirror %u did not reach %llu: %s\n", a->number,
            (unsigned long long)head, vigil_failure_text(a->v));
    vigil_mirror_close(m);
    return 1;
}

/* ---- waits ---- */

struct condition {
    uint64_t divisor, remainder;
};

static bool holds(void *context, const void *value, size_t size, const vigil_change *change)
{
    const struct condition *c = context;
    (void)change;
    return value && value_mark(value, size) % c->divisor == c->remainder;
}

/* Waits from *since on (0: from the present state) and moves it to where the wait ended. until: see
 * history.h. */
static void one_wait(struct actor *a, uint64_t *since, uint64_t until, int timeout_ms)
{
    char key[ACTOR_KEY_SIZE];
    struct condition condition = {.divisor = 2 + actor_draw(a, 6)};
    condition.remainder = actor_draw(a, condition.divisor);
    vigil_wait_options options = {.until = holds, .context = &condition};
    vigil_wait_result result;
    if (*since > 0) {
        vigil_info info;
        vigil_get_info(a->v, &info);
        options.since = VIGIL_SINCE_POSITION;
        options.position = (vigil_position){info.epoch, *since};
    }
    snprintf(key, sizeof key, "p/%zu", actor_draw(a, 4));
    uint64_t id = actor_asks(a, "wait");
    history_word(&a->history, key);
    if (*since > 0)
        history_u64(&a->history, *since);
    else
        history_word(&a->history, "-");
    history_u64(&a->history, condition.divisor);
    history_u64(&a->history, condition.remainder);
    history_u64(&a->history, until);
    history_end(&a->history);
    int err = vigil_wait(a->v, key, &options, timeout_ms, &result);
    actor_told(a, 'T', id, err);
    bool from_state = err == VIGIL_OK && result.from_state;
    const void *value = NULL;
    size_t size = 0;
    uint64_t seq = 0;
    if (err == VIGIL_OK) {
        seq = from_state ? result.entry.seq : result.record.seq;
        value = from_state ? result.entry.value : result.record.changes[0].value;
        size = from_state ? result.entry.size : result.record.changes[0].size;
    }
    history_u64(&a->history, from_state);
    history_u64(&a->history, seq);
    history_value(&a->history, value, size);
    history_end(&a->history);
    if (err == VIGIL_OK)
        *since = seq;
    if (err == VIGIL_COMPACTED || actor_draw(a, 10) == 0)
        *since = 0;
}

int actor_wait(struct actor *a)
{
    uint64_t since = 0;
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping)
        one_wait(a, &since, 0, 1000);
    uint64_t head;
    if (!actor_final_head(a, history_now_us() + (uint64_t)LAST_WAIT_MS * 1000, &head))
        return 0;
    /* All faults are over: what it does not see now, it would never see. */
    if (since == 0 && head > RECENT)
        since = head - RECENT;
    one_wait(a, &since, head, LAST_WAIT_MS);
    return 0;
}

/* ---- compaction: of what the driver has read already ---- */

int actor_compact(struct actor *a)
{
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        struct timespec pause = {.tv_nsec = (long)(20 + actor_draw(a, 400)) * 1000000};
        nanosleep(&pause, NULL);
        uint64_t harvested = atomic_load(&a->control->harvested);
        if (harvested < 2)
            continue;
        uint64_t before = harvested - actor_draw(a, harvested / 4 + 1);
        uint64_t oldest = 0;
        uint64_t id = actor_asks(a, "compact");
        history_end(&a->history);
        int err = vigil_compact(a->v, before, 1000, &oldest);
        actor_told(a, 'R', id, err);
        history_u64(&a->history, oldest);
        history_u64(&a->history, 0);
        history_u64(&a->history, 0);
        history_word(&a->history, "-");
        history_end(&a->history);
    }
    return 0;
}
