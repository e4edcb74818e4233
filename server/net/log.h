/*
 * log.h - vigild's log: one line an event, to stderr, with UTC time and level.
 *
 * Keys, values and routing ids never go into it; control characters are
 * replaced, so that a line stays a line. Any thread may call log_write; the
 * level is set once, before the threads start.
 */
#ifndef VIGIL_SERVER_NET_LOG_H
#define VIGIL_SERVER_NET_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* False for a name that is not error, warn, info or debug. */
bool log_level_parse(const char *name, enum log_level *ret_level);
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
