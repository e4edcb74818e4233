/*
 * put_session.h - what `vigil put --session` does besides putting: a lease for the
 * key, and staying until the command is stopped.
 */
#ifndef VIGIL_CLI_PUT_SESSION_H
#define VIGIL_CLI_PUT_SESSION_H

#include "client/cli/command.h"

struct put_session {
    vigil_lease *lease; /* NULL: none */
    int stop_fd;
};
/* clang-format off */
#define PUT_SESSION_INIT {NULL, -1}
/* clang-format on */

/* ttl_ms: how long the key outlives a command that is killed; 0: the default. From here on SIGINT
 * and SIGTERM wait. EXIT_DONE, or an exit code after a message. */
int put_session_open(struct cli *cli, int ttl_ms, struct put_session *ret_session);
/* Writes out what was printed, and stays, if err is EXIT_DONE; then closes the lease. stdin_is_read:
 * its end says nothing. Returns the exit code. */
int put_session_end(struct cli *cli, struct put_session *session, int err, bool stdin_is_read);

#endif
