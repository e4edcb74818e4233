#define _POSIX_C_SOURCE 200809L
/* plan.c - see plan.h. */
#include "tests/torture/plan.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/sample_bytes.h"
#include "tests/torture/control.h"

enum { READING_MS = 250 };

/* By the upper bits: the lower ones of near seeds are alike. */
static size_t below(struct sample *s, size_t bound)
{
    return (size_t)(sample_u64(s) >> 32) % bound;
}

const char *fault_name(enum fault fault)
{
    static const char *const names[FAULT_COUNT] = {"SIGKILL to the server",
                                                   "SIGTERM to the server",
                                                   "SIGSTOP to the server",
                                                   "SIGKILL to actor",
                                                   "SIGSTOP to actor",
                                                   "cut of proxy",
                                                   "stall of proxy",
                                                   "loss on proxy",
                                                   "full disk",
                                                   "clock step",
                                                   "slow syncs",
                                                   "reading of the journal"};
    return names[fault];
}

static void add_option(struct plan *p, const char *name, const char *value)
{
    snprintf(p->options[p->options_count++], PLAN_OPTION_SIZE, "--%s=%s", name, value);
}

/* So little is kept that watchers fall off the end of it, or nothing is ever removed. */
static void draw_retention(struct plan *p, struct sample *s)
{
    static const char *const limits[][2] = {{"retain-records", "1000"},
                                            {"retain-records", "20000"},
                                            {"retain-bytes", "400000"},
                                            {"retain-bytes", "4000000"},
                                            {"retain-age", "1s"}};
    if (below(s, 3) > 0)
        return;
    size_t limit = below(s, sizeof limits / sizeof *limits);
    add_option(p, limits[limit][0], limits[limit][1]);
    p->retains = true;
    p->pace_us = 1000u << below(s, 4);
}

static void draw_options(struct plan *p, struct sample *s)
{
    static const char *const queues[] = {"1", "4", "64", "1024"};
    static const char *const checkpoints[] = {"50", "1000", "200000"};
    add_option(p, "stream-queue", queues[below(s, 4)]);
    add_option(p, "checkpoint-records", checkpoints[below(s, 3)]);
    add_option(p, "durability", below(s, 3) == 0 ? "process" : "power");
    if (below(s, 5) == 0)
        add_option(p, "session-idle", "1s"); /* while its client is stopped or cut off */
    if (below(s, 5) == 0)
        add_option(p, "max-sessions", "2"); /* the other clients have to do without */
    draw_retention(p, s);
    if (below(s, 3) > 0)
        return;
    p->holds = below(s, 2) == 0;
    add_option(p, "cursor-hold-records", p->holds ? "1000000000" : "2000");
}

static enum plan_transport draw_transport(struct sample *s)
{
    return below(s, 2) == 0 ? PLAN_IPC : PLAN_TCP;
}

static void add_actor(struct plan *p, struct sample *s, const char *role, unsigned number)
{
    assert(p->actors_count < PLAN_ACTORS_MAX);
    struct plan_actor *a = &p->actors[p->actors_count++];
    a->role = role;
    a->number = number;
    a->proxy = (int)below(s, PLAN_PROXIES + 1) - 1;
    a->transport = draw_transport(s);
    a->seed = sample_u64(s);
}

