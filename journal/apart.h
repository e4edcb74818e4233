/*
 * apart.h - work that damage may kill, in a process of its own.
 *
 * LMDB checks none of its pages. Where a page may hold anything, reading it may
 * end in SIGSEGV, SIGBUS, an assertion, or never. So such reading is done by a
 * forked child, which says through a pipe what it finds.
 *
 * Any thread may call; in the child only this one goes on. So the work opens what
 * it needs itself, starts no thread, and leaves alone whatever others may have
 * locked: it reads and writes files, and takes memory.
 */
#ifndef VIGIL_JOURNAL_APART_H
#define VIGIL_JOURNAL_APART_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/failure.h"

enum { APART_MESSAGE_MAX = 1024 };

struct apart {
    /* In the child. Its code and failure come back from apart_run. */
    int (*work)(void *context, int channel, struct failure *failure);
    /* In the parent, for each message of the child, in order. May be NULL. */
    void (*take)(void *context, const void *message, size_t size);
    void *context;
    uint64_t bytes; /* about so many are read: more time than they can need ends the child */
};

/* What work returned, or ERR_CORRUPT with *ret_died and a failure that names what ended it. */
int apart_run(const struct apart *a, bool *ret_died, struct failure *failure);
/* In the child: at most APART_MESSAGE_MAX bytes. */
void apart_send(int channel, const void *message, size_t size);
/* In the child: an assertion of LMDB's ends the child without a word on stderr. */
void apart_guard(MDB_env *env);

#endif
