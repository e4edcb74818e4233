/*
 * config.h - what vigild is told: one table of options, read from the command
 * line and from a `key = value` file alike. The command line wins.
 */
#ifndef VIGIL_SERVER_NET_CONFIG_H
#define VIGIL_SERVER_NET_CONFIG_H

#include "journal/journal.h"
#include "protocol/endpoint.h"
#include "server/core/core.h"
#include "server/net/log.h"

enum { CONFIG_LISTEN_MAX = 8, CONFIG_PATH_SIZE = 4096 };

struct config {
    struct endpoint listen[CONFIG_LISTEN_MAX];
    size_t listen_count;
    bool listen_in_tmp; /* the default in /tmp, in a folder that has to be made and checked */
    bool allow_remote;
    char data[CONFIG_PATH_SIZE];
    bool data_default;              /* folders above it are made too */
    char restore[CONFIG_PATH_SIZE]; /* a backup to begin with; empty: none */
    enum journal_durability durability;
    uint64_t sync_interval_ms; /* process mode */
    struct journal_retention retention;
    struct journal_hold cursor_hold; /* its limits */
    struct core_limits limits;
    uint32_t stream_queue;
    uint32_t connections_max;
    enum log_level log_level;
};

/* Reads arguments, then the file they name, and checks the whole. --help,
 * --version and unknown options end the process, as argp does; any other fault
 * is ERR_INVALID or ERR_IO with a sentence in failure. */
int config_load(int argc, char **argv, struct config *ret_config, struct failure *failure);

#endif
