/* place_in_line.h - what `vigil lock` and `vigil elect` do until they are the first, and while they
 * are. */
#ifndef VIGIL_CLI_PLACE_IN_LINE_H
#define VIGIL_CLI_PLACE_IN_LINE_H

#include "client/cli/command.h"

enum { PLACE_TTL_MS = 10000 };

/* Waits until the place is the first. EXIT_DONE; otherwise it has said why, or cli->stop_signal is
 * set because one came to stop_fd. */
int place_wait_first(struct cli *cli, vigil_lock *place, int stop_fd, int timeout_ms);
/* Whether it is still held; if not, it has said so. */
bool place_is_held(const struct cli *cli, vigil_lock *place);
/* How long to wait before looking again. */
int place_look_ms(const vigil_lock *place);

#endif
