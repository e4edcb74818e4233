/*
 * fake_server.h - a server of a test's own words: one ROUTER whose replies the test chooses, and
 * the connection of libvigil that talks to it, both driven by the test's one thread. For what a
 * real server does too rarely: lost replies, forgotten sessions, another epoch.
 */
#ifndef VIGIL_TESTS_SUPPORT_FAKE_SERVER_H
#define VIGIL_TESTS_SUPPORT_FAKE_SERVER_H

#include <vigil.h>
#include <zmq.h>

#include "protocol/message.h"
#include "tests/support/temp_folder.h"

enum { FAKE_REQUESTS_MAX = 4096, FAKE_OUTCOMES_MAX = 8192, FAKE_PATIENCE_MS = 20000 };

struct fake_server {
    char folder[TEMP_FOLDER_SIZE];
    char endpoint[TEMP_FOLDER_SIZE + 16];
    void *zmq;
    void *router;
    uint64_t epoch;
    uint64_t session; /* of the next session_open; counts up */
    uint32_t window;
    unsigned greetings; /* hellos answered */
    vigil *v;

    /* the message taken last */
    zmq_msg_t peer;
    struct request_message_header header;
    struct request_header requests[FAKE_REQUESTS_MAX];
    /* what the connection has handed out */
    vigil_completion outcomes[FAKE_OUTCOMES_MAX];
    size_t outcome_count;
};

/* All of it asserts. Opens a connection with these options; their endpoint is filled in. */
void fake_open(struct fake_server *s, vigil_options options);
void fake_close(struct fake_server *s);
/* Everything that is under way is lost, and the connection with it. Returns when the next one has
 * been greeted. */
void fake_drop(struct fake_server *s);

/* Lets the connection do what it can, and keeps its outcomes. */
void fake_pump(struct fake_server *s);
/* Waits for the connection's next message; answers hello by itself. */
void fake_take(struct fake_server *s);
/* True if there is one within a moment: for checking that there is none. */
bool fake_has_message(struct fake_server *s);
/* Answers the message: the request at index `at` gets status and seq, those before it 0 and 1, 2,
 * ..., those from it on what it gets. */
void fake_answer_from(struct fake_server *s, size_t at, int status, uint64_t seq);
/* All of it has gone well. */
void fake_answer(struct fake_server *s);
/* Takes a session_open and grants it. */
void fake_grant_session(struct fake_server *s);
/* Waits until there are so many outcomes. */
void fake_wait_outcomes(struct fake_server *s, size_t count);

#endif
