/*
 * commit.c - the journal's side of a turn (turn.h): one transaction with the
 * batch's records, a slice of the checkpoint under way, rows of sessions,
 * cursors and lives, and a step of compaction.
 *
 * A slice is what core_checkpoint_due says, so that a frozen overlay has been
 * written long before the active one is full and no batch carries much more of
 * it than others. A few rows wait for more: neighbours share a page.
 */
#include "server/net/turn.h"

#include "server/net/clocks.h"
#include "server/net/log.h"

enum {
    SLICE_ROWS_LEAST = 64,         /* with a batch, */
    SLICE_BYTES_LEAST = 64 * 1024, /* or this */
    SLICE_ROWS_ALONE = 1024,       /* when nothing else is to be done, */
    SLICE_BYTES_ALONE = 512 * 1024,
    ROW_OVERHEAD = 64,
    SESSIONS_WITH_BATCH = 64, /* rows of sessions, while a checkpoint needs them */
    SESSIONS_ALONE = 256,
    COMPACT_RECORDS_MIN = 256,
    COMPACT_RECORDS_ALONE = 4096,
    COMPACT_EVERY_US = 10000,   /* with batches */
    COMPACT_QUIET_US = 100000,  /* once after them */
    COMPACT_IDLE_US = 1000000,  /* and then for records that age */
    BACKGROUND_QUIET_US = 5000, /* after records were committed, and between steps */
    NO_SPACE_RETRY_US = 1000000,
    CHANGE_COUNT_AT = 42 /* in a record's header, protocol/record.h */
};

struct slice {
    struct turn *turn;
    struct failure *failure;
};

static int put_row(void *context, struct bytes key, const struct state_row *row)
{
    struct slice *s = context;
    return journal_batch_put_row(s->turn->journal, key, row, s->failure);
}

static uint64_t row_bytes(const struct turn *t)
{
    struct core_figures figures;
    core_figures(t->core, &figures);
    uint64_t keys = figures.overlay_keys ? figures.overlay_keys : 1;
    return figures.overlay_bytes / keys + ROW_OVERHEAD;
}

/* The rows that bytes have room for: at least one, at most rows_max. */
static size_t rows_in(uint64_t bytes, uint64_t one_row_bytes, size_t rows_max)
{
    uint64_t rows = bytes / one_row_bytes;
    return rows < 1 ? 1 : rows < rows_max ? (size_t)rows : rows_max;
}

/* Whether somebody waits for the checkpoint under way. */
static bool is_awaited(const struct turn *t)
{
    return t->compact_blocked || core_compact_target(t->core) != 0;
}

/* How many rows this batch takes with it. */
static uint32_t slice_rows(const struct turn *t, bool alone, uint64_t one_row_bytes)
{
    size_t pending = core_checkpoint_pending(t->core);
    size_t rows = core_checkpoint_due(t->core);
    size_t least = rows_in(SLICE_BYTES_LEAST, one_row_bytes, SLICE_ROWS_LEAST);
    if (alone)
        rows = rows_in(SLICE_BYTES_ALONE, one_row_bytes, SLICE_ROWS_ALONE);
    else if (is_awaited(t))
        rows = rows > least ? rows : least;
    else if (rows < least && rows < pending)
        rows = 0;
    return (uint32_t)(rows < pending ? rows : pending);
}

static int append_records(struct turn *t, struct failure *failure)
{
    size_t records = core_batch_record_count(t->core);
    int err = ERR_OK;
    for (size_t i = 0; i < records && err == ERR_OK; i++)
        err = journal_batch_append(t->journal, core_batch_record_at(t->core, i), failure);
    return err;
}

static int put_session(void *context, uint64_t session, struct bytes row)
{
    struct slice *s = context;
    return journal_batch_put_session(s->turn->journal, session, row, s->failure);
}

/* How many rows of sessions this batch takes with it, besides those that it must. */
static uint32_t sessions_max(const struct turn *t, unsigned steps, bool alone)
{
    if ((steps & COMMIT_SESSIONS) != 0)
        return SESSIONS_ALONE;
    bool wanted =
        core_checkpoint_pending(t->core) > 0 || (alone && core_sessions_gone(t->core) > 0);
    if (!wanted || (steps & COMMIT_SLICE) == 0)
        return 0;
    return alone ? SESSIONS_ALONE : SESSIONS_WITH_BATCH;
}

