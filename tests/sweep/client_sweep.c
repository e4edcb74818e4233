#define _GNU_SOURCE
/* client_sweep.c - the failure sweep over libvigil, against a server that works: see sweep.h. */
#include "tests/sweep/client_script.h"

#include <signal.h>
#include <stdio.h>

#include "tests/support/server_process.h"

enum { REQUEST_TIMEOUT_MS = 1000 };

static bool run(struct sweep *sweep, void *context)
{
    const struct server_process *server = context;
    struct client_script s = {.sweep = sweep,
                              .endpoint = server->endpoints[0],
                              .request_timeout_ms = sweep_patience_ms(sweep, REQUEST_TIMEOUT_MS)};
    sweep_arm(sweep);
    client_script_run(&s);
    sweep_disarm(sweep);
    if (sweep->plan->fault == FAULT_NONE && (!s.v || s.refusals > 0))
        s.good = sweep_wrong(sweep, "%u calls fail without any fault", s.refusals);
    client_script_settle(&s);
    sweep_arm(sweep);
    client_script_close(&s);
    return s.good;
}

int main(int argc, char **argv)
{
    struct server_process server = {0};
    struct sweep s = {
        .name = "client", .run = run, .context = &server, .points_max = 2, .limit_seconds = 120};
    char folder[TEMP_FOLDER_SIZE];
    char data[SWEEP_PATH_SIZE];
    char listen[SWEEP_PATH_SIZE];
    if (!sweep_options(&s, argc, argv) || !sweep_open(&s)) {
        fputs(sweep_usage, stderr);
        return 2;
    }
    if (!temp_folder_make(folder))
        return 2;
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(listen, sizeof listen, "ipc://%s/s", folder);
    const char *const arguments[] = {
        "--listen", listen, "--data", data, "--log-level=warn", "--durability=process", NULL};
    if (server_start(&server, TEST_VIGILD, arguments)) {
        sweep_run(&s);
        if (server_stop(&server, SIGTERM) != 0)
            s.failures++;
    }
    temp_folder_remove(folder);
    return sweep_close(&s);
}
