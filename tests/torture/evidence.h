/*
 * evidence.h - histories (history.h), read into memory for the checker. It judges nothing.
 *
 * A line that is not whole is dropped, because its writer was killed; a whole line that makes no sense
 * is an error of the test's own.
 */
#ifndef VIGIL_TESTS_TORTURE_EVIDENCE_H
#define VIGIL_TESTS_TORTURE_EVIDENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/torture/work.h"

enum { NO_ANSWER = -1, PATTERNS_MAX = 16 };
#define NO_KEY UINT32_MAX
#define NEVER UINT64_MAX

/* A growing array: items of TYPE, count in use. */
#define LIST_OF(TYPE)     \
    struct {              \
        TYPE *items;      \
        size_t count;     \
        size_t allocated; \
    }

/* A value's bytes, where the history has them. */
struct shown {
    size_t at;   /* in bytes */
    size_t size; /* 0: it has not */
};

struct seen_change {
    uint32_t key; /* index into keys */
    uint8_t op;   /* enum vigil_change_op; of a request, 3 is an increment */
    uint16_t part;
    uint64_t prev_seq;
    uint64_t mark; /* 0: no value; of an increment, by how much */
    struct shown shown;
    uint8_t before;       /* enum vigil_before, as a watcher was told */
    uint64_t before_mark; /* 0: no value */
};

struct seen_record {
    uint64_t seq;
    uint64_t time_us;
    uint64_t session;
    uint64_t number;
    uint16_t parts;
    uint16_t count;
    size_t first; /* of its changes */
};

struct reading {
    uint64_t epoch, oldest, head;
};

enum operation_kind {
    OPERATION_PUT,
    OPERATION_DELETE,
    OPERATION_INCR,
    OPERATION_TXN,
    OPERATION_DO,
    OPERATION_GET,
    OPERATION_LIST,
    OPERATION_WAIT,
    OPERATION_COMPACT,
    OPERATION_PEEK,
    OPERATION_HISTORY,
    OPERATION_CURSOR_OPEN,
    OPERATION_CURSOR_ACKNOWLEDGE,
    OPERATION_CURSOR_LOOK,
    OPERATION_BACKUP,
    OPERATION_LEASE_OPEN,
    OPERATION_LEASE_RENEW,
    OPERATION_LEASE_CLOSE,
    OPERATION_KINDS
};

/* A step of work, and its result. */
struct work_step {
    enum work_code code;
    uint32_t key;   /* or prefix */
    uint32_t other; /* MOVE */
    int64_t by;
    uint64_t mark;
    struct shown shown;
    /* the result */
    unsigned present; /* 2: not told */
    uint64_t seq;     /* NEVER: not told */
    uint64_t result_mark;
    uint32_t result_key; /* of a push, or popany; NO_KEY: none */
};

struct operation {
    uint32_t source;
    uint32_t process; /* one life of the source */
    enum operation_kind kind;
    uint64_t id;
    uint64_t start_us;
    uint64_t end_us; /* NEVER: no answer */
    int error;       /* NO_ANSWER, or enum vigil_error */
    /* what was asked */
    uint32_t key;
    uint64_t mark;  /* of a put; of an incr, by how much */
    char condition; /* 0 none, 's' seq, 'v' mark */
    uint64_t condition_operand;
    size_t first_change, change_count;   /* of a txn */
    size_t first_compare, compare_count; /* of a txn, or work: changes with key and prev_seq */
    enum work_way way;
    size_t first_step, step_count; /* of work */
    uint64_t lease;                /* of a lease: which; answered, where it was opened */
    uint64_t ttl_ms;               /* of a lease's opening */
    bool since_state;              /* of a wait */
    uint32_t filter;               /* of a cursor's opening */
    uint64_t acknowledges;         /* of a cursor: this seq */
    bool waits;                    /* and the answer says that it is durable */
    uint64_t since, until, divisor, remainder;
    /* what was answered */
    uint64_t seq;
    uint64_t prev_seq;
    uint64_t version;
    uint64_t result_mark;
    bool results_known; /* of work: those of its steps */
    bool
        succeeded; /* of a txn, or work; of a wait: the state satisfied it; of a history: it is complete */
    uint64_t count, first, digest; /* of a history; seq is its last */
};

