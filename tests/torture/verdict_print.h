/* verdict_print.h - a verdict for people: one line, and what was found. */
#ifndef VIGIL_TESTS_TORTURE_VERDICT_PRINT_H
#define VIGIL_TESTS_TORTURE_VERDICT_PRINT_H

#include "tests/torture/checker.h"

void verdict_print(const struct evidence *e, const struct verdict *v);

#endif
