/*
 * actor_work.h - requests that the checker works out again (work.h): collected step by step, written down,
 * made, and their answers written down.
 */
#ifndef VIGIL_TESTS_TORTURE_ACTOR_WORK_H
#define VIGIL_TESTS_TORTURE_ACTOR_WORK_H

#include "tests/torture/actor.h"
#include "tests/torture/work.h"

enum { WORK_STEPS_MAX = 12, WORK_VALUE_MAX = 96 };

struct work_asked {
    enum work_code code;
    char key[ACTOR_KEY_SIZE];
    char other[ACTOR_KEY_SIZE];
    int64_t by;
    uint8_t value[WORK_VALUE_MAX];
    size_t size; /* 0: none */
};

struct work {
    struct actor *a;
    uint64_t id;
    enum work_way way;
    struct {
        char key[ACTOR_KEY_SIZE];
        uint64_t seq;
    } compares[2];
    size_t compare_count;
    struct work_asked steps[WORK_STEPS_MAX];
    size_t count;
};

/* Gives it an id, which no other request of the run has. */
void work_begin(struct work *w, struct actor *a, enum work_way way);
/* Only if key was changed last at seq (0: is absent). */
void work_compare(struct work *w, const char *key, uint64_t seq);
/* The step, whose value the caller may set. */
struct work_asked *work_add(struct work *w, enum work_code code, const char *key, int64_t by);
void work_add_move(struct work *w, const char *from, int64_t by, const char *to);
/* Values that no other step of the run has: a string, or an integer. */
void work_value_text(struct work *w, struct work_asked *step);
void work_value_number(struct work *w, struct work_asked *step);

/* The request's line. */
void work_ask(struct work *w);
/* The answer's line begins; one result for each step, or none, and then work_told_end. */
void work_told(struct work *w, int error, uint64_t seq, bool succeeded, bool results);
enum { WORK_NOT_TOLD = 2 };
void work_result(struct work *w, unsigned present, uint64_t seq, const void *value, size_t size,
                 const char *key);
void work_result_unknown(struct work *w);
void work_told_end(struct work *w);

/* All of it as a transaction. *ret_succeeded may be NULL. */
int work_commit(struct work *w, bool *ret_succeeded);

/* An error that no fault explains ends the actor. */
bool work_is_wrong(struct actor *a, int error);
/* Up to so many milliseconds. */
void work_pause(struct actor *a, unsigned most_ms);

/* What a copy had of the accounts at seq. */
struct accounts {
    uint64_t count;
    int64_t total;
};
void accounts_add(struct accounts *all, const vigil_entry *entry);
void accounts_write(struct actor *a, const struct accounts *all, uint64_t seq);

#endif
