/*
 * limits.h - every bound that a byte from outside can meet, in one place.
 *
 * A limit that a user can set is a default here and an option of vigild; the
 * others are fixed, because formats or the libraries below depend on them.
 */
#ifndef VIGIL_PROTOCOL_LIMITS_H
#define VIGIL_PROTOCOL_LIMITS_H

/* Keys and values. */
#define LIMIT_KEY_SIZE 480              /* bytes; LMDB allows 511, the rest is room for prefixes */
#define LIMIT_VALUE_SIZE (1u << 20)     /* bytes; default, settable */
#define LIMIT_VALUE_SIZE_MAX (2u << 20) /* bytes; what the setting may be raised to */
#define LIMIT_VALUE_DEPTH 32            /* nested containers; msgpack-c stops at 32 too */

/* Filters and streams. */
#define LIMIT_FILTER_PATTERNS 16
#define LIMIT_STREAMS 100000         /* distinct filters; default, settable */
#define LIMIT_STREAMS_PER_PEER 10000 /* default, settable */
#define LIMIT_PEERS 50000            /* peers that hold stream leases; default, settable */
#define LIMIT_CONNECTIONS 16384      /* to all sockets; default, settable */
#define TOPIC_SIZE 16

/* Messages. One message carries 1..LIMIT_MESSAGE_REQUESTS requests. */
#define LIMIT_MESSAGE_SIZE (4u << 20) /* bytes of a request message; default, settable */
#define LIMIT_MESSAGE_SIZE_MAX (64u << 20)
#define LIMIT_MESSAGE_REQUESTS 4096
#define LIMIT_REPLY_SIZE (8u << 20) /* bytes; a reply message stays below, or says TOO_LARGE */
#define LIMIT_WINDOW_MESSAGES 64    /* request messages a client may have unanswered */
#define LIMIT_TXN_COMPARES 1024
#define LIMIT_TXN_OPS 10000 /* per branch; also the changes of one record */
#define LIMIT_GET_KEYS 4096
/* Keys, deleted ones included, that one request looks at for its prefixes; a message's requests
 * together may four times as many. A checkpointed value counts as one more for every 16 KiB. */
#define LIMIT_PREFIX_KEYS 65536
/* Bytes of values that one request appends to; a message's requests together four times as many. */
#define LIMIT_APPEND_BYTES (16u << 20)
/* What a message's requests make grow beyond twice their own size, in records. */
#define LIMIT_GROWN_BYTES (16u << 20)
#define LIMIT_ERROR_TEXT 512 /* bytes */

/* Functions. What is settable is a default here. */
#define LIMIT_FUNCTION_SOURCE (256u << 10) /* bytes */
#define LIMIT_FUNCTION_DEPTH 5000          /* calls within each other */
#define LIMIT_FUNCTION_STEPS 1000000       /* settable */
#define LIMIT_FUNCTION_TIME_MS 50          /* settable; all of a message may take twice that */
#define LIMIT_FUNCTION_MEMORY (8u << 20)   /* bytes; settable */
#define LIMIT_SCRIPT_ERROR_TEXT 4096       /* bytes: message and traceback */

/* Sessions: exactly once. */
#define LIMIT_SESSIONS 10000           /* default, settable */
#define LIMIT_SESSION_WINDOW 4096      /* numbers after the last one that the client acknowledged */
#define LIMIT_SESSION_OUTCOMES 1000000 /* kept for all sessions together */
#define LIMIT_SESSION_RESULT 65536     /* bytes of a transaction's reply within a session */
#define LIMIT_SESSION_BYTES (1u << 20) /* of the replies kept for one session */
#define LIMIT_SESSIONS_BYTES (256u << 20) /* and for all */
#define SESSION_IDLE_S 3600               /* default, settable */

/* Named cursors: where watchers go on. */
#define LIMIT_CURSORS 1024    /* default, settable */
#define LIMIT_CURSOR_NAME 128 /* bytes */

/* Turns, for transactions that have met too many conflicts. */
#define LIMIT_TURN_PLACES 1024 /* peers that have their turn or wait for it */
#define LIMIT_TURN_PREFIXES 64 /* distinct prefixes that these are for */
#define TURN_PLACE_MS 250      /* a place that is not renewed for so long is lost */
#define TURN_MS 200            /* a turn lasts no longer */

/* Lives: keys that end by themselves, or with a lease. */
#define LIMIT_LIVES (1u << 20)              /* keys that have an end */
#define LIMIT_TTL_MS UINT64_C(315576000000) /* ten years */
#define LIMIT_LEASES 65536
#define LIMIT_LEASE_KEYS 10000 /* they end in one record */
#define LIMIT_LEASE_TTL_MS_MIN 1000
#define LIMIT_LEASE_TTL_MS 86400000 /* a day */

/* Records. A record of LIMIT_MESSAGE_SIZE_MAX of requests stays below this. */
#define LIMIT_RECORD_SIZE (LIMIT_MESSAGE_SIZE_MAX + (1u << 20))
#define LIMIT_RECORD_CHANGES LIMIT_TXN_OPS

/* A batch: what one commit gathers. */
#define LIMIT_BATCH_REQUESTS 4096
#define LIMIT_BATCH_BYTES (8u << 20)

/* Streams on the wire. */
#define LIMIT_STREAM_MESSAGE_SIZE \
    8192u                       /* records are coalesced up to this; a larger one is a notice */
#define LIMIT_STREAM_QUEUE 1024 /* messages per subscriber; default, settable */
#define BOOKMARK_TICK_MS 100    /* after a stream's traffic */
#define BOOKMARK_IDLE_MS 1000   /* when idle; grows with the number of streams */
#define BOOKMARK_IDLE_PER_SECOND 2000 /* idle bookmarks that a second may cost in all */
#define LEASE_MS 30000

/* Replay, listings, histories: bounds per reply. */
#define LIMIT_REPLAY_WINDOW_MESSAGES 4 /* request messages a client may have unanswered */
#define LIMIT_REPLAY_BYTES (1u << 20)
#define LIMIT_REPLAY_RECORDS_SCANNED 65536
#define LIMIT_REPLAY_TIME_MS 20
#define LIMIT_LIST_ROWS 16384

#endif
