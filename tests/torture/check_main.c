/* check_main.c - judges the histories in a folder again: torture_check [--no-doubt] FOLDER */
#include <stdio.h>
#include <string.h>

#include "tests/torture/verdict_print.h"

int main(int argc, char **argv)
{
    struct checker_options options = {.no_doubt = argc == 3 && strcmp(argv[1], "--no-doubt") == 0};
    if (argc != 2 && !options.no_doubt) {
        fputs("usage: torture_check [--no-doubt] FOLDER\n", stderr);
        return 2;
    }
    struct evidence e;
    static struct verdict v;
    evidence_init(&e);
    bool read = evidence_add_folder(&e, argv[argc - 1]);
    if (read) {
        checker_run(&e, &options, &v);
        verdict_print(&e, &v);
    } else {
        fprintf(stderr, "torture_check: %s\n", e.error);
    }
    evidence_free(&e);
    return read && v.violations == 0 ? 0 : 1;
}
