/*
 * directory.c - the journal's directory: who may use it, and what may be in it.
 *
 * 1. Nothing is written into a directory that holds somebody else's files.
 * 2. The lock is flock's on vigil.lock: it ends with the process, however that
 *    ends, so there is never a stale one. The pid in it is for messages only.
 */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/environment.h"

bool directory_path(const char *directory, const char *name, char *out, size_t size)
{
    int length = snprintf(out, size, "%s/%s", directory, name);
    return length >= 0 && (size_t)length < size;
}

/* What a start that was cut short may have left, and what a fresh file system has. */
static bool is_expected(const char *name)
{
    static const char *const expected[] = {".",       "..",          LOCK_NAME,
                                           DATA_NAME, "lock.mdb",    DATA_NAME_NEW,
                                           MARK_NAME, MARK_NAME_NEW, "lost+found"};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        if (strcmp(name, expected[i]) == 0)
            return true;
    return false;
}

static int check(const char *directory, bool restoring, bool *ret_new, struct failure *failure)
{
    DIR *stream = opendir(directory);
    if (!stream)
        return environment_failure(failure, errno, "read the directory", directory);
    char foreign[256] = "";
    bool has_data = false;
    bool has_restore = false;
    int rc = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        rc = entry ? 0 : errno;
        if (!entry)
            break;
        if (strcmp(entry->d_name, DATA_NAME) == 0)
            has_data = true;
        else if (strcmp(entry->d_name, DATA_NAME_RESTORE) == 0)
            has_restore = true;
        else if (!is_expected(entry->d_name) && !foreign[0])
            snprintf(foreign, sizeof foreign, "%s", entry->d_name);
    }
    closedir(stream);
    /* A directory that was not read to its end is not an empty one: a new journal would replace what
     * is in it. */
    if (rc != 0)
        return environment_failure(failure, rc, "read the directory", directory);
    if (!has_data && foreign[0])
        return failure_set(failure, ERR_FOREIGN,
                           "%s is not a journal: it holds other files (%s) and no data.mdb",
                           directory, foreign);
    if (!has_data && has_restore && !restoring)
        return failure_set(failure, ERR_FOREIGN,
                           "a restore into %s was cut short: start it again, or empty the folder",
                           directory);
    *ret_new = !has_data;
    return ERR_OK;
}

int directory_check(const char *directory, bool *ret_new, struct failure *failure)
{
    return check(directory, false, ret_new, failure);
}

int directory_check_restore(const char *directory, struct failure *failure)
{
    bool is_new = false;
    int err = check(directory, true, &is_new, failure);
    if (err == ERR_OK && !is_new)
        err = failure_set(failure, ERR_INVALID,
                          "%s holds a journal already: a backup is restored into an empty folder",
                          directory);
    return err;
}

int directory_prepare(const char *directory, bool *ret_new, struct failure *failure)
{
    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return environment_failure(failure, errno, "make the directory", directory);
    return directory_check(directory, ret_new, failure);
}

static int locked_failure(int fd, const char *directory, struct failure *failure)
{
    char pid[24] = "";
    ssize_t size = pread(fd, pid, sizeof pid - 1, 0);
    pid[size > 0 ? size : 0] = '\0';
    pid[strspn(pid, "0123456789")] = '\0';
    if (pid[0])
        return failure_set(failure, ERR_LOCKED, "%s is in use by process %s", directory, pid);
    return failure_set(failure, ERR_LOCKED, "%s is in use by another process", directory);
}

int directory_lock(const char *directory, bool read_only, int *ret_fd, struct failure *failure)
{
    char path[4096];
    if (!directory_path(directory, LOCK_NAME, path, sizeof path))
        return environment_failure(failure, ENAMETOOLONG, "lock", directory);
    bool writable = true;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 && read_only && (errno == EROFS || errno == EACCES || errno == EPERM)) {
        writable = false;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT) {
            *ret_fd = -1; /* nobody can have it locked, and nobody can make it */
            return ERR_OK;
        }
    }
    if (fd < 0)
        return environment_failure(failure, errno, "open", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int err = errno == EWOULDBLOCK ? locked_failure(fd, directory, failure)
                                       : environment_failure(failure, errno, "lock", path);
        close(fd);
        return err;
    }
    char pid[24];
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    /* On a full disk the pid may not fit; the lock holds without it. */
    if (writable && (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)size, 0) != size))
        (void)!ftruncate(fd, 0);
    *ret_fd = fd;
    return ERR_OK;
}

void directory_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Some file systems cannot sync a directory and say so with EINVAL. */
static int sync_names(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
}

int directory_sync(const char *directory, struct failure *failure)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return environment_failure(failure, errno, "open", directory);
    int rc = sync_names(fd);
    /* One that may not be read was not made by us either. */
    int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == 0 && parent >= 0)
        rc = sync_names(parent);
    else if (rc == 0 && errno != EACCES)
        rc = errno;
    if (parent >= 0)
        close(parent);
    close(fd);
    return rc ? environment_failure(failure, rc, "sync", directory) : ERR_OK;
}

uint64_t directory_data_size(const char *directory)
{
    char path[4096];
    struct stat status;
    if (!directory_path(directory, DATA_NAME, path, sizeof path) || stat(path, &status) != 0)
        return 0;
    return (uint64_t)status.st_size;
}

int directory_replace_data(const char *directory, const char *name, struct failure *failure)
{
    char path[4096];
    char path_new[4096];
    if (!directory_path(directory, DATA_NAME, path, sizeof path) ||
        !directory_path(directory, name, path_new, sizeof path_new))
        return environment_failure(failure, ENAMETOOLONG, "make a journal in", directory);
    if (rename(path_new, path) != 0)
        return environment_failure(failure, errno, "make", path);
    return directory_sync(directory, failure);
}

void journal_boot_id(char out[BOOT_ID_SIZE])
{
    memset(out, 0, BOOT_ID_SIZE);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t size = read(fd, out, BOOT_ID_SIZE - 1);
    close(fd);
    if (size < 0)
        size = 0;
    memset(out + size, 0, BOOT_ID_SIZE - (size_t)size);
    out[strcspn(out, "\n")] = '\0';
}

bool boot_id_equal(const char a[BOOT_ID_SIZE], const char b[BOOT_ID_SIZE])
{
    /* An unknown one equals none: better to check once too often. */
    return a[0] && strncmp(a, b, BOOT_ID_SIZE) == 0;
}
