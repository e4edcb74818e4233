/*
 * client_fixture.h - a vigild of a test's own with a connection of libvigil to it, and short ways
 * to put and look at integers.
 */
#ifndef VIGIL_TESTS_SUPPORT_CLIENT_FIXTURE_H
#define VIGIL_TESTS_SUPPORT_CLIENT_FIXTURE_H

#include <vigil.h>

#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

enum { CLIENT_FIXTURE_OPTIONS_MAX = 8 };

struct client_fixture {
    const char *program;
    char folder[TEMP_FOLDER_SIZE];
    char data[TEMP_FOLDER_SIZE + 16];
    char endpoint[TEMP_FOLDER_SIZE + 16];
    const char *options[CLIENT_FIXTURE_OPTIONS_MAX]; /* of vigild, NULL at the end */
    struct server_process server;
    vigil *v;
};

/* program: TEST_VIGILD. options: further ones for it, NULL at the end; may be NULL. All of it
 * asserts. */
void client_fixture_open(struct client_fixture *f, const char *program, const char *const *options);
/* The server must end cleanly. */
void client_fixture_close(struct client_fixture *f);
/* On the same endpoint and data. */
void client_fixture_start_server(struct client_fixture *f);
void client_fixture_kill_server(struct client_fixture *f);
/* Another connection to the same server. request_timeout_ms 0: the default. */
vigil *client_fixture_connect(struct client_fixture *f, int request_timeout_ms);

/* A server's journal is replaced: another epoch. The server must not run. */
void client_fixture_replace_data(struct client_fixture *f);

uint64_t put_integer(vigil *v, const char *key, int64_t value);
/* Of MessagePack; fails the test if it is none. */
int64_t integer_of(const void *value, size_t size);
/* Sends a put of an integer without waiting. */
void send_integer(vigil *v, const char *key, int64_t value);
/* One of the server's figures, by its name in vigil_status. */
uint64_t server_figure(vigil *v, const char *name);
/* Receives all that is under way; each must have succeeded. Returns the last seq. */
uint64_t receive_all(vigil *v);

#endif
