#define _GNU_SOURCE
/*
 * torture.c - rounds of faults (round.h) until the time is over or something is found. The first round has
 * the seed that was given, each further one the next number.
 */
#include "tests/torture/round.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/cast.h"
#include "tests/torture/history.h"

enum { ROUND_MS = 12000, KILL_MS = 100 };

static const char usage[] =
    "usage: torture --vigild FILE --actor FILE --preload FILE [--seconds N] [--rounds N] [--seed S]\n"
    "               [--round-seconds N] [--kills N] [--no-doubt] [--keep] [--verbose]\n";

static const struct option names[] = {
    {"vigild", required_argument, NULL, 'v'},  {"actor", required_argument, NULL, 'a'},
    {"preload", required_argument, NULL, 'p'}, {"seconds", required_argument, NULL, 's'},
    {"rounds", required_argument, NULL, 'r'},  {"seed", required_argument, NULL, 'S'},
    {"kills", required_argument, NULL, 'k'},   {"round-seconds", required_argument, NULL, 'R'},
    {"no-doubt", no_argument, NULL, 'd'},      {"keep", no_argument, NULL, 'K'},
    {"verbose", no_argument, NULL, 'V'},       {NULL, 0, NULL, 0}};

static void on_interrupt(int signal)
{
    (void)signal;
    torture_interrupted = 1;
}

struct arguments {
    struct round_options round;
    uint64_t seconds, rounds, seed, kills;
};

static bool read_number(const char *text, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    *ret_number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *text != '-';
}

static bool read_arguments(int argc, char **argv, struct arguments *a)
{
    uint64_t number = 0;
    bool ok = true;
    for (int option; ok && (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (option) {
        case 'v':
            a->round.vigild = optarg;
            break;
        case 'a':
            a->round.actor = optarg;
            break;
        case 'p':
            a->round.preload = optarg;
            break;
        case 's':
            ok = read_number(optarg, &a->seconds);
            break;
        case 'r':
            ok = read_number(optarg, &a->rounds);
            break;
        case 'S':
            ok = read_number(optarg, &a->seed);
            break;
        case 'k':
            ok = read_number(optarg, &a->kills) && a->kills > 0 && a->kills <= 250;
            break;
        case 'R':
            ok = read_number(optarg, &number) && number > 0 && number <= 600;
            a->round.duration_ms = (uint32_t)number * 1000;
            break;
        case 'd':
            a->round.no_doubt = true;
            break;
        case 'K':
            a->round.keep = true;
            break;
        case 'V':
            a->round.verbose = true;
            break;
        default:
            ok = false;
            break;
        }
    }
    return ok && optind == argc && a->round.vigild && a->round.actor && a->round.preload;
}

int main(int argc, char **argv)
{
    struct arguments a = {.round = {.duration_ms = ROUND_MS}, .seconds = 60, .seed = 1};
    if (!read_arguments(argc, argv, &a)) {
        fputs(usage, stderr);
        return 2;
    }
    if (a.kills > 0) {
        a.round.kills_only = true;
        a.round.duration_ms = (uint32_t)a.kills * KILL_MS;
        a.rounds = 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    uint64_t end = history_now_us() + a.seconds * 1000000;
    static struct summary sum;
    printf("torture: seed %llu\n", (unsigned long long)a.seed);
    for (uint64_t i = 0; a.rounds ? i < a.rounds : i == 0 || history_now_us() < end; i++) {
        unsigned long long seed = a.seed + i;
        printf("round %llu, seed %llu\n", (unsigned long long)i + 1, seed);
        bool passed = round_run(&a.round, seed, &sum);
        if (torture_interrupted)
            return 130;
        if (!passed) {
            printf("torture: FAILED. Again: scripts/torture.sh --seed %llu --%s %llu%s\n", seed,
                   a.kills ? "kills" : "rounds", a.kills ? (unsigned long long)a.kills : 1ULL,
                   a.round.no_doubt ? " --no-doubt" : "");
            return 1;
        }
    }
    summary_print(&sum);
    printf("torture: passed\n");
    return 0;
}
