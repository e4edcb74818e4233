/*
 * roles.h - what vigil-bench does when it started itself: `vigil-bench role NAME
 * ARGUMENT...`. A role writes "ready ..." on standard output, takes commands on
 * standard input, and ends with that. Not for people.
 */
#ifndef VIGIL_BENCH_ROLES_H
#define VIGIL_BENCH_ROLES_H

/* Each returns the exit status. arguments: those behind the role's name. */
int role_echo(int count, char *const arguments[]);        /* yardstick_echo.c */
int role_subscribers(int count, char *const arguments[]); /* yardstick_fanout.c */
int role_opener(int count, char *const arguments[]);      /* yardstick_lmdb.c */
int role_watchers(int count, char *const arguments[]);    /* watchers_role.c */
int role_waiters(int count, char *const arguments[]);     /* waiters_role.c */
int role_replayer(int count, char *const arguments[]);    /* neighbours_role.c */
int role_burner(int count, char *const arguments[]);      /* neighbours_role.c */

#endif
