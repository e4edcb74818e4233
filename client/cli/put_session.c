/* put_session.c - see put_session.h. */
#define _GNU_SOURCE
#include "client/cli/put_session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/stop_signal.h"

enum { TTL_DEFAULT_MS = 10000, INPUT_SIZE = 4096 };

int put_session_open(struct cli *cli, int ttl_ms, struct put_session *ret_session)
{
    struct put_session session = PUT_SESSION_INIT;

    session.stop_fd = stop_signal_open();
    if (session.stop_fd < 0)
        return cli_error(cli, "cannot wait for signals: %s", strerror(errno));
    int error = vigil_lease_open(
        cli->connection, ttl_ms > 0 ? (uint32_t)ttl_ms : (uint32_t)TTL_DEFAULT_MS, &session.lease);
    if (error != VIGIL_OK) {
        close(session.stop_fd);
        if (error == VIGIL_INVALID)
            return cli_usage_error(cli, "with --session, --ttl is between 1s and 24h");
        return cli_failure(cli, error);
    }
    *ret_session = session;
    return EXIT_DONE;
}

/* Somebody at the other end can end it: a pipe, or a socket. */
static bool input_can_end(void)
{
    struct stat input;

    return fstat(STDIN_FILENO, &input) == 0 && (S_ISFIFO(input.st_mode) || S_ISSOCK(input.st_mode));
}

/* Reads on, whatever it is. False: it has ended. */
static bool input_goes_on(void)
{
    char bytes[INPUT_SIZE];
    ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));

    return got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN));
}

/* Until it is to stop (EXIT_DONE), or the lease is lost. While no server answers it may come back,
 * so that only what the server has said counts. */
static int stay(const struct cli *cli, const struct put_session *session, bool stdin_is_read)
{
    struct pollfd fds[3] = {
        {.fd = session->stop_fd, .events = POLLIN},
        {.fd = vigil_lease_fd(session->lease), .events = POLLIN},
        {.fd = !stdin_is_read && input_can_end() ? STDIN_FILENO : -1, .events = POLLIN},
    };
    bool warned = false;

    for (;;) {
        /* The descriptor stays readable while nothing is sure: then look now and then. */
        bool unsure = vigil_lease_left_ms(session->lease) == 0;
        fds[1].events = unsure ? 0 : POLLIN;
        if (poll(fds, 3, unsure ? 100 : -1) < 0 && errno != EINTR)
            return cli_error(cli, "cannot wait: %s", strerror(errno));
        if (vigil_lease_has_ended(session->lease))
            return cli_error(cli, "the key has ended: the server had no word of this command for "
                                  "too long; put it again");
        if (fds[0].revents != 0 || (fds[2].revents != 0 && !input_goes_on()))
            return EXIT_DONE;
        if (unsure && !warned)
            cli_note(cli, "no word from the server for so long that the key may have ended");
        warned = unsure;
    }
}

int put_session_end(struct cli *cli, struct put_session *session, int err, bool stdin_is_read)
{
    if (err == EXIT_DONE)
        err = cli_finish(cli, EXIT_DONE);
    if (err == EXIT_DONE)
        err = stay(cli, session, stdin_is_read);
    int error = vigil_lease_close(session->lease);
    if (err == EXIT_DONE && error != VIGIL_OK && error != VIGIL_LEASE_ENDED)
        err = cli_failure(cli, error);
    close(session->stop_fd);
    session->lease = NULL;
    return err;
}
