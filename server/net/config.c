#define _GNU_SOURCE
/*
 * config.c - see config.h. The table `options` is the one place that knows an
 * option: its name, its help, where its value goes and which values it may have.
 */
#include "server/net/config.h"

#include "server/net/quantity.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum option_kind {
    OPTION_COUNT32,
    OPTION_COUNT64,
    OPTION_SIZE32,
    OPTION_SIZE64,
    OPTION_DURATION_MS,
    OPTION_DURATION_US,
    OPTION_FLAG,
    OPTION_SPECIAL /* by its setter */
};

struct option_row {
    const char *name;
    const char *argument; /* NULL: a flag */
    const char *help;
    int group; /* of --help */
    enum option_kind kind;
    size_t offset;
    uint64_t minimum;
    uint64_t maximum; /* 0: none */
    int (*set)(struct config *c, const char *value, struct failure *failure);
};

static int set_listen(struct config *c, const char *value, struct failure *failure)
{
    if (c->listen_count == CONFIG_LISTEN_MAX)
        return failure_set(failure, ERR_INVALID, "more than %d endpoints to listen on",
                           CONFIG_LISTEN_MAX);
    int err = endpoint_parse(value, &c->listen[c->listen_count], failure);
    if (err == ERR_OK)
        c->listen_count++;
    return err;
}

static int set_data(struct config *c, const char *value, struct failure *failure)
{
    size_t size = strlen(value);
    if (size == 0 || size >= sizeof c->data)
        return failure_set(failure, ERR_INVALID, "the data folder's path is empty or too long");
    memcpy(c->data, value, size + 1);
    return ERR_OK;
}

static int set_restore(struct config *c, const char *value, struct failure *failure)
{
    size_t size = strlen(value);
    if (size == 0 || size >= sizeof c->restore)
        return failure_set(failure, ERR_INVALID, "the backup's path is empty or too long");
    memcpy(c->restore, value, size + 1);
    return ERR_OK;
}

static int set_durability(struct config *c, const char *value, struct failure *failure)
{
    if (strcmp(value, "power") == 0)
        c->durability = JOURNAL_POWER;
    else if (strcmp(value, "process") == 0)
        c->durability = JOURNAL_PROCESS;
    else
        return failure_set(failure, ERR_INVALID, "durability is 'power' or 'process', not '%s'",
                           value);
    return ERR_OK;
}

static int set_log_level(struct config *c, const char *value, struct failure *failure)
{
    if (!log_level_parse(value, &c->log_level))
        return failure_set(failure, ERR_INVALID,
                           "log-level is error, warn, info or debug, not '%s'", value);
    return ERR_OK;
}

enum option_group { GROUP_SERVING = 1, GROUP_JOURNAL, GROUP_LIMITS, GROUP_CHECKPOINT };

static const struct argp_option group_titles[] = {
    {.doc = "Serving:", .group = GROUP_SERVING},
    {.doc = "The journal:", .group = GROUP_JOURNAL},
    {.doc = "Limits:", .group = GROUP_LIMITS},
    {.doc = "When changes go from memory into the state on disk (whichever comes first):",
     .group = GROUP_CHECKPOINT},
};
enum { TITLES_COUNT = sizeof group_titles / sizeof *group_titles };

#define AT(field) offsetof(struct config, field)

