#define _GNU_SOURCE
/* client_script.c - see client_script.h. */
#include "tests/sweep/client_script_parts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/backup_file.h"
#include "protocol/errors.h"

enum {
    CONNECT_MS = 2000,
    CALL_MS_MAX = 15000, /* far more than any timeout here */
    LARGE_SIZE = 200 * 1024,
    PIPELINE_PUTS = 5,
    BACKUP_SIZE_MAX = 4 << 20,
    RECEIVES_MAX = 64,
};

int64_t script_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int script_checked(struct client_script *s, const char *what, int err, int64_t started_ms)
{
    int64_t took_ms = script_now_ms() - started_ms;
    if (took_ms > CALL_MS_MAX)
        WRONG(s, "%s took %lld ms", what, (long long)took_ms);
    if (err < VIGIL_OK || err > VIGIL_CURSOR_TAKEN)
        WRONG(s, "%s returned %d", what, err);
    if (err != VIGIL_OK && vigil_failure_text(s->v)[0] == '\0')
        WRONG(s, "%s says nothing about %s", what, vigil_error_name(err));
    /* A server whose own calls fail may say so; a library has no business with these. */
    if (!s->is_over && (err == VIGIL_INTERNAL || err == VIGIL_CORRUPT || err == VIGIL_MALFORMED))
        WRONG(s, "%s: %s: %s", what, vigil_error_name(err), vigil_failure_text(s->v));
    s->refusals += err != VIGIL_OK && err != VIGIL_TIMEOUT && err != VIGIL_CONFLICT;
    return err;
}

bool script_is_over(struct client_script *s)
{
    return !s->v || (s->is_over && s->is_over(s));
}

const char *script_key(const struct client_script *s, const char *name, char out[SCRIPT_KEY_SIZE])
{
    snprintf(out, SCRIPT_KEY_SIZE, "%s%s", s->prefix, name);
    return out;
}

static void acknowledge(struct client_script *s, const char *key, uint64_t seq)
{
    if (s->acknowledged_count == SCRIPT_ACKNOWLEDGED_MAX)
        return;
    struct acknowledged *a = &s->acknowledged[s->acknowledged_count++];
    *a = (struct acknowledged){.seq = seq};
    snprintf(a->key, sizeof a->key, "%s", key);
}

static size_t integer(int64_t n, uint8_t out[16])
{
    return vigil_pack_int(out, 16, n);
}

/* ---- mutations and reads ---- */

void script_put(struct client_script *s, const char *name, int64_t n)
{
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    vigil_result result = {0};
    script_key(s, name, key);
    if (CALL(s, vigil_put, key, value, integer(n, value), NULL, &result) != VIGIL_OK ||
        s->acknowledged_count == SCRIPT_ACKNOWLEDGED_MAX)
        return;
    acknowledge(s, key, result.seq);
    struct acknowledged *a = &s->acknowledged[s->acknowledged_count - 1];
    a->is_put = true;
    a->n = n;
}

static void increment(struct client_script *s)
{
    char key[SCRIPT_KEY_SIZE];
    int64_t n = 0;
    vigil_result result = {0};
    script_key(s, "n", key);
    s->increments_attempted++;
    if (CALL(s, vigil_incr, key, 1, &n, NULL, NULL, &result) != VIGIL_OK)
        return;
    s->increments++;
    acknowledge(s, key, result.seq);
    if (n < s->increments || n > s->increments_attempted)
        WRONG(s, "an increment gives %lld", (long long)n);
}

static void mutate(struct client_script *s)
{
    static uint8_t large[LARGE_SIZE];
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    vigil_result result = {0};
    vigil_condition absent = {.if_seq = true};
    script_put(s, "w/a", 1);
    script_put(s, "w/b", 1);
    increment(s);
    script_key(s, "gone", key);
    if (CALL(s, vigil_put, key, value, integer(1, value), &absent, NULL) == VIGIL_OK)
        (void)CALL(s, vigil_put, key, value, integer(2, value), &absent, &result);
    (void)CALL(s, vigil_delete, key, NULL, &result);
    size_t head = vigil_pack_binary(large, sizeof large, NULL, 0);
    large[0] = 0xc6; /* binary, 32 bits of size */
    head = 5;
    large[1] = 0;
    large[2] = (uint8_t)((sizeof large - head) >> 16);
    large[3] = (uint8_t)((sizeof large - head) >> 8);
    large[4] = (uint8_t)(sizeof large - head);
    script_key(s, "large", key);
    if (CALL(s, vigil_put, key, large, sizeof large, NULL, &result) == VIGIL_OK)
        acknowledge(s, key, result.seq);
}

bool script_count_entry(void *context, const vigil_entry *entry)
{
    size_t *count = context;
    *count += entry->present;
    return true;
}

static bool count_record(void *context, const vigil_record *record)
{
    size_t *count = context;
    *count += record->count;
    return true;
}

