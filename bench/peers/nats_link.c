/* nats_link.c - see nats_link.h. */
#define _GNU_SOURCE
#include "bench/peers/nats_link.h"
#include "bench/monotonic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* In the poll set: what ends the wait of a borrower. */
#define WAKE_NUMBER UINT32_MAX

#define BORROWED_TURN_NS (100 * NS_PER_MS)

int nats_fail(struct failure *failure, natsStatus status, const char *what)
{
    int err = status == NATS_NO_SERVER || status == NATS_CONNECTION_CLOSED ||
                      status == NATS_CONNECTION_DISCONNECTED
                  ? ERR_DISCONNECTED
              : status == NATS_NO_MEMORY ? ERR_NO_MEMORY
              : status == NATS_TIMEOUT   ? ERR_TIMEOUT
                                         : ERR_IO;
    const char *detail = nats_GetLastError(NULL);
    return failure_set(failure, err, "%s: %s%s%s", what, natsStatus_GetText(status),
                       detail && *detail ? ": " : "", detail ? detail : "");
}

int nats_plain_options(const char *address, natsOptions **ret_options, struct failure *failure)
{
    char url[300];
    int length = snprintf(url, sizeof url, "nats://%s", address);
    if (length < 0 || (size_t)length >= sizeof url) {
        return failure_set(failure, ERR_INVALID, "%s is too long an address", address);
    }
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK) {
        status = natsOptions_SetURL(options, url);
    }
    if (status == NATS_OK) {
        status = natsOptions_SetAllowReconnect(options, false);
    }
    if (status != NATS_OK) {
        natsOptions_Destroy(options);
        return nats_fail(failure, status, "cannot set libnats up");
    }
    *ret_options = options;
    return ERR_OK;
}

/* ---- what the library calls ---------------------------------------------------- */

static natsStatus on_attach(void **user_data, void *loop, natsConnection *connection, natsSock fd)
{
    struct nats_link *link = loop;
    link->connection = connection;
    link->fd = fd;
    *user_data = link;
    return poll_set_add(&link->set->polled, fd, link->number, NULL) ? NATS_ERR : NATS_OK;
}

/* Reading never stops, other than by the socket's end. */
static natsStatus on_read(void *user_data, bool add)
{
    (void)user_data;
    (void)add;
    return NATS_OK;
}

/* The library says so once until all is written, with its lock held. */
static natsStatus on_write(void *user_data, bool add)
{
    struct nats_link *link = user_data;
    struct nats_links *s = link->set;
    if (!add) {
        return NATS_OK;
    }
    pthread_mutex_lock(&s->output_lock);
    if (s->output_count < s->count) {
        s->has_output[s->output_count++] = link->number;
    }
    pthread_mutex_unlock(&s->output_lock);
    if (s->lent) {
        (void)!eventfd_write(s->wake_fd, 1);
    }
    return NATS_OK;
}

static natsStatus on_detach(void *user_data)
{
    (void)user_data;
    return NATS_OK;
}

/* ---- the set ------------------------------------------------------------------- */

static int open_link(struct nats_links *s, uint32_t number, const char *address,
                     struct failure *failure)
{
    struct nats_link *link = &s->links[number];
    link->set = s;
    link->number = number;
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    int err = nats_plain_options(address, &options, failure);
    if (err) {
        return err;
    }
    natsStatus status =
        natsOptions_SetEventLoop(options, link, on_attach, on_read, on_write, on_detach);
    if (status == NATS_OK) {
        /* Not at once: on_write is told at once, and no thread of the library's does it later. */
        status = natsOptions_SetSendAsap(options, true);
    }
    if (status == NATS_OK) {
        status = natsConnection_Connect(&connection, options);
    }
    natsOptions_Destroy(options);
    if (status != NATS_OK) {
        link->connection = NULL;
        return nats_fail(failure, status, "cannot connect");
    }
    link->connection = connection;
    return ERR_OK;
}

