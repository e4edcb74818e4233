/* arguments.c - see arguments.h. */
#define _GNU_SOURCE
#include "bench/peers/arguments.h"
#include "bench/monotonic.h"
#include "bench/options.h"
#include "bench/payload.h"

#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const char options_text[] =
    "options:\n"
    "  --server ADDR      the server to measure\n"
    "  --server-pid PID   whose CPU time is the server's; several: again, or with commas\n"
    "  --clients N        connections, all driven by one thread (1)\n"
    "  --depth N          operations in flight on each (1)\n"
    "  --size BYTES       size of a value, at least 16 (100)\n"
    "  --keys N           distinct keys that are written, at random (10000)\n"
    "  --rate N           operations a second in all, timed from when each was due;\n"
    "                     0: as fast as acknowledgements come (0)\n"
    "  --watchers N       watchers of all that is written, in a process of their own (0)\n"
    "  --duration TIME    what is measured: 5s, 500ms (5s)\n"
    "  --warmup TIME      load before that (1s)\n"
    "  --replay           write --records, then measure how long new readers take for them\n"
    "  --records N        replay: how many; K and M count (100000)\n"
    "  --runs N           replay: readers, one after the other (5)\n"
    "  --no-write         replay: of records that are there already\n"
    "  --row NAME         goes into the result as it is\n"
    "  --help\n";

enum option_id {
    OPTION_SERVER = 1,
    OPTION_SERVER_PID,
    OPTION_CLIENTS,
    OPTION_DEPTH,
    OPTION_SIZE,
    OPTION_KEYS,
    OPTION_RATE,
    OPTION_WATCHERS,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_REPLAY,
    OPTION_RECORDS,
    OPTION_RUNS,
    OPTION_NO_WRITE,
    OPTION_ROW,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"server", required_argument, NULL, OPTION_SERVER},
    {"server-pid", required_argument, NULL, OPTION_SERVER_PID},
    {"clients", required_argument, NULL, OPTION_CLIENTS},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"keys", required_argument, NULL, OPTION_KEYS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"watchers", required_argument, NULL, OPTION_WATCHERS},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"replay", no_argument, NULL, OPTION_REPLAY},
    {"records", required_argument, NULL, OPTION_RECORDS},
    {"runs", required_argument, NULL, OPTION_RUNS},
    {"no-write", no_argument, NULL, OPTION_NO_WRITE},
    {"row", required_argument, NULL, OPTION_ROW},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

const struct peer_operation *arguments_operation(const char *name)
{
    for (size_t i = 0; i < peer_operation_count; i++) {
        if (!strcmp(peer_operations[i].name, name)) {
            return &peer_operations[i];
        }
    }
    return NULL;
}

static bool read_pids(const char *text, struct arguments *a)
{
    for (;;) {
        char number[16];
        size_t length = strcspn(text, ",");
        uint32_t pid = 0;
        if (length >= sizeof number || a->server_count >= PEER_SERVERS_MAX) {
            return false;
        }
        memcpy(number, text, length);
        number[length] = '\0';
        if (!options_count32(number, 1, INT_MAX, &pid)) {
            return false;
        }
        a->server_pids[a->server_count++] = (pid_t)pid;
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1;
    }
}

/* False: the argument is not one that the option takes. */
static bool set_option(struct arguments *a, enum option_id id, const char *text)
{
    switch (id) {
    case OPTION_SERVER:
        a->peer.address = text;
        return true;
    case OPTION_SERVER_PID:
        return read_pids(text, a);
    case OPTION_CLIENTS:
        return options_count32(text, 1, OPTIONS_CLIENTS_MAX, &a->peer.clients);
    case OPTION_DEPTH:
        return options_count32(text, 1, OPTIONS_DEPTH_MAX, &a->peer.depth);
    case OPTION_SIZE:
        return options_count32(text, PAYLOAD_SIZE_MIN, PAYLOAD_SIZE_MAX, &a->peer.size);
    case OPTION_KEYS:
        return options_count32(text, 1, PAYLOAD_KEYS_MAX / 2, &a->peer.keys);
    case OPTION_RATE:
        return options_rate(text, &a->rate);
    case OPTION_WATCHERS:
        return options_count32(text, 0, OPTIONS_WATCHERS_MAX, &a->peer.watchers);
    case OPTION_DURATION:
        return options_time(text, &a->duration_ns) && a->duration_ns > 0;
    case OPTION_WARMUP:
        return options_time(text, &a->warmup_ns);
    case OPTION_RECORDS:
        return options_count(text, 1, UINT64_C(1) << 40, &a->records);
    case OPTION_RUNS:
        return options_count32(text, 1, OPTIONS_RUNS_MAX, &a->runs);
    case OPTION_ROW:
        a->row = text;
        return true;
    case OPTION_REPLAY:
        a->replay = true;
        return true;
    case OPTION_NO_WRITE:
        a->no_write = true;
        return true;
    case OPTION_HELP:
        a->help = true;
        return true;
    }
    return false;
}

