/* session.c - the numbers under which the server knows a connection's mutations. */
#include "client/session.h"

void client_session_init(struct client_session *s, bool off)
{
    *s = (struct client_session){.off = off};
}

void client_session_forget(struct client_session *s)
{
    client_session_init(s, s->off);
}

void client_session_lost(struct client_session *s)
{
    if (s->state != SESSION_OPEN)
        client_session_forget(s);
}

void client_session_take_reply(struct client_session *s, const struct reply_message_header *message,
                               const struct reply_header *header, struct wire_reader body,
                               int64_t now_ms)
{
    struct reply_session_open opened;
    s->state = SESSION_REFUSED;
    s->retry_ms = INT64_MAX;
    if (header->status) {
        if (header->status != ERR_UNKNOWN_OP)
            s->retry_ms = now_ms + SESSION_RETRY_MS;
        return;
    }
    if (header->op != OP_SESSION_OPEN || !reply_session_open_read(&body, &opened) ||
        opened.session == 0 || opened.window < SESSION_MESSAGE_MUTATIONS)
        return;
    client_session_forget(s);
    s->state = SESSION_OPEN;
    s->id = opened.session;
    s->epoch = message->epoch;
    s->window = opened.window;
}

bool client_session_wanted(struct client_session *s, int64_t now_ms)
{
    if (s->state == SESSION_REFUSED && now_ms >= s->retry_ms)
        s->state = SESSION_NONE;
    return !s->off && (s->state == SESSION_NONE || s->state == SESSION_OPENING);
}

uint64_t client_session_acknowledge(struct client_session *s, uint64_t oldest)
{
    uint64_t most = oldest ? oldest - 1 : s->last_number;
    if (s->stop_number && most >= s->stop_until)
        s->stop_number = 0;
    if (s->stop_number && most >= s->stop_number)
        most = s->stop_number - 1;
    if (most > s->acknowledged)
        s->acknowledged = most;
    return s->acknowledged;
}

bool client_session_has_room(const struct client_session *s, uint32_t mutations)
{
    return s->last_number + mutations - s->acknowledged <= s->window;
}

void client_session_stopped(struct client_session *s, uint64_t number)
{
    if (s->stop_number)
        return;
    s->stop_number = number;
    s->stop_until = s->last_number;
}
