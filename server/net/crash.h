/*
 * crash.h - the last word of a server that a damaged page of the journal kills.
 *
 * LMDB checks none of its pages: where one is damaged, following it may end in SIGSEGV,
 * SIGBUS, or an assertion. Nothing can be mended then, but who reads the log should learn
 * what to do. The process dies by the signal, as it would have.
 */
#ifndef VIGIL_SERVER_NET_CRASH_H
#define VIGIL_SERVER_NET_CRASH_H

struct journal;

/* Before any thread is made. */
void crash_install(void);
/* Faults at addresses of this journal's file are told apart from others; NULL: none any more. */
void crash_watch(const struct journal *journal);

#endif
