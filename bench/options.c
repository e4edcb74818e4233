/* options.c - see options.h. */
#define _GNU_SOURCE
#include "bench/options.h"
#include "bench/monotonic.h"
#include "bench/payload.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const struct options options_default = {
    .durability = "power",
    .transport = "ipc",
    .clients = 1,
    .depth = 1,
    .threads = 1,
    .size = 100,
    .keys = 10000,
    .watchers = 1,
    .runs = 5,
    .records = 100000,
    .duration_ns = 5 * NS_PER_S,
    .warmup_ns = NS_PER_S / 2,
    .margin = 0.2,
    .yardstick = true,
};

const char options_help[] =
    "  --clients N      connections that put load on the server\n"
    "  --depth N        requests in flight on each connection\n"
    "  --threads N      threads of the load, which share the connections (1)\n"
    "  --size BYTES     size of a value, at least 16 (100)\n"
    "  --keys N         distinct keys that are written or read (10000)\n"
    "  --rate N         operations a second in all, timed from when each was due;\n"
    "                   0: as fast as replies come\n"
    "  --watchers N     watchers, or waiters, in a process of their own\n"
    "  --way WAY        atomic: incr, call, atomically or update (all)\n"
    "  --distinct       watch: each watcher has a key of its own, and one is written\n"
    "  --rounds         watch: a round of puts at a time, as the bare PUB's messages go out\n"
    "  --records N      replay, restart, grown, beside: records written first; K and M count\n"
    "  --runs N         repetitions (5); watch --distinct: pairs of loads (2)\n"
    "  --kill           restart: end the server with SIGKILL before each start\n"
    "  --baseline FILE  check: the ratios to compare with (bench/baseline.json)\n"
    "  --margin PERCENT check: how much less than the baseline is still good (20)\n"
    "  --only TEXT      check: the rows that have this in their names\n"
    "  --write FILE     check: measure each row --runs times and store a new baseline\n"
    "  --duration TIME  what is measured: 5s, 500ms (5s)\n"
    "  --warmup TIME    load before that (500ms)\n"
    "  --durability M   power: synced before acknowledged; process: in the background\n"
    "  --transport T    ipc or tcp, of the own server and the yardstick (ipc)\n"
    "  --server ADDR    use this server instead of an own one\n"
    "  --data DIR       where the own server's folder is made (TMPDIR, else /var/tmp)\n"
    "  --no-yardstick   do not measure the bare parts before and after\n"
    "  --json           one JSON object instead of lines\n"
    "  --help\n";

enum option_id {
    OPTION_CLIENTS = 1,
    OPTION_DEPTH,
    OPTION_THREADS,
    OPTION_SIZE,
    OPTION_KEYS,
    OPTION_RATE,
    OPTION_WATCHERS,
    OPTION_WAY,
    OPTION_DISTINCT,
    OPTION_ROUNDS,
    OPTION_RECORDS,
    OPTION_RUNS,
    OPTION_KILL,
    OPTION_BASELINE,
    OPTION_MARGIN,
    OPTION_ONLY,
    OPTION_WRITE,
    OPTION_DURATION,
    OPTION_WARMUP,
    OPTION_DURABILITY,
    OPTION_TRANSPORT,
    OPTION_SERVER,
    OPTION_DATA,
    OPTION_NO_YARDSTICK,
    OPTION_JSON,
    OPTION_HELP
};

static const struct option long_options[] = {
    {"clients", required_argument, NULL, OPTION_CLIENTS},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"threads", required_argument, NULL, OPTION_THREADS},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"keys", required_argument, NULL, OPTION_KEYS},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"watchers", required_argument, NULL, OPTION_WATCHERS},
    {"way", required_argument, NULL, OPTION_WAY},
    {"distinct", no_argument, NULL, OPTION_DISTINCT},
    {"rounds", no_argument, NULL, OPTION_ROUNDS},
    {"records", required_argument, NULL, OPTION_RECORDS},
    {"runs", required_argument, NULL, OPTION_RUNS},
    {"kill", no_argument, NULL, OPTION_KILL},
    {"baseline", required_argument, NULL, OPTION_BASELINE},
    {"margin", required_argument, NULL, OPTION_MARGIN},
    {"only", required_argument, NULL, OPTION_ONLY},
    {"write", required_argument, NULL, OPTION_WRITE},
    {"duration", required_argument, NULL, OPTION_DURATION},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"durability", required_argument, NULL, OPTION_DURABILITY},
    {"transport", required_argument, NULL, OPTION_TRANSPORT},
    {"server", required_argument, NULL, OPTION_SERVER},
    {"data", required_argument, NULL, OPTION_DATA},
    {"no-yardstick", no_argument, NULL, OPTION_NO_YARDSTICK},
    {"json", no_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, OPTION_HELP},
    {0},
};

/* Numbers start with one: no sign, no space, no name such as inf. */
static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool options_count(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    unsigned long long unit = 1;
    if (*end == 'K' || *end == 'k') {
        unit = 1000;
        end++;
    } else if (*end == 'M') {
        unit = 1000000;
        end++;
    }
    if (!is_digit(text[0]) || errno || *end || number > max / unit || number * unit < min) {
        return false;
    }
    *ret = number * unit;
    return true;
}

