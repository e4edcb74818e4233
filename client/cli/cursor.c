/* cursor.c - see cursor.h. */
#define _XOPEN_SOURCE 700
#include "client/cli/cursor.h"

#include "client/cli/position.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cursor {
    char *path;
    char *temporary;
    vigil_position written; /* valid if has_written */
    bool has_written;
};

static int fail_errno(struct failure *failure, const char *what, const char *path)
{
    return failure_set(failure, ERR_IO, "cannot %s the cursor file %s: %s", what, path,
                       strerror(errno));
}

/* The whole small file as text. Its size, or -1 with errno. */
static ssize_t read_small_file(const char *path, char *text, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 0;

    if (fd < 0)
        return -1;
    while (size < capacity - 1) {
        ssize_t got = read(fd, text + size, capacity - 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            int saved = errno;
            close(fd);
            errno = saved;
            text[size] = '\0';
            return got < 0 ? -1 : (ssize_t)size;
        }
        size += (size_t)got;
    }
    close(fd);
    text[size] = '\0';
    return (ssize_t)size;
}

static int read_position(const char *path, vigil_position *ret_position, struct failure *failure)
{
    char text[POSITION_TEXT_SIZE + 8];
    ssize_t size = read_small_file(path, text, sizeof(text));

    if (size < 0)
        return fail_errno(failure, "read", path);
    text[strcspn(text, "\n")] = '\0';
    if (!position_parse(text, ret_position))
        return failure_set(failure, ERR_BAD_VALUE,
                           "%s is no cursor file (one line EPOCH:SEQ); name another one, or remove "
                           "it to start afresh",
                           path);
    return ERR_OK;
}

int cursor_open(const char *path, struct cursor **ret_cursor, bool *ret_present,
                vigil_position *ret_position, struct failure *failure)
{
    struct cursor *c = calloc(1, sizeof(*c));
    int err = ERR_OK;

    if (c == NULL)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    /* rename would replace a link rather than what it points to. */
    c->path = realpath(path, NULL);
    bool present = c->path != NULL;
    if (!present && errno == ENOENT)
        c->path = strdup(path);
    if (c->path == NULL) {
        err = fail_errno(failure, "find", path);
        goto fail;
    }
    c->temporary = malloc(strlen(c->path) + sizeof(".tmp"));
    if (c->temporary == NULL) {
        err = failure_set(failure, ERR_NO_MEMORY, "out of memory");
        goto fail;
    }
    stpcpy(stpcpy(c->temporary, c->path), ".tmp");
    if (present) {
        err = read_position(c->path, ret_position, failure);
        if (err != ERR_OK)
            goto fail;
    }
    *ret_present = present;
    *ret_cursor = c;
    return ERR_OK;
fail:
    cursor_close(c);
    return err;
}

void cursor_close(struct cursor *c)
{
    if (c == NULL)
        return;
    free(c->path);
    free(c->temporary);
    free(c);
}

int cursor_write(struct cursor *c, vigil_position position, struct failure *failure)
{
    char line[POSITION_TEXT_SIZE + 1];

    if (c->has_written && c->written.epoch == position.epoch && c->written.seq == position.seq)
        return ERR_OK;
    position_format(position, line);
    size_t size = strlen(line);
    line[size++] = '\n';

    int fd = open(c->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return fail_errno(failure, "write", c->temporary);
    ssize_t written = write(fd, line, size);
    if (written >= 0 && (size_t)written != size) {
        errno = ENOSPC;
        written = -1;
    }
    if (written < 0) {
        int err = fail_errno(failure, "write", c->temporary);
        close(fd);
        return err;
    }
    if (close(fd) != 0)
        return fail_errno(failure, "write", c->temporary);
    if (rename(c->temporary, c->path) != 0)
        return fail_errno(failure, "replace", c->path);
    c->written = position;
    c->has_written = true;
    return ERR_OK;
}
