#define _GNU_SOURCE
/* actor_main.c - torture_actor ROLE ENDPOINT HISTORY SEED NUMBER; and what the roles share. */
#include "tests/torture/actor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

volatile sig_atomic_t actor_stopping;

static void on_signal(int signal)
{
    (void)signal;
    actor_stopping = 1;
}

size_t actor_draw(struct actor *a, size_t bound)
{
    return sample_below(&a->random, bound);
}

bool actor_connect(struct actor *a)
{
    static const int timeouts[] = {300, 1000, 3000};
    vigil_close(a->v);
    a->v = NULL;
    while (!actor_stopping) {
        vigil_options options = {.endpoint = a->endpoint,
                                 .connect_timeout_ms = 1000,
                                 .request_timeout_ms =
                                     a->is_patient ? 60000 : timeouts[actor_draw(a, 3)],
                                 .client_name = "torture",
                                 .no_session = !a->is_patient && actor_draw(a, 5) == 0};
        if (vigil_open(&options, &a->v) == VIGIL_OK)
            return true;
        a->v = NULL;
    }
    return false;
}

void actor_key(struct actor *a, char out[ACTOR_KEY_SIZE])
{
    static const struct {
        const char *prefix;
        size_t count;
    } groups[] = {{"a/", 8}, {"a/", 8}, {"b/", 40}, {"deep/x/y/", 4}, {"\xc3\xbc/", 4}, {"p/", 4}};
    size_t group = actor_draw(a, sizeof groups / sizeof *groups);
    snprintf(out, ACTOR_KEY_SIZE, "%s%zu", groups[group].prefix,
             actor_draw(a, groups[group].count));
}

size_t actor_filter(unsigned number, const char *patterns[16])
{
    static const char *const filters[][17] = {
        {"*", NULL},
        {"a/*", NULL},
        {"a/3", NULL},
        {"b/1*", NULL},
        {"deep/x/y/1", "n/0", "\xc3\xbc/*", NULL},
        {"nothing/*", NULL},
        {"b/0", "b/1", "b/10", "b/11", "b/12", "b/13", "b/14", "b/15", "b/2", "b/3", "b/4", "b/5",
         "b/6", "b/7", "b/8", "b/9", NULL},
        {"n/*", NULL},
        {"a/1", "a/2", "deep/*", NULL},
        {"p/*", NULL},
        {"a/*", "a/3", "b/2", "b/2", NULL}, /* covered, and twice */
        {"a/0", "b/*", "deep/x/y/*", "n/*", "p/1", NULL},
        {"account/*", NULL}, /* ACCOUNT_FILTER */
        {"q/*", "l/1", "e/*", NULL},
        {"account/*", "slip/*", "e/*", NULL},
    };
    _Static_assert(sizeof filters / sizeof *filters == ACTOR_FILTERS, "one for each number");
    const char *const *filter = filters[number % ACTOR_FILTERS];
    size_t count = 0;
    for (; filter[count]; count++)
        patterns[count] = filter[count];
    return count;
}

uint64_t actor_asks(struct actor *a, const char *kind)
{
    uint64_t id = a->next_id++;
    history_begin(&a->history, 'O');
    history_u64(&a->history, id);
    history_u64(&a->history, history_now_us());
    history_word(&a->history, kind);
    return id;
}

void actor_told(struct actor *a, char kind, uint64_t id, int error)
{
    history_begin(&a->history, kind);
    history_u64(&a->history, id);
    history_u64(&a->history, history_now_us());
    history_u64(&a->history, (uint64_t)error);
}

bool actor_final_head(struct actor *a, uint64_t deadline_us, uint64_t *ret_head)
{
    while (history_now_us() < deadline_us) {
        vigil_info info;
        if (!a->v) {
            vigil_options options = {.endpoint = a->endpoint, .connect_timeout_ms = 1000};
            if (vigil_open(&options, &a->v) != VIGIL_OK)
                a->v = NULL;
        } else if (vigil_ping(a->v) == VIGIL_OK) {
            vigil_get_info(a->v, &info);
            *ret_head = info.head;
            return true;
        }
    }
    return false;
}

static int run(struct actor *a, const char *role)
{
    static const struct {
        const char *name;
        int (*run)(struct actor *a);
    } roles[] = {
        {"mutate", actor_mutate},   {"watch", actor_watch},     {"mirror", actor_mirror},
        {"wait", actor_wait},       {"compact", actor_compact}, {"increment", actor_increment},
        {"fill", actor_fill},       {"cursor", actor_cursor},   {"backup", actor_backup},
        {"inspect", actor_inspect}, {"teller", actor_teller},   {"dict", actor_dict},
        {"lives", actor_lives}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(roles[i].name, role) == 0)
            return roles[i].run(a);
    }
    return 2;
}

int main(int argc, char **argv)
{
    static struct actor a;
    if (argc != 6) {
        fputs("usage: torture_actor ROLE ENDPOINT HISTORY SEED NUMBER\n", stderr);
        return 2;
    }
    /* SIGTERM is blocked until here by the driver, so that none is missed. */
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaction(SIGTERM, &action, NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);

    a.endpoint = argv[2];
    a.history_path = argv[3];
    a.random.state = strtoull(argv[4], NULL, 10) | 1;
    a.number = (unsigned)strtoul(argv[5], NULL, 10);
    a.next_id = history_now_us() * 10000000;
    a.control = control_map(getenv(CONTROL_VARIABLE));
    if (!a.control || !history_open(&a.history, a.history_path))
        return 70;
    history_begin(&a.history, 'P');
    history_u64(&a.history, history_now_us());
    history_end(&a.history);
    int status = run(&a, argv[1]);
    vigil_close(a.v);
    history_close(&a.history);
    return status;
}
