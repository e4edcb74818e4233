/*
 * core_reference.h - the simplest thing that does what the core does: an array
 * of keys, a list of records, one request after another. It makes up random
 * requests and says for each what the reply must be.
 *
 * Nothing in it is shared with the core but the formats.
 */
#ifndef VIGIL_TESTS_SUPPORT_CORE_REFERENCE_H
#define VIGIL_TESTS_SUPPORT_CORE_REFERENCE_H

#include "tests/support/core_fixture.h"

enum {
    REF_KEYS = 48, /* a set of them fits 64 bits */
    REF_KEY_SIZE = 8,
    REF_FILTERS = 12,
    REF_FILTER_PATTERNS = 4,
    REF_PEERS = 6,
    REF_TXN_OPS = 8,
    REF_ELEMENTS = 16 /* of an array: it is not made longer */
};

/* A value by what it is made from. */
struct ref_value {
    bool is_integer;
    bool is_array;
    __extension__ __int128 integer; /* or the elements, numbers of one byte, the first lowest */
    uint32_t size;                  /* of a blob; elements of an array */
    uint32_t seed;
};

struct ref_key {
    bool present;
    uint64_t created;
    uint64_t modified;
    uint64_t version;
    uint64_t end_ms; /* when it ends by itself; 0: it does not */
    struct ref_value value;
};

struct ref_change {
    uint8_t key;
    bool is_put;
    bool is_end; /* by itself */
    uint64_t prev_seq;
    struct ref_value value;
};

struct ref_record {
    uint64_t keys; /* a bit for each key that it changes */
    uint64_t session;
    uint64_t number;
    uint16_t count;
    struct ref_change *changes;
};

struct ref_filter {
    size_t count;
    struct pattern patterns[REF_FILTER_PATTERNS];
    char texts[REF_FILTER_PATTERNS][REF_KEY_SIZE];
    uint64_t keys; /* that it sees */
};

struct ref_stream {
    bool exists;
    bool topic_known;
    uint8_t topic[TOPIC_SIZE];
    uint64_t last;
    uint64_t leases[REF_PEERS];
    uint64_t emitted_last; /* what has come over it, as a watcher that loses nothing sees it */
};

enum ref_check {
    REF_STATUS, /* status and id only */
    REF_SEQ,    /* and seq */
    REF_BODY,   /* and body, byte for byte */
    REF_OPEN,   /* and what the reply to stream_open says */
};

struct ref_expected {
    uint8_t op;
    uint8_t check;
    uint16_t status;
    uint64_t id;
    uint64_t seq;
    size_t body_at; /* within bodies */
    size_t body_size;
    uint8_t filter; /* of stream_open */
    bool topic_known;
    uint64_t last;
};

struct reference {
    struct sample random;
    char key_names[REF_KEYS][REF_KEY_SIZE]; /* in order */
    struct ref_filter filters[REF_FILTERS];
    struct ref_key keys[REF_KEYS];
    struct ref_stream streams[REF_FILTERS];
    bool peer_known[REF_PEERS]; /* has, or had this turn, a lease */
    uint64_t peer_seen_ms[REF_PEERS];
    struct ref_record *records; /* of seq 1, 2, ... */
    uint64_t now_ms;            /* of the batch at hand */
    uint64_t expired;           /* keys, committed or not */
    uint64_t head;              /* committed */
    uint64_t last;              /* with the batch at hand */
    size_t record_capacity;
    /* What an abort goes back to. */
    struct ref_key keys_before[REF_KEYS];
    uint64_t leases_before[REF_FILTERS][REF_PEERS];
    uint64_t compact_target_before;
    uint64_t compact_target;
    uint64_t txn_results[TXN_KEYS + 1]; /* of each operation, how often it went well */
    uint64_t prefix_compares[2];        /* that held, or not */
    /* Of the batch at hand. */
    struct ref_expected *expected;
    size_t expected_count;
    size_t expected_capacity;
    struct wire_buffer bodies;
};

void reference_open(struct reference *ref, uint64_t seed);
void reference_close(struct reference *ref);
const char *ref_peer_name(size_t peer);

/* ---- values and records ---- */

/* A number in shortest form; the caller frees data. */
struct bytes ref_integer_bytes(uint64_t n);
/* The caller frees data. */
struct bytes ref_value_bytes(const struct ref_value *value);
const struct ref_record *ref_record(const struct reference *ref, uint64_t seq);
/* seq of the next record after this one that changes any of keys; 0: none up to head. */
uint64_t ref_next(const struct reference *ref, uint64_t keys, uint64_t after);
/* Fails unless bytes are what a filter that sees keys gets of the record at seq. */
void ref_check_view(const struct reference *ref, uint64_t keys, uint64_t seq, struct bytes bytes);

/* ---- a batch ---- */

void reference_begin(struct reference *ref);
/* What core_expire has done within the batch: it ended what was due, and nothing else. */
void reference_take_ends(struct reference *ref, const struct core_fixture *f);
/* A message of 1..5 random requests of the peer into f->message, and what must come back. */
void reference_message(struct reference *ref, struct core_fixture *f, size_t peer);
/* The message of one request that opens a stream, or reads every key. */
void reference_message_open(struct reference *ref, struct core_fixture *f, size_t peer,
                            size_t filter);
void reference_message_all_keys(struct reference *ref, struct core_fixture *f, size_t peer);
void reference_commit(struct reference *ref);
void reference_abort(struct reference *ref);
/* After commit or abort: compares the replies of all messages since begin. code: of the abort. */
void reference_check_replies(struct reference *ref, const struct core_fixture *f, int code);
/* What a restart, a tick, a new oldest do to streams and peers. */
void reference_restart(struct reference *ref);
void reference_tick(struct reference *ref, uint64_t now_ms);

/* ---- between its own files ---- */

/* Session and request number of a request, as its record must carry them. */
struct ref_origin {
    uint64_t session;
    uint64_t number;
};
struct ref_expected *ref_expect(struct reference *ref, uint8_t op, uint64_t id, int status,
                                uint64_t seq);
/* The reply's whole body is what has been written to ref->bodies since ref_expect. */
void ref_expect_body(struct reference *ref);
struct ref_value ref_random_value(struct reference *ref);
int64_t ref_random_by(struct reference *ref);
bool ref_value_equals(const struct ref_value *a, const struct ref_value *b);
struct ref_record *ref_new_record(struct reference *ref, uint64_t session, uint64_t number);
void ref_change_key(struct reference *ref, struct ref_record *record, uint8_t key, bool is_put,
                    const struct ref_value *value);
/* 0, or the error of adding by to the key's value. */
int ref_add_integer(const struct ref_key *k, int64_t by, struct ref_value *ret_value);
void ref_random_txn(struct reference *ref, struct core_fixture *f, struct ref_origin origin);

#endif
