/*
 * main.c - vigil-peer-NAME: load on one system, measured as on every other. Each
 * is this file with the functions of peer.h for that system.
 */
#define _POSIX_C_SOURCE 200809L
#include "bench/child.h"
#include "bench/interrupt.h"
#include "bench/peers/arguments.h"
#include "bench/peers/measure.h"
#include "bench/peers/onlookers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, EXIT_UNREACHABLE = 6 };

int main(int argc, char **argv)
{
    child_raise_descriptor_limit();
    if (argc > 1 && !strcmp(argv[1], "role")) {
        return onlookers_role(argc - 2, argv + 2);
    }
    struct failure failure = {0};
    struct arguments arguments = {0};
    if (arguments_parse(argc, argv, &arguments, &failure)) {
        fprintf(stderr, "vigil-peer-%s: %s (see --help)\n", peer_name, failure.text);
        return EXIT_USAGE;
    }
    if (arguments.help) {
        arguments_print_help(stdout);
        return EXIT_SUCCESS;
    }
    interrupt_install();
    struct report *report = report_new();
    int err = arguments.replay ? measure_replay(&arguments, report, &failure)
                               : measure_load(&arguments, report, &failure);
    if (err) {
        fprintf(stderr, "vigil-peer-%s: %s\n", peer_name, failure.text);
    } else {
        report_print(report, true);
    }
    report_free(report);
    return err == ERR_OK             ? EXIT_SUCCESS
           : err == ERR_INVALID      ? EXIT_USAGE
           : err == ERR_DISCONNECTED ? EXIT_UNREACHABLE
                                     : EXIT_FAILURE;
}