static void read_back(struct client_script *s)
{
    char names[3][SCRIPT_KEY_SIZE];
    const char *keys[3] = {script_key(s, "w/a", names[0]), script_key(s, "large", names[1]),
                           script_key(s, "none", names[2])};
    vigil_entry entries[3];
    const void *map = NULL;
    size_t size = 0;
    size_t count = 0;
    bool complete = false;
    (void)script_checked(s, "vigil_ping", vigil_ping(s->v), script_now_ms());
    (void)CALL(s, vigil_status, &map, &size);
    int err = CALL(s, vigil_get, keys[1], &entries[0]);
    if (err == VIGIL_OK && entries[0].present && entries[0].size != LARGE_SIZE)
        WRONG(s, "the large value has %zu bytes", entries[0].size);
    err = CALL(s, vigil_get_many, keys, 3, entries);
    if (err == VIGIL_OK && entries[2].present)
        WRONG(s, "a key is there that never was");
    err = CALL(s, vigil_list, s->prefix, true, 0, script_count_entry, &count, NULL);
    if (err == VIGIL_OK && s->refusals == 0 && count < 4)
        WRONG(s, "the list has %zu keys", count);
    count = 0;
    err = CALL(s, vigil_history, keys[0], 0, count_record, &count, &complete);
    if (err == VIGIL_OK && s->refusals == 0 && count < 1)
        WRONG(s, "the history is empty");
}

/* ---- transactions and the pipeline ---- */

static int fill_txn(const struct client_script *s, vigil_txn *t)
{
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    size_t size = integer(2, value);
    (void)vigil_txn_if_exists(t, script_key(s, "none", key), false);
    (void)vigil_txn_if_seq(t, script_key(s, "none", key), VIGIL_EQUAL, 0);
    (void)vigil_txn_if_version(t, script_key(s, "w/a", key), VIGIL_LESS, 1000);
    (void)vigil_txn_if_value(t, script_key(s, "w/a", key), VIGIL_NOT_EQUAL, value, size);
    (void)vigil_txn_put(t, script_key(s, "w/b", key), value, size);
    (void)vigil_txn_delete(t, script_key(s, "gone", key));
    (void)vigil_txn_incr(t, script_key(s, "t", key), 1);
    int err = vigil_txn_get(t, script_key(s, "w/a", key));
    vigil_txn_otherwise(t);
    (void)vigil_txn_put(t, script_key(s, "w/a", key), value, size);
    return err;
}

static void transact(struct client_script *s)
{
    char key[SCRIPT_KEY_SIZE];
    vigil_txn *t = NULL;
    const vigil_txn_result *results = NULL;
    uint64_t seq = 0;
    size_t count = 0;
    bool succeeded = false;
    if (vigil_txn_new(&t) != VIGIL_OK)
        return;
    (void)fill_txn(s, t);
    int err = CALL(s, vigil_txn_commit, t, &succeeded, &seq, &results, &count);
    if (err == VIGIL_OK && count != (succeeded ? 4u : 1u))
        WRONG(s, "a transaction has %zu results", count);
    if (err == VIGIL_OK)
        acknowledge(s, script_key(s, succeeded ? "w/b" : "w/a", key), seq);
    vigil_txn_clear(t);
    vigil_txn_free(t);
}

static void send_all(struct client_script *s, uint64_t *ret_sent, int64_t *ret_increments)
{
    char key[SCRIPT_KEY_SIZE];
    uint8_t value[16];
    vigil_txn *t = NULL;
    uint64_t sent = 0;
    for (int i = 0; i < PIPELINE_PUTS; i++)
        sent += CALL(s, vigil_send_put, script_key(s, "w/a", key), value, integer(i, value), NULL,
                     NULL) == VIGIL_OK;
    for (int i = 0; i < 2; i++) {
        bool queued = CALL(s, vigil_send_incr, script_key(s, "n", key), 1, NULL) == VIGIL_OK;
        sent += queued;
        *ret_increments += queued;
    }
    vigil_stop_on_error(s->v, true);
    sent += CALL(s, vigil_send_delete, script_key(s, "none", key), NULL, NULL) == VIGIL_OK;
    sent += CALL(s, vigil_send_get, script_key(s, "w/a", key), NULL) == VIGIL_OK;
    vigil_stop_on_error(s->v, false);
    if (vigil_txn_new(&t) == VIGIL_OK && fill_txn(s, t) == VIGIL_OK)
        sent += CALL(s, vigil_send_txn, t, NULL) == VIGIL_OK;
    vigil_txn_free(t);
    *ret_sent = sent;
}

