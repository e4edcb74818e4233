/*
 * main.c - vigil-bench: how fast Vigil is on this machine, beside what its parts
 * allow there. Picks the command, starts the server, prints the report.
 */
#define _GNU_SOURCE
#include "bench/child.h"
#include "bench/commands.h"
#include "bench/interrupt.h"
#include "bench/monotonic.h"
#include "bench/roles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, EXIT_UNREACHABLE = 6 };

/* A light load, whose latency is that of an idle server. */
static void set_watch_defaults(struct options *o)
{
    o->rate = 1000;
    o->depth = 64;
    o->runs = 2;
}

/* Watchers that keep up on any machine. */
static void set_grown_defaults(struct options *o)
{
    set_watch_defaults(o);
    o->rate = 20;
    o->watchers = 1000;
    o->runs = 5;
    o->keys = 100000;
    o->records = 10000000;
}

static void set_beside_defaults(struct options *o)
{
    set_watch_defaults(o);
    o->watchers = 10;
    o->runs = 5;
    o->records = 5000000;
}

/* As many in flight as 50 clients with 64 each, in fewer messages: the load shares the cores. */
static void set_half_defaults(struct options *o)
{
    set_watch_defaults(o);
    o->clients = 4;
    o->depth = 800;
}

static void set_wait_defaults(struct options *o)
{
    o->rate = 200;
    o->depth = 64;
}

/* All plans one after another, see command_atomic.c. */
static void set_atomic_defaults(struct options *o)
{
    o->clients = 0;
    o->keys = 0;
    o->durability = NULL;
    o->duration_ns = 2 * NS_PER_S;
}

static void set_check_defaults(struct options *o)
{
    o->duration_ns = 2 * NS_PER_S;
}

static void set_yardstick_defaults(struct options *o)
{
    o->clients = 50;
    o->depth = 64;
    o->duration_ns = 10 * NS_PER_S;
}

static const struct command commands[] = {
    {"put", "writes of random keys", NULL, true, command_put},
    {"get", "reads of random keys", NULL, true, command_get},
    {"atomic", "additions to counters, in four ways", set_atomic_defaults, true, command_atomic},
    {"watch", "from when a write is due until its watchers hold it", set_watch_defaults, true,
     command_watch},
    {"wait", "from when a write is due until vigil_wait returns", set_wait_defaults, true,
     command_wait},
    {"replay", "a new watcher reads the whole journal", NULL, true, command_replay},
    {"restart", "from the server's start until it is ready", NULL, true, command_restart},
    {"grown", "a start, and memory, with many records", set_grown_defaults, true, command_grown},
    {"beside", "what watchers feel of one stopped and one replaying", set_beside_defaults, true,
     command_beside},
    {"half", "set to delivery at half of the peak rate", set_half_defaults, true, command_half},
    {"check", "a few ratios against those of a baseline", set_check_defaults, false, command_check},
    {"yardstick", "the bare parts: ZeroMQ, LMDB, fdatasync", set_yardstick_defaults, false,
     command_yardstick},
};

static const struct {
    const char *name;
    int (*run)(int count, char *const arguments[]);
} roles[] = {
    {"echo", role_echo},         {"subscribers", role_subscribers}, {"opener", role_opener},
    {"watchers", role_watchers}, {"waiters", role_waiters},         {"replayer", role_replayer},
    {"burner", role_burner},
};

static void print_help(FILE *out)
{
    fputs("usage: vigil-bench COMMAND [OPTION]... [-- ARGUMENT-OF-VIGILD...]\n\n"
          "Measures a server of its own, in a folder that is removed afterwards, and the bare\n"
          "parts on the same machine in the same run.\n\ncommands:\n",
          out);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(out, "\noptions:\n%s", options_help);
    fputs("\nexamples:\n"
          "  vigil-bench put --clients 50 --depth 64\n"
          "  vigil-bench put --rate 2000 --durability process\n"
          "  vigil-bench atomic --clients 64 --keys 1 --durability process\n"
          "  vigil-bench watch --watchers 1000 --distinct\n"
          "  vigil-bench restart --records 5M --json\n"
          "  vigil-bench check --write before.json\n"
          "  vigil-bench check --baseline before.json --only 'put process'\n"
          "  vigil-bench put -- --retain-records 100000\n",
          out);
}

static int run_role(int count, char *const arguments[])
{
    for (size_t i = 0; count > 0 && i < sizeof roles / sizeof roles[0]; i++) {
        if (!strcmp(roles[i].name, arguments[0])) {
            return roles[i].run(count - 1, arguments + 1);
        }
    }
    return EXIT_USAGE;
}

static int run_command(const struct command *command, const struct options *options)
{
    struct failure failure = {0};
    struct bench b = {.options = options, .server = SERVER_INIT, .report = report_new()};
    int err;
    interrupt_install();
    if (command->needs_server) {
        err = server_start(&b.server, options, &failure);
    } else {
        err = run_folder_make(options, b.server.folder, sizeof b.server.folder, &failure);
    }
    if (!err) {
        report_setting(&b);
        err = command->run(&b, &failure);
    }
    server_end(&b.server);
    if (err) {
        fprintf(stderr, "vigil-bench: %s\n", failure.text);
    } else {
        report_print(b.report, options->json);
    }
    report_free(b.report);
    return err == ERR_OK             ? (b.is_worse ? EXIT_FAILURE : EXIT_SUCCESS)
           : err == ERR_INVALID      ? EXIT_USAGE
           : err == ERR_DISCONNECTED ? EXIT_UNREACHABLE
                                     : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    child_raise_descriptor_limit();
    if (argc > 1 && !strcmp(argv[1], "role")) {
        return run_role(argc - 2, argv + 2);
    }
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("vigil-bench %s\n", VIGIL_VERSION_TEXT);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(commands[i].name, argv[1])) {
            continue;
        }
        struct options options = options_default;
        struct failure failure = {0};
        bool help = false;
        options.command = commands[i].name;
        if (commands[i].set_defaults) {
            commands[i].set_defaults(&options);
        }
        if (options_parse(argc - 2, argv + 2, &options, &help, &failure)) {
            fprintf(stderr, "vigil-bench: %s (see vigil-bench --help)\n", failure.text);
            return EXIT_USAGE;
        }
        if (help) {
            print_help(stdout);
            return EXIT_SUCCESS;
        }
        return run_command(&commands[i], &options);
    }
    fprintf(stderr, "vigil-bench: '%s' is not a command (see vigil-bench --help)\n", argv[1]);
    return EXIT_USAGE;
}
