/* actor_sights.h - what a watcher sees, written down. */
#ifndef VIGIL_TESTS_TORTURE_ACTOR_SIGHTS_H
#define VIGIL_TESTS_TORTURE_ACTOR_SIGHTS_H

#include "tests/torture/actor.h"

void actor_saw_opening(struct actor *a, enum vigil_since since, const vigil_position *position,
                       const char *const *patterns, size_t count);
void actor_saw_record(struct actor *a, const vigil_event *event);
/* Of the record that was seen last. */
void actor_saw_before(struct actor *a, const vigil_record *r);
void actor_saw_bookmark(struct actor *a, const vigil_event *event);
void actor_saw_end(struct actor *a, const vigil_watch *watch, int error);

#endif
