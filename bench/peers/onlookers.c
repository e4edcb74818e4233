/* onlookers.c - this process's side; see onlookers.h. */
#define _POSIX_C_SOURCE 200809L
#include "bench/peers/onlookers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { READY_MS = 60000, FINISH_MS = 120000, END_MS = 10000, ADDRESS_MAX = 320 };

int onlookers_start(struct onlookers *o, const struct peer_plan *plan, struct failure *failure)
{
    char role[] = "role";
    char address[ADDRESS_MAX];
    char operation[64];
    char numbers[3][16];
    char line[8];
    snprintf(address, sizeof address, "%s", plan->address);
    snprintf(operation, sizeof operation, "%s", plan->operation->name);
    snprintf(numbers[0], sizeof numbers[0], "%" PRIu32, plan->watchers);
    snprintf(numbers[1], sizeof numbers[1], "%" PRIu32, plan->keys);
    snprintf(numbers[2], sizeof numbers[2], "%" PRIu32, plan->size);
    char *arguments[] = {NULL, role, address, operation, numbers[0], numbers[1], numbers[2], NULL};
    int err = child_start_role(&o->child, "the watchers' process", arguments, failure);
    if (!err) {
        err = child_read_line(&o->child, line, sizeof line, READY_MS, failure);
    }
    return err;
}

static int tell(struct onlookers *o, char word, uint64_t a, uint64_t b, struct failure *failure)
{
    char line[64];
    int size = snprintf(line, sizeof line, "%c %" PRIu64 " %" PRIu64 "\n", word, a, b);
    return child_write(&o->child, line, (size_t)size, failure);
}

int onlookers_window(struct onlookers *o, uint64_t begin_ns, uint64_t end_ns,
                     struct failure *failure)
{
    return tell(o, 'w', begin_ns, end_ns, failure);
}

int onlookers_finish(struct onlookers *o, uint64_t changes, struct onlookers_report *ret_report,
                     struct failure *failure)
{
    int err = tell(o, 'u', changes, 0, failure);
    if (!err) {
        err = child_read(&o->child, ret_report, sizeof *ret_report, FINISH_MS, failure);
    }
    return err;
}

void onlookers_end(struct onlookers *o)
{
    child_end(&o->child, 0, END_MS);
}
