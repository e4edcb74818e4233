/* serving.c - see reading.h: through a vigild and libvigil. */
#define _GNU_SOURCE

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vigil.h>

#include "protocol/record.h"
#include "tests/damage/reading.h"
#include "tests/support/server_process.h"

enum { WHAT_SIZE = 256, CALL_MS = 4000 };

struct serving {
    const struct truth *t;
    struct server_process server;
    vigil *v;
    bool typed;
    bool lost; /* the server has gone */
    uint64_t next_record;
    bool seen[TRUTH_KEYS];
    char *lie;
};

static void tell_lie(struct serving *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void tell_lie(struct serving *x, const char *format, ...)
{
    va_list arguments;
    if (x->lie[0])
        return;
    va_start(arguments, format);
    vsnprintf(x->lie, WHAT_SIZE, format, arguments);
    va_end(arguments);
}

/* An error has to say what it is about. */
static void take_error(struct serving *x, int err, const char *text, const char *name)
{
    if (err == VIGIL_DISCONNECTED || err == VIGIL_TIMEOUT)
        x->lost = true;
    else if (err != VIGIL_CORRUPT)
        tell_lie(x, "%s: %s instead of CORRUPT (%s)", name, vigil_error_name(err), text);
    else if (!strstr(text, name) && !strstr(text, "cannot read the journal") &&
             !strstr(text, "records are missing")) /* none of it can be read */
        tell_lie(x, "the error does not name %s: %s", name, text);
    else
        x->typed = true;
}

static void check_entry(struct serving *x, const struct truth_key *k, const vigil_entry *e,
                        const char *how)
{
    const struct state_row *row = &k->row;
    bool present = row->modified != 0 && !row->deleted;
    if (e->present != present)
        tell_lie(x, "%s: key %s is %s", how, k->name, present ? "absent" : "present");
    else if (present && (e->modified != row->modified || e->created != row->created ||
                         e->version != row->version ||
                         !bytes_equal((struct bytes){e->value, e->size}, row->value)))
        tell_lie(x, "%s: key %s is of seq %llu, not %llu", how, k->name,
                 (unsigned long long)e->modified, (unsigned long long)row->modified);
}

static void get_all(struct serving *x)
{
    for (size_t i = 0; i < TRUTH_KEYS && !x->lost && !x->lie[0]; i++) {
        vigil_entry entry;
        int err = vigil_get(x->v, x->t->keys[i].name, &entry);
        if (err == VIGIL_OK)
            check_entry(x, &x->t->keys[i], &entry, "get");
        else
            take_error(x, err, vigil_failure_text(x->v), x->t->keys[i].name);
    }
}

static bool take_listed(void *context, const vigil_entry *e)
{
    struct serving *x = context;
    const struct truth_key *k =
        truth_find(x->t, (struct bytes){(const uint8_t *)e->key, strlen(e->key)});
    if (!k) {
        tell_lie(x, "list: a key that never was");
        return false;
    }
    x->seen[k - x->t->keys] = true;
    check_entry(x, k, e, "list");
    return true;
}

static void list_all(struct serving *x)
{
    uint64_t seq = 0;
    int err = vigil_list(x->v, "", true, CALL_MS, take_listed, x, &seq);
    if (err != VIGIL_OK) {
        if (!x->lie[0])
            take_error(x, err, vigil_failure_text(x->v), "");
        return;
    }
    for (size_t i = 0; i < TRUTH_KEYS; i++)
        if (!x->seen[i] && x->t->keys[i].row.modified && !x->t->keys[i].row.deleted)
            tell_lie(x, "list: key %s is absent", x->t->keys[i].name);
}

static bool is_change(const vigil_change *c, const struct change *kept)
{
    return (uint8_t)c->op == kept->op && c->prev_seq == kept->prev_seq &&
           bytes_equal((struct bytes){(const uint8_t *)c->key, strlen(c->key)}, kept->key) &&
           bytes_equal((struct bytes){c->value, c->value ? c->size : 0}, kept->value);
}

/* All changes, or of a history the key's one. */
static void check_record(struct serving *x, const vigil_record *r, bool whole)
{
    if (r->seq == 0 || r->seq > x->t->head) {
        tell_lie(x, "a record that never was: %llu", (unsigned long long)r->seq);
        return;
    }
    struct change_iterator kept = record_changes(truth_record(x->t, r->seq).data);
    struct change c;
    uint16_t same = 0;
    while (change_next(&kept, &c))
        if (same < r->count && is_change(&r->changes[same], &c))
            same++;
    if (same != r->count || (whole && r->count != r->parts) || r->time_us != r->seq * 1000)
        tell_lie(x, "record %llu is altered", (unsigned long long)r->seq);
}

static bool take_history(void *context, const vigil_record *r)
{
    check_record(context, r, false);
    return true;
}

static void read_histories(struct serving *x)
{
    for (size_t i = 0; i < TRUTH_KEYS && !x->lost && !x->lie[0]; i += 37) {
        bool complete = false;
        if (x->t->keys[i].row.modified < x->t->oldest || x->t->keys[i].row.deleted)
            continue;
        int err = vigil_history(x->v, x->t->keys[i].name, CALL_MS, take_history, x, &complete);
        if (err != VIGIL_OK && !x->lie[0])
            take_error(x, err, vigil_failure_text(x->v), "");
    }
}

/* From after on. Goes on behind damage, as a user would. */
static void watch_from(struct serving *x, uint64_t after)
{
    vigil_watch_options options = VIGIL_WATCH_OPTIONS_INIT;
    vigil_watch *w = NULL;
    char name[32];
    options.since = VIGIL_SINCE_POSITION;
    options.position.seq = after;
    int err = vigil_watch_open(x->v, &options, &w);
    while (err == VIGIL_OK && x->next_record <= x->t->head && !x->lie[0]) {
        const vigil_event *event = NULL;
        err = vigil_watch_next(w, CALL_MS, &event);
        if (err != VIGIL_OK)
            break;
        if (event->kind != VIGIL_EVENT_RECORD)
            continue;
        if (event->position.seq != x->next_record)
            tell_lie(x, "record %llu was skipped", (unsigned long long)x->next_record);
        check_record(x, &event->record, true);
        x->next_record++;
    }
    snprintf(name, sizeof name, "%llu", (unsigned long long)x->next_record);
    if (err != VIGIL_OK && !x->lie[0]) {
        take_error(x, err, vigil_failure_text(x->v), name);
        x->next_record++;
    }
    vigil_watch_close(w);
}

static void watch_all(struct serving *x)
{
    x->next_record = x->t->oldest;
    for (unsigned damaged = 0; damaged < 200 && !x->lost && !x->lie[0]; damaged++) {
        if (x->next_record > x->t->head)
            return;
        watch_from(x, x->next_record - 1);
    }
}

static enum outcome how_it_ended(struct serving *x, int status)
{
    char log[SERVER_LOG_SIZE];
    server_log(&x->server, log);
    bool said = strstr(log, " error ") || strstr(log, "vigil verify") || strstr(log, "Assertion");
    if (status == 99) {
        tell_lie(x, "the sanitizer: %s", log);
        return OUTCOME_SILENT;
    }
    if (status != 0 && !said) {
        tell_lie(x, "status %d, and no word of it: %.150s", status, log);
        return OUTCOME_SILENT;
    }
    return status > 128 ? OUTCOME_DIED : status != 0 ? OUTCOME_REFUSED : OUTCOME_UNHARMED;
}

static void read_everything(struct serving *x)
{
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = x->server.endpoints[0];
    options.request_timeout_ms = CALL_MS;
    options.connect_timeout_ms = CALL_MS;
    int err = vigil_open(&options, &x->v);
    if (err != VIGIL_OK) {
        x->lost = true;
        return;
    }
    get_all(x);
    if (!x->lost && !x->lie[0])
        list_all(x);
    read_histories(x);
    watch_all(x);
    vigil_close(x->v);
}

enum outcome read_through_server(const struct truth *t, const char *directory, const char *folder,
                                 const struct live *live, char *what)
{
    struct serving x = {.t = t, .lie = what};
    char endpoint[128];
    snprintf(endpoint, sizeof endpoint, "ipc://%s/s", folder);
    const char *arguments[] = {"--data", directory, "--listen", endpoint, NULL};
    what[0] = '\0';
    if (!server_start(&x.server, TEST_VIGILD, arguments))
        return how_it_ended(&x, x.server.exit_status);
    if (live && !live_damage(live))
        return OUTCOME_SILENT;
    read_everything(&x);
    if (x.lie[0]) {
        server_stop(&x.server, SIGKILL);
        return OUTCOME_LIE;
    }
    /* A journal that cannot be closed cleanly says so, and is served until then. */
    int status = server_stop(&x.server, SIGTERM);
    enum outcome end = how_it_ended(&x, status);
    if (end == OUTCOME_UNHARMED && x.lost) {
        tell_lie(&x, "the server did not answer");
        return OUTCOME_SILENT;
    }
    if (end != OUTCOME_UNHARMED)
        return end;
    return x.typed ? OUTCOME_TYPED : OUTCOME_UNHARMED;
}
