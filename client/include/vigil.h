/*
 * vigil.h - libvigil: a state that processes share, and every change of it.
 *
 * Conventions
 *  - Every function that can fail returns an enum vigil_error (0: VIGIL_OK).
 *    Results go through ret_ pointers, which are untouched on failure. A
 *    sentence about the last failure: vigil_failure_text.
 *  - A connection, and all watches, transactions and mirrors made from it,
 *    belong to one thread at a time: hand them over, but never use them from
 *    two threads at once. Different connections are independent.
 *  - There is no background thread, but for leases: requests and their replies are written and
 *    read by the thread that makes the call. Handles are driven by the calls below, which
 *    block up to a timeout_ms (0: not at all, negative: for ever) or not at all
 *    where nothing is said; or from the caller's own event loop, through
 *    vigil_fd, vigil_watch_fd, vigil_mirror_fd. Watches, listings and histories use ZeroMQ,
 *    which has threads of its own for its sockets; and a host name is looked up by a thread that
 *    ends with the answer, so that no call waits for that beyond its time. None takes signals.
 *  - Keys are NUL-terminated UTF-8, 1 to 480 bytes. Values are one MessagePack
 *    object each, given as pointer and size; vigil_pack_ and vigil_unpack_ make
 *    and read the common ones.
 *  - Pointers in results belong to the library and are valid until the next
 *    call with the same handle, unless something else is said.
 *  - Never use a handle in a child after fork, nor close it there. The child's copies of its
 *    descriptors may be closed; neither that nor keeping them touches the parent's connections.
 */
#ifndef VIGIL_H
#define VIGIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VIGIL_EXPORT __attribute__((visibility("default")))
#else
#define VIGIL_EXPORT
#endif

/* What a call returns, and what a reply says. The numbers never change. */
enum vigil_error {
    VIGIL_OK = 0,
    VIGIL_INVALID = 1, /* an argument is not valid */
    VIGIL_NO_MEMORY = 2,
    VIGIL_TIMEOUT = 3,        /* the time given is over; the connection is fine */
    VIGIL_DISCONNECTED = 4,   /* no server there, or lost; a mutation may have taken effect */
    VIGIL_COMPACTED = 5,      /* what the position needs is no longer in the journal */
    VIGIL_EPOCH_CHANGED = 6,  /* the position belongs to another history */
    VIGIL_POSITION_AHEAD = 7, /* the position is beyond the newest record */
    VIGIL_NOT_FOUND = 8,
    VIGIL_CONFLICT = 9, /* the condition does not hold */
    VIGIL_BAD_KEY = 10,
    VIGIL_BAD_VALUE = 11,
    VIGIL_TOO_LARGE = 12,
    VIGIL_NOT_AN_INTEGER = 13,
    VIGIL_OUT_OF_RANGE = 14,
    VIGIL_LIMIT = 15,
    VIGIL_NO_STREAM = 16, /* handled within the library */
    VIGIL_NO_SPACE = 17,  /* the server's disk is full; reads go on */
    VIGIL_IO = 18,
    VIGIL_CORRUPT = 19,
    VIGIL_MALFORMED = 20,
    VIGIL_VERSION = 21,
    VIGIL_UNKNOWN_OP = 22,
    VIGIL_BUSY = 23,            /* too many requests under way: receive some first */
    VIGIL_OUTCOME_UNKNOWN = 24, /* it took effect once or not at all; the server cannot tell */
    VIGIL_ABORTED = 25,         /* not tried, because a request before it failed */
    VIGIL_LOCKED = 26,
    VIGIL_ACCESS = 27,
    VIGIL_FOREIGN = 28,
    VIGIL_STOPPING = 29,
    VIGIL_INTERNAL = 30,
    VIGIL_INTERRUPTED = 31,  /* a signal handler ran, or the application's own function said stop */
    VIGIL_CURSOR_TAKEN = 32, /* another watcher has opened the same cursor */
    VIGIL_SCRIPT = 33,       /* the function has failed: vigil_failure_text says all about it */
    VIGIL_LEASE_ENDED = 34
};

/* "COMPACTED", and its sentence. Never NULL. Any thread. */
VIGIL_EXPORT const char *vigil_error_name(int error);
VIGIL_EXPORT const char *vigil_error_text(int error);
/* The library's version, "0.1.0". */
VIGIL_EXPORT const char *vigil_version(void);

/* ---- connection ---------------------------------------------------------- */

typedef struct vigil vigil;

typedef struct vigil_options {
    /* ipc:///PATH or tcp://HOST:PORT. NULL: the environment's VIGIL_SERVER, else
     * ipc://$XDG_RUNTIME_DIR/vigil.sock, else ipc:///tmp/vigil-UID/vigil.sock */
    const char *endpoint;
    int connect_timeout_ms;  /* 0: 5000; negative: for ever */
    int request_timeout_ms;  /* of the blocking calls below; 0: 5000; negative: for ever */
    uint32_t pipeline_max;   /* requests under way in all; 0: 65536 */
    const char *client_name; /* for the server's log; NULL: none */
    bool no_session;         /* a mutation that is under way when the connection is lost is not sent
                              * again: it ends as DISCONNECTED, and all mutations behind it */
} vigil_options;

/* clang-format off */
#define VIGIL_OPTIONS_INIT {0}
/* clang-format on */

/* Connects and says hello; blocks up to connect_timeout_ms. options may be NULL.
 * Errors: DISCONNECTED (no server there), VERSION, INVALID (endpoint), NO_MEMORY. */
VIGIL_EXPORT int vigil_open(const vigil_options *options, vigil **ret_connection);
/* Takes NULL. What is still under way is dropped, and may take effect or not. Close watches and
 * mirrors first. */
VIGIL_EXPORT void vigil_close(vigil *v);
/* A sentence on the last failure of a call with this connection or what was made from it; with
 * NULL, of the last failed vigil_open of this thread. Valid until the next call. */
VIGIL_EXPORT const char *vigil_failure_text(const vigil *v);

typedef struct vigil_info {
    uint64_t epoch;       /* name of the journal's history */
    uint64_t incarnation; /* name of the server's run */
    uint64_t head;        /* newest record, as of the last reply */
    uint64_t oldest;      /* oldest record in the journal, as of the last reply */
    uint32_t value_size_max;
    uint32_t message_size_max;
    const char *server; /* "vigild 0.1.0" */
    const char *endpoint;
} vigil_info;
VIGIL_EXPORT void vigil_get_info(const vigil *v, vigil_info *ret_info);