static const struct option_row options[] = {
    {"listen", "ENDPOINT",
     "Serve on this endpoint, ipc:///PATH or tcp://ADDRESS:PORT; may be repeated. Streams and "
     "replays follow from it: PATH.stream and PATH.replay, PORT+1 and PORT+2; port 0 picks three "
     "free ones. Default: ipc://$XDG_RUNTIME_DIR/vigil.sock, or ipc:///tmp/vigil-UID/vigil.sock",
     GROUP_SERVING, OPTION_SPECIAL, 0, 0, 0, set_listen},
    {"allow-remote", NULL,
     "Let tcp endpoints be reached from other machines. There is no authentication yet: whoever "
     "reaches the port may do everything",
     GROUP_SERVING, OPTION_FLAG, AT(allow_remote), 0, 0, NULL},
    {"data", "DIR",
     "The journal's folder; made if it is not there. Default: $XDG_STATE_HOME/vigil, or "
     "~/.local/state/vigil",
     GROUP_SERVING, OPTION_SPECIAL, 0, 0, 0, set_data},
    {"restore", "FILE",
     "Begin with what this backup holds (vigil backup; - is standard input). The folder must be "
     "empty or not there. The journal gets a new epoch: watchers with older positions are told",
     GROUP_JOURNAL, OPTION_SPECIAL, 0, 0, 0, set_restore},
    {"durability", "MODE",
     "power (default): a mutation is on stable storage before it is acknowledged; process: it "
     "survives a killed server, and a power loss only as far as the last sync in the background",
     GROUP_JOURNAL, OPTION_SPECIAL, 0, 0, 0, set_durability},
    {"sync-interval", "DUR", "Mode process: how often to sync in the background (default 1s)",
     GROUP_JOURNAL, OPTION_DURATION_MS, AT(sync_interval_ms), 1, 86400000, NULL},
    {"retain-records", "N", "Remove the oldest records beyond the newest N (default 0: never)",
     GROUP_JOURNAL, OPTION_COUNT64, AT(retention.records), 0, 0, NULL},
    {"retain-bytes", "SIZE",
     "Remove the oldest records beyond the newest SIZE (default 10G; 0: never)", GROUP_JOURNAL,
     OPTION_SIZE64, AT(retention.bytes), 0, 0, NULL},
    {"retain-age", "DUR", "Remove records older than this (default 0: never)", GROUP_JOURNAL,
     OPTION_DURATION_US, AT(retention.age_us), 0, 0, NULL},
    {"cursor-hold-records", "N",
     "Keep what a named cursor has not seen, beyond what else is retained, up to N records; then it "
     "is removed all the same, and logged (default 0: cursors are not waited for)",
     GROUP_JOURNAL, OPTION_COUNT64, AT(cursor_hold.records), 0, 0, NULL},
    {"cursor-hold-bytes", "SIZE",
     "The same, up to SIZE; of several the one that keeps least counts", GROUP_JOURNAL,
     OPTION_SIZE64, AT(cursor_hold.bytes), 0, 0, NULL},
    {"cursor-hold-age", "DUR", "The same, as long as it is no older than this", GROUP_JOURNAL,
     OPTION_DURATION_US, AT(cursor_hold.age_us), 0, 0, NULL},
    {"max-value", "SIZE", "Largest value (default 1M, at most 2M)", GROUP_LIMITS, OPTION_SIZE32,
     AT(limits.value_size_max), 1024, LIMIT_VALUE_SIZE_MAX, NULL},
    {"max-message", "SIZE", "Largest request message (default 4M, at most 64M)", GROUP_LIMITS,
     OPTION_SIZE32, AT(limits.message_size_max), 65536, LIMIT_MESSAGE_SIZE_MAX, NULL},
    {"max-connections", "N",
     "Connections to all three sockets; a client has up to two, and one for each watch (default "
     "16384; fewer where the limit of open files is lower)",
     GROUP_LIMITS, OPTION_COUNT32, AT(connections_max), 1, 10000000, NULL},
    {"max-streams", "N", "Different filters that are watched at once (default 100000)",
     GROUP_LIMITS, OPTION_COUNT32, AT(limits.streams_max), 1, 10000000, NULL},
    {"max-streams-per-peer", "N", "The same for one connection (default 10000)", GROUP_LIMITS,
     OPTION_COUNT32, AT(limits.streams_per_peer_max), 1, 10000000, NULL},
    {"max-peers", "N", "Connections that hold streams (default 50000)", GROUP_LIMITS,
     OPTION_COUNT32, AT(limits.peers_max), 1, 10000000, NULL},
    {"max-sessions", "N", "Sessions of clients that repeat mutations safely (default 10000)",
     GROUP_LIMITS, OPTION_COUNT32, AT(limits.sessions_max), 1, 10000000, NULL},
    {"session-idle", "DUR",
     "Forget a session that was not used for so long (default 1h): what its client then repeats is "
     "OUTCOME_UNKNOWN",
     GROUP_LIMITS, OPTION_DURATION_MS, AT(limits.session_idle_ms), 1000, 31536000000, NULL},
    {"max-cursors", "N", "Named cursors of watchers (default 1024)", GROUP_LIMITS, OPTION_COUNT32,
     AT(limits.cursors_max), 1, 100000, NULL},
    {"function-steps", "N", "Steps of a function, about one an instruction (default 1000000)",
     GROUP_LIMITS, OPTION_COUNT64, AT(limits.function_steps), 1000, UINT64_C(1) << 62, NULL},
    {"function-time", "DUR",
     "Time of a function, while which nothing else is served (default 50ms); the functions of one "
     "message have at most twice that",
     GROUP_LIMITS, OPTION_DURATION_MS, AT(limits.function_ms), 1, 60000, NULL},
    {"function-memory", "SIZE", "Memory of a function (default 8M)", GROUP_LIMITS, OPTION_SIZE64,
     AT(limits.function_memory), 65536, UINT64_C(1) << 40, NULL},
    {"stream-queue", "N",
     "Messages that wait for one watcher before some are left out, which it then replays "
     "(default 1024)",
     GROUP_LIMITS, OPTION_COUNT32, AT(stream_queue), 1, 1000000, NULL},
    {"checkpoint-records", "N", "After this many records (default 300000)", GROUP_CHECKPOINT,
     OPTION_COUNT64, AT(limits.checkpoint_records), 1, 0, NULL},
    {"checkpoint-keys", "N", "After this many changed keys (default 131072)", GROUP_CHECKPOINT,
     OPTION_COUNT32, AT(limits.checkpoint_keys), 1, 0, NULL},
    {"checkpoint-bytes", "SIZE", "After this many bytes of changed keys and values (default 32M)",
     GROUP_CHECKPOINT, OPTION_SIZE64, AT(limits.checkpoint_bytes), 4096, 0, NULL},
    {"log-level", "LEVEL", "error, warn, info (default) or debug; the log goes to stderr",
     GROUP_SERVING, OPTION_SPECIAL, 0, 0, 0, set_log_level},
};
enum { OPTIONS_COUNT = sizeof options / sizeof *options, OPTION_KEY_FIRST = 256 };
enum { OPTION_KEY_CONFIG = OPTION_KEY_FIRST + OPTIONS_COUNT };

