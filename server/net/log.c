#define _GNU_SOURCE
/* log.c - see log.h. A line is written by one write(2), so lines of two threads do not mix. */
#include "server/net/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_level_now = LOG_LEVEL_INFO;
static const char *const level_names[] = {"error", "warn", "info", "debug"};

bool log_level_parse(const char *name, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_level(enum log_level level)
{
    log_level_now = level;
}

static size_t write_time(char *out, size_t size)
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t used = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &parts);
    int more = snprintf(out + used, size - used, ".%03ldZ ", now.tv_nsec / 1000000);
    return used + (more > 0 ? (size_t)more : 0);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level > log_level_now)
        return;
    char line[1024];
    size_t used = write_time(line, sizeof line);
    used += (size_t)snprintf(line + used, sizeof line - used, "%-5s ", level_names[level]);
    size_t start = used;

    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
    if (more < 0)
        return;
    used += (size_t)more;
    if (used > sizeof line - 1)
        used = sizeof line - 1;
    for (size_t i = start; i < used; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    }
    line[used++] = '\n';
    /* Nobody is left to tell if stderr is gone. */
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}