/* One round trip. Blocks. */
VIGIL_EXPORT int vigil_ping(vigil *v);
/* The server's figures: one MessagePack map of text to integers and texts. Blocks. */
VIGIL_EXPORT int vigil_status(vigil *v, const void **ret_map, size_t *ret_size);
/* Discards the records before seq before; blocks until they are gone from every reader's view or
 * timeout_ms is over. Errors: POSITION_AHEAD (the newest record always stays). */
VIGIL_EXPORT int vigil_compact(vigil *v, uint64_t before, int timeout_ms, uint64_t *ret_oldest);

/* ---- mutations, blocking --------------------------------------------------- */

/* Exactly once. With its first mutation a connection opens a session at the server. When a reply,
 * the connection or the server is lost, the library connects again and repeats what is unanswered,
 * in order, for as long as the call may block (request_timeout_ms), or with requests that were only
 * sent, for as long as vigil_receive or another call drives the connection, until nothing has been
 * answered for request_timeout_ms. A mutation that is repeated takes effect once and gets its first
 * outcome, also from a server that was killed and started again. What ends otherwise:
 *   DISCONNECTED     given up: the time is over. It may have taken effect, and it may still do so
 *                    until the server has answered anything that was asked after this; from then on
 *                    it never will. Behind it in the pipeline, the same.
 *   TIMEOUT          the server is there, but slow: the mutation is still under way
 *   OUTCOME_UNKNOWN  it was sent before the connection was lost, and the server has forgotten the
 *                    session meanwhile (an hour without use, vigild --session-idle; or its journal
 *                    was replaced): it took effect once or not at all. So also one without effect
 *                    (CONFLICT, say) whose reply was lost together with the server
 * A server that is too old for sessions, or has as many as it may, is worked with as if no_session
 * were set: then a loss ends mutations as DISCONNECTED, and nothing is ever applied twice either. */

typedef struct vigil_condition {
    bool if_seq; /* only if the key was changed last at seq; seq 0: only if absent */
    uint64_t seq;
    const void *if_value; /* not NULL: only if the key has exactly this value */
    size_t if_value_size;
} vigil_condition;

typedef struct vigil_result {
    uint64_t seq;      /* of the mutation's record; on CONFLICT, where the key changed last, or 0 */
    uint64_t prev_seq; /* where the key had changed before; 0: none known, or of an incr */
    uint64_t version;  /* changes since the key was created, this one included */
} vigil_result;

/* condition and ret_result may be NULL. When the call returns VIGIL_OK the mutation is durable (as
 * the server's durability says) and has been broadcast. On CONFLICT *ret_result is set too. */
VIGIL_EXPORT int vigil_put(vigil *v, const char *key, const void *value, size_t size,
                           const vigil_condition *condition, vigil_result *ret_result);
/* NOT_FOUND if the key is absent. */
VIGIL_EXPORT int vigil_delete(vigil *v, const char *key, const vigil_condition *condition,
                              vigil_result *ret_result);
/* Adds by to the integer at key (absent: 0). The new value, as MessagePack, through ret_value; also
 * as int64_t through ret_integer where it fits (otherwise INT64_MAX). Either may be NULL. The
 * reply does not tell where the key had changed before: ret_result->prev_seq is always 0. */
VIGIL_EXPORT int vigil_incr(vigil *v, const char *key, int64_t by, int64_t *ret_integer,
                            const void **ret_value, size_t *ret_size, vigil_result *ret_result);

/* A key as a read finds it. */
typedef struct vigil_entry {
    const char *key;   /* NUL-terminated */
    const void *value; /* NULL if absent */
    size_t size;
    bool present;
    uint64_t modified; /* seq of its last change (of its deletion, if absent and still known) */
    uint64_t created;
    uint64_t version;
    uint64_t seq; /* the state was this at seq */
} vigil_entry;

/* ---- transactions ------------------------------------------------------------ */

/* Collects compares, operations for when all of them hold, and others for when one does not. */
typedef struct vigil_txn vigil_txn;
enum vigil_relation { VIGIL_EQUAL = 1, VIGIL_NOT_EQUAL = 2, VIGIL_LESS = 3, VIGIL_GREATER = 4 };
enum vigil_op {
    VIGIL_OP_PUT = 4,
    VIGIL_OP_DELETE = 5,
    VIGIL_OP_INCR = 6,
    VIGIL_OP_GET = 8,
    VIGIL_OP_APPEND = 64,
    VIGIL_OP_ADD = 65,
    VIGIL_OP_SET_DEFAULT = 66,
    VIGIL_OP_POP = 67,
    VIGIL_OP_POP_ANY = 68,
    VIGIL_OP_CLEAR = 69,
    VIGIL_OP_COUNT = 70,
    VIGIL_OP_LIST = 71,
    VIGIL_OP_PUSH = 72,
    VIGIL_OP_PUT_TTL = 73,
    VIGIL_OP_PUT_LEASE = 74,
    VIGIL_OP_KEYS = 75
};

VIGIL_EXPORT int vigil_txn_new(vigil_txn **ret_txn);
VIGIL_EXPORT void vigil_txn_free(vigil_txn *t);
VIGIL_EXPORT void vigil_txn_clear(vigil_txn *t);
/* Each copies what it is given. An error sticks and is what commit returns. */
VIGIL_EXPORT int vigil_txn_if_seq(vigil_txn *t, const char *key, enum vigil_relation relation,
                                  uint64_t seq);
VIGIL_EXPORT int vigil_txn_if_version(vigil_txn *t, const char *key, enum vigil_relation relation,
                                      uint64_t version);
VIGIL_EXPORT int vigil_txn_if_value(vigil_txn *t, const char *key, enum vigil_relation relation,
                                    const void *value, size_t size);
VIGIL_EXPORT int vigil_txn_if_exists(vigil_txn *t, const char *key, bool exists);
/* Nothing that starts with prefix ("": nothing at all) has changed after seq: was put or deleted, or
 * has expired. What the server can no longer know counts as changed. */
VIGIL_EXPORT int vigil_txn_if_prefix_unchanged(vigil_txn *t, const char *prefix, uint64_t seq);

/* Operations; each sees what those before it have done. */
VIGIL_EXPORT int vigil_txn_put(vigil_txn *t, const char *key, const void *value, size_t size);
/* The key ends by itself, ttl_ms later; or with a lease (vigil_lease_id; LEASE_ENDED fails all). */
VIGIL_EXPORT int vigil_txn_put_ttl(vigil_txn *t, const char *key, const void *value, size_t size,
                                   uint64_t ttl_ms);
VIGIL_EXPORT int vigil_txn_put_lease(vigil_txn *t, const char *key, const void *value, size_t size,
                                     uint64_t lease);