/* A key was so at seq. */
struct entry_claim {
    size_t operation;
    uint32_t key;
    bool present;
    uint64_t seq, modified, created, version, mark;
};

/* All keys that filter matches were so at seq. */
struct digest_claim {
    uint32_t source;
    uint32_t filter;
    uint64_t seq;
    uint64_t at_least; /* the seq that it had to include */
    uint64_t count;
    uint64_t digest;
    size_t operation; /* SIZE_MAX: of a mirror */
};

/* Some record, in which keys expired, had come by that time. */
struct sight {
    uint64_t time_us;
    uint64_t seq;
};

/* All accounts at seq. */
struct total_claim {
    uint32_t source;
    uint64_t seq;
    uint64_t accounts;
    int64_t total;
};

struct seen_filter {
    size_t count;
    char *patterns[PATTERNS_MAX];
};

enum watch_event_kind {
    WATCH_OPENED,
    WATCH_RECORD,
    WATCH_BOOKMARK,
    WATCH_ENDED,
    WATCH_DRAINED,
    WATCH_REFUSED
};
enum watch_since { SINCE_NOW, SINCE_OLDEST, SINCE_POSITION };

struct watch_event {
    enum watch_event_kind kind;
    uint32_t source;
    uint32_t filter;        /* OPENED */
    enum watch_since since; /* OPENED */
    int error;              /* ENDED, REFUSED */
    int expected;           /* REFUSED */
    uint64_t epoch;
    uint64_t position;
    uint64_t head, oldest;
    struct seen_record record; /* RECORD */
};

/* What a server had that was started with a backup. */
struct restored {
    uint32_t source;
    uint64_t epoch, oldest, head;
    size_t first, count; /* of its records, among restored_records */
};

struct evidence {
    LIST_OF(char *) sources;
    LIST_OF(char *) keys;
    uint32_t *key_slots; /* hash table of keys, index + 1 */
    size_t key_slots_count;
    LIST_OF(struct seen_filter) filters;
    LIST_OF(struct seen_change) changes;
    LIST_OF(struct seen_record) journal; /* in the order of reading */
    LIST_OF(struct reading) readings;
    LIST_OF(struct operation) operations;
    LIST_OF(struct work_step) steps;
    LIST_OF(struct sight) sights;
    LIST_OF(struct total_claim) totals;
    LIST_OF(uint8_t) bytes;
    LIST_OF(struct entry_claim) entries;
    LIST_OF(struct digest_claim) digests;
    LIST_OF(struct watch_event) watches;
    LIST_OF(struct restored) restored;
    LIST_OF(struct seen_record) restored_records;
    uint64_t verify_problems;
    bool may_miss;     /* the server removes records, read or not */
    bool cursors_held; /* compaction waits for them, without end */
    uint32_t processes;
    size_t first_open_operation; /* of the source being read */
    size_t torn_lines;
    char error[256]; /* empty: none */
};

void evidence_init(struct evidence *e);
void evidence_free(struct evidence *e);
/* False, with e->error, if a line makes no sense. */
bool evidence_add_text(struct evidence *e, const char *source, const char *text, size_t size);
bool evidence_add_file(struct evidence *e, const char *path);
/* Every file NAME.history in the folder. */
bool evidence_add_folder(struct evidence *e, const char *folder);

/* False: no line has named it. */
bool evidence_find_key(const struct evidence *e, const char *key, uint32_t *ret_key);
bool filter_matches(const struct evidence *e, uint32_t filter, uint32_t key);

#endif
