/* restore.h - vigild --restore: the journal out of a backup, before the server starts. Main thread. */
#ifndef VIGIL_SERVER_NET_RESTORE_H
#define VIGIL_SERVER_NET_RESTORE_H

#include "journal/journal.h"

/* path: a file, or - for standard input. options' epoch becomes the journal's. A signal at
 * signal_fd ends it (ERR_INTERRUPTED); it stays there to be read. */
int restore_journal(const char *path, const struct journal_options *options, int signal_fd,
                    struct failure *failure);

#endif