static void pipeline(struct client_script *s)
{
    uint64_t sent = 0;
    uint64_t received = 0;
    uint64_t last = 0;
    int64_t increments = 0;
    size_t before = vigil_pending(s->v);
    (void)vigil_fd(s->v);
    send_all(s, &sent, &increments);
    s->increments_attempted += increments;
    if (vigil_pending(s->v) != before + sent)
        WRONG(s, "%zu requests are under way, not %llu", vigil_pending(s->v),
              (unsigned long long)sent);
    (void)script_checked(s, "vigil_flush", vigil_flush(s->v), script_now_ms());
    for (int i = 0; i < RECEIVES_MAX && vigil_pending(s->v) > 0 && !script_is_over(s); i++) {
        vigil_completion c = {0};
        int64_t started_ms = script_now_ms();
        int err = vigil_receive(s->v, s->request_timeout_ms, &c);
        if (err != VIGIL_OK && err != VIGIL_DISCONNECTED) {
            (void)script_checked(s, "vigil_receive", err, started_ms);
            continue;
        }
        received++;
        if (c.id <= last)
            WRONG(s, "request %llu ends after %llu", (unsigned long long)c.id,
                  (unsigned long long)last);
        last = c.id;
    }
    if (vigil_pending(s->v) == 0 && received != before + sent)
        WRONG(s, "%llu requests were sent, %llu have ended", (unsigned long long)sent,
              (unsigned long long)received);
}

/* ---- backup ---- */

struct kept_backup {
    size_t size;
    size_t read;
    bool overflows;
    uint8_t data[BACKUP_SIZE_MAX];
};

static bool keep_backup(void *context, const void *data, size_t size)
{
    struct kept_backup *kept = context;
    kept->overflows = size > sizeof kept->data - kept->size;
    if (kept->overflows)
        return false;
    memcpy(kept->data + kept->size, data, size);
    kept->size += size;
    return true;
}

static int read_kept(void *context, uint8_t *out, size_t size, size_t *ret_size,
                     struct failure *failure)
{
    struct kept_backup *kept = context;
    size_t left = kept->size - kept->read;
    (void)failure;
    *ret_size = size < left ? size : left;
    memcpy(out, kept->data + kept->read, *ret_size);
    kept->read += *ret_size;
    return ERR_OK;
}

/* What is said to be a backup is one, with all that was acknowledged. */
static void back_up(struct client_script *s)
{
    static struct kept_backup kept;
    struct backup_reader reader = {.read = read_kept, .context = &kept, .name = "the backup"};
    struct backup_chunk chunk;
    struct failure failure = {0};
    vigil_backup_info info;
    uint64_t last = s->acknowledged_count ? s->acknowledged[s->acknowledged_count - 1].seq : 0;
    kept.size = 0;
    kept.read = 0;
    kept.overflows = false;
    int err = CALL(s, vigil_backup, false, keep_backup, &kept, &info);
    if (kept.overflows)
        WRONG(s, "the backup is too long for the script, which is to delete what is large");
    if (err != VIGIL_OK)
        return;
    if (info.bytes != kept.size || info.seq < last)
        WRONG(s, "a backup of %zu bytes is said to have %llu, up to %llu", kept.size,
              (unsigned long long)info.bytes, (unsigned long long)info.seq);
    err = backup_reader_open(&reader, &failure);
    while (err == ERR_OK)
        err = backup_reader_next(&reader, &chunk, &failure);
    if (err != ERR_NOT_FOUND && err != ERR_NO_MEMORY)
        WRONG(s, "a backup is not whole: %s", failure.text);
    backup_reader_free(&reader);
}

/* ---- the whole ---- */

static vigil *connect_to(struct client_script *s, bool no_session)
{
    vigil *v = NULL;
    vigil_options options = {.endpoint = s->endpoint,
                             .connect_timeout_ms = CONNECT_MS,
                             .request_timeout_ms = s->request_timeout_ms,
                             .client_name = "sweep",
                             .no_session = no_session};
    int64_t started_ms = script_now_ms();
    (void)script_checked(s, "vigil_open", vigil_open(&options, &v), started_ms);
    return v;
}

static void without_session(struct client_script *s)
{
    vigil *first = s->v;
    s->v = NULL;
    vigil *second = connect_to(s, true);
    s->v = second;
    if (second)
        script_put(s, "w/d", 1);
    s->v = first;
    vigil_close(second);
}

static void compact(struct client_script *s)
{
    uint64_t oldest = 0;
    if (s->acknowledged_count > 0)
        (void)CALL(s, vigil_compact, s->acknowledged[0].seq, s->request_timeout_ms, &oldest);
}

void client_script_run(struct client_script *s)
{
    static void (*const steps[])(struct client_script * s) = {script_open_live,
                                                              mutate,
                                                              read_back,
                                                              pipeline,
                                                              script_see_live,
                                                              transact,
                                                              compact,
                                                              back_up,
                                                              script_watch_again,
                                                              script_use_cursor,
                                                              script_delete_cursor,
                                                              script_wait_for,
                                                              script_mirror,
                                                              script_see_live,
                                                              increment,
                                                              without_session};
    s->good = true;
    snprintf(s->prefix, sizeof s->prefix, "%u/", s->sweep->number);
    s->v = connect_to(s, false);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && !script_is_over(s); i++)
        steps[i](s);
}

void client_script_close(struct client_script *s)
{
    vigil_watch_close(s->live.watch);
    vigil_close(s->v);
}
