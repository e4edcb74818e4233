/* reading.h - everything that a damaged journal serves, held against what is true. */
#ifndef VIGIL_TESTS_DAMAGE_READING_H
#define VIGIL_TESTS_DAMAGE_READING_H

#include "tests/damage/cut.h"

enum outcome {
    OUTCOME_UNHARMED, /* all was served, and all of it true */
    OUTCOME_TYPED,    /* what was served is true, and the rest an error that names it */
    OUTCOME_REFUSED,  /* it was not opened, with an error */
    OUTCOME_DIED,     /* by a signal */
    OUTCOME_LIE,
    OUTCOME_SILENT, /* it died without a word, or does not come to an end */
    OUTCOMES
};
extern const char *const outcome_names[OUTCOMES];

/* Damage that comes while the file is in use; NULL: it was done before. */
struct live {
    const struct image *image;
    const struct cut *cut;
    const char *directory;
};

/* Opens the journal in a child process and reads all of it there. what tells of a lie (256 bytes). */
enum outcome read_directly(const struct truth *t, const char *directory, const struct live *live,
                           char *what);
/* The same with a vigild of its own and libvigil; folder is for the socket. */
enum outcome read_through_server(const struct truth *t, const char *directory, const char *folder,
                                 const struct live *live, char *what);
/* live.c's part of both. */
bool live_damage(const struct live *live);

#endif