static int write_sessions(struct turn *t, uint32_t most, struct failure *failure)
{
    struct slice context = {t, failure};
    return core_session_rows(t->core, most, put_session, &context);
}

static int put_cursor(void *context, struct bytes name, struct bytes row)
{
    struct slice *s = context;
    return journal_batch_put_cursor(s->turn->journal, name, row, s->failure);
}

static int write_cursors(struct turn *t, struct failure *failure)
{
    struct slice context = {t, failure};
    return core_cursor_rows(t->core, put_cursor, &context);
}

static int put_life(void *context, struct bytes name, struct bytes row)
{
    struct slice *s = context;
    return journal_batch_put_life(s->turn->journal, name, row, s->failure);
}

static int write_lives(struct turn *t, struct failure *failure)
{
    struct slice context = {t, failure};
    return core_life_rows(t->core, put_life, &context);
}

static int write_slice(struct turn *t, uint32_t rows, struct failure *failure)
{
    struct slice context = {t, failure};
    uint64_t applied = 0;
    int err = core_checkpoint_slice(t->core, rows, put_row, &context, &applied);
    if (err == ERR_OK && applied != 0)
        err = journal_batch_set_applied(t->journal, applied, failure);
    return err;
}

/* The rows of a slice whose transaction failed are still to be written: without this, a commit of the
 * same batch that is tried again without a slice would count them as durable. */
static void take_slice_back(struct turn *t)
{
    uint64_t applied = 0;
    (void)core_checkpoint_slice(t->core, 0, put_row, NULL, &applied);
}

static bool waits_for_cursors(const struct turn *t)
{
    return t->hold.records != 0 || t->hold.bytes != 0 || t->hold.age_us != 0;
}

static int compact(struct turn *t, bool alone, bool *ret_more, bool *ret_blocked,
                   struct failure *failure)
{
    t->hold.from = waits_for_cursors(t) ? core_cursors_wait_from(t->core) : 0;
    t->hold.held = false;
    t->hold.exceeded = JOURNAL_HOLD_NONE;
    t->retention.hold = &t->hold;
    uint64_t records = 2 * core_batch_record_count(t->core);
    uint32_t least = alone ? COMPACT_RECORDS_ALONE : COMPACT_RECORDS_MIN;
    return journal_batch_compact(t->journal, core_compact_target(t->core), &t->retention,
                                 clock_wall_us(), records > least ? (uint32_t)records : least,
                                 ret_more, ret_blocked, failure);
}

/* Whether the passing of time alone can make compaction go on. */
static bool records_age(const struct turn *t)
{
    return t->retention.age_us != 0 || (t->held && t->hold.age_us != 0);
}

static bool compact_due(const struct turn *t, bool alone)
{
    const struct journal_retention *keep = &t->retention;
    uint64_t since_us = t->now_us - t->compact_checked_us;
    if (t->compact_more || (core_compact_target(t->core) != 0 && !t->compact_blocked))
        return true;
    if (keep->records == 0 && keep->bytes == 0 && keep->age_us == 0)
        return false;
    if (!alone)
        return since_us >= COMPACT_EVERY_US;
    if (t->mutated_us > t->compact_checked_us)
        return t->now_us - t->mutated_us >= COMPACT_QUIET_US;
    return records_age(t) && since_us >= COMPACT_IDLE_US;
}

/* ---- what cursors lose ---- */

static const char *hold_option(enum journal_hold_limit limit)
{
    switch (limit) {
    case JOURNAL_HOLD_RECORDS:
        return "beyond --cursor-hold-records";
    case JOURNAL_HOLD_BYTES:
        return "beyond --cursor-hold-bytes";
    case JOURNAL_HOLD_AGE:
        return "beyond --cursor-hold-age";
    case JOURNAL_HOLD_NONE:
        break;
    }
    return "cursors are not waited for";
}

static void log_overtaken(void *context, struct bytes name, uint64_t position, uint64_t lag)
{
    const struct turn *t = context;
    log_warn("compaction has overtaken cursor %.*s at %llu, which lags %llu records behind (%s): "
             "its watcher will miss some, and is told so",
             (int)name.size, (const char *)name.data, (unsigned long long)position,
             (unsigned long long)lag, hold_option(t->hold.exceeded));
}

