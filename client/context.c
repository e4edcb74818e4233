/* context.c - the one ZeroMQ context of the process. */
#define _POSIX_C_SOURCE 200809L
#include "client/context.h"

#include <pthread.h>
#include <unistd.h>
#include <zmq.h>

#include "protocol/errors.h"

enum { SOCKETS_MAX = 65535 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *shared;
static unsigned references;
static pid_t owner;

int context_acquire(void **ret_context)
{
    int err = ERR_OK;
    pthread_mutex_lock(&lock);
    if (references > 0 && owner != getpid())
        references =
            0; /* the parent's: its threads do not exist here, so it can only be forgotten */
    if (references == 0) {
        shared = zmq_ctx_new();
        if (!shared) {
            err = zmq_errno() == EMFILE ? ERR_LIMIT : ERR_NO_MEMORY;
            goto out;
        }
        zmq_ctx_set(shared, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
        owner = getpid();
    }
    references++;
    *ret_context = shared;
out:
    pthread_mutex_unlock(&lock);
    return err;
}

void context_release(void *context)
{
    void *ended = NULL;
    if (!context)
        return;
    pthread_mutex_lock(&lock);
    if (context == shared && owner == getpid() && references > 0 && --references == 0) {
        ended = shared;
        shared = NULL;
    }
    pthread_mutex_unlock(&lock);
    /* Waits for sockets to be gone: outside of the lock. They do not linger. */
    while (ended && zmq_ctx_term(ended) != 0 && zmq_errno() == EINTR)
        ;
}