VIGIL_EXPORT int vigil_txn_delete(vigil_txn *t, const char *key);
VIGIL_EXPORT int vigil_txn_incr(vigil_txn *t, const char *key, int64_t by);
VIGIL_EXPORT int vigil_txn_get(vigil_txn *t, const char *key);
/* To an array the value as one element more; to a string or binary another one of its kind. An
 * absent key: an array of this element. BAD_VALUE where the key holds something else. */
VIGIL_EXPORT int vigil_txn_append(vigil_txn *t, const char *key, const void *value, size_t size);
/* To an array an element, unless one of the same bytes is in it already. */
VIGIL_EXPORT int vigil_txn_add(vigil_txn *t, const char *key, const void *value, size_t size);
/* Put, but only if the key is absent. */
VIGIL_EXPORT int vigil_txn_set_default(vigil_txn *t, const char *key, const void *value,
                                       size_t size);
/* Deletes the key and gives what it had; or the first key, in bytewise order, that starts with
 * prefix. Without effect if there is none. */
VIGIL_EXPORT int vigil_txn_pop(vigil_txn *t, const char *key);
VIGIL_EXPORT int vigil_txn_pop_any(vigil_txn *t, const char *prefix);
/* Deletes, counts, or gives all keys that start with prefix; limit: of these rows at most so many,
 * 0: no limit of its own. LIMIT where there are too many keys for one request (65536 to look at,
 * deleted ones that are not yet forgotten included; 10000 to delete). */
VIGIL_EXPORT int vigil_txn_clear_prefix(vigil_txn *t, const char *prefix);
VIGIL_EXPORT int vigil_txn_count(vigil_txn *t, const char *prefix);
VIGIL_EXPORT int vigil_txn_list(vigil_txn *t, const char *prefix, uint32_t limit);
/* The same, of the keys alone. */
VIGIL_EXPORT int vigil_txn_keys(vigil_txn *t, const char *prefix, uint32_t limit);
/* Puts the value at a new key: prefix, and behind it what sorts by the time of the push. */
VIGIL_EXPORT int vigil_txn_push(vigil_txn *t, const char *prefix, const void *value, size_t size);
/* Operations added from here on are for when a compare does not hold. */
VIGIL_EXPORT void vigil_txn_otherwise(vigil_txn *t);

typedef struct vigil_txn_result {
    enum vigil_op op;
    /* get, pop_any: there is such a key; add: the element was in it already; otherwise: the key was
     * there before */
    bool present;
    /* get, set_default: where the key changed last; otherwise where it had changed before */
    uint64_t seq;
    /* incr: the new value; get, pop, pop_any: the value; set_default: the value that holds now;
     * append, add: the new length (elements, bytes); clear, count: how many; list,
     * keys: see vigil_txn_row. NULL: none */
    const void *value;
    size_t size;
    const char *key; /* push: the new key; pop_any: the key, if present; NUL-terminated */
} vigil_txn_result;

typedef struct vigil_row {
    const char *key; /* not terminated */
    size_t key_size;
    uint64_t modified; /* of a list: seq of its last change */
    const void *value; /* of a list; of keys NULL */
    size_t size;
} vigil_row;
/* The rows of a list's or keys' result, in bytewise order of the keys: *at is 0 at first. False: no more. */
VIGIL_EXPORT bool vigil_txn_row(const vigil_txn_result *result, size_t *at, vigil_row *ret_row);

/* Blocks. All or nothing, one record. *ret_succeeded: the compares held. *ret_seq: the record's
 * seq, or the head where nothing changed. The results are in *ret_results, one per operation of the
 * branch taken. All ret_ may be NULL. An operation that fails (not an integer, say) fails all.
 * TOO_LARGE: a request that the server does not take, or results of more than 64 KiB (within a
 * session; with no_session, 8 MiB). */
VIGIL_EXPORT int vigil_txn_commit(vigil *v, const vigil_txn *t, bool *ret_succeeded,
                                  uint64_t *ret_seq, const vigil_txn_result **ret_results,
                                  size_t *ret_count);

/* ---- a dict's other methods ---------------------------------------------------- */

/* Each is one request and, where it changes anything, one record; blocking, exactly once, all ret_
 * may be NULL. *ret_seq: the record's seq, or the head where nothing changed. Errors beside those of
 * every mutation are those of the operations above. Values in results are valid until the next call
 * with the connection. */

/* Puts the value if the key is absent. *ret_entry: what holds now (modified and the like: where it
 * has changed last; created and version are 0). *ret_put: it was absent. */
VIGIL_EXPORT int vigil_set_default(vigil *v, const char *key, const void *value, size_t size,
                                   bool *ret_put, vigil_entry *ret_entry);
/* Deletes the key. *ret_entry: what it had been; NOT_FOUND if it is absent. */
VIGIL_EXPORT int vigil_pop(vigil *v, const char *key, vigil_entry *ret_entry, uint64_t *ret_seq);
/* The first key that starts with prefix ("": of all). No two calls get the same one. NOT_FOUND if
 * there is none. */
VIGIL_EXPORT int vigil_pop_any(vigil *v, const char *prefix, vigil_entry *ret_entry,
                               uint64_t *ret_seq);
typedef struct vigil_pair {
    const char *key;
    const void *value;
    size_t size;
} vigil_pair;
/* Puts all of them (10000 at most), or none. Of a key that is there twice the last value counts. */
VIGIL_EXPORT int vigil_put_many(vigil *v, const vigil_pair *pairs, size_t count, uint64_t *ret_seq);
/* *ret_length: elements, or bytes of a string or binary. */
VIGIL_EXPORT int vigil_append(vigil *v, const char *key, const void *value, size_t size,
                              uint64_t *ret_length, uint64_t *ret_seq);
/* *ret_added: no such element was in the array. */
VIGIL_EXPORT int vigil_add(vigil *v, const char *key, const void *value, size_t size,
                           bool *ret_added, uint64_t *ret_length, uint64_t *ret_seq);
/* Deletes all keys that start with prefix ("": all), in one record. */
VIGIL_EXPORT int vigil_clear(vigil *v, const char *prefix, uint64_t *ret_count, uint64_t *ret_seq);
/* How many keys start with prefix ("": all). Where they are too many for one request they are
 * listed, which takes as long as vigil_list with this timeout_ms. *ret_seq: the state was this at
 * seq. */
VIGIL_EXPORT int vigil_count(vigil *v, const char *prefix, int timeout_ms, uint64_t *ret_count,
                             uint64_t *ret_seq);
/* Puts the value at a new key. *ret_key: prefix, and behind it what sorts by the time of the push;
 * of two that one client makes one after another the second sorts after the first. */
VIGIL_EXPORT int vigil_push(vigil *v, const char *prefix, const void *value, size_t size,
                            const char **ret_key, uint64_t *ret_seq);

/* ---- functions ----------------------------------------------------------------- */

