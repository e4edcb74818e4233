/*
 * instant_sync.c - syncs that do nothing, for the process that opens thousands of
 * journals on disks of its own making. LMDB, a shared library, finds these too.
 *
 * Compiled without _FORTIFY_SOURCE, whose headers define open themselves.
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHARED __attribute__((visibility("default")))

SHARED int fsync(int fd)
{
    (void)fd;
    return 0;
}

SHARED int fdatasync(int fd)
{
    (void)fd;
    return 0;
}

/* Without O_DSYNC, by which LMDB syncs its meta pages. */
SHARED int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list arguments;
        va_start(arguments, flags);
        mode = va_arg(arguments, mode_t);
        va_end(arguments);
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags & ~O_SYNC, mode);
}