bool options_count32(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
    uint64_t number = 0;
    if (!options_count(text, min, max, &number)) {
        return false;
    }
    *ret = (uint32_t)number;
    return true;
}

bool options_time(const char *text, uint64_t *ret_ns)
{
    char *end = NULL;
    double number = strtod(text, &end);
    double unit = !strcmp(end, "ms") ? 1e6 : !strcmp(end, "s") ? 1e9 : !strcmp(end, "m") ? 60e9 : 0;
    if (!is_digit(text[0]) || unit == 0 || number * unit > 86400e9) {
        return false;
    }
    *ret_ns = (uint64_t)(number * unit);
    return true;
}

bool options_rate(const char *text, double *ret)
{
    char *end = NULL;
    double rate = strtod(text, &end);
    if (!is_digit(text[0]) || *end || rate > 1e8) {
        return false;
    }
    *ret = rate;
    return true;
}

/* "20" or "20%"; a ratio that is 100 % less is none. */
static bool parse_percent(const char *text, double *ret)
{
    char *end = NULL;
    double percent = strtod(text, &end);
    if (!is_digit(text[0]) || strcmp(end, *end == '%' ? "%" : "") || percent >= 100) {
        return false;
    }
    *ret = percent / 100;
    return true;
}

static bool parse_choice(const char *text, const char *a, const char *b, const char **ret)
{
    if (strcmp(text, a) && strcmp(text, b)) {
        return false;
    }
    *ret = text;
    return true;
}

/* False: the argument is not one that the option takes. */
static bool set_option(struct options *o, enum option_id id, const char *text)
{
    switch (id) {
    case OPTION_CLIENTS:
        return options_count32(text, 1, OPTIONS_CLIENTS_MAX, &o->clients);
    case OPTION_DEPTH:
        return options_count32(text, 1, OPTIONS_DEPTH_MAX, &o->depth);
    case OPTION_THREADS:
        return options_count32(text, 1, OPTIONS_THREADS_MAX, &o->threads);
    case OPTION_SIZE:
        return options_count32(text, PAYLOAD_SIZE_MIN, PAYLOAD_SIZE_MAX, &o->size);
    case OPTION_KEYS:
        return options_count32(text, 1, PAYLOAD_KEYS_MAX, &o->keys);
    case OPTION_RATE:
        return options_rate(text, &o->rate);
    case OPTION_WATCHERS:
        return options_count32(text, 0, OPTIONS_WATCHERS_MAX, &o->watchers);
    case OPTION_RECORDS:
        return options_count(text, 1, UINT64_C(1) << 40, &o->records);
    case OPTION_RUNS:
        return options_count32(text, 1, OPTIONS_RUNS_MAX, &o->runs);
    case OPTION_DURATION:
        return options_time(text, &o->duration_ns) && o->duration_ns > 0;
    case OPTION_WARMUP:
        return options_time(text, &o->warmup_ns);
    case OPTION_DURABILITY:
        return parse_choice(text, "power", "process", &o->durability);
    case OPTION_TRANSPORT:
        return parse_choice(text, "ipc", "tcp", &o->transport);
    case OPTION_SERVER:
        o->server = text;
        return true;
    case OPTION_DATA:
        o->data = text;
        return true;
    case OPTION_WAY:
        return parse_choice(text, "incr", "call", &o->way) ||
               parse_choice(text, "atomically", "update", &o->way);
    case OPTION_BASELINE:
        o->baseline = text;
        return true;
    case OPTION_MARGIN:
        return parse_percent(text, &o->margin);
    case OPTION_ONLY:
        o->only = text;
        return true;
    case OPTION_WRITE:
        o->write = text;
        return true;
    case OPTION_DISTINCT:
        o->distinct = true;
        return true;
    case OPTION_ROUNDS:
        o->rounds = true;
        return true;
    case OPTION_KILL:
        o->kill = true;
        return true;
    case OPTION_NO_YARDSTICK:
        o->yardstick = false;
        return true;
    case OPTION_JSON:
        o->json = true;
        return true;
    case OPTION_HELP:
        return true;
    }
    return false;
}

int options_parse(int count, char *const arguments[], struct options *options, bool *ret_help,
                  struct failure *failure)
{
    /* getopt wants a name at [0]: the command's own. */
    char *const *all = arguments - 1;
    bool help = false;
    int index = 0;
    int id = 0;
    optind = 1;
    opterr = 0;
    while ((id = getopt_long(count + 1, all, "+h", long_options, &index)) != -1) {
        if (id == 'h' || id == OPTION_HELP) {
            help = true;
        } else if (id == '?') {
            return failure_set(failure, ERR_INVALID,
                               "%s: not an option, or its argument is missing", all[optind - 1]);
        } else if (!set_option(options, (enum option_id)id, optarg)) {
            return failure_set(failure, ERR_INVALID, "--%s does not take '%s'",
                               long_options[index].name, optarg);
        }
    }
    bool passes_arguments = optind <= count && optind > 0 && !strcmp(all[optind - 1], "--");
    if (optind <= count && !passes_arguments) {
        return failure_set(failure, ERR_INVALID, "'%s' is not expected here", all[optind]);
    }
    options->server_arguments = all + optind;
    if (options->clients > 0 && options->threads > options->clients) {
        options->threads = options->clients;
    }
    *ret_help = help;
    return ERR_OK;
}