/* A function in Lua 5.4 that runs at the server, serially and on the state; what it changes becomes
 * one record, or nothing does. docs/functions.md says what it sees and what bounds it. */
typedef struct vigil_function {
    const char *name; /* of one that is stored: its source is the string at VIGIL_FUNCTIONS name */
    const char *source; /* or, with name NULL, the function itself; not kept */
    size_t source_size;
} vigil_function;
/* Functions are ordinary keys with this prefix: vigil_put stores one, watches see it change. */
#define VIGIL_FUNCTIONS "vigil/function/"

/* Blocks; exactly once. arguments: a MessagePack array, or NULL for none. *ret_value: what the function
 * has returned, as MessagePack, until the connection's next call. *ret_seq: the record's seq, or the
 * head where nothing changed. All ret_ may be NULL.
 * SCRIPT: the function has failed or came to a limit, and nothing has changed; vigil_failure_text has
 * the message, where it was raised and the traceback, in several lines. NOT_FOUND: there is no function
 * of that name. BAD_VALUE: the arguments are no array, or what is stored is no string. TOO_LARGE: a
 * result of more than 64 KiB (within a session; with no_session, 8 MiB). LIMIT: it looked at or would
 * change too much. BUSY: with no_session only, functions have taken too much of the server's time just
 * now; without effect. */
VIGIL_EXPORT int vigil_call(vigil *v, const vigil_function *function, const void *arguments,
                            size_t arguments_size, const void **ret_value, size_t *ret_size,
                            uint64_t *ret_seq);
/* Whether it compiles: the server tries, and runs nothing. SCRIPT: it does not. */
VIGIL_EXPORT int vigil_function_check(vigil *v, const vigil_function *function);

/* ---- lives -------------------------------------------------------------------- */

/* Keys that end: by themselves, or with a lease. Their end is a record with op VIGIL_EXPIRE, never
 * early, and a tick (100 ms) late at most while the machine runs; docs/guarantees.md, "Lives". Any
 * other put of the key, and a delete, take its end away; incr, append and add keep it. */

/* As vigil_put; ret_result's version is 0. ttl_ms: 1 to ten years, otherwise INVALID. */
VIGIL_EXPORT int vigil_put_ttl(vigil *v, const char *key, const void *value, size_t size,
                               uint64_t ttl_ms, const vigil_condition *condition,
                               vigil_result *ret_result);
/* As vigil_put; the key ends when the lease does (vigil_lease_id). LEASE_ENDED; LIMIT: it has 10,000
 * keys already. */
VIGIL_EXPORT int vigil_put_lease(vigil *v, const char *key, const void *value, size_t size,
                                 uint64_t lease, const vigil_condition *condition,
                                 vigil_result *ret_result);

/* A lease lives at the server until it is closed, or has not been renewed for its ttl_ms; then all
 * of its keys end, in one record.
 *
 * The one exception to "no background thread": a thread of the lease's own renews it every third of
 * ttl_ms, over a connection of its own, through lost connections and restarts of the server. It
 * takes no signals. So the lease lives for as long as the process runs, whatever its other threads
 * do. A process that is stopped (SIGSTOP, a debugger, a sleeping machine) for longer than ttl_ms
 * loses it, and can only find that out afterwards: before each step that relies on the lease, look
 * at vigil_lease_left_ms, or better, let what is acted upon check a fencing seq. In a child after
 * fork there is no such thread: leave the lease alone there.
 *
 * A lease belongs to its connection's thread, but left_ms, has_ended, id and fd may be asked from
 * any. Close it before the connection. */
typedef struct vigil_lease vigil_lease;
/* ttl_ms: 1000 to 86,400,000 (INVALID). Blocks. LIMIT: too many leases, descriptors or threads. */
VIGIL_EXPORT int vigil_lease_open(vigil *v, uint32_t ttl_ms, vigil_lease **ret_lease);
/* Without the thread: the application calls vigil_lease_renew, for a lease that ends when its own
 * loop stands still. */
VIGIL_EXPORT int vigil_lease_open_by_hand(vigil *v, uint32_t ttl_ms, vigil_lease **ret_lease);
/* One round trip. LEASE_ENDED: it has, with all of its keys. Allowed beside the thread as well. */
VIGIL_EXPORT int vigil_lease_renew(vigil_lease *l);
/* The number by which the server knows it, and other processes may use it. Never 0. */
VIGIL_EXPORT uint64_t vigil_lease_id(const vigil_lease *l);
/* How long it surely still lives, counted from when the newest renewal that was answered was sent.
 * 0: nothing is sure. It may come back to life, where the server was away and is there again. */
VIGIL_EXPORT int64_t vigil_lease_left_ms(const vigil_lease *l);
/* The server has said that it has ended: it will not come back. */
VIGIL_EXPORT bool vigil_lease_has_ended(const vigil_lease *l);
/* Readable while vigil_lease_left_ms is 0; only to be polled. -1 with a lease that is renewed by
 * hand. */
VIGIL_EXPORT int vigil_lease_fd(const vigil_lease *l);
/* Its keys end at once; blocks until they have. Frees it, whatever is returned. LEASE_ENDED: it had
 * ended before. DISCONNECTED: it will end, ttl_ms after its last renewal. Takes NULL. */
VIGIL_EXPORT int vigil_lease_close(vigil_lease *l);

/* ---- pipelining ---------------------------------------------------------------- */

/* send queues a request and returns its id without waiting; requests take effect in the order they
 * were sent. receive hands out the outcomes in that order. Blocking calls and watches may be used
 * in between. BUSY: pipeline_max requests are under way, or 64 MiB of them. At most as many
 * mutations as the session's window has (4096) are at the server at once; the others wait here. */
VIGIL_EXPORT int vigil_send_put(vigil *v, const char *key, const void *value, size_t size,
                                const vigil_condition *condition, uint64_t *ret_id);
VIGIL_EXPORT int vigil_send_delete(vigil *v, const char *key, const vigil_condition *condition,
                                   uint64_t *ret_id);
VIGIL_EXPORT int vigil_send_incr(vigil *v, const char *key, int64_t by, uint64_t *ret_id);
VIGIL_EXPORT int vigil_send_get(vigil *v, const char *key, uint64_t *ret_id);
VIGIL_EXPORT int vigil_send_txn(vigil *v, const vigil_txn *t, uint64_t *ret_id);
VIGIL_EXPORT int vigil_send_call(vigil *v, const vigil_function *function, const void *arguments,
                                 size_t arguments_size, uint64_t *ret_id);
/* From the next request on: after a failure, mutations that were sent behind it end as ABORTED rather
 * than being applied, until the failure has been received (a read may still be answered). Off at
 * first. Without a session one message at a time is under way. */
