/*
 * message.h - requests and replies: the one definition of each.
 *
 * A message is one ZeroMQ frame that carries 1..LIMIT_MESSAGE_REQUESTS
 * requests; exactly one reply message answers it, with one reply for each
 * request, in order. Integers are little-endian.
 *
 * Request message:  0 u8 'V'  1 u8 version  2 u16 count  4 u32 flags  8 u64 session
 *                   16 u64 acknowledged, if the flags say so
 *                   16 or 24 count requests:
 *                      0 u32 size (all of the request)  4 u8 op  5 u8 flags  6 u16 0
 *                      8 u64 id   16 u64 number (0: not within a session)   24 body
 * Reply message:    0 u8 'V'  1 u8 version  2 u16 count  4 u32 0
 *                   8 u64 epoch  16 u64 incarnation  24 u64 head  32 u64 oldest
 *                   40 count replies:
 *                      0 u32 size  4 u8 op  5 u8 0  6 u16 status
 *                      8 u64 id   16 u64 seq   24 body, or the error's: bytes16 text
 *
 * A reply's seq: of a mutation the seq of its record; of a read the seq up to
 * which it saw everything; of a CONFLICT the seq at which the key changed last.
 *
 * Field kinds in the lists below: u8 u16 u32 u64 i64; bytes16 and bytes32 (u16
 * or u32 size, then the bytes); rest (everything up to the end of the body,
 * with a reader of its own further down).
 */
#ifndef VIGIL_PROTOCOL_MESSAGE_H
#define VIGIL_PROTOCOL_MESSAGE_H

#include "protocol/errors.h"
#include "protocol/filter.h"
#include "protocol/limits.h"
#include "protocol/wire.h"

enum { PROTOCOL_MAGIC = 'V', PROTOCOL_VERSION = 1 };
enum {
    REQUEST_MESSAGE_HEADER_SIZE = 16,
    REQUEST_HEADER_SIZE = 24,
    REPLY_MESSAGE_HEADER_SIZE = 40,
    REPLY_HEADER_SIZE = 24
};

/* Flags of a request message. */
enum {
    /* After the first failure the rest of the message is ABORTED; within a session also what later
     * messages with this flag bring, until the failure is acknowledged. */
    MESSAGE_STOP_ON_ERROR = 1,
    /* acknowledged follows the header: of the session's numbers up to it, the client has received
     * or given up all outcomes. */
    MESSAGE_ACKNOWLEDGES = 2
};
/* Flags of PUT and DELETE. IF_SEQ with expect_seq 0 means: only if absent. */
enum { REQUEST_IF_SEQ = 1, REQUEST_IF_VALUE = 2 };
/* Flag of CURSOR_OPEN: no filter is given, the cursor must be there and keeps its own. */
enum { REQUEST_CURSOR_AS_STORED = 1 };
/* Flag of TXN: it is CONFLICT if it would write what another peer's turn covers. */
enum { REQUEST_ATOMIC = 1 };
/* Flag of CALL: the function is compiled, and not run. */
enum { REQUEST_CALL_CHECK = 1 };
/* Flags of LIST. */
enum { REQUEST_LIST_VALUES = 1 };

/* X(op number, NAME, name): 1..31 over the request socket, 32.. over the replay socket. */
#define REQUEST_OP_LIST(X)              \
    X(1, HELLO, hello)                  \
    X(2, PING, ping)                    \
    X(3, STATUS, status)                \
    X(4, PUT, put)                      \
    X(5, DELETE, delete)                \
    X(6, INCR, incr)                    \
    X(7, TXN, txn)                      \
    X(8, GET, get)                      \
    X(9, GET_MANY, get_many)            \
    X(10, STREAM_OPEN, stream_open)     \
    X(11, STREAM_RENEW, stream_renew)   \
    X(12, STREAM_CLOSE, stream_close)   \
    X(13, COMPACT, compact)             \
    X(14, SESSION_OPEN, session_open)   \
    X(15, SESSION_CLOSE, session_close) \
    X(16, CURSOR_OPEN, cursor_open)     \
    X(17, CURSOR_MOVE, cursor_move)     \
    X(18, CURSOR_DELETE, cursor_delete) \
    X(19, CURSOR_LIST, cursor_list)     \
    X(20, CALL, call)                   \
    X(21, LEASE_OPEN, lease_open)       \
    X(22, LEASE_RENEW, lease_renew)     \
    X(23, LEASE_CLOSE, lease_close)     \
    X(24, TURN, turn)                   \
    X(32, REPLAY, replay)               \
    X(33, LIST, list)                   \
    X(34, HISTORY, history)

