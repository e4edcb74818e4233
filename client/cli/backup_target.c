/* backup_target.c - see backup_target.h. */
#define _GNU_SOURCE
#include "client/cli/backup_target.h"
#include "client/cli/stop_signal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail_errno(struct failure *failure, const char *what, const char *path)
{
    return failure_set(failure, ERR_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

static int exists_failure(const char *path, struct failure *failure)
{
    return failure_set(failure, ERR_CONFLICT, "%s is there already: --force replaces it", path);
}

/* A link stays, and what it points to is replaced. */
static int find_path(struct backup_target *t, const char *path, struct failure *failure)
{
    struct stat status;
    if (stat(path, &status) == 0) {
        if (!S_ISREG(status.st_mode))
            return failure_set(failure, ERR_INVALID,
                               "%s is not a file: write to - (standard output) instead", path);
        if (!t->replace)
            return exists_failure(path, failure);
        t->path = realpath(path, NULL);
    } else if (errno == ENOENT) {
        t->path = strdup(path);
    }
    return t->path != NULL ? ERR_OK : fail_errno(failure, "look at", path);
}

static int make_temporary(struct backup_target *t, int stop_fd, struct failure *failure)
{
    static const char suffix[] = ".partial-XXXXXX";
    char *name = malloc(strlen(t->path) + sizeof(suffix));

    if (name == NULL)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    stpcpy(stpcpy(name, t->path), suffix);
    int fd = mkostemp(name, O_CLOEXEC); /* mode 0600: it holds everything */
    if (fd < 0) {
        int err = fail_errno(failure, "write", t->path);
        free(name);
        return err;
    }
    t->temporary = name;
    output_init(&t->out, fd);
    t->out.stop_fd = stop_fd;
    return ERR_OK;
}

int backup_target_open(struct backup_target *t, const char *path, bool replace, int stop_fd,
                       struct failure *failure)
{
    *t = (struct backup_target){.replace = replace};
    output_init(&t->out, 1);
    t->out.stop_fd = stop_fd;
    if (strcmp(path, "-") == 0) {
        if (isatty(1) == 1)
            return failure_set(failure, ERR_INVALID, "a backup is not for a terminal");
        return ERR_OK;
    }
    int err = find_path(t, path, failure);
    return err != ERR_OK ? err : make_temporary(t, stop_fd, failure);
}

bool backup_target_write(struct backup_target *t, const void *data, size_t size)
{
    if (t->result == OUTPUT_OK && t->out.stop_fd >= 0 && stop_signal_pending(t->out.stop_fd))
        t->result = OUTPUT_INTERRUPTED;
    if (t->result != OUTPUT_OK)
        return false;
    wire_write_raw(&t->out.buffer, data, size);
    t->result = output_flush(&t->out);
    t->error = errno;
    t->written += size;
    return t->result == OUTPUT_OK;
}

bool backup_target_rewind(struct backup_target *t)
{
    if (t->written == 0)
        return true;
    if (t->path == NULL || lseek(t->out.fd, 0, SEEK_SET) != 0 || ftruncate(t->out.fd, 0) != 0)
        return false;
    t->written = 0;
    return true;
}

/* Not over a file that somebody has made meanwhile, unless it may be replaced. */
static int give_name(const struct backup_target *t)
{
    if (t->replace)
        return rename(t->temporary, t->path);
    int rc = renameat2(AT_FDCWD, t->temporary, AT_FDCWD, t->path, RENAME_NOREPLACE);
    if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) {
        /* The file system does not know that. */
        rc = link(t->temporary, t->path);
        if (rc == 0)
            (void)unlink(t->temporary);
    }
    return rc;
}

static int sync_folder(const char *path, struct failure *failure)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    int err = ERR_OK;

    if (folder == NULL)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some file systems have no such thing, and say EINVAL. */
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL)
        err = fail_errno(failure, "sync the folder", folder);
    if (fd >= 0)
        close(fd);
    free(folder);
    return err;
}

int backup_target_commit(struct backup_target *t, struct failure *failure)
{
    if (t->path == NULL)
        return ERR_OK;
    if (fsync(t->out.fd) != 0)
        return fail_errno(failure, "write", t->path);
    if (give_name(t) != 0)
        return errno == EEXIST ? exists_failure(t->path, failure)
                               : fail_errno(failure, "make", t->path);
    free(t->temporary);
    t->temporary = NULL;
    return sync_folder(t->path, failure);
}

void backup_target_close(struct backup_target *t)
{
    if (t->temporary != NULL)
        (void)unlink(t->temporary);
    if (t->out.fd > 2)
        close(t->out.fd);
    free(t->temporary);
    free(t->path);
    output_free(&t->out);
}
