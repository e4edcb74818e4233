/* place_in_line.c - see place_in_line.h. */
#include "client/cli/place_in_line.h"

#include "client/cli/duration.h"
#include "client/cli/stop_signal.h"

/* So often a signal is looked for, and at most so late a lost lease is noticed. */
enum { SLICE_MS = 200, LOOK_MOST_MS = 1000 };

static int slice_ms(int64_t deadline_ms)
{
    int64_t left_ms = deadline_ms - duration_now_ms();
    if (deadline_ms < 0 || left_ms > SLICE_MS)
        return SLICE_MS;
    return left_ms > 0 ? (int)left_ms : 0;
}

int place_wait_first(struct cli *cli, vigil_lock *place, int stop_fd, int timeout_ms)
{
    int64_t deadline_ms = timeout_ms < 0 ? -1 : duration_now_ms() + timeout_ms;
    for (;;) {
        int wait_ms = slice_ms(deadline_ms);
        int error = vigil_lock_wait(place, wait_ms);
        if (error == VIGIL_OK)
            return EXIT_DONE;
        if (stop_signal_pending(stop_fd)) {
            cli->stop_signal = stop_signal_take(stop_fd);
            return EXIT_ERROR;
        }
        if (error != VIGIL_TIMEOUT && error != VIGIL_DISCONNECTED)
            return cli_failure(cli, error);
        if (wait_ms == 0) {
            cli_note(cli, "timed out: others are before it in the line");
            return EXIT_TIMED_OUT;
        }
    }
}

bool place_is_held(const struct cli *cli, vigil_lock *place)
{
    int error = vigil_lock_left_ms(place) == 0 ? VIGIL_LEASE_ENDED : vigil_lock_check(place);
    if (error != VIGIL_LEASE_ENDED)
        return true; /* a server that cannot be asked has not said no */
    cli_note(cli, "lost: the lease has ended before it was given back");
    return false;
}

int place_look_ms(const vigil_lock *place)
{
    int64_t left_ms = vigil_lock_left_ms(place);
    return left_ms < LOOK_MOST_MS ? (int)left_ms + 1 : LOOK_MOST_MS;
}
