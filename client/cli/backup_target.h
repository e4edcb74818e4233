/*
 * backup_target.h - where a backup goes: a file that is there as a whole or not
 * at all, or standard output.
 *
 * 1. The file is written under another name in the same folder, synced, renamed.
 * 2. Until then a file of that name is what it was, and one that is not wanted any
 *    more is removed.
 */
#ifndef VIGIL_CLI_BACKUP_TARGET_H
#define VIGIL_CLI_BACKUP_TARGET_H

#include "client/cli/output.h"
#include "protocol/failure.h"

struct backup_target {
    struct output out;
    char *path; /* NULL: standard output */
    char *temporary;
    bool replace;
    uint64_t written;
    enum output_result result; /* of the first write that failed */
    int error;                 /* and its errno */
};

/* path "-": standard output. stop_fd: ends a write that blocks. ERR_CONFLICT: the file is there, and
 * replace is not set. Close it in any case. */
int backup_target_open(struct backup_target *t, const char *path, bool replace, int stop_fd,
                       struct failure *failure);
/* False: see result. */
bool backup_target_write(struct backup_target *t, const void *data, size_t size);
/* Back to the start; false where what has been written cannot be taken back. */
bool backup_target_rewind(struct backup_target *t);
/* The file is there, and on the disk. */
int backup_target_commit(struct backup_target *t, struct failure *failure);
/* Removes what was not committed. Takes one that failed to open. */
void backup_target_close(struct backup_target *t);

#endif