VIGIL_EXPORT void vigil_stop_on_error(vigil *v, bool on);
/* Hands what is queued to the socket. Blocking calls do it as well, and so does receive, which keeps
 * the newest requests together behind what is under way, for as long as that is three messages. */
VIGIL_EXPORT int vigil_flush(vigil *v);

typedef struct vigil_completion {
    uint64_t id;
    int error;           /* the request's own outcome */
    vigil_result result; /* of a get: seq is where the key changed last, version its version */
    bool present;        /* of a get: the key is there; of a txn: the compares held */
    const void *value;   /* of incr, get, call: the value, the result; until the next call */
    size_t size;
} vigil_completion;

/* OK with a completion; TIMEOUT; DISCONNECTED with a completion for each request that was given up,
 * as nothing has been answered for the connection's request_timeout_ms (error DISCONNECTED: see
 * "Exactly once"), one per call; INVALID when nothing is under way. */
VIGIL_EXPORT int vigil_receive(vigil *v, int timeout_ms, vigil_completion *ret_completion);
/* Requests sent whose completion has not been received. */
VIGIL_EXPORT size_t vigil_pending(const vigil *v);
/* Becomes readable when vigil_receive should be called; then call it with timeout 0 until TIMEOUT,
 * which also sends what the socket did not take before. Belongs to the connection. -1: out of
 * descriptors. */
VIGIL_EXPORT int vigil_fd(vigil *v);

/* ---- reads -------------------------------------------------------------------- */

/* Blocks. An absent key is VIGIL_OK with present false. */
VIGIL_EXPORT int vigil_get(vigil *v, const char *key, vigil_entry *ret_entry);
/* Several keys (4096 at most) at one seq; ret_entries has room for count. */
VIGIL_EXPORT int vigil_get_many(vigil *v, const char *const *keys, size_t count,
                                vigil_entry *ret_entries);
/* All keys that start with prefix, in bytewise order, consistent at one seq: calls each for every
 * key (values are NULL unless with_values). each returns false to stop early (then INTERRUPTED).
 * Everything acknowledged before the call is in. Blocks up to timeout_ms (0: the connection's
 * request timeout per round trip), also while a lost connection is made anew. Memory in proportion
 * to the result. */
VIGIL_EXPORT int vigil_list(vigil *v, const char *prefix, bool with_values, int timeout_ms,
                            bool (*each)(void *context, const vigil_entry *entry), void *context,
                            uint64_t *ret_seq);

/* ---- functions that are atomic --------------------------------------------------- */

/* What a function of vigil_atomically reads and writes through; good until that returns. */
typedef struct vigil_atomic vigil_atomic;
/* Reads, decides, writes; returns 0 to have the writes made, or something else to end without effect.
 * It is run again whenever something that it has read has changed before its writes were made, so
 * it must not do what cannot be done twice, and its result has to be that of its last run. It may
 * see values of different seqs side by side, but what it does with them then is never made true. It
 * should be short: the server gives a turn of at most 200 ms (see below). */
typedef int vigil_atomic_function(vigil_atomic *a, void *context);

typedef struct vigil_atomic_options {
    int timeout_ms; /* after it no other run is begun; 0: the connection's request timeout;
                     * negative: for ever */
    uint32_t tries; /* before it queues up for a turn; 0: 8 */
} vigil_atomic_options;

/* clang-format off */
#define VIGIL_ATOMIC_OPTIONS_INIT {0}
/* clang-format on */

/* Runs the function until nothing that it read has changed by the time its writes are made: all of
 * them, as one record, exactly once. A key that was read as absent counts, and so does everything
 * under a prefix that was listed. What has changed is brought by the answer that says so: a run
 * begins with one round trip for each key that it has not read before, and ends with one.
 * Where many contend for the same keys it queues up, after so many tries, for a turn: meanwhile
 * their vigil_atomically waits, and everything else goes on. Who has died loses its turn.
 * options and ret_seq may be NULL. *ret_seq: the record's seq, or, without writes, where all that was
 * read was true together. Blocks. Returns what the function returned, unless 0; or
 *   CONFLICT   the time is over, and no try came through; without effect
 *   INVALID    within another vigil_atomically of this connection
 *   EPOCH_CHANGED   the server's journal was replaced meanwhile; without effect
 * or the first error of a call with the handle, or of the commit, as for a transaction (so
 * DISCONNECTED, TIMEOUT and OUTCOME_UNKNOWN say what they say there). The connection must not be
 * used otherwise while the function runs. */
VIGIL_EXPORT int vigil_atomically(vigil *v, vigil_atomic_function *function, void *context,
                                  const vigil_atomic_options *options, uint64_t *ret_seq);

/* Of these, an error sticks: all further ones return it, and so does vigil_atomically, unless the
 * function returns something else than 0. Values that are read are valid until the function returns.
 * The run's own writes are seen. *ret_value is NULL for an absent key. */
VIGIL_EXPORT int vigil_atomic_get(vigil_atomic *a, const char *key, const void **ret_value,
                                  size_t *ret_size);
/* As vigil_list, with values; each must not use the handle. modified is 0 for what the run has
 * written. INTERRUPTED, if each has returned false, does not stick. */
VIGIL_EXPORT int vigil_atomic_list(vigil_atomic *a, const char *prefix,
                                   bool (*each)(void *context, const vigil_entry *entry),
                                   void *context);
VIGIL_EXPORT int vigil_atomic_put(vigil_atomic *a, const char *key, const void *value, size_t size);
/* Of an absent key: nothing. */
VIGIL_EXPORT int vigil_atomic_delete(vigil_atomic *a, const char *key);
/* get, add, put. *ret_integer as of vigil_incr. */
VIGIL_EXPORT int vigil_atomic_incr(vigil_atomic *a, const char *key, int64_t by,
                                   int64_t *ret_integer);
/* Which run this is: 1, 2, ... */
VIGIL_EXPORT uint32_t vigil_atomic_run(const vigil_atomic *a);

/* ---- backup --------------------------------------------------------------------- */

typedef struct vigil_backup_info {
    uint64_t epoch;    /* of the server's journal; a restored one has a new epoch */
    uint64_t seq;      /* what is restored is the state at this seq */
    uint64_t oldest;   /* and the records from here on */
    uint64_t records;  /* in it */
    uint64_t rows;     /* keys as checkpoints had them; the records bring them up to seq */
    uint64_t bytes;    /* of the whole */
    uint32_t checksum; /* CRC-32C of the whole but its end */
} vigil_backup_info;