/* What fits together. */
static int check(const struct arguments *a, struct failure *failure)
{
    const struct peer_operation *operation = a->peer.operation;
    if (!a->peer.address) {
        return failure_set(failure, ERR_INVALID, "--server is missing");
    }
    if (a->peer.watchers > 0 && (a->replay || !operation->watchable)) {
        return failure_set(failure, ERR_INVALID, "nobody can watch %s%s", operation->name,
                           a->replay ? " --replay" : "");
    }
    if (a->replay && !operation->replayable) {
        return failure_set(failure, ERR_INVALID, "%s leaves nothing to replay", operation->name);
    }
    return ERR_OK;
}

int arguments_parse(int argc, char *argv[], struct arguments *ret_arguments,
                    struct failure *failure)
{
    struct arguments a = {
        .peer = {.clients = 1, .depth = 1, .size = 100, .keys = 10000},
        .records = 100000,
        .runs = 5,
        .duration_ns = 5 * NS_PER_S,
        .warmup_ns = NS_PER_S,
    };
    int index = 0;
    int id = 0;
    opterr = 0;
    while ((id = getopt_long(argc, argv, "h", long_options, &index)) != -1) {
        if (id == 'h') {
            a.help = true;
        } else if (id == '?') {
            return failure_set(failure, ERR_INVALID,
                               "%s: not an option, or its argument is missing", argv[optind - 1]);
        } else if (!set_option(&a, (enum option_id)id, optarg)) {
            return failure_set(failure, ERR_INVALID, "--%s does not take '%s'",
                               long_options[index].name, optarg);
        }
    }
    if (!a.help && optind + 1 != argc) {
        return failure_set(failure, ERR_INVALID, "one operation is expected");
    }
    if (!a.help) {
        a.peer.operation = arguments_operation(argv[optind]);
        if (!a.peer.operation) {
            return failure_set(failure, ERR_INVALID, "'%s' is not an operation of %s", argv[optind],
                               peer_name);
        }
        int err = check(&a, failure);
        if (err) {
            return err;
        }
    }
    *ret_arguments = a;
    return ERR_OK;
}

void arguments_print_help(FILE *out)
{
    const char *first = peer_operations[0].name;
    fprintf(
        out,
        "usage: vigil-peer-%s OPERATION --server ADDR [OPTION]...\n\n"
        "Puts load on a %s server that is running, and prints one JSON object: the same fields\n"
        "for each system that bench/compare.sh measures. ADDR: %s\n\noperations:\n",
        peer_name, peer_name, peer_address_help);
    for (size_t i = 0; i < peer_operation_count; i++) {
        fprintf(out, "  %-16s %s\n", peer_operations[i].name, peer_operations[i].summary);
    }
    fprintf(out, "\n%s\nexamples:\n", options_text);
    fprintf(out, "  vigil-peer-%s %s --server ADDR --clients 50 --depth 16 --watchers 1\n",
            peer_name, first);
    fprintf(out, "  vigil-peer-%s %s --server ADDR --rate 1000 --depth 64 --watchers 1\n",
            peer_name, first);
    for (size_t i = 0; i < peer_operation_count; i++) {
        if (peer_operations[i].replayable) {
            fprintf(out, "  vigil-peer-%s %s --server ADDR --replay --records 1M\n", peer_name,
                    peer_operations[i].name);
            break;
        }
    }
}
