/*
 * faults_inside_lmdb.c - the calls that LMDB makes fail too, see faults.h. These functions stand
 * before the C library's for every shared library; where the caller is not LMDB they do what those
 * do. Syncs do nothing: a sweep takes no power away.
 *
 * Compiled without _FORTIFY_SOURCE, whose headers define some of them.
 */
#define _GNU_SOURCE
#include "tests/sweep/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHARED __attribute__((visibility("default")))
#define CALLER_IS_LMDB() is_lmdb((uintptr_t)__builtin_return_address(0))

static uintptr_t lmdb_start;
static uintptr_t lmdb_end;

static int find_lmdb(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    if (!strstr(info->dlpi_name, "liblmdb"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t end = info->dlpi_addr + part->p_vaddr + part->p_memsz;
        if (part->p_type == PT_LOAD && end > lmdb_end)
            lmdb_end = end;
    }
    lmdb_start = info->dlpi_addr;
    return 1;
}

__attribute__((constructor)) static void start(void)
{
    dl_iterate_phdr(find_lmdb, NULL);
}

static bool is_lmdb(uintptr_t caller)
{
    return caller >= lmdb_start && caller < lmdb_end;
}

/* True: the call has failed, and errno says how. */
static bool fails(bool lmdb, enum fault fault, int first, int second)
{
    int code = lmdb ? fault_code(fault, first, second) : 0;
    if (code != 0)
        errno = code;
    return code != 0;
}

SHARED ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    if (fails(CALLER_IS_LMDB(), FAULT_lmdb_pwrite, EIO, ENOSPC))
        return -1;
    return syscall(SYS_pwrite64, fd, data, size, at);
}

SHARED ssize_t pread(int fd, void *data, size_t size, off_t at)
{
    if (fails(CALLER_IS_LMDB(), FAULT_lmdb_pread, EIO, EINTR))
        return -1;
    return syscall(SYS_pread64, fd, data, size, at);
}

SHARED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (fails(CALLER_IS_LMDB(), FAULT_lmdb_writev, EIO, ENOSPC))
        return -1;
    return syscall(SYS_writev, fd, parts, count);
}

SHARED int fdatasync(int fd)
{
    (void)fd;
    return fails(CALLER_IS_LMDB(), FAULT_lmdb_fdatasync, EIO, ENOSPC) ? -1 : 0;
}

SHARED int fsync(int fd)
{
    (void)fd;
    return fails(CALLER_IS_LMDB(), FAULT_lmdb_fsync, EIO, ENOSPC) ? -1 : 0;
}

SHARED int ftruncate(int fd, off_t size)
{
    if (fails(CALLER_IS_LMDB(), FAULT_lmdb_ftruncate, EIO, ENOSPC))
        return -1;
    return (int)syscall(SYS_ftruncate, fd, size);
}

/* Without O_DSYNC, by which LMDB syncs its meta pages. */
SHARED int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    if (fails(CALLER_IS_LMDB(), FAULT_lmdb_open, EMFILE, EIO))
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags & ~O_SYNC, mode);
}

#ifndef __SANITIZE_ADDRESS__
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *data, size_t size);

SHARED void *malloc(size_t size)
{
    return fails(CALLER_IS_LMDB(), FAULT_lmdb_malloc, ENOMEM, ENOMEM) ? NULL : __libc_malloc(size);
}

SHARED void *calloc(size_t count, size_t size)
{
    return fails(CALLER_IS_LMDB(), FAULT_lmdb_calloc, ENOMEM, ENOMEM) ? NULL
                                                                      : __libc_calloc(count, size);
}

SHARED void *realloc(void *data, size_t size)
{
    return fails(CALLER_IS_LMDB(), FAULT_lmdb_realloc, ENOMEM, ENOMEM) ? NULL
                                                                       : __libc_realloc(data, size);
}
#endif
