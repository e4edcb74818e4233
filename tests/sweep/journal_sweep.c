/* journal_sweep.c - the failure sweep over journal/: see sweep.h and journal_script.h. */
#include "tests/sweep/journal_script.h"

#include <stdio.h>

static bool run(struct sweep *sweep, void *context)
{
    struct script s;
    (void)context;
    if (!script_init(&s, sweep))
        return sweep_wrong(sweep, "out of memory");
    sweep_arm(sweep);
    bool good = script_run(&s);
    sweep_disarm(sweep);
    if (good)
        good = script_check(&s);
    if (!good)
        sweep_wrong(sweep, "%s", s.ledger->wrong);
    script_free(&s);
    return good;
}

int main(int argc, char **argv)
{
    struct sweep s = {.name = "journal", .run = run, .points_max = 4, .limit_seconds = 30};
    if (!sweep_options(&s, argc, argv) || !sweep_open(&s)) {
        fputs(sweep_usage, stderr);
        return 2;
    }
    sweep_run(&s);
    return sweep_close(&s);
}
