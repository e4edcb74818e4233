/* evidence_words.h - the words of a history's line, one after another. */
#ifndef VIGIL_TESTS_TORTURE_EVIDENCE_WORDS_H
#define VIGIL_TESTS_TORTURE_EVIDENCE_WORDS_H

#include "tests/torture/evidence.h"

/* The words that are left; what is missing or wrong makes it fail for good. */
struct words {
    char *rest;
    bool failed;
};

char *words_next(struct words *w);
uint64_t words_number(struct words *w);
/* A value's mark; 0 for none. */
uint64_t words_mark(struct words *w);
/* The same, with its bytes if they are there. */
uint64_t words_value(struct words *w, struct evidence *e, struct shown *ret_shown);
uint32_t words_key(struct words *w, struct evidence *e);
uint32_t words_filter(struct words *w, struct evidence *e, size_t count);
struct seen_record words_record(struct words *w, struct evidence *e);
/* Which of the names it is; count: none. */
size_t words_place(struct words *w, const char *const *names, size_t count);

uint32_t evidence_source(const struct evidence *e);

/* evidence_requests.c: the lines of requests and of their answers; false: it makes no sense, or is of
 * another kind. */
bool evidence_request_line(struct words *w, struct evidence *e, char kind);

#endif