/* After a step of compaction that is committed. */
static void note_compacted(struct turn *t, bool more, bool blocked)
{
    t->compact_more = more;
    t->compact_blocked = blocked;
    t->compact_checked_us = t->now_us;
    t->held = t->hold.held;
    if (t->held && core_compact_target(t->core) > t->hold.from)
        core_compact_is_held(t->core, t->hold.from);
}

/* After a commit: what moved, and what it means for the next ones. */
static void note_committed(struct turn *t, uint64_t started_us, size_t records)
{
    struct journal_status status;
    struct core_figures figures;
    journal_status(t->journal, &status);
    core_figures(t->core, &figures);
    if (status.oldest != figures.oldest) {
        core_cursors_overtake(t->core, status.oldest, log_overtaken, t);
        core_set_oldest(t->core, status.oldest);
    }
    if (status.applied != t->applied && t->compact_blocked) {
        t->compact_blocked = false;
        t->compact_more = true;
    }
    t->applied = status.applied;
    t->failing = false;
    if (journal_sync_due(t->journal))
        sync_thread_wake(t->sync);
    t->figures.commits++;
    uint64_t took_us = clock_boot_us() - started_us;
    histogram_add(&t->figures.commit_us, took_us);
    if (records > 0) {
        histogram_add(&t->figures.batch_records, records);
        patience_committed(&t->patience, took_us);
    }
    if (t->no_space && records > 0) {
        log_info("there is space for the journal again");
        t->no_space = false;
    }
}

static void note_failed(struct turn *t, int err, const struct failure *failure)
{
    t->figures.failed_commits++;
    if (err == ERR_NO_SPACE) {
        if (!t->no_space)
            log_error("mutations are refused: %s", failure->text);
        t->no_space = true;
        return;
    }
    log_write(t->failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR, "a batch could not be committed: %s",
              failure->text);
    t->failing = true; /* say it once, not for each client that tries again */
    if (err != ERR_IO)
        return;
    /* The journal has closed itself if it could not open again after the error. */
    struct failure reason = {0};
    if (journal_view_begin(t->journal, &reason) == ERR_OK) {
        journal_view_end(t->journal);
    } else {
        t->journal_lost = true;
        t->lost = *failure;
    }
}

int commit_batch(struct turn *t, unsigned steps, bool alone, struct failure *failure)
{
    uint64_t started_us = clock_boot_us();
    size_t records = core_batch_record_count(t->core);
    uint64_t one_row = (steps & COMMIT_SLICE) ? row_bytes(t) : 0;
    uint32_t rows = (steps & COMMIT_SLICE) ? slice_rows(t, alone, one_row) : 0;
    if ((steps & COMMIT_RESERVE) && rows > t->reserve_rows)
        rows = t->reserve_rows;
    uint32_t sessions = sessions_max(t, steps, alone);
    uint64_t cursor_bytes = core_cursor_row_bytes(t->core);
    uint64_t bytes = core_batch_record_bytes(t->core) + rows * one_row +
                     core_session_row_bytes(t->core, sessions) + cursor_bytes +
                     core_life_row_bytes(t->core);
    bool compacts =
        (steps & COMMIT_COMPACT) != 0 && (compact_due(t, alone) || (t->held && cursor_bytes > 0));
    bool more = t->compact_more;
    bool blocked = t->compact_blocked;

    int err = journal_batch_begin(t->journal, (steps & COMMIT_RESERVE) ? 0 : bytes, failure);
    if (err == ERR_OK) {
        err = append_records(t, failure);
        if (err == ERR_OK)
            err = write_sessions(t, sessions, failure);
        if (err == ERR_OK)
            err = write_cursors(t, failure);
        if (err == ERR_OK)
            err = write_lives(t, failure);
        if (err == ERR_OK)
            err = write_slice(t, rows, failure);
        if (err == ERR_OK && compacts)
            err = compact(t, alone, &more, &blocked, failure);
        if (err == ERR_OK)
            err = journal_batch_commit(t->journal, failure);
        else
            journal_batch_abort(t->journal);
    }
    if (err != ERR_OK) {
        take_slice_back(t);
        note_failed(t, err, failure);
        return err;
    }
    if (compacts)
        note_compacted(t, more, blocked);
    note_committed(t, started_us, records);
    return ERR_OK;
}

/* ---- background ---- */

