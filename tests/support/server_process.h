/*
 * server_process.h - a vigild of a test's own: started, waited for, ended by its pid.
 * It dies with the test.
 */
#ifndef VIGIL_TESTS_SUPPORT_SERVER_PROCESS_H
#define VIGIL_TESTS_SUPPORT_SERVER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { SERVER_ENDPOINTS_MAX = 4, SERVER_ENDPOINT_SIZE = 288, SERVER_LOG_SIZE = 16384 };

struct server_process {
    pid_t pid; /* 0: none */
    int out_fd;
    int log_fd;      /* an unnamed file with what it wrote to stderr */
    int exit_status; /* after the end: the exit code, or 128 + the signal */
    char endpoints[SERVER_ENDPOINTS_MAX][SERVER_ENDPOINT_SIZE];
    size_t endpoints_count;
};

/* Starts program with these arguments (NULL at the end, without the program's name) and waits for
 * its ready line. False: it ended without one; exit_status and the log say more. */
bool server_start(struct server_process *s, const char *program, const char *const *arguments);
/* Sends the signal and waits for the end. Returns exit_status. Does nothing where none runs. */
int server_stop(struct server_process *s, int signal);
/* What it has logged so far; out is terminated. */
void server_log(const struct server_process *s, char out[SERVER_LOG_SIZE]);
bool server_log_has(const struct server_process *s, const char *text);

#endif