enum request_op {
#define OP_ENUM(number, NAME, name) OP_##NAME = (number),
    REQUEST_OP_LIST(OP_ENUM)
#undef OP_ENUM
};
/* "put", or NULL for an unknown op. */
const char *request_op_name(uint8_t op);
static inline bool request_op_is_replay(uint8_t op)
{
    return op >= 32;
}
/* The ops that make records: within a session they take effect once. */
static inline bool request_op_is_mutation(uint8_t op)
{
    return (op >= OP_PUT && op <= OP_TXN) || op == OP_CALL;
}

/* ---- bodies: F(kind, name) ------------------------------------------------ */

#define REQUEST_HELLO(F) F(u16, protocol_min) F(u16, protocol_max) F(bytes16, client)
#define REQUEST_PING(F) F(nothing, unused)
#define REQUEST_STATUS(F) F(nothing, unused)
#define REQUEST_PUT(F) F(u64, expect_seq) F(bytes16, key) F(bytes32, value) F(bytes32, expect_value)
#define REQUEST_DELETE(F) F(u64, expect_seq) F(bytes16, key) F(bytes32, expect_value)
#define REQUEST_INCR(F) F(i64, by) F(bytes16, key)
#define REQUEST_TXN(F) \
    F(rest, program) /* u16 n, n compares; u16 n, n ops (then); u16 n, n ops (else) */
#define REQUEST_GET(F) F(bytes16, key)
#define REQUEST_GET_MANY(F) F(rest, keys)       /* u16 n, n bytes16 */
#define REQUEST_STREAM_OPEN(F) F(rest, filter)  /* filter_read */
#define REQUEST_STREAM_RENEW(F) F(rest, topics) /* u16 n, n topics of 16 bytes */
#define REQUEST_STREAM_CLOSE(F) F(rest, topic)  /* 16 bytes */
#define REQUEST_COMPACT(F) F(u64, before)
#define REQUEST_SESSION_OPEN(F) F(nothing, unused)
#define REQUEST_SESSION_CLOSE(F) F(u64, session)
/* Makes a cursor that is not there at (epoch, position), or takes over one that is, as it is.
 * epoch 0: the journal's; position UINT64_MAX: its head. */
#define REQUEST_CURSOR_OPEN(F) \
    F(u64, epoch) F(u64, position) F(bytes16, name) F(rest, filter) /* filter_read, or nothing */
/* Never moves it back. */
#define REQUEST_CURSOR_MOVE(F) F(u64, holder) F(u64, epoch) F(u64, position) F(bytes16, name)
#define REQUEST_CURSOR_DELETE(F) F(bytes16, name)
#define REQUEST_CURSOR_LIST(F) F(bytes16, after) /* empty: from the first */
/* Takes or renews the peer's place in the queues of all the filter's patterns; or leaves. */
#define REQUEST_TURN(F) F(u8, action) F(rest, filter) /* filter_read; LEAVE: nothing */
#define REQUEST_LEASE_OPEN(F) F(u32, ttl_ms)
#define REQUEST_LEASE_RENEW(F) F(rest, leases) /* u16 n, n u64 */
#define REQUEST_LEASE_CLOSE(F) F(u64, lease)   /* its keys end at once */
/* Exactly one of name and source; arguments: a MessagePack array, or nothing for an empty one. */
#define REQUEST_CALL(F) F(bytes16, name) F(bytes32, source) F(bytes32, arguments)
#define REQUEST_REPLAY(F) \
    F(u64, epoch) F(u64, after) F(u64, until) F(u32, bytes_max) F(rest, filter)