static int set_flag(bool *field, const char *name, const char *value, struct failure *failure)
{
    if (!value || strcmp(value, "yes") == 0 || strcmp(value, "true") == 0)
        *field = true;
    else if (strcmp(value, "no") == 0 || strcmp(value, "false") == 0)
        *field = false;
    else
        return failure_set(failure, ERR_INVALID, "%s is 'yes' or 'no', not '%s'", name, value);
    return ERR_OK;
}

static bool parse_number(const struct option_row *row, const char *value, uint64_t *ret_number)
{
    switch (row->kind) {
    case OPTION_SIZE32:
    case OPTION_SIZE64:
        return quantity_parse_size(value, ret_number);
    case OPTION_DURATION_MS:
    case OPTION_DURATION_US:
        return quantity_parse_duration(value, ret_number);
    case OPTION_COUNT32:
    case OPTION_COUNT64:
    case OPTION_FLAG:
    case OPTION_SPECIAL:
        break;
    }
    return quantity_parse_count(value, ret_number);
}

static const char *number_form(enum option_kind kind)
{
    if (kind == OPTION_SIZE32 || kind == OPTION_SIZE64)
        return "a size such as 64K, 10M or 2G";
    if (kind == OPTION_DURATION_MS || kind == OPTION_DURATION_US)
        return "a duration such as 500ms, 30s, 12h or 7d";
    return "a number";
}

static int set_number(struct config *c, const struct option_row *row, const char *value,
                      struct failure *failure)
{
    bool is_32 = row->kind == OPTION_COUNT32 || row->kind == OPTION_SIZE32;
    uint64_t maximum = row->maximum ? row->maximum : is_32 ? UINT32_MAX : UINT64_MAX;
    uint64_t scale = row->kind == OPTION_DURATION_US ? 1000 : 1;
    uint64_t number = 0;

    if (!parse_number(row, value, &number))
        return failure_set(failure, ERR_INVALID, "%s is %s, not '%s'", row->name,
                           number_form(row->kind), value);
    if (number < row->minimum || number > maximum || number > UINT64_MAX / scale)
        return failure_set(failure, ERR_INVALID, "%s %s is out of range (%llu to %llu)", row->name,
                           value, (unsigned long long)row->minimum,
                           (unsigned long long)(maximum / scale));
    number *= scale;
    char *field = (char *)c + row->offset;
    uint32_t number_32 = (uint32_t)number;
    if (is_32)
        memcpy(field, &number_32, sizeof number_32);
    else
        memcpy(field, &number, sizeof number);
    return ERR_OK;
}