/* Everything that vigild --restore needs, while the server goes on: hands the bytes of a backup
 * (docs/backup-format.md) to write, piece by piece. All that was acknowledged before the call is
 * in. state_only: no more of the history than that needs. write returns false to stop (then
 * INTERRUPTED). COMPACTED: the journal was compacted faster than it could be read; what has been
 * written is of no use, and another call may succeed. ret_info may be NULL. Blocks, up to the
 * connection's request timeout per round trip. Memory does not depend on the journal's size. */
VIGIL_EXPORT int vigil_backup(vigil *v, bool state_only,
                              bool (*write)(void *context, const void *data, size_t size),
                              void *context, vigil_backup_info *ret_info);

/* ---- watching ------------------------------------------------------------------ */

typedef struct vigil_position {
    uint64_t epoch; /* 0: whatever the server's is */
    uint64_t seq;   /* everything up to this has been seen */
} vigil_position;

enum vigil_change_op { VIGIL_PUT = 1, VIGIL_DELETE = 2, VIGIL_EXPIRE = 3 };

/* What the key had been before a change. */
enum vigil_before {
    VIGIL_BEFORE_NOT_ASKED = 0,
    VIGIL_BEFORE_VALUE = 1,
    VIGIL_BEFORE_ABSENT = 2, /* it was not there: it never had been, or had been deleted */
    VIGIL_BEFORE_UNKNOWN = 3 /* compaction took it, or the record's come to more than 256 MiB */
};

typedef struct vigil_change {
    enum vigil_change_op op;
    uint16_t part;   /* 1..parts of the record */
    const char *key; /* NUL-terminated */
    size_t key_size;
    const void *value; /* NULL unless put */
    size_t size;
    uint64_t prev_seq; /* where the key had changed before; 0: none known */
    /* Of a watch with the option before: */
    enum vigil_before before;
    const void *before_value; /* NULL unless VALUE */
    size_t before_size;
} vigil_change;

/* One atomic transition, as far as the filter sees it. */
typedef struct vigil_record {
    uint64_t epoch;
    uint64_t seq;
    uint64_t time_us; /* server's wall clock, microseconds since 1970 */
    uint64_t session;
    uint64_t number;
    uint16_t parts; /* changes of the whole record */
    uint16_t count; /* changes here */
    const vigil_change *changes;
} vigil_record;

/* All changes of one key that the journal still has, oldest first. *ret_complete: the chain reaches
 * the key's beginning (false: compaction took the start). each as for vigil_list. Blocks up to
 * timeout_ms (0: the connection's request timeout per round trip), also while a lost connection is
 * made anew; EPOCH_CHANGED if another history was found there. */
VIGIL_EXPORT int vigil_history(vigil *v, const char *key, int timeout_ms,
                               bool (*each)(void *context, const vigil_record *record),
                               void *context, bool *ret_complete);

typedef struct vigil_watch vigil_watch;

enum vigil_since {
    VIGIL_SINCE_NOW = 0,     /* what comes after the watch was opened */
    VIGIL_SINCE_OLDEST = 1,  /* all that the journal still has */
    VIGIL_SINCE_POSITION = 2 /* all after position; COMPACTED if that is no longer whole */
};

typedef struct vigil_watch_options {
    const char *const *patterns; /* each a key, or a prefix followed by '*'; none: everything */
    size_t pattern_count;        /* at most 16 */
    enum vigil_since since;
    vigil_position position;
    bool bookmarks;    /* hand out bookmark events as well */
    bool no_reconnect; /* DISCONNECTED is final */
    /* A named cursor, kept by the server (1 to 128 bytes; NULL: none): the watch goes on where it
     * was last acknowledged to be, from whatever machine. since and position only say where a new
     * cursor begins; without patterns it is the cursor's own that count, or for a new one
     * everything. It is this watch's until another opens it. */
    const char *cursor;
    /* Give each change the key's value before it: of what this watch has seen from a memory of its
     * own, otherwise from the server's journal, at the cost of a round trip, for which the record
     * and all behind it wait. */
    bool before;
    size_t before_memory_bytes; /* bound of that memory, overhead included; 0: 16 MiB */
} vigil_watch_options;

/* clang-format off */
#define VIGIL_WATCH_OPTIONS_INIT {0}
/* clang-format on */

enum vigil_event_kind { VIGIL_EVENT_RECORD = 1, VIGIL_EVENT_BOOKMARK = 2 };

typedef struct vigil_event {
    enum vigil_event_kind kind;
    vigil_record record;     /* RECORD */
    vigil_position position; /* of the watch, once this event has been taken */
    uint64_t head;           /* BOOKMARK: newest record of the server; oldest: its oldest */
    uint64_t oldest;
} vigil_event;

/* Opens the stream. Blocks for a round trip; while the server is not there, up to the request
 * timeout. Errors also: EPOCH_CHANGED, POSITION_AHEAD, BAD_KEY, LIMIT. With a cursor: two round
 * trips more, CONFLICT (it is there with other patterns), and BAD_KEY for its name. */
VIGIL_EXPORT int vigil_watch_open(vigil *v, const vigil_watch_options *options,
                                  vigil_watch **ret_watch);
VIGIL_EXPORT void vigil_watch_close(vigil_watch *w);
/* The next event. Blocks up to timeout_ms.
 *   OK            *ret_event is valid until the next call with this watch
 *   TIMEOUT       nothing new; all is well (as of the last bookmark)
 *   DISCONNECTED  the server is lost. Said once for each loss; the watch goes on trying with each
 *                 further call and continues where it was (unless no_reconnect)
 *   LIMIT         likewise: the server's limits or this process's descriptors are used up
 *   COMPACTED, EPOCH_CHANGED, POSITION_AHEAD, CORRUPT   final: nothing was skipped silently; see
 *                 vigil_watch_bounds, then open another watch (where it has a cursor, delete that
 *                 first: it stands where nothing can go on)
 *   CURSOR_TAKEN  final: another watch has opened the cursor; NOT_FOUND: it has been deleted
 *   INTERRUPTED   a signal handler ran */
VIGIL_EXPORT int vigil_watch_next(vigil_watch *w, int timeout_ms, const vigil_event **ret_event);
/* Of a watch with a cursor: the application has dealt with everything that vigil_watch_next has
 * handed out so far, so the cursor may move there. With timeout_ms 0 the word is sent and OK says no
 * more than that; at most one is under way, what is said meanwhile follows when vigil_watch_next is
 * called. Otherwise blocks until the server has it durably (so before an end). What was not
 * acknowledged is handed out again to whoever opens the cursor next. A lost connection loses
 * nothing: it is sent again. While all that was handed out has been acknowledged, the cursor also
 * moves along with the bookmarks, by itself, about once a second.
 * Errors: CURSOR_TAKEN, NOT_FOUND and the like as for vigil_watch_next, final; TIMEOUT, DISCONNECTED
 * (not within the time; it goes on being tried), NO_SPACE and the like (also), INTERRUPTED, INVALID
 * (no cursor). */
