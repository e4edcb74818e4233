#define _GNU_SOURCE
/* faults_system.c - wrappers of what the system and the C library give, see faults.h. */
#include "tests/sweep/faults.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* One that says with failing, and errno, that it failed. */
#define WRAP(type, name, parameters, arguments, failing, first, second) \
    type __real_##name parameters;                                      \
    type __wrap_##name parameters;                                      \
    type __wrap_##name parameters                                       \
    {                                                                   \
        int code = fault_code(FAULT_##name, first, second);             \
        if (code == 0)                                                  \
            return __real_##name arguments;                             \
        errno = code;                                                   \
        return failing;                                                 \
    }

/* One that returns the code. */
#define WRAP_CODE(name, parameters, arguments, code_given)           \
    int __real_##name parameters;                                    \
    int __wrap_##name parameters;                                    \
    int __wrap_##name parameters                                     \
    {                                                                \
        int code = fault_code(FAULT_##name, code_given, code_given); \
        return code ? code : __real_##name arguments;                \
    }

/* clang-format off */
WRAP(void *, malloc, (size_t size), (size), NULL, ENOMEM, ENOMEM)
WRAP(void *, calloc, (size_t count, size_t size), (count, size), NULL, ENOMEM, ENOMEM)
WRAP(void *, realloc, (void *data, size_t size), (data, size), NULL, ENOMEM, ENOMEM)
WRAP(char *, strdup, (const char *text), (text), NULL, ENOMEM, ENOMEM)

WRAP(DIR *, opendir, (const char *path), (path), NULL, EMFILE, EIO)
WRAP(struct dirent *, readdir, (DIR *stream), (stream), NULL, EIO, ENOMEM)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, EACCES, ENOSPC)
WRAP(int, rename, (const char *from, const char *to), (from, to), -1, EIO, ENOSPC)
WRAP(int, unlink, (const char *path), (path), -1, EIO, EACCES)
WRAP(int, stat, (const char *path, struct stat *out), (path, out), -1, EIO, ENOMEM)
WRAP(int, lstat, (const char *path, struct stat *out), (path, out), -1, EIO, EACCES)
WRAP(int, fstat, (int fd, struct stat *out), (fd, out), -1, EIO, ENOMEM)
WRAP(int, fstatvfs, (int fd, struct statvfs *out), (fd, out), -1, EIO, ENOSYS)
WRAP(int, flock, (int fd, int operation), (fd, operation), -1, ENOLCK, EINTR)
WRAP(int, ftruncate, (int fd, off_t size), (fd, size), -1, EIO, ENOSPC)
WRAP(int, fallocate, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size), -1,
     ENOSPC, EIO)
WRAP(int, fsync, (int fd), (fd), -1, EIO, ENOSPC)
WRAP(int, fdatasync, (int fd), (fd), -1, EIO, ENOSPC)
WRAP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), -1, EIO, EINTR)
WRAP(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at), -1,
     EIO, EINTR)
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), -1, EIO, ENOSPC)
WRAP(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at), -1,
     EIO, ENOSPC)
WRAP(void *, mmap, (void *at, size_t size, int access, int flags, int fd, off_t offset),
     (at, size, access, flags, fd, offset), MAP_FAILED, ENOMEM, ENOMEM)
WRAP(int, pipe2, (int fds[2], int flags), (fds, flags), -1, EMFILE, ENFILE)
WRAP(pid_t, fork, (void), (), -1, EAGAIN, ENOMEM)

WRAP(int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout), -1,
     ENOMEM, EINTR)
WRAP(int, ppoll, (struct pollfd *fds, nfds_t count, const struct timespec *timeout,
     const sigset_t *mask), (fds, count, timeout, mask), -1, ENOMEM, EINTR)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1,
     EMFILE, ENOBUFS)
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
     -1, EAGAIN, EINTR)
WRAP(ssize_t, recv, (int fd, void *data, size_t size, int flags), (fd, data, size, flags), -1,
     ECONNRESET, EINTR)
WRAP(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags), -1,
     EMFILE, ENOMEM)
WRAP(int, eventfd, (unsigned count, int flags), (count, flags), -1, EMFILE, ENOMEM)
WRAP(int, epoll_create1, (int flags), (flags), -1, EMFILE, ENOMEM)
WRAP(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
     (epoll, operation, fd, event), -1, ENOMEM, ENOSPC)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), -1, EMFILE, ENOMEM)
WRAP(int, epoll_wait, (int epoll, struct epoll_event *events, int count, int timeout),
     (epoll, events, count, timeout), -1, ENOMEM, EINTR)
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), -1,
     EADDRINUSE, ENOMEM)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), -1, EADDRINUSE, ENOMEM)
WRAP(int, setsockopt, (int fd, int level, int name, const void *data, socklen_t size),
     (fd, level, name, data, size), -1, ENOBUFS, ENOMEM)
WRAP(int, getsockname, (int fd, struct sockaddr *address, socklen_t *size), (fd, address, size),
     -1, ENOBUFS, ENOBUFS)
WRAP(ssize_t, recvfrom, (int fd, void *data, size_t size, int flags, struct sockaddr *address,
     socklen_t *address_size), (fd, data, size, flags, address, address_size), -1, ECONNRESET,
     EINTR)
WRAP(ssize_t, send, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags),
     -1, ENOBUFS, EINTR)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags),
     -1, EPIPE, EINTR)
WRAP(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL, EMFILE, ENOMEM)
WRAP(char *, fgets, (char *out, int size, FILE *stream), (out, size, stream), NULL, EIO, EIO)
WRAP(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *out), (resource, out), -1,
     EPERM, EPERM)
WRAP(int, setrlimit, (__rlimit_resource_t resource, const struct rlimit *limit), (resource, limit),
     -1, EPERM, EPERM)
WRAP(int, setpriority, (__priority_which_t which, id_t who, int priority), (which, who, priority),
     -1, EPERM, EACCES)

WRAP_CODE(getaddrinfo, (const char *host, const char *port, const struct addrinfo *hints,
          struct addrinfo **out), (host, port, hints, out), EAI_MEMORY)
WRAP_CODE(pthread_create, (pthread_t *thread, const pthread_attr_t *attributes,
          void *(*run)(void *), void *context), (thread, attributes, run, context), EAGAIN)
WRAP_CODE(pthread_mutex_init, (pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes),
          (mutex, attributes), ENOMEM)
WRAP_CODE(pthread_rwlock_init, (pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes),
          (lock, attributes), ENOMEM)
WRAP_CODE(pthread_rwlockattr_init, (pthread_rwlockattr_t *attributes), (attributes), ENOMEM)
/* clang-format on */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_openat(int folder, const char *path, int flags, ...);
int __wrap_openat(int folder, const char *path, int flags, ...);

int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    int code = fault_code(FAULT_open, EMFILE, EIO);
    if (code == 0)
        return __real_open(path, flags, mode);
    errno = code;
    return -1;
}

int __wrap_openat(int folder, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    int code = fault_code(FAULT_openat, EMFILE, EIO);
    if (code == 0)
        return __real_openat(folder, path, flags, mode);
    errno = code;
    return -1;
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* accept4, past the gate. */
long __wrap_syscall(long number, ...)
{
    long a[4];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    int code = fault_code(FAULT_syscall, EMFILE, ECONNABORTED);
    if (code == 0)
        return __real_syscall(number, a[0], a[1], a[2], a[3]);
    errno = code;
    return -1;
}

pid_t faults_real_fork(void)
{
    return __real_fork();
}
