/*
 * recorder.c - a library to be preloaded: it writes down what the process does to
 * the files below a folder (operation_log.h), and does it.
 *
 * 1. An operation and its entry are made under one lock, so the log has the order
 *    of the effects.
 * 2. No table of descriptors: whose file it is, and whether O_DSYNC is set, is asked
 *    at each operation. So close, dup and fcntl need no attention.
 * 3. fsync and fdatasync do not reach the disk: here the log decides what is durable.
 * 4. A disk that lies: syncs can be left out, or noted late (operation_log.h). What
 *    is acknowledged then is a lie, which the test has to find out.
 * 5. What is not intercepted is found out: the simulated disk is compared with the
 *    files in the end (disk_compare).
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/powerloss/operation_log.h"

#define INTERPOSED __attribute__((visibility("default")))

static const char boot_id_path[] = "/proc/sys/kernel/random/boot_id";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1; /* -1: nothing is recorded */
static char root[PATH_MAX];
static size_t root_size;
static const char *boot_id_file;
static const char *unsynced;
static const char *late;
static const char *full;

__attribute__((constructor)) static void start(void)
{
    const char *log_path = getenv(POWERLOSS_LOG);
    const char *root_path = getenv(POWERLOSS_ROOT);
    boot_id_file = getenv(POWERLOSS_BOOT_ID);
    unsynced = getenv(POWERLOSS_UNSYNCED);
    late = getenv(POWERLOSS_LATE);
    full = getenv(POWERLOSS_FULL);
    if (!log_path || !root_path || strlen(root_path) >= sizeof root)
        return;
    root_size = strlen(root_path);
    memcpy(root, root_path, root_size + 1);
    log_fd = operation_log_open(log_path);
    if (log_fd < 0)
        abort();
}

/* ---- whose file ---- */

struct target {
    uint64_t file;
    bool is_folder;
    const char *path; /* in buffer, relative to root */
    char buffer[PATH_MAX];
};

static bool is_below_root(const char *path)
{
    return strncmp(path, root, root_size) == 0 &&
           (path[root_size] == '/' || path[root_size] == '\0');
}

static const char *relative(const char *path)
{
    return path + root_size + (path[root_size] == '/');
}

static bool find_target(int fd, struct target *t)
{
    struct stat status;
    char link[64];
    int saved = errno;
    bool found = false;
    if (log_fd >= 0 && fstat(fd, &status) == 0 &&
        (S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, t->buffer, sizeof t->buffer - 1);
        t->buffer[size > 0 ? size : 0] = '\0';
        if (size > 0 && is_below_root(t->buffer)) {
            t->file = status.st_ino;
            t->is_folder = S_ISDIR(status.st_mode);
            t->path = relative(t->buffer);
            found = true;
        }
    }
    errno = saved;
    return found;
}

/* Absolute, and relative to root; NULL: not below it. */
static const char *find_path(const char *path, char buffer[PATH_MAX])
{
    size_t size = 0;
    if (log_fd < 0)
        return NULL;
    if (path[0] != '/') {
        if (!getcwd(buffer, PATH_MAX - 1))
            return NULL;
        size = strlen(buffer);
        buffer[size++] = '/';
    }
    int rest = snprintf(buffer + size, PATH_MAX - size, "%s", path);
    if (rest < 0 || size + (size_t)rest >= PATH_MAX || !is_below_root(buffer))
        return NULL;
    return relative(buffer);
}

/* The path's last part begins with it. */
static bool is_named(const char *path, const char *beginning)
{
    const char *slash = strrchr(path, '/');
    return beginning && strncmp(slash ? slash + 1 : path, beginning, strlen(beginning)) == 0;
}

static void record(enum operation_kind kind, uint64_t file, uint64_t offset, const void *data,
                   size_t size)
{
    int saved = errno;
    struct operation o = {.kind = kind, .file = file, .offset = offset, .size = size};
    operation_log_append(log_fd, &o, data);
    errno = saved;
}

static void record_path(enum operation_kind kind, uint64_t file, const char *path)
{
    record(kind, file, 0, path, strlen(path));
}

/* ---- names ---- */