VIGIL_EXPORT int vigil_watch_acknowledge(vigil_watch *w, int timeout_ms);
/* The same, up to the event whose position has this seq: for an application that has some in hand. */
VIGIL_EXPORT int vigil_watch_acknowledge_to(vigil_watch *w, uint64_t seq, int timeout_ms);
/* False from the DISCONNECTED that next has told until the stream is open again: meanwhile TIMEOUT
 * means just that. */
VIGIL_EXPORT bool vigil_watch_connected(const vigil_watch *w);
/* What to store in order to resume: everything up to it has been handed out. */
VIGIL_EXPORT void vigil_watch_position(const vigil_watch *w, vigil_position *ret_position);
/* The server's epoch, head and oldest as this watch saw them last. */
VIGIL_EXPORT void vigil_watch_bounds(const vigil_watch *w, uint64_t *ret_epoch, uint64_t *ret_head,
                                     uint64_t *ret_oldest);
/* Becomes readable when vigil_watch_next should be called; then call it with timeout 0 until
 * TIMEOUT. It covers the watch's own timers. Belongs to the watch. -1: out of descriptors. */
VIGIL_EXPORT int vigil_watch_fd(vigil_watch *w);

typedef struct vigil_watch_figures {
    uint64_t records;  /* handed out */
    uint64_t replayed; /* of these, by replay */
    uint64_t gaps;     /* gaps found on the live stream, each mended by replay */
    uint64_t reopened; /* times the stream was opened again */
    uint64_t lookups;  /* previous values that the server was asked for */
} vigil_watch_figures;
VIGIL_EXPORT void vigil_watch_get_figures(const vigil_watch *w, vigil_watch_figures *ret_figures);

/* ---- named cursors -------------------------------------------------------------- */

typedef struct vigil_cursor {
    const char *name;            /* NUL-terminated */
    vigil_position position;     /* everything up to it has been acknowledged */
    uint64_t lag;                /* records after it, whatever they are; all, in another epoch */
    uint64_t created_us;         /* server's wall clock, microseconds since 1970 */
    uint64_t moved_us;           /* when it was acknowledged last, or created */
    uint64_t age_us;             /* since then */
    const char *const *patterns; /* as for a watch */
    size_t pattern_count;
} vigil_cursor;

/* Calls each for every cursor, in bytewise order of the names. each returns false to stop early
 * (then INTERRUPTED); it must not use the connection, and what it gets is valid until it returns.
 * Blocks. */
VIGIL_EXPORT int
vigil_cursor_each(vigil *v, bool (*each)(void *context, const vigil_cursor *cursor), void *context);
/* A watch that uses it ends with NOT_FOUND when it acknowledges. NOT_FOUND if there is none.
 * Blocks. */
VIGIL_EXPORT int vigil_cursor_delete(vigil *v, const char *name);

/* ---- waiting -------------------------------------------------------------------- */

/* True ends the wait. value is NULL for an absent key; change is NULL when it is the present state.
 * Must not use the connection. */
typedef bool vigil_predicate(void *context, const void *value, size_t size,
                             const vigil_change *change);

typedef struct vigil_wait_options {
    bool change;            /* do not look at the present state, only at changes after it */
    enum vigil_since since; /* NOW: from the present state; otherwise from there, changes only */
    vigil_position position;
    vigil_predicate *until; /* NULL: the key is there (with change: any change) */
    void *context;
} vigil_wait_options;

/* clang-format off */
#define VIGIL_WAIT_OPTIONS_INIT {0}
/* clang-format on */

typedef struct vigil_wait_result {
    bool from_state;     /* the present state satisfied it; otherwise record did */
    vigil_entry entry;   /* from_state */
    vigil_record record; /* otherwise; its one change is the one that satisfied */
} vigil_wait_result;

/* Blocks until the condition holds, or held for a moment after the start: sees every value, however
 * short. Pointers in the result are valid until the next call with v. With timeout_ms 0 the present
 * state is looked at, which may take a round trip. TIMEOUT; DISCONNECTED: the time is over and the
 * server is not there (while there is time, or with a negative one, it waits for it to come back);
 * COMPACTED, EPOCH_CHANGED, POSITION_AHEAD: something may have been missed. ret_result may be
 * NULL. */
VIGIL_EXPORT int vigil_wait(vigil *v, const char *key, const vigil_wait_options *options,
                            int timeout_ms, vigil_wait_result *ret_result);

/* ---- locks, elections, barriers, queues -------------------------------------------- */

/* Small things made of the parts above (docs/recipes.md has what they promise, and what not). Each
 * holder has a fence: a seq that grows from holder to holder. A holder that was stopped for longer
 * than its lease lives has lost what it holds and may not know yet: transactions that are guarded do
 * not succeed then, and others than this server can refuse a fence that is smaller than the last
 * they saw. ttl_ms as for vigil_lease_open. A handle belongs to its connection. */
typedef struct vigil_lock vigil_lock;

/* Waits until the lock is free, those who came before first; blocks up to timeout_ms. TIMEOUT: the
 * place in the line is given up. LEASE_ENDED: this process was stopped for too long. */
VIGIL_EXPORT int vigil_lock_acquire(vigil *v, const char *name, uint32_t ttl_ms, int timeout_ms,
                                    vigil_lock **ret_lock);
/* The same in two steps: a place in the line (value, which may be NULL, is shown there), and waiting
 * there, again and again after a TIMEOUT or DISCONNECTED. */
VIGIL_EXPORT int vigil_lock_enter(vigil *v, const char *name, const void *value, size_t size,
                                  uint32_t ttl_ms, vigil_lock **ret_lock);
VIGIL_EXPORT int vigil_lock_wait(vigil_lock *l, int timeout_ms);
/* The fence. */
VIGIL_EXPORT uint64_t vigil_lock_seq(const vigil_lock *l);
/* How long it is surely still held, as vigil_lease_left_ms. */
VIGIL_EXPORT int64_t vigil_lock_left_ms(const vigil_lock *l);
/* Asks the server. OK: it is held, or its place is still in the line; LEASE_ENDED. */
VIGIL_EXPORT int vigil_lock_check(vigil_lock *l);
/* Adds a compare: the transaction succeeds only while this is held. */
VIGIL_EXPORT int vigil_lock_guard(const vigil_lock *l, vigil_txn *t);
/* At once if the server can be reached, otherwise when the lease ends. Frees it. Takes NULL. */
VIGIL_EXPORT void vigil_lock_release(vigil_lock *l);