#define REQUEST_LIST(F) F(u64, epoch) F(u32, bytes_max) F(bytes16, prefix) F(bytes16, after)
#define REQUEST_HISTORY(F) F(u64, epoch) F(u64, from_seq) F(u32, bytes_max) F(bytes16, key)

#define REPLY_HELLO(F)        \
    F(u16, protocol)          \
    F(u32, window_messages)   \
    F(u32, message_size_max)  \
    F(u32, value_size_max)    \
    F(u32, lease_ms)          \
    F(u64, time_us)           \
    F(bytes16, server)        \
    F(bytes16, stream_suffix) \
    F(bytes16, replay_suffix) \
    F(rest, ports) /* u16 n, n times (u16 port, u16 stream port, u16 replay port) */
#define REPLY_PING(F) F(nothing, unused)
#define REPLY_STATUS(F) F(bytes32, map) /* MessagePack map of text to integer or text */
#define REPLY_PUT(F) F(u64, prev_seq) F(u64, version)
#define REPLY_DELETE(F) F(u64, prev_seq)
#define REPLY_INCR(F) F(u64, version) F(bytes32, value)
#define REPLY_TXN(F) F(u8, succeeded) F(rest, results) /* u16 n, n times struct txn_result */
/* present 0: absent; modified is then its deletion's seq, or 0 where none is known. */
#define REPLY_GET(F) \
    F(u8, present) F(u64, modified) F(u64, created) F(u64, version) F(bytes32, value)
#define REPLY_GET_MANY(F) F(rest, entries) /* u16 n, n GET replies' bodies */
#define REPLY_STREAM_OPEN(F) F(bytes16, topic) F(u64, last) F(u32, interval_ms)
#define REPLY_STREAM_RENEW(F) F(rest, known) /* u16 n, n u8: 1 known, 0 open again */
#define REPLY_STREAM_CLOSE(F) F(nothing, unused)
#define REPLY_COMPACT(F) F(u64, oldest) /* repeat the request until it has reached before */
#define REPLY_SESSION_OPEN(F) F(u64, session) F(u32, window) F(u32, idle_s)
#define REPLY_SESSION_CLOSE(F) F(nothing, unused)
/* holder: to move it with, until somebody else opens it. */
#define REPLY_CURSOR_OPEN(F) \
    F(u8, is_new) F(u64, holder) F(u64, epoch) F(u64, position) F(rest, filter)
#define REPLY_CURSOR_MOVE(F) F(u64, position)
#define REPLY_CURSOR_DELETE(F) F(nothing, unused)
#define REPLY_CURSOR_LIST(F) F(u64, time_us) F(u8, more) F(u32, count) F(bytes32, rows)
/* ahead: places before it; left_ms: until the turn ends, or until a place must have been renewed. */
#define REPLY_TURN(F) F(u8, granted) F(u32, ahead) F(u32, left_ms)
#define REPLY_LEASE_OPEN(F) F(u64, lease)
#define REPLY_LEASE_RENEW(F) F(rest, known) /* u16 n, n u8: 1 known, 0 ended */
#define REPLY_LEASE_CLOSE(F) F(nothing, unused)
#define REPLY_CALL(F) F(bytes32, value) /* what the function has returned */
#define REPLY_REPLAY(F) F(u64, from) F(u64, to) F(u32, count) F(bytes32, records)
#define REPLY_LIST(F) F(u64, applied) F(u8, more) F(u32, count) F(bytes32, rows)
#define REPLY_HISTORY(F) F(u8, end) F(u64, next_seq) F(u32, count) F(bytes32, records)
#define REPLY_ERROR(F) F(bytes16, text)

enum turn_action { TURN_TAKE = 1, TURN_LEAVE = 2 };
enum history_end { HISTORY_MORE = 0, HISTORY_COMPLETE = 1, HISTORY_COMPACTED = 2 };

/* ---- generated: structs, encoders, decoders -------------------------------- */