static void draw_actors(struct plan *p, struct sample *s)
{
    unsigned mutators = 2 + (unsigned)below(s, 3);
    unsigned watchers = 4 + (unsigned)below(s, 4);
    unsigned first_filter = (unsigned)below(s, ACTOR_FILTERS);
    for (unsigned i = 0; i < PLAN_PROXIES; i++)
        p->proxies[i] = (struct plan_proxy){draw_transport(s), draw_transport(s)};
    for (unsigned i = 0; i < mutators; i++)
        add_actor(p, s, "mutate", i);
    for (unsigned i = 0; i < PLAN_TELLERS; i++)
        add_actor(p, s, "teller", i);
    for (unsigned i = 0; i < 2; i++)
        add_actor(p, s, "dict", i);
    for (unsigned i = 0; i < 2; i++)
        add_actor(p, s, "lives", i);
    add_actor(p, s, "watch", 0); /* of everything */
    add_actor(p, s, "watch", ACCOUNT_FILTER);
    for (unsigned i = 0; i < watchers; i++)
        add_actor(p, s, "watch", first_filter + i * 3 + 1);
    add_actor(p, s, "mirror", (unsigned)below(s, ACTOR_FILTERS));
    add_actor(p, s, "mirror", 0);
    add_actor(p, s, "mirror", ACCOUNT_FILTER);
    add_actor(p, s, "wait", 0);
    add_actor(p, s, "wait", 1);
    add_actor(p, s, "compact", 0);
    unsigned cursors = 1 + (unsigned)below(s, CONTROL_CURSORS);
    for (unsigned i = 0; i < cursors; i++) { /* each of them shared by two */
        add_actor(p, s, "cursor", i);
        add_actor(p, s, "cursor", CONTROL_CURSORS + i);
    }
    if (below(s, 3) > 0)
        add_actor(p, s, "backup", 0);
    p->exposed_count = p->actors_count;
    if (p->retains) { /* sees what is removed before it is read */
        add_actor(p, s, "watch", ACTOR_FILTERS);
        p->actors[p->actors_count - 1].proxy = -1;
    }
}

static struct plan_step *add_step(struct plan *p, uint32_t at_ms, enum fault fault)
{
    assert(p->steps_count < PLAN_STEPS_MAX);
    struct plan_step *step = &p->steps[p->steps_count++];
    *step = (struct plan_step){.at_ms = at_ms, .fault = fault};
    return step;
}

static void add_end(struct plan *p, const struct plan_step *begin, uint32_t lasts_ms)
{
    struct plan_step end = *begin;
    end.at_ms += lasts_ms;
    end.ends = true;
    p->steps[p->steps_count++] = end;
}

static void draw_network(struct plan_step *step, struct sample *s)
{
    static const enum proxy_socket sockets[] = {PROXY_ALL, PROXY_ALL, PROXY_REQUESTS, PROXY_STREAM,
                                                PROXY_REPLAY};
    enum proxy_mode mode = step->fault == FAULT_LOSE ? PROXY_LOSE : PROXY_STALL;
    size_t direction = below(s, 3);
    step->target = (unsigned)below(s, PLAN_PROXIES);
    step->sockets = sockets[below(s, 5)];
    if (step->fault == FAULT_CUT)
        return;
    step->to_server = direction != 1 ? mode : PROXY_PASS;
    step->to_client = direction != 0 ? mode : PROXY_PASS;
    step->cut = step->fault == FAULT_LOSE || below(s, 2) == 0;
}

static void draw_fault(struct plan *p, struct sample *s, uint32_t at_ms, bool *disk_done)
{
    static const enum fault faults[] = {FAULT_KILL_SERVER, FAULT_KILL_SERVER, FAULT_KILL_SERVER,
                                        FAULT_END_SERVER,  FAULT_STOP_SERVER, FAULT_KILL_ACTOR,
                                        FAULT_KILL_ACTOR,  FAULT_STOP_ACTOR,  FAULT_STOP_ACTOR,
                                        FAULT_CUT,         FAULT_CUT,         FAULT_STALL,
                                        FAULT_STALL,       FAULT_LOSE,        FAULT_LOSE,
                                        FAULT_FULL_DISK,   FAULT_CLOCK_STEP,  FAULT_SLOW_SYNC};
    enum fault fault = faults[below(s, sizeof faults / sizeof *faults)];
    uint32_t lasts_ms = 50 + (uint32_t)below(s, below(s, 4) == 0 ? 4000 : 1000);
    if (fault == FAULT_FULL_DISK && *disk_done)
        fault = FAULT_KILL_SERVER;
    struct plan_step *step = add_step(p, at_ms, fault);
    switch (fault) {
    case FAULT_KILL_ACTOR:
    case FAULT_STOP_ACTOR:
        step->target = (unsigned)below(s, p->exposed_count);
        break;
    case FAULT_CUT:
    case FAULT_STALL:
    case FAULT_LOSE:
        draw_network(step, s);
        break;
    case FAULT_FULL_DISK:
        *disk_done = true;
        lasts_ms += 1500;
        break;
    case FAULT_CLOCK_STEP:
        step->amount_us = ((int64_t)below(s, 7200) - 3600) * 1000000;
        break;
    case FAULT_SLOW_SYNC:
        step->amount_us = (int64_t)1000 << below(s, 8);
        break;
    default:
        break;
    }
    if (fault == FAULT_STOP_SERVER || fault == FAULT_STOP_ACTOR || fault == FAULT_STALL ||
        fault == FAULT_LOSE || fault == FAULT_FULL_DISK || fault == FAULT_SLOW_SYNC)
        add_end(p, step, lasts_ms);
}

