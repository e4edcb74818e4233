/*
 * child_client.h - a child process of a test's own that makes a connection to a server of its own
 * accord, and a line to it of single bytes: what is stopped or killed with it is a whole process.
 * It dies with the test.
 */
#ifndef VIGIL_TESTS_SUPPORT_CHILD_CLIENT_H
#define VIGIL_TESTS_SUPPORT_CHILD_CLIENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "tests/support/client_fixture.h"

struct child_client {
    pid_t pid;
    int fd;
};

/* What it does: fd is its end of the line. False: the child's exit code is 1. */
typedef bool child_client_body(vigil *v, int fd);

/* All of it asserts; the two of the line only return false, in the child as in the parent. */
void child_client_start(struct child_client *c, const struct client_fixture *f,
                        child_client_body *body);
/* Returns once it is stopped as a whole. */
void child_client_stop(const struct child_client *c);
void child_client_continue(const struct child_client *c);
void child_client_kill(struct child_client *c);
/* It must have done all that it does. */
void child_client_join(struct child_client *c);
bool child_client_say(int fd, char word);
bool child_client_hear(int fd, char word);

#endif
