/* restoring.h - the backups that a round has left are restored, and looked at. */
#ifndef VIGIL_TESTS_TORTURE_RESTORING_H
#define VIGIL_TESTS_TORTURE_RESTORING_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/torture/cast.h"

/* Starts vigild with each backup in the folder and lets an actor of the cast's program inspect it, who writes
 * a history. False, with the cast's error: one cannot be restored, or its server fails. */
bool restoring_run(struct cast *c, const char *vigild, const char *folder);

#endif
