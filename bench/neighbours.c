/* neighbours.c - this process's side; see neighbours.h. */
#define _POSIX_C_SOURCE 200809L
#include "bench/neighbours.h"

#include <inttypes.h>
#include <stdio.h>

enum { READY_MS = 60000, FINISH_MS = 120000, END_MS = 10000 };

int replayer_start(struct child *c, const char *endpoint, uint64_t until, struct failure *failure)
{
    char role[] = "role";
    char name[] = "replayer";
    char address[320];
    char number[24];
    char line[64];
    snprintf(address, sizeof address, "%s", endpoint);
    snprintf(number, sizeof number, "%" PRIu64, until);
    char *arguments[] = {NULL, role, name, address, number, NULL};
    int err = child_start_role(c, "the replaying process", arguments, failure);
    return err ? err : child_read_line(c, line, sizeof line, READY_MS, failure);
}

int burner_start(struct child *c, struct failure *failure)
{
    char role[] = "role";
    char name[] = "burner";
    char line[64];
    char *arguments[] = {NULL, role, name, NULL};
    int err = child_start_role(c, "the burning process", arguments, failure);
    return err ? err : child_read_line(c, line, sizeof line, READY_MS, failure);
}

int replayer_window(struct child *c, uint64_t begin_ns, uint64_t end_ns, struct failure *failure)
{
    char line[80];
    int size = snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 "\n", begin_ns, end_ns);
    return child_write(c, line, (size_t)size, failure);
}

int burner_window(struct child *c, uint64_t begin_ns, uint64_t end_ns, const double shares[2],
                  struct failure *failure)
{
    char line[120];
    int size = snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 " %.6f %.6f\n", begin_ns, end_ns,
                        shares[0], shares[1]);
    return child_write(c, line, (size_t)size, failure);
}

int neighbour_finish(struct child *c, struct neighbour_report *ret_report, struct failure *failure)
{
    return child_read(c, ret_report, sizeof *ret_report, FINISH_MS, failure);
}

void neighbour_end(struct child *c)
{
    child_end(c, 0, END_MS);
}
