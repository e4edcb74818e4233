/* subscription.c - see subscription.h. */
#define _POSIX_C_SOURCE 200809L
#include "client/subscription.h"

#include <errno.h>

#include "client/clock.h"
#include "protocol/errors.h"

enum { SUBSCRIBE = 1 /* the first byte of a message to an XPUB; the topic follows */ };

/* ---- what the application's descriptor waits for ---- */

static int waited_fd(const struct subscription *s)
{
    int fd = dial_fd(&s->dial);
    return fd >= 0 ? fd : s->link.fd;
}

struct pollfd subscription_wanted(const struct subscription *s, bool reads)
{
    struct pollfd wanted = {.fd = -1};
    if (s->state == SUBSCRIPTION_CONNECTING || (s->state == SUBSCRIPTION_UP && reads))
        wanted = (struct pollfd){.fd = waited_fd(s), .events = POLLIN};
    if (wanted.fd >= 0 && link_wants_write(&s->link))
        wanted.events |= POLLOUT;
    return wanted;
}

static void watch_for(struct subscription *s, struct pollfd wanted)
{
    if (!s->watcher || (wanted.fd == s->watched.fd && wanted.events == s->watched.events))
        return;
    if (wanted.fd == s->watched.fd) {
        descriptor_change_plain(s->watcher, wanted.fd, wanted.events);
    } else {
        if (s->watched.fd >= 0)
            descriptor_remove_plain(s->watcher, s->watched.fd);
        if (wanted.fd >= 0)
            descriptor_add_plain(s->watcher, wanted.fd, wanted.events);
    }
    s->watched = wanted;
}

void subscription_watch(struct subscription *s, bool reads)
{
    watch_for(s, subscription_wanted(s, reads));
}

/* ---- connecting ---- */

void subscription_init(struct subscription *s, uint64_t seed)
{
    *s = (struct subscription){.backoff.random = seed, .watched.fd = -1};
    link_init(&s->link, LINK_SUBSCRIBER, (size_t)LIMIT_REPLY_SIZE + LIMIT_RECORD_SIZE);
}

void subscription_free(struct subscription *s)
{
    subscription_close(s);
    link_free(&s->link);
}

/* A descriptor that is closed must not stay in an epoll set: a child after fork may hold a copy. */
static void hang_up(struct subscription *s)
{
    watch_for(s, (struct pollfd){.fd = -1});
    dial_stop(&s->dial);
    link_close(&s->link);
}

void subscription_close(struct subscription *s)
{
    hang_up(s);
    s->state = SUBSCRIPTION_CLOSED;
}

static void fall(struct subscription *s, int64_t now_ms)
{
    hang_up(s);
    s->state = SUBSCRIPTION_DOWN;
    s->retry_ms = now_ms + backoff_next(&s->backoff);
}

static void subscribe(struct subscription *s, int64_t now_ms)
{
    uint8_t message[1 + TOPIC_SIZE] = {SUBSCRIBE};
    memcpy(message + 1, s->topic, TOPIC_SIZE);
    s->state = SUBSCRIPTION_UP;
    link_add(&s->link, (struct bytes){message, sizeof message});
    if (!link_flush(&s->link))
        fall(s, now_ms);
}

/* While addresses are tried, descriptors come and go. ERR_LIMIT: it fell for want of descriptors or
 * memory. */
static int go_on(struct subscription *s, int64_t now_ms)
{
    int error = 0;
    s->state = SUBSCRIPTION_CONNECTING;
    watch_for(s, (struct pollfd){.fd = -1});
    enum dial_progress progress = dial_go(&s->dial, &s->link, now_ms);
    if (progress == DIAL_UP) {
        subscribe(s, now_ms);
    } else if (progress == DIAL_FAILED) {
        error = errno;
        fall(s, now_ms);
    }
    return error == EMFILE || error == ENFILE || error == ENOMEM ? ERR_LIMIT : ERR_OK;
}

int subscription_open(struct subscription *s, const struct endpoint *endpoint,
                      const uint8_t topic[TOPIC_SIZE], int64_t now_ms)
{
    subscription_close(s);
    s->endpoint = *endpoint;
    memcpy(s->topic, topic, TOPIC_SIZE);
    backoff_reset(&s->backoff);
    int err = dial_start(&s->dial, &s->endpoint, now_ms);
    if (err == ERR_OK)
        err = go_on(s, now_ms);
    if (err)
        subscription_close(s);
    return err;
}

void subscription_drive(struct subscription *s, int64_t now_ms)
{
    bool is_due = s->state == SUBSCRIPTION_DOWN && now_ms >= s->retry_ms;
    if (is_due && dial_start(&s->dial, &s->endpoint, now_ms) != ERR_OK)
        fall(s, now_ms);
    else if (is_due || s->state == SUBSCRIPTION_CONNECTING)
        (void)go_on(s, now_ms); /* a want passes: it is tried again */
}

int64_t subscription_due_ms(const struct subscription *s)
{
    if (s->state == SUBSCRIPTION_DOWN)
        return s->retry_ms;
    return s->state == SUBSCRIPTION_CONNECTING ? s->dial.due_ms : DEADLINE_NEVER;
}

/* ---- receiving ---- */

/* False: nothing to be read now. The socket is not asked a second time when it has just been found empty:
 * who waits is told. True once, so that whoever looks again and again without waiting sees what comes. */
static bool read_more(struct subscription *s, int64_t now_ms)
{
    bool was_dry = s->link.is_read_dry;
    s->link.is_read_dry = false;
    if (was_dry)
        return false;
    switch (link_read(&s->link)) {
    case LINK_READ_ALL:
    case LINK_READ_SOME:
        return true;
    case LINK_READ_NOTHING:
        return false;
    default:
        fall(s, now_ms);
        return false;
    }
}

bool subscription_receive(struct subscription *s, struct wire_buffer *message, int64_t now_ms)
{
    while (s->state == SUBSCRIPTION_UP) {
        switch (link_next(&s->link, message)) {
        case READER_MESSAGE:
            backoff_reset(&s->backoff);
            return true;
        case READER_NOTHING:
            if (!read_more(s, now_ms))
                return false;
            break;
        default:
            fall(s, now_ms);
        }
    }
    return false;
}
