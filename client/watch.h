/*
 * watch.h - a watch: the rule (watch_rule.h) with its sockets. A subscription of
 * its own for the live stream, the connection's request socket for opening and
 * renewing, the connection's replay socket for what is missing.
 *
 * At most three messages are held: one of the stream or one of a replay, which
 * is being handed out record by record, and the replay's next one.
 */
#ifndef VIGIL_CLIENT_WATCH_H
#define VIGIL_CLIENT_WATCH_H

#include "client/before.h"
#include "client/connection.h"
#include "client/record_reader.h"
#include "client/subscription.h"
#include "client/watch_rule.h"
#include "protocol/filter.h"

/* Its bytes are elsewhere: in live_bytes or chunk_message. */
struct held_message {
    bool held;
    struct wire_reader reader;
    uint32_t left; /* records */
};

struct watch_cursor;

struct vigil_watch {
    struct vigil_watch *next; /* of the connection's list */
    struct vigil *connection;
    struct filter *filter;
    struct watch_rule rule;
    bool bookmarks;
    struct watch_cursor *cursor; /* NULL: none */

    struct subscription subscription;
    uint8_t topic[TOPIC_SIZE];
    bool has_topic;
    bool must_subscribe; /* the topic is new */
    struct held_message live;
    struct wire_buffer live_bytes;
    struct held_message chunk;
    zmq_msg_t chunk_message; /* chunk is held: in use */
    struct replay_call replay;
    struct before *before; /* previous values; NULL: not asked for */

    struct record_reader reader;
    vigil_event event;
    struct descriptor *descriptor;
    uint64_t handed_out;
    uint64_t replayed;
};

/* As vigil_watch_open; filter and cursor (NULL: none, whatever the options say) become the watch's
 * in any case. open_timeout_ms as request_timeout_ms. */
int watch_open(struct vigil *v, struct filter *filter, struct watch_cursor *cursor,
               const vigil_watch_options *options, int open_timeout_ms,
               struct vigil_watch **ret_watch);

/* From a new position, in place: the descriptor stays. Opened again when driven. */
void watch_restart(struct vigil_watch *w, const vigil_watch_options *options);

/* The connection is lost. */
void watch_on_lost(struct vigil_watch *w);
/* The server does not know topic any more. */
void watch_topic_gone(struct vigil *v, const uint8_t topic[TOPIC_SIZE]);

#endif
