/* cmd_ping.c - vigil ping. */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/command.h"
#include "client/cli/json_write.h"

#include <stdio.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    vigil_info info;
    char line[64];

    (void)arguments;
    (void)values;
    int err = cli_connect(cli);
    if (err != EXIT_DONE)
        return err;
    double start = now_ms();
    int error = vigil_ping(cli->connection);
    double elapsed = now_ms() - start;
    if (error != VIGIL_OK)
        return cli_failure(cli, error);
    vigil_get_info(cli->connection, &info);
    struct wire_buffer *out = &cli->out.buffer;
    json_write_raw(out, info.server);
    json_write_raw(out, " at ");
    json_write_raw(out, info.endpoint);
    snprintf(line, sizeof(line), ": %.3f ms\n", elapsed);
    json_write_raw(out, line);
    return EXIT_DONE;
}

const struct command command_ping = {
    .name = "ping",
    .words = "",
    .words_min = 0,
    .words_max = 0,
    .summary = "measures a round trip to the server",
    .text = "Sends one request and prints who answered, and after how long. Exit code 6 if nobody\n"
            "did within --connect-timeout.\n",
    .examples = "  vigil ping\n"
                "  vigil -s tcp://db1:7117 ping --connect-timeout 1s\n",
    .options = NULL,
    .option_count = 0,
    .run = run,
};