static int set_option(struct config *c, const struct option_row *row, const char *value,
                      struct failure *failure)
{
    if (row->kind == OPTION_SPECIAL)
        return row->set(c, value, failure);
    if (row->kind == OPTION_FLAG)
        return set_flag((bool *)((char *)c + row->offset), row->name, value, failure);
    return set_number(c, row, value, failure);
}

/* ---- the file ---- */

static char *trim(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r\n", text[size - 1]))
        text[--size] = '\0';
    return text;
}

static int set_line(struct config *c, char *line, struct failure *failure)
{
    char *name = trim(line);
    if (*name == '\0' || *name == '#')
        return ERR_OK;
    char *equals = strchr(name, '=');
    if (!equals)
        return failure_set(failure, ERR_INVALID, "'%s' is not of the form 'key = value'", name);
    *equals = '\0';
    char *value = trim(equals + 1);
    name = trim(name);
    for (size_t i = 0; i < OPTIONS_COUNT; i++) {
        if (strcmp(options[i].name, name) == 0)
            return set_option(c, &options[i], value, failure);
    }
    return failure_set(failure, ERR_INVALID, "there is no option '%s' (see vigild --help)", name);
}

static int load_file(struct config *c, const char *path, struct failure *failure)
{
    enum { LINE_SIZE = CONFIG_PATH_SIZE + 64 };
    char line[LINE_SIZE];
    int err = ERR_OK;
    FILE *file = fopen(path, "re");
    if (!file)
        return failure_set(failure, ERR_IO, "cannot read the configuration file %s: %s", path,
                           strerror(errno));
    for (unsigned number = 1; err == ERR_OK && fgets(line, sizeof line, file); number++) {
        struct failure cause = {0};
        if (!strchr(line, '\n') && !feof(file))
            err = failure_set(&cause, ERR_INVALID, "the line is too long");
        else
            err = set_line(c, line, &cause);
        if (err != ERR_OK)
            failure_set(failure, err, "%s:%u: %.400s", path, number, cause.text);
    }
    if (err == ERR_OK && ferror(file))
        err = failure_set(failure, ERR_IO, "cannot read the configuration file %s: %s", path,
                          strerror(errno));
    fclose(file);
    return err;
}

/* ---- the command line ---- */

struct given {
    const struct option_row *row;
    const char *value;
};

struct arguments {
    const char *file;
    struct given *given; /* in the order of the command line */
    size_t given_count;
};

static error_t take_argument(int key, char *value, struct argp_state *state)
{
    struct arguments *a = state->input;
    if (key == OPTION_KEY_CONFIG) {
        a->file = value;
        return 0;
    }
    if (key >= OPTION_KEY_FIRST && key < OPTION_KEY_CONFIG) {
        a->given[a->given_count++] = (struct given){&options[key - OPTION_KEY_FIRST], value};
        return 0;
    }
    if (key == ARGP_KEY_ARG)
        argp_error(state, "there is nothing to do with '%s'", value);
    return ARGP_ERR_UNKNOWN;
}

static const char help_text[] =
    "A state store that processes share, and a stream of every change that it goes through."
    "\v"
    "Sizes take K, M, G, T; durations ms, s, m, h, d. Every option can stand in the file of "
    "--config as 'key = value', one a line, # begins a comment line; flags take yes or no; the "
    "command line wins.\n"
    "\n"
    "When it is ready to serve, vigild prints one line on stdout: ready ENDPOINT [ENDPOINT...]. "
    "SIGTERM and SIGINT stop it cleanly.\n"
    "\n"
    "Examples:\n"
    "  vigild\n"
    "  vigild --data ./journal --listen ipc://./vigil.sock\n"
    "  vigild --listen tcp://127.0.0.1:7878 --durability process --retain-age 7d\n"
    "  vigild --config /etc/vigil.conf --log-level debug\n"
    "  vigild --data ./restored --restore monday.vigil\n";

static void parse_arguments(int argc, char **argv, struct arguments *a)
{
    struct argp_option list[OPTIONS_COUNT + TITLES_COUNT + 2] = {0};
    for (int i = 0; i < OPTIONS_COUNT; i++) {
        list[i].name = options[i].name;
        list[i].key = OPTION_KEY_FIRST + i;
        list[i].arg = options[i].argument;
        list[i].doc = options[i].help;
        list[i].group = options[i].group;
    }
    for (size_t i = 0; i < TITLES_COUNT; i++)
        list[OPTIONS_COUNT + 1 + i] = group_titles[i];
    list[OPTIONS_COUNT] = (struct argp_option){.name = "config",
                                               .key = OPTION_KEY_CONFIG,
                                               .arg = "FILE",
                                               .doc = "Read options from this file",
                                               .group = GROUP_SERVING};
    struct argp argp = {.options = list, .parser = take_argument, .doc = help_text};
    argp_err_exit_status = 2;
    argp_program_version = "vigild " VIGIL_VERSION_TEXT;
    argp_parse(&argp, argc, argv, 0, NULL, a);
}