static int open_and_record(int folder, const char *path, int flags, mode_t mode)
{
    struct stat status;
    struct target t;
    if (boot_id_file && strcmp(path, boot_id_path) == 0)
        path = boot_id_file;
    if (flags & O_CREAT && is_named(path, full)) {
        errno = ENOSPC;
        return -1;
    }
    if (log_fd < 0 || !(flags & (O_CREAT | O_TRUNC)))
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int saved = errno;
    bool was_there = fstatat(folder, path, &status, 0) == 0;
    errno = saved;
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fd >= 0 && find_target(fd, &t)) {
        if (!was_there)
            record_path(OPERATION_CREATE, t.file, t.path);
        else if (flags & O_TRUNC)
            record(OPERATION_RESIZE, t.file, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

/* The mode is there only with O_CREAT (O_TMPFILE has no name and concerns nobody). */
#define OPEN_BODY(folder)                 \
    mode_t mode = 0;                      \
    if (flags & (O_CREAT | O_TMPFILE)) {  \
        va_list arguments;                \
        va_start(arguments, flags);       \
        mode = va_arg(arguments, mode_t); \
        va_end(arguments);                \
    }                                     \
    return open_and_record(folder, path, flags, mode)

INTERPOSED int open(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

INTERPOSED int open64(const char *path, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

INTERPOSED int openat(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder);
}

INTERPOSED int openat64(int folder, const char *path, int flags, ...)
{
    OPEN_BODY(folder);
}

INTERPOSED int mkdir(const char *path, mode_t mode)
{
    char buffer[PATH_MAX];
    pthread_mutex_lock(&lock);
    int rc = (int)syscall(SYS_mkdir, path, mode);
    const char *name = rc == 0 ? find_path(path, buffer) : NULL;
    if (name)
        record_path(OPERATION_MAKE_FOLDER, 0, name);
    pthread_mutex_unlock(&lock);
    return rc;
}

INTERPOSED int unlink(const char *path)
{
    char buffer[PATH_MAX];
    pthread_mutex_lock(&lock);
    int rc = (int)syscall(SYS_unlink, path);
    const char *name = rc == 0 ? find_path(path, buffer) : NULL;
    if (name)
        record_path(OPERATION_UNLINK, 0, name);
    pthread_mutex_unlock(&lock);
    return rc;
}

INTERPOSED int rename(const char *from, const char *to)
{
    char from_buffer[PATH_MAX];
    char to_buffer[PATH_MAX];
    char names[2 * PATH_MAX];
    pthread_mutex_lock(&lock);
    int rc = (int)syscall(SYS_rename, from, to);
    const char *from_name = rc == 0 ? find_path(from, from_buffer) : NULL;
    const char *to_name = rc == 0 ? find_path(to, to_buffer) : NULL;
    if (from_name && to_name) {
        int size = snprintf(names, sizeof names, "%s%c%s", from_name, '\0', to_name);
        record(OPERATION_RENAME, 0, 0, names, (size_t)size);
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* ---- content ---- */

/* size bytes of parts stand at offset now. */
static void record_write(int fd, const struct target *t, const struct iovec *parts, size_t size,
                         uint64_t offset)
{
    int saved = errno;
    int flags = fcntl(fd, F_GETFL);
    struct operation o = {.kind = OPERATION_WRITE,
                          .flags = flags >= 0 && (flags & O_DSYNC) ? OPERATION_SYNCED : 0,
                          .file = t->file,
                          .offset = offset,
                          .size = size};
    if (size <= parts[0].iov_len) {
        operation_log_append(log_fd, &o, parts[0].iov_base);
    } else {
        uint8_t *whole = malloc(size);
        if (!whole)
            abort();
        size_t done = 0;
        for (const struct iovec *part = parts; done < size; part++) {
            size_t n = part->iov_len < size - done ? part->iov_len : size - done;
            memcpy(whole + done, part->iov_base, n);
            done += n;
        }
        operation_log_append(log_fd, &o, whole);
        free(whole);
    }
    errno = saved;
}

/* offset -1: where the descriptor stands. */
static ssize_t write_and_record(int fd, const struct iovec *parts, int count, off_t offset)
{
    struct target t;
    bool observed = find_target(fd, &t);
    if (observed)
        pthread_mutex_lock(&lock);
    ssize_t size = offset < 0 ? syscall(SYS_writev, fd, parts, count)
                              : syscall(SYS_pwritev, fd, parts, count, offset, 0);
    if (observed) {
        if (size > 0) {
            off_t start = offset < 0 ? lseek(fd, 0, SEEK_CUR) - size : offset;
            record_write(fd, &t, parts, (size_t)size, (uint64_t)start);
        }
        pthread_mutex_unlock(&lock);
    }
    return size;
}

INTERPOSED ssize_t write(int fd, const void *data, size_t size)
{
    struct iovec part = {(void *)(uintptr_t)data, size};
    return write_and_record(fd, &part, 1, -1);
}

INTERPOSED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_and_record(fd, parts, count, -1);
}

INTERPOSED ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    struct iovec part = {(void *)(uintptr_t)data, size};
    return write_and_record(fd, &part, 1, offset);
}

INTERPOSED ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return pwrite(fd, data, size, offset);
}

INTERPOSED ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return write_and_record(fd, parts, count, offset);
}

INTERPOSED ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    return write_and_record(fd, parts, count, offset);
}

