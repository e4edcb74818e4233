#define _GNU_SOURCE
/* restoring.c - see restoring.h. */
#include "tests/torture/restoring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

enum { INSPECTION_MS = 120000 };

static bool inspect(struct cast *c, struct server_process *server, const char *folder)
{
    struct plan_actor planned = {.role = "inspect", .proxy = -1, .seed = 1};
    unsigned index = cast_add(c, folder, server->endpoints[0], &planned);
    bool ok = cast_start(c, index) && cast_wait(c, index, INSPECTION_MS);
    int status = server_stop(server, SIGTERM);
    if (ok && status != 0) {
        snprintf(c->error, sizeof c->error, "a restored server ended with %d", status);
        ok = false;
    }
    return ok;
}

static bool restore_one(struct cast *c, const char *vigild, const char *folder, const char *backup)
{
    char data[128], endpoint[128], log[SERVER_LOG_SIZE];
    const char *arguments[] = {"--data", data, "--listen", endpoint, "--restore", backup, NULL};
    struct server_process server = {0};
    snprintf(data, sizeof data, "%s/restored", folder);
    snprintf(endpoint, sizeof endpoint, "ipc://%s/restored.sock", folder);
    bool ok = server_start(&server, vigild, arguments);
    if (!ok) {
        server_log(&server, log);
        snprintf(c->error, sizeof c->error, "%s is not restored: %.200s", backup, log);
    }
    ok = ok && inspect(c, &server, folder);
    (void)server_stop(&server, SIGKILL);
    if (server.log_fd > 0)
        close(server.log_fd);
    if (ok)
        temp_folder_remove(data);
    return ok;
}

bool restoring_run(struct cast *c, const char *vigild, const char *folder)
{
    bool ok = true;
    unsigned count = c->count; /* without those who inspect */
    for (unsigned i = 0; ok && i < count; i++) {
        char backup[sizeof c->actors[i].history + 8];
        snprintf(backup, sizeof backup, "%s.backup", c->actors[i].history);
        if (strcmp(c->actors[i].role, "backup") == 0 && access(backup, R_OK) == 0)
            ok = restore_one(c, vigild, folder, backup);
    }
    return ok;
}