/* Whoever asked for compaction waits for it; retention alone can wait for a quiet moment. */
static bool checkpoint_wanted(const struct turn *t, uint64_t now_us)
{
    return t->compact_blocked && core_checkpoint_pending(t->core) == 0 &&
           (core_compact_target(t->core) != 0 || now_us - t->mutated_us >= COMPACT_IDLE_US);
}

static bool work_waits(const struct turn *t, uint64_t now_us)
{
    return core_checkpoint_pending(t->core) > 0 || core_sessions_gone(t->core) > 0 ||
           compact_due(t, true) || checkpoint_wanted(t, now_us) ||
           core_life_clock_wait_ms(t->core, now_us / 1000) == 0;
}

bool commit_background_due(struct turn *t, uint64_t now_us)
{
    uint64_t pause = t->no_space ? NO_SPACE_RETRY_US : BACKGROUND_QUIET_US;
    t->now_us = now_us;
    return now_us - t->mutated_us >= BACKGROUND_QUIET_US && now_us - t->background_us >= pause &&
           work_waits(t, now_us);
}

int commit_background(struct turn *t, uint64_t now_us, struct failure *failure)
{
    struct failure reason = {0};
    t->now_us = now_us;
    core_batch_begin(t->core, clock_wall_us(), now_us / 1000);
    if (checkpoint_wanted(t, now_us))
        core_checkpoint_start(t->core);
    int err = commit_batch(t, COMMIT_SLICE | COMMIT_COMPACT, true, &reason);
    if (err == ERR_NO_SPACE && (compact_due(t, true) || is_awaited(t))) {
        /* Removing records makes room, and where a checkpoint holds that up, a slice of it too. */
        unsigned steps = COMMIT_COMPACT | COMMIT_RESERVE;
        if (is_awaited(t))
            steps |= COMMIT_SLICE;
        /* The reserve of a small disk may have room for a small slice only. */
        t->reserve_rows = SLICE_ROWS_ALONE;
        for (; err == ERR_NO_SPACE && t->reserve_rows > 0; t->reserve_rows /= 4) {
            reason.text[0] = '\0';
            err = commit_batch(t, steps, true, &reason);
        }
    }
    if (err == ERR_OK)
        core_batch_commit(t->core);
    else
        core_batch_abort(t->core, err, NULL);
    t->background_us = now_us;
    if (t->journal_lost)
        return failure_set(failure, ERR_IO, "%s", t->lost.text);
    return ERR_OK;
}

uint32_t commit_background_wait_ms(const struct turn *t, uint64_t now_us)
{
    if (work_waits(t, now_us))
        return (t->no_space ? NO_SPACE_RETRY_US : BACKGROUND_QUIET_US) / 1000;
    uint32_t clock_ms = core_life_clock_wait_ms(t->core, now_us / 1000);
    uint32_t wait_ms = UINT32_MAX;
    if (t->mutated_us > t->compact_checked_us)
        wait_ms = COMPACT_QUIET_US / 1000;
    else if (records_age(t) || t->compact_blocked)
        wait_ms = COMPACT_IDLE_US / 1000;
    return clock_ms < wait_ms ? clock_ms : wait_ms;
}

static int commit_alone(struct turn *t, unsigned steps, struct failure *failure)
{
    t->now_us = clock_boot_us();
    core_batch_begin(t->core, clock_wall_us(), t->now_us / 1000);
    int err = commit_batch(t, steps, true, failure);
    if (err != ERR_OK)
        core_batch_abort(t->core, err, NULL);
    else
        core_batch_commit(t->core);
    return err;
}

int commit_checkpoint_all(struct turn *t, struct failure *failure)
{
    int err = ERR_OK;
    /* Twice: what is frozen, and what has gathered above it since. */
    for (int round = 0; round < 2; round++) {
        core_checkpoint_start(t->core);
        while (err == ERR_OK && core_checkpoint_pending(t->core) > 0)
            err = commit_alone(t, COMMIT_SLICE, failure);
    }
    while (err == ERR_OK && core_sessions_unwritten(t->core) > 0)
        err = commit_alone(t, COMMIT_SESSIONS, failure);
    core_life_clock_ask(t->core);
    if (err == ERR_OK && core_life_clock_wait_ms(t->core, t->now_us / 1000) == 0)
        err = commit_alone(t, 0, failure);
    return err;
}
