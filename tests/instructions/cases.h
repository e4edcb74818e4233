/*
 * cases.h - what instructions are counted of. A program runs one case, once: prepare, then run, whose
 * instructions alone count.
 */
#ifndef VIGIL_TESTS_INSTRUCTIONS_CASES_H
#define VIGIL_TESTS_INSTRUCTIONS_CASES_H

#include "tests/instructions/core_load.h"

struct instruction_case {
    const char *name;
    uint64_t operations; /* that run does */
    void (*prepare)(const struct instruction_case *c);
    void (*run)(const struct instruction_case *c);
    /* After run: whether it did what it should. */
    bool (*succeeded)(const struct instruction_case *c);
    struct load_plan plan; /* of core_cases */
};

/* Each list ends with an empty name. */
extern const struct instruction_case core_cases[];  /* core_cases.c */
extern const struct instruction_case codec_cases[]; /* codec_cases.c */

#endif
