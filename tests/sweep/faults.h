/*
 * faults.h - calls that fail on demand: the n-th call of one function, once or from then on.
 *
 * The linker routes the calls that a program's own objects make (server, library, command, journal)
 * to the wrappers in faults_*.c. What ZeroMQ, jq or json-c call among themselves is never touched:
 * ZeroMQ aborts where its own memory runs out. LMDB's own calls are, by functions of the same name
 * (faults_inside_lmdb.c) that a shared library finds before the C library's.
 *
 * The plan stands in memory that is shared with the program that drives the sweep, so that it counts
 * over all processes of a run. Thread-safe.
 */
#ifndef VIGIL_TESTS_SWEEP_FAULTS_H
#define VIGIL_TESTS_SWEEP_FAULTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Names the file of the plan for a program that is executed. */
#define FAULTS_VARIABLE "VIGIL_SWEEP_PLAN"

/* tests/sweep/CMakeLists.txt makes the linker's options out of what stands in W(...). Not here, as
 * they fail only for arguments that are wrong: mdb_env_info, mdb_env_stat, mdb_env_get_fd,
 * mdb_env_set_assert, zmq_msg_init, zmq_msg_close, zmq_msg_move, eventfd_write, shutdown, timerfd_settime,
 * clock_gettime, close; nor getrandom, which gives a few bytes without fail. */
/* clang-format off */
#define FAULTS_WRAPPED(W) \
    W(malloc) W(calloc) W(realloc) W(strdup) \
    W(open) W(openat) W(opendir) W(readdir) W(mkdir) W(rename) W(unlink) W(stat) W(lstat) W(fstat) \
    W(fstatvfs) W(flock) W(ftruncate) W(fallocate) W(fsync) W(fdatasync) W(read) W(pread) \
    W(write) W(pwrite) \
    W(mmap) W(pipe2) W(fork) W(poll) W(ppoll) W(socket) W(connect) W(signalfd) W(eventfd) \
    W(epoll_create1) W(epoll_ctl) W(timerfd_create) \
    W(epoll_wait) W(syscall) W(bind) W(listen) W(setsockopt) W(getsockname) W(getaddrinfo) \
    W(recv) W(recvfrom) W(send) W(sendmsg) \
    W(fopen) W(fgets) W(getrlimit) W(setrlimit) W(setpriority) \
    W(pthread_create) W(pthread_mutex_init) W(pthread_rwlock_init) W(pthread_rwlockattr_init) \
    W(mdb_env_create) W(mdb_env_open) W(mdb_env_set_mapsize) W(mdb_env_set_maxdbs) \
    W(mdb_env_set_flags) W(mdb_env_sync) W(mdb_reader_check) W(mdb_reader_list) W(mdb_txn_begin) \
    W(mdb_txn_commit) W(mdb_txn_renew) W(mdb_dbi_open) W(mdb_stat) W(mdb_get) W(mdb_put) W(mdb_del) \
    W(mdb_cursor_open) W(mdb_cursor_renew) W(mdb_cursor_get) W(mdb_cursor_put) W(mdb_cursor_del) \
    W(zmq_ctx_new) W(zmq_ctx_set) W(zmq_ctx_term) W(zmq_socket) W(zmq_socket_monitor) \
    W(zmq_setsockopt) W(zmq_getsockopt) W(zmq_bind) W(zmq_connect) W(zmq_send) W(zmq_msg_send) \
    W(zmq_msg_recv) W(zmq_msg_init_data) W(zmq_poll)

/* Calls that LMDB makes. Its memory only where no sanitizer has functions of these names. */
#define FAULTS_INSIDE(I) \
    I(lmdb_open) I(lmdb_pread) I(lmdb_pwrite) I(lmdb_writev) I(lmdb_fdatasync) I(lmdb_fsync) \
    I(lmdb_ftruncate) I(lmdb_malloc) I(lmdb_calloc) I(lmdb_realloc)
/* clang-format on */

enum fault {
#define FAULT_ENUM(name) FAULT_##name,
    FAULTS_WRAPPED(FAULT_ENUM) FAULTS_INSIDE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT
};

enum { FAULT_TRACE_MAX = 8, FAULT_NONE = -1 };

struct fault_plan {
    atomic_bool armed; /* counts only then */
    int fault;         /* which function fails; FAULT_NONE: calls are counted alone */
    uint32_t at;       /* its at-th call, from 1 */
    bool lasting;      /* and all after it */
    atomic_uint counts[FAULT_COUNT];
    atomic_uint met;
    /* where it was met first: offsets in the program, for addr2line */
    atomic_uintptr_t trace[FAULT_TRACE_MAX];
};

/* NULL: nothing fails. An executed program finds it by FAULTS_VARIABLE when it starts. */
extern struct fault_plan *faults;

const char *fault_name(enum fault fault);
/* 0: the call goes on. Otherwise one of the two codes; where the function fails from then on, the
 * first: EINTR for ever is nothing that a machine does. */
int fault_code(enum fault fault, int first, int second);

/* For the tests themselves. */
pid_t faults_real_fork(void);

#endif
