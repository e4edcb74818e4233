/* evidence_lines.h - between evidence.c and evidence_lines.c: one line of a history. */
#ifndef VIGIL_TESTS_TORTURE_EVIDENCE_LINES_H
#define VIGIL_TESTS_TORTURE_EVIDENCE_LINES_H

#include "tests/torture/evidence.h"

/* Takes line, which it changes, apart. False: it makes no sense. */
bool evidence_line(struct evidence *e, char *line);

uint32_t evidence_key(struct evidence *e, const char *key);

/* items with room for one more than count. */
void *evidence_grown(void *items, size_t count, size_t *allocated, size_t item_size);

/* A pointer to one more item of a list, whose content is not set. */
#define LIST_ADD(list)                                                                            \
    ((list)->items =                                                                              \
         evidence_grown((list)->items, (list)->count, &(list)->allocated, sizeof *(list)->items), \
     (list)->items + (list)->count++)

#endif