/* To lead is to hold the first place, with a value that others see. The handle is a lock's. */
VIGIL_EXPORT int vigil_elect(vigil *v, const char *name, const void *value, size_t size,
                             uint32_t ttl_ms, int timeout_ms, vigil_lock **ret_lock);
VIGIL_EXPORT int vigil_elect_enter(vigil *v, const char *name, const void *value, size_t size,
                                   uint32_t ttl_ms, vigil_lock **ret_lock);
/* The leader's fence and a copy of its value, which the caller frees. NOT_FOUND: there is none. */
VIGIL_EXPORT int vigil_elected(vigil *v, const char *name, uint64_t *ret_seq, void **ret_value,
                               size_t *ret_size);

/* Returns when count have entered and not left, at one moment: all agree on which. Leave when the
 * others may count one less. */
typedef struct vigil_barrier vigil_barrier;
VIGIL_EXPORT int vigil_barrier_enter(vigil *v, const char *name, size_t count, uint32_t ttl_ms,
                                     int timeout_ms, vigil_barrier **ret_barrier);
VIGIL_EXPORT void vigil_barrier_leave(vigil_barrier *b);

/* A queue whose items are worked on at least once, in the order of their push: a claim is a worker's
 * until it is done, is returned, or the worker's lease ends; then another worker gets the item.
 * (At most once: vigil_push and vigil_pop_any.) */
typedef struct vigil_claim vigil_claim;
VIGIL_EXPORT int vigil_queue_push(vigil *v, const char *name, const void *value, size_t size,
                                  uint64_t *ret_seq);
/* The first item that nobody has claimed; waits for one up to timeout_ms. */
VIGIL_EXPORT int vigil_queue_claim(vigil *v, const char *name, const vigil_lease *lease,
                                   int timeout_ms, vigil_claim **ret_claim);
/* These are the claim's, until it ends. */
VIGIL_EXPORT const char *vigil_claim_key(const vigil_claim *c);
VIGIL_EXPORT const void *vigil_claim_value(const vigil_claim *c, size_t *ret_size);
VIGIL_EXPORT uint64_t vigil_claim_seq(const vigil_claim *c); /* its fence */
/* Adds a compare: the transaction succeeds only while the item is claimed by this. */
VIGIL_EXPORT int vigil_claim_guard(const vigil_claim *c, vigil_txn *t);
/* The item goes, with the claim. Frees it on OK and LEASE_ENDED (another may work on the item, or
 * have done so); after any other error it may be said again. */
VIGIL_EXPORT int vigil_claim_done(vigil_claim *c);
/* The item is free for others. Frees the claim. Takes NULL. */
VIGIL_EXPORT void vigil_claim_return(vigil_claim *c);

/* ---- mirror ----------------------------------------------------------------------- */

/* A live local copy of what a filter sees, consistent at one seq at any time. */
typedef struct vigil_mirror vigil_mirror;

/* Loads the present state; blocks up to timeout_ms. patterns as for a watch. */
VIGIL_EXPORT int vigil_mirror_open(vigil *v, const char *const *patterns, size_t pattern_count,
                                   int timeout_ms, vigil_mirror **ret_mirror);
VIGIL_EXPORT void vigil_mirror_close(vigil_mirror *m);
/* Applies what has come; waits up to timeout_ms for at least one record. Returns as
 * vigil_watch_next; but where that says COMPACTED or the like, the mirror loads the state afresh
 * (blocking, also with timeout_ms 0) and returns VIGIL_OK with *ret_reloaded, which may be NULL. */
VIGIL_EXPORT int vigil_mirror_update(vigil_mirror *m, int timeout_ms, bool *ret_reloaded);
/* Updates until the mirror is at seq or later: for reading one's own writes. */
VIGIL_EXPORT int vigil_mirror_wait_seq(vigil_mirror *m, uint64_t seq, int timeout_ms);
VIGIL_EXPORT uint64_t vigil_mirror_seq(const vigil_mirror *m);
/* Local; NOT_FOUND if absent. Valid until the next update. */
VIGIL_EXPORT int vigil_mirror_get(const vigil_mirror *m, const char *key, vigil_entry *ret_entry);
VIGIL_EXPORT size_t vigil_mirror_count(const vigil_mirror *m);
/* Local, in no particular order. */
VIGIL_EXPORT void vigil_mirror_each(const vigil_mirror *m,
                                    bool (*each)(void *context, const vigil_entry *entry),
                                    void *context);
VIGIL_EXPORT int vigil_mirror_fd(vigil_mirror *m);

/* ---- values ------------------------------------------------------------------------- */

/* Each writes one MessagePack object to out, if capacity suffices, and returns the size it has or
 * would have (as snprintf does). array and map write the header only: the elements follow. */
VIGIL_EXPORT size_t vigil_pack_nil(void *out, size_t capacity);
VIGIL_EXPORT size_t vigil_pack_bool(void *out, size_t capacity, bool value);
VIGIL_EXPORT size_t vigil_pack_int(void *out, size_t capacity, int64_t value);
VIGIL_EXPORT size_t vigil_pack_uint(void *out, size_t capacity, uint64_t value);
VIGIL_EXPORT size_t vigil_pack_double(void *out, size_t capacity, double value);
VIGIL_EXPORT size_t vigil_pack_string(void *out, size_t capacity, const char *text, size_t size);
VIGIL_EXPORT size_t vigil_pack_binary(void *out, size_t capacity, const void *data, size_t size);
VIGIL_EXPORT size_t vigil_pack_array(void *out, size_t capacity, uint32_t count);
VIGIL_EXPORT size_t vigil_pack_map(void *out, size_t capacity, uint32_t count);
/* Each reads a value of exactly that type (int, uint and double take any number that fits without
 * loss), or returns BAD_VALUE. String and binary point into value and are not terminated. */
VIGIL_EXPORT int vigil_unpack_bool(const void *value, size_t size, bool *ret);
VIGIL_EXPORT int vigil_unpack_int(const void *value, size_t size, int64_t *ret);
VIGIL_EXPORT int vigil_unpack_uint(const void *value, size_t size, uint64_t *ret);
VIGIL_EXPORT int vigil_unpack_double(const void *value, size_t size, double *ret);
VIGIL_EXPORT int vigil_unpack_string(const void *value, size_t size, const char **ret_text,
                                     size_t *ret_size);
VIGIL_EXPORT int vigil_unpack_binary(const void *value, size_t size, const void **ret_data,
                                     size_t *ret_size);
/* True: one well-formed object, as the server will check. */
VIGIL_EXPORT bool vigil_value_valid(const void *value, size_t size);
/* True if text is a valid key. */
VIGIL_EXPORT bool vigil_key_valid(const char *key);

#ifdef __cplusplus
}
#endif
#endif