INTERPOSED int ftruncate(int fd, off_t size)
{
    struct target t;
    bool observed = find_target(fd, &t);
    pthread_mutex_lock(&lock);
    int rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0 && observed)
        record(OPERATION_RESIZE, t.file, (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

INTERPOSED int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

/* Only its growing of the file is of interest: holes are not punched here, and what is promised
 * reads as zeros until it is written. */
INTERPOSED int fallocate(int fd, int mode, off_t offset, off_t size)
{
    struct target t;
    struct stat before;
    struct stat after;
    bool observed = find_target(fd, &t);
    if (observed && (mode & ~FALLOC_FL_KEEP_SIZE)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    pthread_mutex_lock(&lock);
    bool known = observed && fstat(fd, &before) == 0;
    int rc = (int)syscall(SYS_fallocate, fd, mode, offset, size);
    if (known && fstat(fd, &after) == 0 && after.st_size != before.st_size)
        record(OPERATION_RESIZE, t.file, (uint64_t)after.st_size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

INTERPOSED int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return fallocate(fd, mode, offset, size);
}

INTERPOSED int posix_fallocate(int fd, off_t offset, off_t size)
{
    int saved = errno;
    int rc = fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
    errno = saved;
    return rc;
}

INTERPOSED int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    return posix_fallocate(fd, offset, size);
}

static void *map_and_record(void *address, size_t size, int protection, int flags, int fd,
                            off_t offset)
{
    struct target t;
    long mapped = syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    if (mapped != -1 && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) &&
        find_target(fd, &t)) {
        pthread_mutex_lock(&lock);
        record_path(OPERATION_MAP, t.file, t.path);
        pthread_mutex_unlock(&lock);
    }
    return (void *)mapped; /* NOLINT(performance-no-int-to-ptr): so the system call returns it */
}

INTERPOSED void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    return map_and_record(address, size, protection, flags, fd, offset);
}

INTERPOSED void *mmap64(void *address, size_t size, int protection, int flags, int fd,
                        off64_t offset)
{
    return map_and_record(address, size, protection, flags, fd, offset);
}

/* ---- syncs ---- */

static void record_sync(const struct target *t)
{
    static uint64_t waiting; /* the file whose sync is late */
    if (is_named(t->path, unsynced))
        return;
    if (is_named(t->path, late)) {
        waiting = t->file;
        return;
    }
    record(OPERATION_SYNC, t->file, 0, NULL, 0);
    if (waiting)
        record(OPERATION_SYNC, waiting, 0, NULL, 0);
    waiting = 0;
}

static int sync_and_record(int fd, long number)
{
    struct target t;
    if (!find_target(fd, &t))
        return (int)syscall(number, fd);
    pthread_mutex_lock(&lock);
    if (t.is_folder)
        record_path(OPERATION_SYNC_FOLDER, 0, t.path);
    else
        record_sync(&t);
    pthread_mutex_unlock(&lock);
    return 0;
}

INTERPOSED int fsync(int fd)
{
    return sync_and_record(fd, SYS_fsync);
}

INTERPOSED int fdatasync(int fd)
{
    return sync_and_record(fd, SYS_fdatasync);
}
