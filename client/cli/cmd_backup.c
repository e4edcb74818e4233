/* cmd_backup.c - vigil backup FILE, and vigil backup --check FILE, which needs no server. */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/backup_target.h"
#include "client/cli/command.h"
#include "client/cli/duration.h"
#include "client/cli/stop_signal.h"
#include "protocol/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_FORCE, OPTION_STATE_ONLY, OPTION_CHECK };
enum { PROGRESS_MS = 200, TRIES_MAX = 5 };

static const struct option_spec options[] = {
    {"force", 'f', NULL, "replace FILE if it is there"},
    {"state-only", 0, NULL, "without the history that the state does not need"},
    {"check", 0, NULL, "write nothing: check the backup in FILE, without a server"},
};

struct backup {
    struct cli *cli;
    struct backup_target target;
    bool on_terminal;
    int64_t progress_due_ms;
};

static void show_progress(struct backup *b)
{
    int64_t now = duration_now_ms();

    if (!b->on_terminal || now < b->progress_due_ms)
        return;
    b->progress_due_ms = now + PROGRESS_MS;
    fprintf(stderr, "\rbackup: %" PRIu64 " MiB\033[K", b->target.written >> 20);
}

static bool take(void *context, const void *data, size_t size)
{
    struct backup *b = context;

    show_progress(b);
    return backup_target_write(&b->target, data, size);
}

static void print_summary(char line[512], const vigil_backup_info *info)
{
    snprintf(line, 512,
             "{\"seq\":%" PRIu64 ",\"epoch\":\"%016" PRIx64 "\",\"oldest\":%" PRIu64
             ",\"records\":%" PRIu64 ",\"rows\":%" PRIu64 ",\"bytes\":%" PRIu64
             ",\"checksum\":\"%08" PRIx32 "\"}\n",
             info->seq, info->epoch, info->oldest, info->records, info->rows, info->bytes,
             info->checksum);
}

/* Why the backup was not written. */
static int tell(struct backup *b, int error)
{
    const struct backup_target *t = &b->target;

    switch (t->result) {
    case OUTPUT_INTERRUPTED:
        return EXIT_ERROR; /* main ends as the signal does */
    case OUTPUT_CLOSED:
        return cli_error(b->cli, "the reader of standard output has gone");
    case OUTPUT_FAILED:
        return cli_error(b->cli, "cannot write %s: %s",
                         t->path != NULL ? t->path : "standard output", strerror(t->error));
    case OUTPUT_OK:
        break;
    }
    if (error == VIGIL_COMPACTED) {
        cli_note(b->cli,
                 "COMPACTED: records were removed from the journal faster than they could be read; "
                 "keep more of them (vigild --retain-records, --retain-bytes, --retain-age), or "
                 "leave the history out (--state-only)%s",
                 t->path == NULL ? "; a FILE is tried several times" : "");
        return EXIT_POSITION;
    }
    return cli_failure(b->cli, error);
}

static int write_backup(struct backup *b, const char *path, bool force, bool state_only,
                        int stop_fd, vigil_backup_info *ret_info)
{
    struct failure failure = {.text = ""};
    int error = VIGIL_COMPACTED;

    if (backup_target_open(&b->target, path, force, stop_fd, &failure) != ERR_OK)
        return cli_error(b->cli, "%s", failure.text);
    int err = cli_connect(b->cli);
    if (err != EXIT_DONE)
        return err;
    for (int i = 0; i < TRIES_MAX && error == VIGIL_COMPACTED; i++) {
        if (!backup_target_rewind(&b->target))
            break;
        error = vigil_backup(b->cli->connection, state_only, take, b, ret_info);
    }
    if (b->on_terminal)
        fputs("\r\033[K", stderr);
    if (error != VIGIL_OK)
        return tell(b, error);
    if (backup_target_commit(&b->target, &failure) != ERR_OK)
        return cli_error(b->cli, "%s", failure.text);
    return EXIT_DONE;
}