#define MESSAGE_FIELD_nothing(name)
#define MESSAGE_FIELD_u8(name) uint8_t name;
#define MESSAGE_FIELD_u16(name) uint16_t name;
#define MESSAGE_FIELD_u32(name) uint32_t name;
#define MESSAGE_FIELD_u64(name) uint64_t name;
#define MESSAGE_FIELD_i64(name) int64_t name;
#define MESSAGE_FIELD_bytes16(name) struct bytes name;
#define MESSAGE_FIELD_bytes32(name) struct bytes name;
#define MESSAGE_FIELD_rest(name) struct bytes name;
#define MESSAGE_FIELD(kind, name) MESSAGE_FIELD_##kind(name)

/* Two op-less bodies more, so that every body is made the same way. */
#define MESSAGE_BODY_LIST(X)                        \
    X(request_hello, REQUEST_HELLO)                 \
    X(request_ping, REQUEST_PING)                   \
    X(request_status, REQUEST_STATUS)               \
    X(request_put, REQUEST_PUT)                     \
    X(request_delete, REQUEST_DELETE)               \
    X(request_incr, REQUEST_INCR)                   \
    X(request_txn, REQUEST_TXN)                     \
    X(request_get, REQUEST_GET)                     \
    X(request_get_many, REQUEST_GET_MANY)           \
    X(request_stream_open, REQUEST_STREAM_OPEN)     \
    X(request_stream_renew, REQUEST_STREAM_RENEW)   \
    X(request_stream_close, REQUEST_STREAM_CLOSE)   \
    X(request_compact, REQUEST_COMPACT)             \
    X(request_session_open, REQUEST_SESSION_OPEN)   \
    X(request_session_close, REQUEST_SESSION_CLOSE) \
    X(request_cursor_open, REQUEST_CURSOR_OPEN)     \
    X(request_cursor_move, REQUEST_CURSOR_MOVE)     \
    X(request_cursor_delete, REQUEST_CURSOR_DELETE) \
    X(request_cursor_list, REQUEST_CURSOR_LIST)     \
    X(request_turn, REQUEST_TURN)                   \
    X(request_lease_open, REQUEST_LEASE_OPEN)       \
    X(request_lease_renew, REQUEST_LEASE_RENEW)     \
    X(request_lease_close, REQUEST_LEASE_CLOSE)     \
    X(request_call, REQUEST_CALL)                   \
    X(request_replay, REQUEST_REPLAY)               \
    X(request_list, REQUEST_LIST)                   \
    X(request_history, REQUEST_HISTORY)             \
    X(reply_hello, REPLY_HELLO)                     \
    X(reply_ping, REPLY_PING)                       \
    X(reply_status, REPLY_STATUS)                   \
    X(reply_put, REPLY_PUT)                         \
    X(reply_delete, REPLY_DELETE)                   \
    X(reply_incr, REPLY_INCR)                       \
    X(reply_txn, REPLY_TXN)                         \
    X(reply_get, REPLY_GET)                         \
    X(reply_get_many, REPLY_GET_MANY)               \
    X(reply_stream_open, REPLY_STREAM_OPEN)         \
    X(reply_stream_renew, REPLY_STREAM_RENEW)       \
    X(reply_stream_close, REPLY_STREAM_CLOSE)       \
    X(reply_compact, REPLY_COMPACT)                 \
    X(reply_session_open, REPLY_SESSION_OPEN)       \
    X(reply_session_close, REPLY_SESSION_CLOSE)     \
    X(reply_cursor_open, REPLY_CURSOR_OPEN)         \
    X(reply_cursor_move, REPLY_CURSOR_MOVE)         \
    X(reply_cursor_delete, REPLY_CURSOR_DELETE)     \
    X(reply_cursor_list, REPLY_CURSOR_LIST)         \
    X(reply_turn, REPLY_TURN)                       \
    X(reply_lease_open, REPLY_LEASE_OPEN)           \
    X(reply_lease_renew, REPLY_LEASE_RENEW)         \
    X(reply_lease_close, REPLY_LEASE_CLOSE)         \
    X(reply_call, REPLY_CALL)                       \
    X(reply_replay, REPLY_REPLAY)                   \
    X(reply_list, REPLY_LIST)                       \
    X(reply_history, REPLY_HISTORY)                 \
    X(reply_error, REPLY_ERROR)

