/*
 * recorded_run.h - programs whose writes below a folder are recorded: the workload,
 * and a server with a client.
 */
#ifndef VIGIL_TESTS_POWERLOSS_RECORDED_RUN_H
#define VIGIL_TESTS_POWERLOSS_RECORDED_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "journal/journal.h"
#include "tests/support/temp_folder.h"

enum { RUN_PATH_SIZE = 256, RUN_ERROR_SIZE = 400 };

/* A folder for the files of one run; root is what is recorded, the log is beside it. */
struct recorded_run {
    char folder[TEMP_FOLDER_SIZE];
    char root[RUN_PATH_SIZE];
    char journal[RUN_PATH_SIZE]; /* root/journal; the program makes it */
    char log[RUN_PATH_SIZE];
    char boot_id[RUN_PATH_SIZE];
    char error[RUN_ERROR_SIZE]; /* of the last call that failed */
};
bool recorded_run_make(struct recorded_run *r);
void recorded_run_remove(struct recorded_run *r);
/* The next process is of another boot of the machine. */
bool recorded_run_boot(struct recorded_run *r, const char *boot_id);

struct workload_segment {
    enum journal_durability durability; /* 0: none, the end of a list */
    unsigned batches;
    bool closes; /* or ends as if killed */
    /* What is wrong with the disk (operation_log.h), and the names of which files; or NULL. */
    const char *flaw;
    const char *files;
};
/* One process. One that does not get through is an error, unless ret_refused is there to say so. */
bool recorded_run_workload(struct recorded_run *r, const struct workload_segment *segment,
                           uint64_t seed, bool *ret_refused);
/* A vigild, with a client that puts so many records of server_history and notes what has been
 * acknowledged; stopped by SIGTERM. (Killed, it could leave an operation that its log has not.) */
bool recorded_run_server(struct recorded_run *r, enum journal_durability durability, unsigned puts,
                         uint64_t seed);

#endif