static int make(struct cli *cli, const char *path, const char *const *values)
{
    struct backup b = {.cli = cli, .on_terminal = isatty(2) == 1};
    vigil_backup_info info = {0};
    char line[512];
    int stop_fd = stop_signal_open();

    int err = write_backup(&b, path, values[OPTION_FORCE] != NULL,
                           values[OPTION_STATE_ONLY] != NULL, stop_fd, &info);
    bool to_stdout = b.target.path == NULL;
    backup_target_close(&b.target);
    if (stop_fd >= 0)
        cli->stop_signal = stop_signal_take(stop_fd);
    if (err != EXIT_DONE)
        return err;
    print_summary(line, &info);
    if (to_stdout)
        fputs(line, stderr);
    else
        wire_write_raw(&cli->out.buffer, line, strlen(line));
    return EXIT_DONE;
}

/* ---- check ---- */

struct input {
    int fd;
    const char *name;
};

static int read_input(void *context, uint8_t *out, size_t size, size_t *ret_size,
                      struct failure *failure)
{
    const struct input *input = context;
    ssize_t got;

    do
        got = read(input->fd, out, size);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return failure_set(failure, ERR_IO, "cannot read %s: %s", input->name, strerror(errno));
    *ret_size = (size_t)got;
    return ERR_OK;
}

static int read_all(struct backup_reader *reader, struct failure *failure)
{
    struct backup_chunk chunk;
    int err = backup_reader_open(reader, failure);

    while (err == ERR_OK)
        err = backup_reader_next(reader, &chunk, failure);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static int check(struct cli *cli, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    struct input input = {.fd = 0, .name = is_stdin ? "standard input" : path};
    struct backup_reader reader = {.read = read_input, .context = &input, .name = input.name};
    struct failure failure = {.text = ""};
    char line[512];

    if (!is_stdin)
        input.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (input.fd < 0)
        return cli_error(cli, "cannot open %s: %s", path, strerror(errno));
    int err = read_all(&reader, &failure);
    const struct backup_summary s = reader.tally.summary;
    backup_reader_free(&reader);
    if (!is_stdin)
        close(input.fd);
    if (err != ERR_OK)
        return cli_error(cli, "%s", failure.text);
    print_summary(line, &(vigil_backup_info){.epoch = s.epoch,
                                             .seq = s.head,
                                             .oldest = s.oldest,
                                             .records = s.records,
                                             .rows = s.rows,
                                             .bytes = s.bytes,
                                             .checksum = s.checksum});
    wire_write_raw(&cli->out.buffer, line, strlen(line));
    return EXIT_DONE;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *path = arguments->words[0];

    if (values[OPTION_CHECK] == NULL)
        return make(cli, path, values);
    if (values[OPTION_FORCE] != NULL || values[OPTION_STATE_ONLY] != NULL)
        return cli_usage_error(cli, "--check writes nothing: it takes no other option");
    return check(cli, path);
}

const struct command command_backup = {
    .name = "backup",
    .words = "FILE",
    .words_min = 1,
    .words_max = 1,
    .summary = "writes all that the server has, while it runs",
    .text =
        "Writes the state and the records up to one seq to FILE, or to standard output for -, and\n"
        "prints one JSON line: seq, epoch, oldest, records, rows (keys as the last checkpoint had\n"
        "them), bytes, checksum; with - to standard error. Everything acknowledged before is in.\n"
        "FILE is there as a whole or not at all. 'vigild --restore FILE' begins a journal with it,\n"
        "in a new epoch: positions of the old one are refused there. Sessions and named cursors\n"
        "are not in it. With --check the exit code is 1 if FILE is no whole and undamaged backup.\n",
    .examples = "  vigil backup monday.vigil\n"
                "  vigil backup - | ssh elsewhere 'cat > monday.vigil'\n"
                "  vigil backup --check monday.vigil\n"
                "  vigild --data ./restored --restore monday.vigil\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
