#define _GNU_SOURCE
/*
 * actor_lives.c - puts keys that expire, each by itself or with a lease, under a prefix of its own, and
 * takes some of their ends away again. After SIGTERM it waits until all of them are gone.
 */
#include "tests/torture/actor_work.h"

#include <stdio.h>
#include <string.h>

enum {
    KEYS = 60,
    TTL_MAX_MS = 1000,
    LEASE_MIN_MS = 1000,
    LEASE_MAX_MS = 2500,
    PAUSE_MS = 20,
    GONE_SECONDS = 25
};

#define PLAIN "plain."

/* One that a thread renews, and one that is renewed by hand. */
struct held {
    vigil_lease *lease;
    uint32_t ttl_ms;
};

struct keeper {
    struct work work;
    struct held held[2];
};

/* ---- leases ---- */

static uint64_t ask_lease(struct actor *a, const char *kind, uint64_t time_us, uint64_t number)
{
    uint64_t id = a->next_id++;
    history_begin(&a->history, 'O');
    history_u64(&a->history, id);
    history_u64(&a->history, time_us);
    history_word(&a->history, kind);
    history_u64(&a->history, number);
    history_end(&a->history);
    return id;
}

static void told_lease(struct actor *a, uint64_t id, int error, uint64_t seq, uint64_t lease)
{
    actor_told(a, 'R', id, error);
    history_u64(&a->history, seq);
    history_u64(&a->history, lease);
    history_u64(&a->history, 0);
    history_word(&a->history, "-");
    history_end(&a->history);
}

static int open_lease(struct actor *a, struct held *h, bool by_hand)
{
    h->ttl_ms = LEASE_MIN_MS + (uint32_t)actor_draw(a, LEASE_MAX_MS - LEASE_MIN_MS);
    uint64_t id = ask_lease(a, "grant", history_now_us(), h->ttl_ms);
    int err = by_hand ? vigil_lease_open_by_hand(a->v, h->ttl_ms, &h->lease)
                      : vigil_lease_open(a->v, h->ttl_ms, &h->lease);
    told_lease(a, id, err, 0, err ? 0 : vigil_lease_id(h->lease));
    if (err)
        h->lease = NULL;
    return err;
}

static int close_lease(struct actor *a, struct held *h)
{
    vigil_info info = {0};
    if (!h->lease)
        return VIGIL_OK;
    uint64_t id = ask_lease(a, "revoke", history_now_us(), vigil_lease_id(h->lease));
    int err = vigil_lease_close(h->lease);
    h->lease = NULL;
    if (!err)
        vigil_get_info(a->v, &info);
    told_lease(a, id, err, info.head, 0);
    return err;
}

static int renew_lease(struct actor *a, struct held *h)
{
    uint64_t id = ask_lease(a, "renew", history_now_us(), vigil_lease_id(h->lease));
    int err = vigil_lease_renew(h->lease);
    told_lease(a, id, err, 0, 0);
    return err;
}

/* What the library says of the renewals by its thread: the newest that was answered was sent so long
 * before its end. */
static void believe_lease(struct actor *a, const struct held *h)
{
    uint64_t now_us = history_now_us();
    uint64_t left_us = (uint64_t)vigil_lease_left_ms(h->lease) * 1000;
    if (left_us == 0)
        return;
    uint64_t sent_us = now_us + left_us - (uint64_t)h->ttl_ms * 1000;
    uint64_t id = ask_lease(a, "renew", sent_us, vigil_lease_id(h->lease));
    told_lease(a, id, VIGIL_OK, 0, 0);
}

static int tend_lease(struct actor *a, struct held *h, bool by_hand)
{
    if (!h->lease)
        return open_lease(a, h, by_hand);
    if (actor_draw(a, 12) == 0)
        return close_lease(a, h);
    if (!by_hand) {
        believe_lease(a, h);
        return VIGIL_OK;
    }
    int err = renew_lease(a, h);
    return err == VIGIL_LEASE_ENDED ? close_lease(a, h) : err;
}

/* ---- keys ---- */

static void draw_own_key(struct actor *a, char key[ACTOR_KEY_SIZE])
{
    snprintf(key, ACTOR_KEY_SIZE, "e/%u/%zu", a->number, actor_draw(a, KEYS));
}

static void plain_value(struct work *w, struct work_asked *s)
{
    char text[64];
    int size = snprintf(text, sizeof text, PLAIN "%u.%llu.%zu", w->a->number,
                        (unsigned long long)w->id, (size_t)(s - w->steps));
    s->size = vigil_pack_string(s->value, sizeof s->value, text, (size_t)size);
}

