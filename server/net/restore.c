#define _GNU_SOURCE
/* restore.c - see restore.h. */
#include "server/net/restore.h"

#include "protocol/backup_file.h"
#include "server/net/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

struct source {
    int fd;
    int signal_fd;
    const char *name;
};

static bool go_on(void *context)
{
    const struct source *s = context;
    struct pollfd signals = {.fd = s->signal_fd, .events = POLLIN};
    return poll(&signals, 1, 0) <= 0;
}

/* A pipe may have nothing for a long time: a signal ends that as well. */
static int wait_readable(const struct source *s)
{
    struct pollfd fds[2] = {{.fd = s->fd, .events = POLLIN},
                            {.fd = s->signal_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0) {
        if (errno != EINTR)
            return ERR_IO;
    }
    return fds[1].revents != 0 ? ERR_INTERRUPTED : ERR_OK;
}

static int read_source(void *context, uint8_t *out, size_t size, size_t *ret_size,
                       struct failure *failure)
{
    const struct source *s = context;
    ssize_t got;
    do {
        if (wait_readable(s) == ERR_INTERRUPTED)
            return failure_set(failure, ERR_INTERRUPTED, "the restore was stopped");
        got = read(s->fd, out, size);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return failure_set(failure, ERR_IO, "cannot read %s: %s", s->name, strerror(errno));
    *ret_size = (size_t)got;
    return ERR_OK;
}

static int open_source(const char *path, struct source *s, struct failure *failure)
{
    bool is_stdin = strcmp(path, "-") == 0;
    s->name = is_stdin ? "standard input" : path;
    s->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return failure_set(failure, errno == EACCES ? ERR_ACCESS : ERR_IO,
                           "cannot open the backup %s: %s", path, strerror(errno));
    return ERR_OK;
}

int restore_journal(const char *path, const struct journal_options *options, int signal_fd,
                    struct failure *failure)
{
    struct source s = {.fd = -1, .signal_fd = signal_fd};
    struct backup_reader reader = {.read = read_source, .context = &s};
    struct journal_restoring restoring = {.backup = &reader, .go_on = go_on, .context = &s};
    uint64_t keys = 0;
    int err = open_source(path, &s, failure);
    if (err != ERR_OK)
        return err;
    reader.name = s.name;
    err = backup_reader_open(&reader, failure);
    if (err == ERR_OK) {
        log_info("restoring %s into %s", s.name, options->directory);
        err = journal_restore(options, &restoring, &keys, failure);
    }
    if (err == ERR_OK) {
        const struct backup_summary *b = &reader.tally.summary;
        log_info("restored %s: %llu keys at seq %llu, records from %llu on, of epoch %016llx; the "
                 "epoch is new, and watchers with older positions will be told",
                 s.name, (unsigned long long)keys, (unsigned long long)b->head,
                 (unsigned long long)b->oldest, (unsigned long long)b->epoch);
    }
    backup_reader_free(&reader);
    if (s.fd > STDERR_FILENO)
        close(s.fd);
    return err;
}
