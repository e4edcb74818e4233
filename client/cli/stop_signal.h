/*
 * stop_signal.h - SIGINT, SIGTERM and SIGHUP as a descriptor, for the commands
 * that have something to finish before they end.
 *
 * The signals stay blocked and pending until stop_signal_take, so that whoever
 * polls the descriptor meanwhile sees them too. A signal that was ignored when
 * the program started stays ignored.
 */
#ifndef VIGIL_CLI_STOP_SIGNAL_H
#define VIGIL_CLI_STOP_SIGNAL_H

#include <stdbool.h>

/* A descriptor that is readable once such a signal has come, or -1 with errno. */
int stop_signal_open(void);
bool stop_signal_pending(int fd);
/* The number of one that has come, 0 if none has. */
int stop_signal_next(int fd);
/* The signal's number, 0 if none has come. Closes the descriptor. */
int stop_signal_take(int fd);
/* Ends the process as that signal does where nobody handles it. */
void stop_signal_die(int signal_number);

#endif