/* For each: struct request_put { ... }; request_put_write(buffer, &body);
 * request_put_read(reader, &body): fields point into the reader's bytes; false
 * if cut off or (without a rest field) followed by anything. get_many's entries
 * are several bodies in a row: reply_get_read_next does not require the end. */
#define MESSAGE_DECLARE(name, FIELDS)                                    \
    struct name {                                                        \
        FIELDS(MESSAGE_FIELD)                                            \
        char struct_is_never_empty;                                      \
    };                                                                   \
    void name##_write(struct wire_buffer *b, const struct name *body);   \
    bool name##_read_next(struct wire_reader *r, struct name *ret_body); \
    bool name##_read(struct wire_reader *r, struct name *ret_body);
MESSAGE_BODY_LIST(MESSAGE_DECLARE)
#undef MESSAGE_DECLARE

/* ---- envelopes -------------------------------------------------------------- */

struct request_message_header {
    uint16_t count;
    uint32_t flags;
    uint64_t session;
    uint64_t acknowledged; /* with MESSAGE_ACKNOWLEDGES; otherwise 0 */
};
/* Bytes before the first request. */
static inline size_t request_message_header_size(uint32_t flags)
{
    return REQUEST_MESSAGE_HEADER_SIZE + ((flags & MESSAGE_ACKNOWLEDGES) != 0 ? 8u : 0u);
}
struct request_header {
    uint8_t op;
    uint8_t flags;
    uint64_t id;
    uint64_t number;
};
struct reply_message_header {
    uint16_t count;
    uint64_t epoch;
    uint64_t incarnation;
    uint64_t head;
    uint64_t oldest;
};
struct reply_header {
    uint8_t op;
    uint16_t status;
    uint64_t id;
    uint64_t seq;
};

/* Writing: the message header, then for each request begin, body, end (which
 * fills in the size; begin returns the place to hand to end). The count is set
 * last, by message_set_count at the message's start. */
void request_message_begin(struct wire_buffer *b, const struct request_message_header *h);
size_t request_begin(struct wire_buffer *b, const struct request_header *h);
void reply_message_begin(struct wire_buffer *b, const struct reply_message_header *h);
size_t reply_begin(struct wire_buffer *b, const struct reply_header *h);
void message_part_end(struct wire_buffer *b, size_t begin);
void message_set_count(struct wire_buffer *b, size_t start, uint16_t count);
/* A whole error reply; text may be NULL (then the code's own sentence), is cut at
 * LIMIT_ERROR_TEXT, or that of SCRIPT at LIMIT_SCRIPT_ERROR_TEXT. */
void reply_write_error(struct wire_buffer *b, uint8_t op, uint64_t id, uint16_t status,
                       uint64_t seq, const char *text);

/* Reading. ERR_OK, ERR_MALFORMED, ERR_VERSION. A part's body reader covers just its body. */
int request_message_read(struct wire_reader *r, struct request_message_header *ret_header);
int request_read(struct wire_reader *r, struct request_header *ret_header,
                 struct wire_reader *ret_body);
int reply_message_read(struct wire_reader *r, struct reply_message_header *ret_header);
int reply_read(struct wire_reader *r, struct reply_header *ret_header,
               struct wire_reader *ret_body);

/* ---- transactions ------------------------------------------------------------ */

