/*
 * operation_log.c - see operation_log.h. The recorder is linked with this too, so
 * it writes by system call: the C library's functions are the recorder's own.
 */
#define _GNU_SOURCE

#include "tests/powerloss/operation_log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { ALIGNMENT = 8 };

static size_t padding(uint64_t size)
{
    return (size_t)(-size & (ALIGNMENT - 1));
}

int operation_log_open(const char *path)
{
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                        0600);
}

void operation_log_append(int fd, const struct operation *o, const void *data)
{
    static const char zeros[ALIGNMENT];
    struct iovec parts[] = {{(void *)(uintptr_t)o, sizeof *o},
                            {(void *)(uintptr_t)data, (size_t)o->size},
                            {(void *)(uintptr_t)zeros, padding(o->size)}};
    size_t size = sizeof *o + (size_t)o->size + padding(o->size);
    if (syscall(SYS_writev, fd, parts, 3) != (long)size) {
        static const char message[] = "powerloss: cannot write the operation log\n";
        syscall(SYS_write, STDERR_FILENO, message, sizeof message - 1);
        abort();
    }
}

void operation_log_note(int fd, const struct note *n)
{
    struct operation o = {.kind = OPERATION_NOTE, .size = sizeof *n};
    operation_log_append(fd, &o, n);
}

/* The entry at offset; false: it is not whole. */
static bool entry_at(const struct operation_log *log, size_t offset, size_t *ret_size)
{
    if (log->size - offset < sizeof(struct operation))
        return false;
    const struct operation *o = (const void *)(log->start + offset);
    size_t left = log->size - offset - sizeof *o;
    if (o->size > left || padding(o->size) > left - o->size)
        return false;
    *ret_size = sizeof *o + (size_t)o->size + padding(o->size);
    return true;
}

static bool index_entries(struct operation_log *log)
{
    size_t capacity = 0;
    for (size_t offset = 0; offset < log->size;) {
        size_t size = 0;
        if (!entry_at(log, offset, &size))
            return false;
        if (log->count == capacity) {
            capacity = capacity ? capacity * 2 : 1024;
            const struct operation **grown =
                realloc(log->operations, capacity * sizeof *log->operations);
            if (!grown)
                return false;
            log->operations = grown;
        }
        log->operations[log->count++] = (const void *)(log->start + offset);
        offset += size;
    }
    return true;
}

bool operation_log_read(struct operation_log *log, const char *path)
{
    struct stat status;
    *log = (struct operation_log){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && status.st_size > 0) {
        void *start = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (start != MAP_FAILED) {
            log->start = start;
            log->size = (size_t)status.st_size;
        }
    }
    close(fd);
    if (log->start && index_entries(log))
        return true;
    operation_log_free(log);
    return false;
}

void operation_log_free(struct operation_log *log)
{
    if (log->start)
        munmap((void *)(uintptr_t)log->start, log->size);
    free(log->operations);
    *log = (struct operation_log){0};
}

const struct note *operation_note(const struct operation *o)
{
    return o->kind == OPERATION_NOTE && o->size == sizeof(struct note)
               ? (const void *)operation_data(o)
               : NULL;
}
