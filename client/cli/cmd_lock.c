#define _GNU_SOURCE
/* cmd_lock.c - vigil lock NAME -- COMMAND. */
#include "client/cli/command.h"
#include "client/cli/place_in_line.h"
#include "client/cli/stop_signal.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPTION_TTL, OPTION_TIMEOUT };
enum { LOOK_AT_COMMAND_MS = 1000 }; /* where its end cannot be waited for */
enum { EXIT_NOT_RUNNABLE = 126, EXIT_NO_COMMAND = 127, EXIT_SIGNAL = 128 };

static const struct option_spec options[] = {
    {"ttl", 0, "DUR", "how long the lock outlives a holder that has died or is stopped (10s)"},
    {"timeout", 0, "DUR", "end with exit code 4 if the lock is not free by then"},
};

/* The command, with the signals as they were, and the lock's fence in its environment. */
static int start(const struct cli *cli, const char *name, uint64_t seq, char *const *words,
                 pid_t *ret_pid)
{
    char seq_text[24];
    sigset_t none;
    posix_spawnattr_t attributes;

    (void)snprintf(seq_text, sizeof seq_text, "%" PRIu64, seq);
    (void)setenv("VIGIL_LOCK_NAME", name, 1);
    (void)setenv("VIGIL_LOCK_SEQ", seq_text, 1);
    (void)sigemptyset(&none);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    int error = posix_spawnp(ret_pid, words[0], NULL, &attributes, words, environ);
    (void)posix_spawnattr_destroy(&attributes);
    if (error == 0)
        return EXIT_DONE;
    (void)cli_error(cli, "cannot run %s: %s", words[0], strerror(error));
    return error == ENOENT ? EXIT_NO_COMMAND : EXIT_NOT_RUNNABLE;
}

/* A signal that was meant for the lock's holder is the command's. */
static void pass_on(int stop_fd, pid_t pid)
{
    int number = stop_signal_next(stop_fd);
    if (number != 0)
        (void)kill(pid, number);
}

/* Until the command has ended; if the lock is lost before, it is told to. */
static int attend(struct cli *cli, vigil_lock *lock, int stop_fd, pid_t pid)
{
    struct pollfd wait[] = {{.fd = pidfd_open(pid, 0), .events = POLLIN},
                            {.fd = stop_fd, .events = POLLIN}};
    siginfo_t info = {0};
    bool held = true;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) {
        if (held && !place_is_held(cli, lock)) {
            held = false;
            (void)kill(pid, SIGTERM);
        }
        if (poll(wait, 2, held ? place_look_ms(lock) : LOOK_AT_COMMAND_MS) > 0 &&
            wait[1].revents != 0)
            pass_on(stop_fd, pid);
    }
    if (wait[0].fd >= 0)
        (void)close(wait[0].fd);
    if (!held)
        return EXIT_ERROR;
    return info.si_code == CLD_EXITED ? info.si_status : EXIT_SIGNAL + info.si_status;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    const char *name = arguments->words[0];
    char *words[WORDS_MAX + 1] = {(char *)(uintptr_t)arguments->words[1]};
    int ttl_ms = PLACE_TTL_MS;
    int timeout_ms = -1;
    vigil_lock *lock = NULL;
    pid_t pid = 0;

    for (size_t i = 2; i < arguments->word_count; i++)
        words[i - 1] = (char *)(uintptr_t)arguments->words[i];
    int err = cli_read_duration(cli, "ttl", values[OPTION_TTL], &ttl_ms);
    if (err == EXIT_DONE)
        err = cli_read_duration(cli, "timeout", values[OPTION_TIMEOUT], &timeout_ms);
    if (err == EXIT_DONE)
        err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    int stop_fd = stop_signal_open();
    if (stop_fd < 0)
        return cli_error(cli, "cannot wait for signals: %s", strerror(errno));
    int error = vigil_lock_enter(cli->connection, name, NULL, 0, (uint32_t)ttl_ms, &lock);
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    err = place_wait_first(cli, lock, stop_fd, timeout_ms);
    if (err == EXIT_DONE)
        err = start(cli, name, vigil_lock_seq(lock), words, &pid);
    if (err == EXIT_DONE)
        err = attend(cli, lock, stop_fd, pid);
    vigil_lock_release(lock);
    return err;
}

const struct command command_lock = {
    .name = "lock",
    .words = "NAME -- COMMAND [ARG]...",
    .words_min = 2,
    .words_max = WORDS_MAX,
    .summary = "runs a command while nobody else holds the lock",
    .text =
        "Waits until the lock NAME is free, those who came before first, runs COMMAND, gives the\n"
        "lock back and ends with COMMAND's exit code (126 or 127 if it cannot be run, 128 and the\n"
        "signal's number if one ended it). COMMAND finds VIGIL_LOCK_NAME and VIGIL_LOCK_SEQ in its\n"
        "environment: the seq grows from holder to holder, so whoever COMMAND writes to can refuse\n"
        "a smaller one than it has seen. If the lock is lost before COMMAND ends (it and its\n"
        "holder were stopped for longer than --ttl, or the server could not be reached for that\n"
        "long), it gets SIGTERM and the exit code is 1.\n"
        "The line can be seen: vigil ls 'lock/*'.\n",
    .examples = "  vigil lock deploy -- ./deploy.sh production\n"
                "  vigil lock printer --timeout 30s -- lp report.pdf\n"
                "  vigil lock backup --ttl 1m -- sh -c 'rsync ... && echo fence $VIGIL_LOCK_SEQ'\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