int nats_links_open(struct nats_links *s, const char *address, uint32_t count,
                    struct failure *failure)
{
    pthread_mutex_init(&s->output_lock, NULL);
    s->links = calloc(count, sizeof *s->links);
    s->has_output = calloc(count, sizeof *s->has_output);
    if (!s->links || !s->has_output) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    s->count = count;
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        return failure_set(failure, ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    }
    s->wake_fd = fd;
    int err = poll_set_open(&s->polled, failure);
    if (!err) {
        err = poll_set_add(&s->polled, s->wake_fd, WAKE_NUMBER, failure);
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        err = open_link(s, i, address, failure);
    }
    return err;
}

static bool next_output(struct nats_links *s, uint32_t *ret_number)
{
    pthread_mutex_lock(&s->output_lock);
    bool any = s->output_count > 0;
    if (any) {
        *ret_number = s->has_output[--s->output_count];
    }
    pthread_mutex_unlock(&s->output_lock);
    return any;
}

/* One write. What is left waits until the socket has room. */
static int send_from(struct nats_link *link, struct failure *failure)
{
    natsConnection_ProcessWriteEvent(link->connection);
    if (natsConnection_IsClosed(link->connection)) {
        return failure_set(failure, ERR_DISCONNECTED, "the server is gone");
    }
    bool wants = natsConnection_Buffered(link->connection) > 0;
    if (wants == link->waits_for_room) {
        return ERR_OK;
    }
    link->waits_for_room = wants;
    return poll_set_want_write(&link->set->polled, link->fd, link->number, wants, failure);
}

int nats_links_send(struct nats_links *s, struct failure *failure)
{
    uint32_t number = 0;
    int err = ERR_OK;
    while (!err && next_output(s, &number)) {
        err = send_from(&s->links[number], failure);
    }
    return err;
}

int nats_links_turn(struct nats_links *s, uint64_t timeout_ns, uint32_t ret_ready[POLL_SET_EVENTS],
                    uint32_t *ret_count, struct failure *failure)
{
    uint32_t count = 0;
    uint32_t kept = 0;
    int err = nats_links_send(s, failure);
    if (!err) {
        err = poll_set_wait(&s->polled, timeout_ns, ret_ready, &count, failure);
    }
    for (uint32_t i = 0; i < count && !err; i++) {
        if (ret_ready[i] == WAKE_NUMBER) {
            eventfd_t value = 0;
            (void)!eventfd_read(s->wake_fd, &value);
            continue;
        }
        struct nats_link *link = &s->links[ret_ready[i]];
        if (link->waits_for_room) {
            err = send_from(link, failure);
        }
        if (!err) {
            natsConnection_ProcessReadEvent(link->connection);
            if (natsConnection_IsClosed(link->connection)) {
                err = failure_set(failure, ERR_DISCONNECTED, "the server is gone");
            }
        }
        ret_ready[kept++] = link->number;
    }
    *ret_count = kept;
    return err;
}

static void *borrow(void *argument)
{
    struct nats_links *s = argument;
    uint32_t ready[POLL_SET_EVENTS];
    uint32_t count = 0;
    while (!atomic_load(&s->lending_ends) &&
           nats_links_turn(s, BORROWED_TURN_NS, ready, &count, NULL) == ERR_OK) {
    }
    return NULL;
}

int nats_links_lend(struct nats_links *s, struct failure *failure)
{
    atomic_store(&s->lending_ends, false);
    s->lent = true;
    int err = pthread_create(&s->borrower, NULL, borrow, s);
    if (err) {
        s->lent = false;
        return failure_set(failure, ERR_NO_MEMORY, "cannot start a thread: %s", strerror(err));
    }
    return ERR_OK;
}

void nats_links_take_back(struct nats_links *s)
{
    if (s->lent) {
        atomic_store(&s->lending_ends, true);
        (void)!eventfd_write(s->wake_fd, 1);
        pthread_join(s->borrower, NULL);
        s->lent = false;
    }
}

void nats_links_close(struct nats_links *s)
{
    if (!s->links) {
        return;
    }
    nats_links_take_back(s);
    /* What is queued goes first: the library waits half a second for it to leave. */
    (void)nats_links_send(s, NULL);
    for (uint32_t i = 0; i < s->count; i++) {
        natsConnection_Destroy(s->links[i].connection);
    }
    if (s->wake_fd > 0) {
        close(s->wake_fd);
    }
    poll_set_close(&s->polled);
    free(s->links);
    free(s->has_output);
    pthread_mutex_destroy(&s->output_lock);
}