enum compare_target {
    COMPARE_SEQ = 1,     /* number against the key's modified seq (0 if absent) */
    COMPARE_VALUE = 2,   /* value against the key's, bytewise; absent is unequal to anything */
    COMPARE_EXISTS = 3,  /* number 1 or 0 */
    COMPARE_VERSION = 4, /* number against the key's version (0 if absent) */
    /* key is a prefix: none of the keys with it has changed after seq number. EQUAL only. */
    COMPARE_PREFIX = 5
};
enum compare_relation {
    COMPARE_EQUAL = 1,
    COMPARE_NOT_EQUAL = 2,
    COMPARE_LESS = 3, /* the key's is less than the given; not for values */
    COMPARE_GREATER = 4
};
struct txn_compare { /* u8 target, u8 relation, u64 number, bytes16 key, bytes32 value */
    uint8_t target;
    uint8_t relation;
    uint64_t number;
    struct bytes key;
    struct bytes value;
};
/* Operations that there are within a transaction only. */
enum txn_code {
    TXN_APPEND = 64,      /* value to the end of an array, a string or binary; absent: of [] */
    TXN_ADD = 65,         /* the same for an array, unless it is in it */
    TXN_SET_DEFAULT = 66, /* put if absent */
    TXN_POP = 67,         /* delete, and tell what it was */
    TXN_POP_ANY = 68,     /* key is a prefix: the first of its keys */
    TXN_CLEAR = 69,       /* key is a prefix, from here on: delete them all */
    TXN_COUNT = 70,
    TXN_LIST = 71,      /* at most by of them, if that is not 0 */
    TXN_PUSH = 72,      /* a new key that begins with it and sorts behind those pushed before */
    TXN_PUT_TTL = 73,   /* put, and the key ends by itself, by milliseconds later */
    TXN_PUT_LEASE = 74, /* put, and the key ends with the lease that by's bits name */
    TXN_KEYS = 75       /* key is a prefix: its keys alone, at most by of them, if that is not 0 */
};
/* What PUSH adds to the prefix: the record's seq and the number of the operation in its list, in
 * hexadecimal, as in 00000000000002af-0001. */
enum { TXN_PUSH_SUFFIX = 21 };
struct
    txn_op { /* u8 op (PUT, DELETE, INCR, GET, or a txn_code), i64 by, bytes16 key, bytes32 value */
    uint8_t op;
    int64_t by;
    struct bytes key;
    struct bytes value;
};
struct txn_result { /* u8 op, u8 present, u64 seq, bytes32 value */
    uint8_t op;
    uint8_t present;    /* the key was there before; get: it is there; add: the element was in it;
                           with a prefix: there was one */
    uint64_t seq;       /* where the key changed last before; get, set_default: modified */
    struct bytes value; /* incr: the new value; get, pop, set_default: the value; append, add: the
                           new length; pop_any: [key, value]; clear, count: how many; list: an array
                           of [key, modified, value]; push: the key */
};
void txn_compare_write(struct wire_buffer *b, const struct txn_compare *c);
bool txn_compare_read(struct wire_reader *r, struct txn_compare *ret);
void txn_op_write(struct wire_buffer *b, const struct txn_op *op);
bool txn_op_read(struct wire_reader *r, struct txn_op *ret);
void txn_result_write(struct wire_buffer *b, const struct txn_result *result);
bool txn_result_read(struct wire_reader *r, struct txn_result *ret);

/* A row of a listing: bytes16 key, u64 created, u64 modified, u64 version, bytes32 value. */
struct list_row {
    struct bytes key;
    uint64_t created;
    uint64_t modified;
    uint64_t version;
    struct bytes value; /* empty unless REQUEST_LIST_VALUES */
};
void list_row_write(struct wire_buffer *b, const struct list_row *row);
bool list_row_read(struct wire_reader *r, struct list_row *ret);

/* A row of CURSOR_LIST, in bytewise order of the names: bytes16 name, u64 epoch, u64 position,
 * u64 holder, u64 created_us, u64 moved_us, bytes16 filter. */
struct cursor_row {
    struct bytes name; /* 1 to LIMIT_CURSOR_NAME bytes, valid as a key */
    uint64_t epoch;
    uint64_t position;   /* everything up to it that matches the filter has been seen */
    uint64_t holder;     /* grows by one with each opening */
    uint64_t created_us; /* wall clock of the server */
    uint64_t moved_us;   /* when its holder acknowledged last */
    struct bytes filter; /* wire form */
};
void cursor_row_write(struct wire_buffer *b, const struct cursor_row *row);
bool cursor_row_read(struct wire_reader *r, struct cursor_row *ret);

#endif