static int compare_steps(const void *left, const void *right)
{
    const struct plan_step *a = left;
    const struct plan_step *b = right;
    if (a->at_ms != b->at_ms)
        return a->at_ms < b->at_ms ? -1 : 1;
    return (int)a->ends - (int)b->ends;
}

static void draw_steps(struct plan *p, struct sample *s, uint32_t duration_ms, bool kills_only)
{
    bool disk_done = false;
    for (uint32_t at_ms = 200; at_ms < duration_ms && p->steps_count + 2 < PLAN_STEPS_MAX;) {
        if (kills_only)
            add_step(p, at_ms, FAULT_KILL_SERVER);
        else
            draw_fault(p, s, at_ms, &disk_done);
        at_ms += 50 + (uint32_t)below(s, kills_only ? 100 : 700);
    }
    for (uint32_t at_ms = 100; p->retains && at_ms < duration_ms && p->steps_count < PLAN_STEPS_MAX;
         at_ms += READING_MS)
        add_step(p, at_ms, FAULT_READING);
}

void plan_draw(struct plan *p, uint64_t seed, uint32_t duration_ms, bool kills_only)
{
    struct sample s = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    *p = (struct plan){0};
    for (int i = 0; i < 8; i++)
        (void)sample_u64(&s); /* near seeds begin alike */
    if (kills_only) {
        add_option(p, "checkpoint-records", "500");
        for (unsigned i = 0; i < 8; i++) {
            add_actor(p, &s, "increment", i);
            p->actors[i].proxy = -1;
        }
        p->exposed_count = p->actors_count;
    } else {
        draw_options(p, &s);
        draw_actors(p, &s);
    }
    draw_steps(p, &s, duration_ms, kills_only);
    qsort(p->steps, p->steps_count, sizeof *p->steps, compare_steps);
}

static void print_step(const struct plan_step *s, FILE *out)
{
    static const char *const modes[] = {"pass", "stall", "lose"};
    fprintf(out, "  %5u ms %s%s %u", s->at_ms, s->ends ? "end of " : "", fault_name(s->fault),
            s->target);
    if (s->fault == FAULT_CUT)
        fprintf(out, ", sockets %d", (int)s->sockets);
    if (s->fault == FAULT_STALL || s->fault == FAULT_LOSE)
        fprintf(out, ", sockets %d, to server %s, to client %s%s", (int)s->sockets,
                modes[s->to_server], modes[s->to_client], s->cut ? ", cut" : "");
    if (s->amount_us)
        fprintf(out, ", %" PRId64 " us", s->amount_us);
    fprintf(out, "\n");
}

void plan_print(const struct plan *p, FILE *out)
{
    static const char *const transports[] = {"ipc", "tcp"};
    fprintf(out, "  vigild");
    for (unsigned i = 0; i < p->options_count; i++)
        fprintf(out, " %s", p->options[i]);
    fprintf(out, "\n");
    for (unsigned i = 0; i < PLAN_PROXIES; i++)
        fprintf(out, "  proxy %u: %s to %s\n", i, transports[p->proxies[i].front],
                transports[p->proxies[i].back]);
    for (unsigned i = 0; i < p->actors_count; i++) {
        const struct plan_actor *a = &p->actors[i];
        fprintf(out, "  actor %u: %s %u, ", i, a->role, a->number);
        if (a->proxy < 0)
            fprintf(out, "direct by %s\n", transports[a->transport]);
        else
            fprintf(out, "proxy %d\n", a->proxy);
    }
    for (unsigned i = 0; i < p->steps_count; i++)
        print_step(&p->steps[i], out);
}
