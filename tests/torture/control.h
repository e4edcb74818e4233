/*
 * control.h - a page of memory that the driver, its actors and the library preloaded into the server
 * share: what the fault plan wants of them at the moment. Only the driver writes, but for the cursors.
 */
#ifndef VIGIL_TESTS_TORTURE_CONTROL_H
#define VIGIL_TESTS_TORTURE_CONTROL_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define CONTROL_VARIABLE "VIGIL_TORTURE_CONTROL" /* the file's path, in the environment */

/* How many an actor's number chooses from: actor_filter; one of them is that of all accounts. */
enum { ACTOR_FILTERS = 15, ACCOUNT_FILTER = 12 };

enum { CONTROL_CURSORS = 3 };

struct control {
    _Atomic int64_t clock_offset_us; /* what the server's wall clock is off by */
    _Atomic uint32_t sync_delay_us;  /* what each of the server's syncs takes longer */
    _Atomic uint32_t pace_us;        /* a mutator's pause between two requests */
    _Atomic uint32_t cursor_lives[CONTROL_CURSORS]; /* cursors given up because compaction had
                                                        passed them: the next has another name */
    _Atomic uint64_t epoch;                         /* of the journal */
    _Atomic uint64_t harvested; /* records up to this have been read from the journal: compaction
                                        must leave the others */
};

/* NULL if the file at path cannot be mapped. It stays mapped until the process ends. */
static inline struct control *control_map(const char *path)
{
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return NULL;
    void *page = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    /* cppcheck-suppress memleak */
    return page == MAP_FAILED ? NULL : page;
}

#endif
