#define _GNU_SOURCE
/* history.c - see history.h. */
#include "tests/torture/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void write_all(struct history *h, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(h->fd, data, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0) {
            perror("torture: cannot write a history");
            _exit(70);
        }
        data += done;
        size -= (size_t)done;
    }
}

bool history_open(struct history *h, const char *path)
{
    h->size = 0;
    h->too_long = false;
    h->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (h->fd < 0)
        return false;
    char last = '\n';
    off_t end = lseek(h->fd, 0, SEEK_END);
    if (end > 0 && pread(h->fd, &last, 1, end - 1) != 1)
        return false;
    if (last != '\n')
        write_all(h, "\n", 1);
    return true;
}

void history_close(struct history *h)
{
    close(h->fd);
    h->fd = -1;
}

__attribute__((format(printf, 2, 3))) static void add(struct history *h, const char *format, ...)
{
    va_list arguments;
    size_t room = sizeof h->line - h->size;
    va_start(arguments, format);
    int size = vsnprintf(h->line + h->size, room, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= room)
        h->too_long = true;
    else
        h->size += (size_t)size;
}

void history_begin(struct history *h, char kind)
{
    h->size = 0;
    h->too_long = false;
    add(h, "%c", kind);
}

void history_word(struct history *h, const char *word)
{
    add(h, " %s", word);
}

void history_u64(struct history *h, uint64_t number)
{
    add(h, " %" PRIu64, number);
}

void history_i64(struct history *h, int64_t number)
{
    add(h, " %" PRId64, number);
}

void history_value(struct history *h, const void *value, size_t size)
{
    if (!value) {
        history_word(h, "-");
        return;
    }
    history_u64(h, value_mark(value, size));
    if (!value_is_shown(value, size))
        return;
    add(h, ":");
    for (size_t i = 0; i < size; i++)
        add(h, "%02x", ((const uint8_t *)value)[i]);
}

void history_end(struct history *h)
{
    add(h, " .\n");
    if (h->too_long) {
        fputs("torture: a line of a history is too long\n", stderr);
        _exit(70);
    }
    write_all(h, h->line, h->size);
}

uint64_t history_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t fnv1a(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t mixed(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t value_mark(const void *value, size_t size)
{
    uint64_t mark = mixed(fnv1a(UINT64_C(0xcbf29ce484222325), value, size) ^ size);
    return mark ? mark : 1;
}

bool value_is_shown(const void *value, size_t size)
{
    uint8_t type = size > 0 ? *(const uint8_t *)value : 0xc0;
    bool is_integer = type < 0x80 || type >= 0xe0 || (type >= 0xcc && type <= 0xd3);
    bool is_array = (type & 0xf0) == 0x90 || type == 0xdc;
    return size <= VALUE_SHOWN_MAX && (is_integer || is_array);
}

uint64_t digest_of(const char *key, uint64_t modified, uint64_t mark)
{
    uint64_t name = fnv1a(UINT64_C(0xcbf29ce484222325), key, strlen(key));
    return mixed(name ^ mixed(modified ^ mixed(mark)));
}

bool pattern_matches(const char *pattern, const char *key)
{
    size_t size = strlen(pattern);
    if (size > 0 && pattern[size - 1] == '*')
        return strncmp(pattern, key, size - 1) == 0;
    return strcmp(pattern, key) == 0;
}