/* ---- the whole ---- */

static int default_data(struct config *c, struct failure *failure)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    int size = -1;
    if (state && state[0] == '/')
        size = snprintf(c->data, sizeof c->data, "%s/vigil", state);
    else if (home && home[0] == '/')
        size = snprintf(c->data, sizeof c->data, "%s/.local/state/vigil", home);
    if (size < 0 || (size_t)size >= sizeof c->data)
        return failure_set(failure, ERR_INVALID,
                           "no default folder for the journal (HOME is not set): give --data DIR");
    c->data_default = true;
    return ERR_OK;
}

static int complete(struct config *c, struct failure *failure)
{
    if (c->listen_count == 0) {
        char text[ENDPOINT_SIZE];
        c->listen_in_tmp = endpoint_default(getenv("XDG_RUNTIME_DIR"), getuid(), text);
        int err = set_listen(c, text, failure);
        if (err != ERR_OK)
            return err;
    }
    for (size_t i = 0; i < c->listen_count; i++) {
        char text[ENDPOINT_SIZE];
        endpoint_format(&c->listen[i], text);
        if (!endpoint_is_local(&c->listen[i]) && !c->allow_remote)
            return failure_set(failure, ERR_INVALID,
                               "%s can be reached from other machines, and there is no "
                               "authentication yet: whoever reaches it may do everything. Listen "
                               "on 127.0.0.1, or say --allow-remote where the network is trusted",
                               text);
        for (size_t k = 0; k < i; k++) {
            char other[ENDPOINT_SIZE];
            endpoint_format(&c->listen[k], other);
            if (strcmp(text, other) == 0 &&
                (c->listen[i].kind == ENDPOINT_IPC || c->listen[i].port != 0))
                return failure_set(failure, ERR_INVALID, "%s is given twice", text);
        }
    }
    /* A put of the largest value has to fit a message. */
    if (c->limits.message_size_max < c->limits.value_size_max + LIMIT_KEY_SIZE + 4096u)
        return failure_set(failure, ERR_INVALID,
                           "max-message (%u) has no room for a value of max-value (%u)",
                           c->limits.message_size_max, c->limits.value_size_max);
    return c->data[0] == '\0' ? default_data(c, failure) : ERR_OK;
}

static int apply_arguments(struct config *c, const struct arguments *a, struct failure *failure)
{
    bool listens = false;
    for (size_t i = 0; i < a->given_count; i++) {
        const struct given *given = &a->given[i];
        if (given->row->set == set_listen && !listens) {
            listens = true; /* instead of what the file says, not besides */
            c->listen_count = 0;
        }
        int err = set_option(c, given->row, given->value, failure);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

int config_load(int argc, char **argv, struct config *ret_config, struct failure *failure)
{
    struct config c = {
        .durability = JOURNAL_POWER,
        .sync_interval_ms = 1000,
        .retention = {.bytes = UINT64_C(10) << 30},
        .limits = {.value_size_max = LIMIT_VALUE_SIZE,
                   .message_size_max = LIMIT_MESSAGE_SIZE,
                   .checkpoint_keys = 131072,
                   .checkpoint_bytes = UINT64_C(32) << 20,
                   .checkpoint_records = 300000},
        .stream_queue = LIMIT_STREAM_QUEUE,
        .connections_max = LIMIT_CONNECTIONS,
        .log_level = LOG_LEVEL_INFO,
    };
    struct arguments a = {0};
    a.given = calloc((size_t)argc + 1, sizeof *a.given);
    if (!a.given)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    parse_arguments(argc, argv, &a);
    int err = a.file ? load_file(&c, a.file, failure) : ERR_OK;
    if (err == ERR_OK)
        err = apply_arguments(&c, &a, failure);
    if (err == ERR_OK)
        err = complete(&c, failure);
    if (err == ERR_OK)
        *ret_config = c;
    free(a.given);
    return err;
}
