/*
 * mark.c - the file `running`: while it is there, data.mdb is written without
 * syncs. After a power loss nothing in data.mdb can be believed, so that this is
 * so has to stand outside of it.
 *
 * 1. The mark and its name are on the disk before the first write that is not
 *    synced.
 * 2. It goes only after a sync has covered all such writes, and before any is
 *    acknowledged as durable.
 * 3. It is there as a whole or not at all: it is written aside and renamed.
 *
 * Its one line: "process" and the boot id, which may be missing (not known).
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "journal/environment.h"

enum { PATH_SIZE = 4096, TEXT_SIZE = 16 + BOOT_ID_SIZE };

static void mark_text(char out[TEXT_SIZE], const char boot_id[BOOT_ID_SIZE])
{
    snprintf(out, TEXT_SIZE, "process %.*s\n", BOOT_ID_SIZE, boot_id);
}

static int mark_failure(struct failure *failure, const char *what, const char *path)
{
    return environment_failure(failure, errno, what, path);
}

static int make_paths(const char *directory, char path[PATH_SIZE], char path_new[PATH_SIZE],
                      struct failure *failure)
{
    if (directory_path(directory, MARK_NAME, path, PATH_SIZE) &&
        directory_path(directory, MARK_NAME_NEW, path_new, PATH_SIZE))
        return ERR_OK;
    return environment_failure(failure, ENAMETOOLONG, "mark", directory);
}

int mark_read(const char *directory, enum mark *ret_mark, struct failure *failure)
{
    char path[PATH_SIZE];
    char path_new[PATH_SIZE];
    char boot_id[BOOT_ID_SIZE];
    char expected[TEXT_SIZE];
    char text[TEXT_SIZE + 1];
    int err = make_paths(directory, path, path_new, failure);
    if (err != ERR_OK)
        return err;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT) {
        *ret_mark = MARK_NONE;
        return ERR_OK;
    }
    if (fd < 0)
        return mark_failure(failure, "open", path);
    ssize_t size = read(fd, text, sizeof text - 1);
    err = size < 0 ? mark_failure(failure, "read", path) : ERR_OK;
    close(fd);
    if (err != ERR_OK)
        return err;
    text[size] = '\0';
    journal_boot_id(boot_id);
    mark_text(expected, boot_id);
    /* Unknown, or not ours to read: better to check once too often. */
    bool same = boot_id[0] != '\0' && strcmp(text, expected) == 0;
    *ret_mark = same ? MARK_THIS_BOOT : MARK_OTHER_BOOT;
    return ERR_OK;
}

int mark_write(const char *directory, struct failure *failure)
{
    char path[PATH_SIZE];
    char path_new[PATH_SIZE];
    char boot_id[BOOT_ID_SIZE];
    char text[TEXT_SIZE];
    int err = make_paths(directory, path, path_new, failure);
    if (err != ERR_OK)
        return err;
    journal_boot_id(boot_id);
    mark_text(text, boot_id);
    (void)unlink(path_new); /* of a start that was cut short */
    int fd = open(path_new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return mark_failure(failure, "make", path_new);
    ssize_t size = (ssize_t)strlen(text);
    errno = ENOSPC; /* what a short write means */
    if (write(fd, text, (size_t)size) != size || fsync(fd) != 0)
        err = mark_failure(failure, "write", path_new);
    close(fd);
    if (err == ERR_OK && rename(path_new, path) != 0)
        err = mark_failure(failure, "make", path);
    if (err != ERR_OK) {
        (void)unlink(path_new);
        return err;
    }
    return directory_sync(directory, failure);
}

int mark_remove(const char *directory, struct failure *failure)
{
    char path[PATH_SIZE];
    char path_new[PATH_SIZE];
    int err = make_paths(directory, path, path_new, failure);
    if (err != ERR_OK)
        return err;
    (void)unlink(path_new);
    if (unlink(path) != 0)
        return errno == ENOENT ? ERR_OK : mark_failure(failure, "remove", path);
    return directory_sync(directory, failure);
}
