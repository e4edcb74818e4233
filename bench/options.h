/*
 * options.h - the command line of vigil-bench.
 */
#ifndef VIGIL_BENCH_OPTIONS_H
#define VIGIL_BENCH_OPTIONS_H

#include "protocol/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OPTIONS_CLIENTS_MAX = 10000,
    OPTIONS_DEPTH_MAX = 65536,
    OPTIONS_THREADS_MAX = 64,
    OPTIONS_WATCHERS_MAX = 10000,
    OPTIONS_RUNS_MAX = 1000
};

struct options {
    const char *command;
    const char *server;     /* NULL: one of our own */
    const char *data;       /* folder for the folder of a run; NULL: TMPDIR, else /var/tmp */
    const char *durability; /* "power" or "process"; atomic: NULL for both */
    const char *transport;  /* "ipc" or "tcp" */
    const char *way;        /* of atomic; NULL: all */
    const char *baseline;   /* of check; NULL: bench/baseline.json */
    const char *write;      /* check: where a new baseline goes; NULL: none is made */
    const char *only;       /* check: part of a row's name; NULL: all */
    uint32_t clients;       /* atomic: 0 for 1, 8 and 64 */
    uint32_t depth;
    uint32_t threads;
    uint32_t size;
    uint32_t keys; /* atomic: 0 for 1 and 1000 */
    uint32_t watchers;
    uint32_t runs;
    uint64_t records;
    uint64_t duration_ns;
    uint64_t warmup_ns;
    double rate;   /* operations a second in all; 0: as fast as replies come */
    double margin; /* check: 0.2 is a fifth */
    bool distinct;
    bool rounds;
    bool kill;
    bool json;
    bool yardstick;
    char *const *server_arguments; /* what stood behind "--", ends with NULL */
};

/* What a command is without options; options_parse overrides it. */
extern const struct options options_default;

/* arguments: those behind the command's name. options comes filled with the command's defaults.
 * ERR_INVALID: failure says which option. *ret_help: --help was there. */
int options_parse(int count, char *const arguments[], struct options *options, bool *ret_help,
                  struct failure *failure);
/* The options as --help lists them. */
extern const char options_help[];

/* ---- the arguments of options; false: not one ---------------------------------- */

/* Digits with an optional K or M (thousands, as records are counted), within [min, max]. */
bool options_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
bool options_count32(const char *text, uint32_t min, uint32_t max, uint32_t *ret);
/* Up to a day; "2s", "500ms", "1m". */
bool options_time(const char *text, uint64_t *ret_ns);
bool options_rate(const char *text, double *ret);

#endif