/* One that no step of the work has yet. */
static void draw_step(struct actor *a, struct keeper *k)
{
    char key[ACTOR_KEY_SIZE];
    const struct held *h = &k->held[actor_draw(a, 2)];
    size_t choice = actor_draw(a, 20);
    draw_own_key(a, key);
    for (size_t i = 0; i < k->work.count; i++) {
        if (strcmp(k->work.steps[i].key, key) == 0)
            return;
    }
    if (choice == 0) {
        plain_value(&k->work, work_add(&k->work, WORK_PUT, key, 0));
    } else if (choice == 1) {
        work_add(&k->work, WORK_DELETE, key, 0);
    } else if (choice < 10 && h->lease) {
        int64_t lease = (int64_t)vigil_lease_id(h->lease);
        work_value_text(&k->work, work_add(&k->work, WORK_LEASE, key, lease));
    } else {
        int64_t ttl_ms = 1 + (int64_t)actor_draw(a, TTL_MAX_MS);
        work_value_text(&k->work, work_add(&k->work, WORK_TTL, key, ttl_ms));
    }
}

/* A put by the function of its own. */
static int single(struct actor *a, struct keeper *k)
{
    vigil_result result = {0};
    work_begin(&k->work, a, WAY_DICT);
    draw_step(a, k);
    const struct work_asked *s = &k->work.steps[0];
    if (s->code == WORK_PUT || s->code == WORK_DELETE) {
        k->work.way = WAY_TXN;
        return work_commit(&k->work, NULL);
    }
    work_ask(&k->work);
    int err =
        s->code == WORK_TTL
            ? vigil_put_ttl(a->v, s->key, s->value, s->size, (uint64_t)s->by, NULL, &result)
            : vigil_put_lease(a->v, s->key, s->value, s->size, (uint64_t)s->by, NULL, &result);
    work_told(&k->work, err, result.seq, !err, !err);
    if (!err)
        work_result(&k->work, WORK_NOT_TOLD, result.prev_seq, NULL, 0, NULL);
    work_told_end(&k->work);
    return err;
}

static int several(struct actor *a, struct keeper *k)
{
    size_t count = 2 + actor_draw(a, 4);
    work_begin(&k->work, a, WAY_TXN);
    for (size_t i = 0; i < count; i++)
        draw_step(a, k);
    return work_commit(&k->work, NULL);
}

static int step(struct actor *a, struct keeper *k)
{
    size_t choice = actor_draw(a, 10);
    if (choice == 0)
        return tend_lease(a, &k->held[0], false);
    if (choice == 1)
        return tend_lease(a, &k->held[1], true);
    return choice < 6 ? single(a, k) : several(a, k);
}

/* ---- the end ---- */

struct rest {
    uint64_t count, digest, living;
};

static bool on_key(void *context, const vigil_entry *entry)
{
    struct rest *r = context;
    const char *text = "";
    size_t size = 0;
    r->count++;
    r->digest += digest_of(entry->key, entry->modified, value_mark(entry->value, entry->size));
    (void)vigil_unpack_string(entry->value, entry->size, &text, &size);
    r->living += size < strlen(PLAIN) || strncmp(text, PLAIN, strlen(PLAIN)) != 0;
    return true;
}

static int list_own(struct actor *a, struct rest *ret_rest)
{
    char prefix[ACTOR_KEY_SIZE], pattern[ACTOR_KEY_SIZE + 2];
    uint64_t seq = 0;
    *ret_rest = (struct rest){0};
    snprintf(prefix, sizeof prefix, "e/%u/", a->number);
    snprintf(pattern, sizeof pattern, "%s*", prefix);
    uint64_t id = actor_asks(a, "list");
    history_end(&a->history);
    int err = vigil_list(a->v, prefix, true, 0, on_key, ret_rest, &seq);
    actor_told(a, 'L', id, err);
    history_u64(&a->history, seq);
    history_word(&a->history, pattern);
    history_u64(&a->history, ret_rest->count);
    history_u64(&a->history, ret_rest->digest);
    history_end(&a->history);
    return err;
}

static int wait_until_gone(struct actor *a)
{
    uint64_t deadline = history_now_us() + (uint64_t)GONE_SECONDS * 1000000;
    uint64_t head;
    struct rest rest = {0};
    if (!actor_final_head(a, deadline, &head)) {
        fprintf(stderr, "torture_actor: lives %u: no server to ask\n", a->number);
        return 1;
    }
    while (history_now_us() < deadline) {
        if (list_own(a, &rest) == VIGIL_OK && rest.living == 0)
            return 0;
        work_pause(a, PAUSE_MS);
    }
    fprintf(stderr, "torture_actor: lives %u: after %d s there are %llu keys that were to expire\n",
            a->number, GONE_SECONDS, (unsigned long long)rest.living);
    return 1;
}

static void close_all(struct actor *a, struct keeper *k)
{
    (void)close_lease(a, &k->held[0]);
    (void)close_lease(a, &k->held[1]);
}

int actor_lives(struct actor *a)
{
    static struct keeper k;
    if (!actor_connect(a))
        return 0;
    while (!actor_stopping) {
        int err = step(a, &k);
        if (work_is_wrong(a, err))
            return 1;
        if ((err == VIGIL_DISCONNECTED || err == VIGIL_TIMEOUT) && actor_draw(a, 3) == 0) {
            close_all(a, &k);
            if (!actor_connect(a))
                break;
        }
        work_pause(a, PAUSE_MS);
    }
    close_all(a, &k);
    return wait_until_gone(a);
}
