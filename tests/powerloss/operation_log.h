/*
 * operation_log.h - what a process did to the files below a folder, one entry
 * per operation, in order: the recorder writes it, the simulated disk reads it.
 *
 * An entry is a struct operation and its data, padded to 8 bytes, appended by one
 * write to a file opened with O_APPEND, so that several processes can share a log.
 *
 *   operation     file    offset         data
 *   MAKE_FOLDER                          path
 *   CREATE        yes                    path
 *   RENAME                               path, zero byte, new path
 *   UNLINK                               path
 *   WRITE         yes     where          what; flag SYNCED: it is durable on return
 *   RESIZE        yes     the new size
 *   SYNC          yes                    what was written before is durable on its return
 *   SYNC_FOLDER                          path: likewise the names in it
 *   MAP           yes                    path; written to through memory, not recorded further
 *   NOTE                                 a struct note of the program that is watched
 *
 * Paths are relative to the folder; "" is the folder itself. A file is named by its
 * inode number, which CREATE gives to a new file.
 */
#ifndef VIGIL_TESTS_POWERLOSS_OPERATION_LOG_H
#define VIGIL_TESTS_POWERLOSS_OPERATION_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The recorder's environment: it is idle unless both of the first two are there. */
#define POWERLOSS_ROOT "VIGIL_POWERLOSS_ROOT"       /* the folder, as realpath names it */
#define POWERLOSS_LOG "VIGIL_POWERLOSS_LOG"         /* the log, outside of it */
#define POWERLOSS_BOOT_ID "VIGIL_POWERLOSS_BOOT_ID" /* a file to be read as the boot id */
/* And what is wrong with the disk, by the beginning of a file's name: */
#define POWERLOSS_UNSYNCED "VIGIL_POWERLOSS_UNSYNCED" /* syncs of it are not noted */
#define POWERLOSS_LATE "VIGIL_POWERLOSS_LATE"         /* are noted after the next one of another */
#define POWERLOSS_FULL "VIGIL_POWERLOSS_FULL"         /* it cannot be made: ENOSPC */

enum operation_kind {
    OPERATION_MAKE_FOLDER = 1,
    OPERATION_CREATE,
    OPERATION_RENAME,
    OPERATION_UNLINK,
    OPERATION_WRITE,
    OPERATION_RESIZE,
    OPERATION_SYNC,
    OPERATION_SYNC_FOLDER,
    OPERATION_MAP,
    OPERATION_NOTE,
};
enum { OPERATION_SYNCED = 1 };

struct operation {
    uint32_t kind;
    uint32_t flags;
    uint64_t file;
    uint64_t offset;
    uint64_t size; /* of the data that follows */
};

/* What the watched program says of itself; its time in the log is what counts. */
enum note_kind {
    NOTE_OPENING = 1, /* with this durability */
    NOTE_OPENED,      /* this is what it holds */
    NOTE_BATCH,       /* records up to head are on their way */
    NOTE_COMMITTED,   /* all of this has been acknowledged */
    NOTE_CLOSED,      /* cleanly */
};
struct note {
    uint32_t kind;
    uint32_t durability;
    uint64_t epoch;
    uint64_t head;
    uint64_t oldest;
    uint64_t applied;
};

/* Opens for appending, made if need be. -1: failed. */
int operation_log_open(const char *path);
/* Does not return if it fails: a log with holes proves nothing. Any thread. */
void operation_log_append(int fd, const struct operation *o, const void *data);
void operation_log_note(int fd, const struct note *n);

struct operation_log {
    const uint8_t *start;
    size_t size;
    const struct operation **operations;
    size_t count;
};
/* Maps a whole log. False: it cannot be read, or does not end with a whole entry. */
bool operation_log_read(struct operation_log *log, const char *path);
void operation_log_free(struct operation_log *log);
static inline const uint8_t *operation_data(const struct operation *o)
{
    return (const uint8_t *)(o + 1);
}
/* NULL: it is not one. */
const struct note *operation_note(const struct operation *o);

#endif
