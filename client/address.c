/* address.c - see address.h. */
#define _GNU_SOURCE
#include "client/address.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/un.h>
#include <unistd.h>

/* Shared by the handle and the thread: whoever is the last to leave it frees it. A child after fork
 * has no such thread; there the handle is not used either. */
struct address_lookup {
    atomic_int users;
    atomic_bool is_answered;
    int event;
    struct endpoint endpoint;
    struct address_list list; /* the thread's until is_answered */
};

static void unix_address(const struct endpoint *e, struct address *ret_address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    _Static_assert(ENDPOINT_PATH_MAX + ENDPOINT_SUFFIX_MAX < sizeof name.sun_path, "a path fits");
    snprintf(name.sun_path, sizeof name.sun_path, "%s%s", e->path, e->suffix);
    memcpy(&ret_address->name, &name, sizeof name);
    ret_address->size = sizeof name;
}

/* Blocks if the host is a name, unless the flags say AI_NUMERICHOST. False: there is no answer. */
static bool ask(const struct endpoint *e, int flags, struct address_list *list)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *answer = NULL;
    char host[ENDPOINT_HOST_MAX + 1];
    char port[8];
    size_t size = strlen(e->host);
    bool is_bracketed = size > 2 && e->host[0] == '[';
    snprintf(host, sizeof host, "%.*s", (int)(is_bracketed ? size - 2 : size),
             e->host + is_bracketed);
    snprintf(port, sizeof port, "%u", (unsigned)e->port);
    list->count = 0;
    if (getaddrinfo(host, port, &hints, &answer) != 0)
        return false;
    for (const struct addrinfo *a = answer; a && list->count < ADDRESSES_MAX; a = a->ai_next) {
        struct address *address = &list->each[list->count];
        if (a->ai_addrlen > sizeof address->name)
            continue;
        memcpy(&address->name, a->ai_addr, a->ai_addrlen);
        address->size = a->ai_addrlen;
        list->count++;
    }
    freeaddrinfo(answer);
    return true;
}

bool address_of(const struct endpoint *e, struct address_list *ret_list)
{
    if (e->kind == ENDPOINT_TCP)
        return ask(e, AI_NUMERICHOST, ret_list);
    ret_list->count = 1;
    unix_address(e, &ret_list->each[0]);
    return true;
}

/* ---- names ---- */

static void leave(struct address_lookup *l)
{
    if (atomic_fetch_sub(&l->users, 1) > 1)
        return;
    close(l->event);
    free(l);
}

static void *run(void *context)
{
    struct address_lookup *l = context;
    (void)ask(&l->endpoint, 0, &l->list);
    atomic_store(&l->is_answered, true);
    (void)eventfd_write(l->event, 1);
    leave(l);
    return NULL;
}

static bool start_thread(struct address_lookup *l)
{
    sigset_t all;
    sigset_t before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, NULL, run, l) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (started)
        pthread_detach(thread);
    return started;
}

struct address_lookup *address_lookup_start(const struct endpoint *e)
{
    struct address_lookup *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->endpoint = *e;
    l->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&l->users, 2);
    if (l->event >= 0 && start_thread(l))
        return l;
    if (l->event >= 0)
        close(l->event);
    free(l);
    return NULL;
}

int address_lookup_fd(const struct address_lookup *l)
{
    return l->event;
}

bool address_lookup_take(struct address_lookup *l, struct address_list *ret_list)
{
    if (!atomic_load(&l->is_answered))
        return false;
    *ret_list = l->list;
    return true;
}

void address_lookup_drop(struct address_lookup *l)
{
    if (l)
        leave(l);
}
