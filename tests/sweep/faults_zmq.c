/* faults_zmq.c - wrappers of ZeroMQ's functions, see faults.h. */
#include "tests/sweep/faults.h"

#include <errno.h>
#include <zmq.h>

#define WRAP(type, name, parameters, arguments, failing, first, second) \
    type __real_##name parameters;                                      \
    type __wrap_##name parameters;                                      \
    type __wrap_##name parameters                                       \
    {                                                                   \
        int code = fault_code(FAULT_##name, first, second);             \
        if (code == 0)                                                  \
            return __real_##name arguments;                             \
        errno = code;                                                   \
        return failing;                                                 \
    }

/* Nothing came, for good; or a signal handler ran. A message that is there is never overlooked. */
#define RECEIVE_FAILURE (faults && faults->lasting ? EAGAIN : EINTR)

/* clang-format off */
WRAP(void *, zmq_ctx_new, (void), (), NULL, EMFILE, ENOMEM)
WRAP(int, zmq_ctx_set, (void *context, int option, int value), (context, option, value), -1,
     EINVAL, EINVAL)
WRAP(void *, zmq_socket, (void *context, int type), (context, type), NULL, EMFILE, ENOMEM)
WRAP(int, zmq_socket_monitor, (void *socket, const char *address, int events),
     (socket, address, events), -1, EMFILE, EINVAL)
WRAP(int, zmq_setsockopt, (void *socket, int option, const void *value, size_t size),
     (socket, option, value, size), -1, EINVAL, EINTR)
WRAP(int, zmq_getsockopt, (void *socket, int option, void *value, size_t *size),
     (socket, option, value, size), -1, EINVAL, EINTR)
WRAP(int, zmq_bind, (void *socket, const char *endpoint), (socket, endpoint), -1,
     EADDRINUSE, EMTHREAD)
WRAP(int, zmq_connect, (void *socket, const char *endpoint), (socket, endpoint), -1,
     EMTHREAD, ENOMEM)
WRAP(int, zmq_send, (void *socket, const void *data, size_t size, int flags),
     (socket, data, size, flags), -1, EAGAIN, ENOMEM)
WRAP(int, zmq_msg_send, (zmq_msg_t *message, void *socket, int flags), (message, socket, flags), -1,
     EAGAIN, EHOSTUNREACH)
WRAP(int, zmq_msg_recv, (zmq_msg_t *message, void *socket, int flags), (message, socket, flags), -1,
     RECEIVE_FAILURE, RECEIVE_FAILURE)
WRAP(int, zmq_msg_init_data, (zmq_msg_t *message, void *data, size_t size, zmq_free_fn *release,
     void *hint), (message, data, size, release, hint), -1, ENOMEM, ENOMEM)
/* clang-format on */

/* EINTR, which goes away: what fails from then on fails every other time. */
#define WRAP_INTERRUPTED(name, parameters, arguments)                    \
    int __real_##name parameters;                                        \
    int __wrap_##name parameters;                                        \
    int __wrap_##name parameters                                         \
    {                                                                    \
        static _Thread_local bool failed;                                \
        failed = !failed && fault_code(FAULT_##name, EINTR, EINTR) != 0; \
        if (!failed)                                                     \
            return __real_##name arguments;                              \
        errno = EINTR;                                                   \
        return -1;                                                       \
    }

/* clang-format off */
WRAP_INTERRUPTED(zmq_ctx_term, (void *context), (context))
WRAP_INTERRUPTED(zmq_poll, (zmq_pollitem_t *items, int count, long timeout),
                 (items, count, timeout))
/* clang-format on */
