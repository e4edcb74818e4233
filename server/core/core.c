/* core.c - a core's life, what it restores at start, and its figures. */
#include "server/core/core_state.h"

#include <stdlib.h>

enum {
    CHECKPOINT_KEYS = 131072,
    CHECKPOINT_BYTES = 32 << 20,
    CHECKPOINT_HASTE = 6, /* it is through when the next has changed by the sixth part */
    WHOLE = 1 << 16,
    CHECKPOINT_RECORDS = 300000,
    ACTIVE_EXPECTED_MAX = 131072 /* keys for which the first table has room at once */
};

static uint32_t limit_or(uint32_t limit, uint32_t otherwise)
{
    return limit ? limit : otherwise;
}

static struct core_limits limits_with_defaults(const struct core_limits *given)
{
    struct core_limits l = given ? *given : (struct core_limits){0};
    l.value_size_max = limit_or(l.value_size_max, LIMIT_VALUE_SIZE);
    if (l.value_size_max > LIMIT_VALUE_SIZE_MAX)
        l.value_size_max = LIMIT_VALUE_SIZE_MAX;
    l.message_size_max = limit_or(l.message_size_max, LIMIT_MESSAGE_SIZE);
    if (l.message_size_max > LIMIT_MESSAGE_SIZE_MAX)
        l.message_size_max = LIMIT_MESSAGE_SIZE_MAX;
    l.streams_max = limit_or(l.streams_max, LIMIT_STREAMS);
    l.streams_per_peer_max = limit_or(l.streams_per_peer_max, LIMIT_STREAMS_PER_PEER);
    l.peers_max = limit_or(l.peers_max, LIMIT_PEERS);
    l.sessions_max = limit_or(l.sessions_max, LIMIT_SESSIONS);
    l.cursors_max = limit_or(l.cursors_max, LIMIT_CURSORS);
    l.lives_max = limit_or(l.lives_max, LIMIT_LIVES);
    l.leases_max = limit_or(l.leases_max, LIMIT_LEASES);
    l.session_idle_ms = l.session_idle_ms ? l.session_idle_ms : SESSION_IDLE_S * UINT64_C(1000);
    l.function_steps = l.function_steps ? l.function_steps : LIMIT_FUNCTION_STEPS;
    l.function_ms = l.function_ms ? l.function_ms : LIMIT_FUNCTION_TIME_MS;
    if (l.function_ms > FUNCTION_MS_MAX)
        l.function_ms = FUNCTION_MS_MAX;
    l.function_memory = l.function_memory ? l.function_memory : LIMIT_FUNCTION_MEMORY;
    l.checkpoint_keys = limit_or(l.checkpoint_keys, CHECKPOINT_KEYS);
    l.checkpoint_bytes = l.checkpoint_bytes ? l.checkpoint_bytes : CHECKPOINT_BYTES;
    l.checkpoint_records = l.checkpoint_records ? l.checkpoint_records : CHECKPOINT_RECORDS;
    return l;
}

static void copy_text(char to[IDENTITY_TEXT_MAX + 1], const char *text)
{
    size_t size = text ? strlen(text) : 0;
    if (size > IDENTITY_TEXT_MAX)
        size = IDENTITY_TEXT_MAX;
    if (size > 0)
        memcpy(to, text, size);
    to[size] = '\0';
}

static void set_identity(struct core *core, const struct core_identity *identity)
{
    core->epoch = identity->epoch;
    core->incarnation = identity->incarnation;
    copy_text(core->server, identity->server);
    copy_text(core->stream_suffix, identity->stream_suffix);
    copy_text(core->replay_suffix, identity->replay_suffix);
    core->ports_count = identity->ports_count;
    if (core->ports_count > IDENTITY_PORTS_MAX)
        core->ports_count = IDENTITY_PORTS_MAX;
    for (size_t i = 0; i < core->ports_count; i++)
        memcpy(core->ports[i], identity->ports[i], sizeof core->ports[i]);
}

static int make_parts(struct core *core)
{
    struct {
        struct hash_seed seed;
        uint64_t prefixes;
        uint64_t sorting;
    } random;
    core->source.random(core->source.context, (uint8_t *)&random, sizeof random);
    core->seed = random.seed;
    core->checkpoint.random = random.sorting;
    undo_init(&core->undo);
    wire_buffer_init(&core->made, LIMIT_REPLY_SIZE + LIMIT_VALUE_SIZE_MAX + 1024);
    wire_buffer_init(&core->status, STATUS_SIZE_MAX);
    core->sessions.seed = core->seed;
    core->turns.seed = core->seed;
    wire_buffer_init(&core->session_row, SESSION_ROW_SIZE_MAX);
    wire_buffer_init(&core->cursor_rows, CURSOR_LIST_BYTES + CURSOR_ROW_SIZE_MAX);
    publisher_init(core);
    lease_table_init(&core->leases, &core->seed, &core->streams, core->limits.peers_max,
                     core->limits.streams_per_peer_max);
    uint32_t expected = core->limits.checkpoint_keys;
    if (expected > ACTIVE_EXPECTED_MAX)
        expected = ACTIVE_EXPECTED_MAX;
    if (stream_table_init(&core->streams, &core->seed, random.prefixes) ||
        overlay_new(expected, &core->active) || batch_init(core))
        return ERR_NO_MEMORY;
    return ERR_OK;
}

int core_new(const struct core_source *source, const struct core_limits *limits,
             const struct core_identity *identity, uint64_t head, uint64_t oldest, uint64_t applied,
             struct core **ret_core)
{
    struct core *core = calloc(1, sizeof *core);
    if (!core)
        return ERR_NO_MEMORY;
    core->source = *source;
    core->limits = limits_with_defaults(limits);
    set_identity(core, identity);
    core->head = head;
    core->oldest = oldest;
    core->applied = applied;
    core->restored = applied;
    if (make_parts(core)) {
        core_free(core);
        return ERR_NO_MEMORY;
    }
    *ret_core = core;
    return ERR_OK;
}

void core_free(struct core *core)
{
    if (!core)
        return;
    undo_free(&core->undo);
    overlay_free(core->active);
    checkpoint_free(&core->checkpoint);
    key_gaps_free(&core->gaps);
    batch_free(&core->batch);
    write_set_free(&core->writes);
    wire_buffer_free(&core->made);
    wire_buffer_free(&core->status);
    while (stream_table_take_subscribed(&core->streams))
        continue;
    lease_table_free(&core->leases);
    session_table_free(&core->sessions);
    wire_buffer_free(&core->session_row);
    cursor_table_free(&core->cursors);
    turns_free(&core->turns);
    life_table_free(&core->lives);
    wire_buffer_free(&core->cursor_rows);
    publisher_free(&core->publisher);
    stream_table_free(&core->streams);
    script_engine_free(core->script);
    free(core->listed);
    free(core);
}

static int restore_change(struct core *core, uint64_t seq, const struct change *c)
{
    uint64_t hash = core_key_hash(core, c->key);
    struct key_state before;
    int err = core_lookup(core, c->key, hash, &before);
    if (err)
        return err;
    /* The checkpoint that was under way had written this row already. */
    if (before.meta.modified >= seq)
        return ERR_OK;
    struct key_meta after = key_meta_after(&before, c->op, seq);
    return core_store(core, c->key, hash, &after, c->value);
}

int core_restore(struct core *core, struct bytes record)
{
    struct record_header h;
    int err = record_check(record, &h);
    if (err)
        return err;
    if (h.time_us > core->time_us)
        core->time_us = h.time_us;
    if (h.seq <= core->applied)
        return ERR_OK;
    if (h.seq != core->restored + 1 || h.seq > core->head || (h.flags & RECORD_FLAG_VIEW) != 0)
        return ERR_CORRUPT;
    struct change c;
    for (struct change_iterator i = record_changes(record.data); change_next(&i, &c);) {
        err = restore_change(core, h.seq, &c);
        if (err)
            return err;
    }
    core->restored = h.seq;
    return exactly_once_restore(core, &h, record.data);
}

void core_on_status(struct core *core, void (*status)(void *context, struct wire_buffer *map),
                    void *context)
{
    core->on_status = status;
    core->status_context = context;
}

uint64_t core_compact_target(const struct core *core)
{
    return core->compact_target;
}

void core_set_oldest(struct core *core, uint64_t oldest)
{
    core->oldest = oldest;
    if (core->compact_target <= oldest)
        core->compact_target = 0;
}

void core_figures(const struct core *core, struct core_figures *ret_figures)
{
    const struct overlay *frozen = core->checkpoint.frozen;
    *ret_figures = (struct core_figures){
        .head = core->head,
        .oldest = core->oldest,
        .applied = core->applied,
        .streams = stream_table_count(&core->streams),
        .peers = core->leases.peers.count,
        .overlay_keys = core->active->count + (frozen ? frozen->count : 0),
        .overlay_bytes = core->active->bytes + (frozen ? frozen->bytes : 0),
        .sessions = session_table_count(&core->sessions),
        .session_replies = core->sessions.outcomes,
        .session_bytes = core->sessions.bytes,
        .cursors = core->cursors.count,
        .cursors_overtaken = core->cursors_overtaken,
        .lives = core->lives.lives.count,
        .leases = core->lives.leases.count,
        .expired = core->expired,
        .requests = core->requests,
        .mutations = core->mutations,
        .calls = core->calls,
        .calls_failed = core->calls_failed,
        .function_us = core->function_us,
        .records_published = core->records_published,
        .stream_messages = core->stream_messages,
        .bookmarks = core->bookmarks_sent,
    };
}

/* ---- checkpoints ---- */

void core_freeze_if_due(struct core *core)
{
    const struct overlay *active = core->active;
    if (core->checkpoint.frozen || active->count == 0)
        return;
    if (!core->checkpoint_wanted && active->count < core->limits.checkpoint_keys &&
        active->bytes < core->limits.checkpoint_bytes &&
        core->head - core->applied < core->limits.checkpoint_records)
        return;
    struct overlay *fresh = NULL;
    uint32_t expected = core->limits.checkpoint_keys;
    if (overlay_new(expected < ACTIVE_EXPECTED_MAX ? expected : ACTIVE_EXPECTED_MAX, &fresh))
        return; /* tried again after the next batch */
    /* Who asks for prefixes asks again: in order from the first key on, nothing stalls later. */
    fresh->is_ordered = core->active->order_used;
    checkpoint_freeze(&core->checkpoint, core->active, core->head);
    session_mark_due(&core->sessions);
    core->active = fresh;
    core->checkpoint_wanted = false;
}

int core_checkpoint_slice(struct core *core, uint32_t rows_max,
                          int (*put)(void *context, struct bytes key, const struct state_row *row),
                          void *context, uint64_t *ret_applied)
{
    struct checkpoint *c = &core->checkpoint;
    struct overlay_entry *e;
    checkpoint_take_back(c);
    for (uint32_t i = 0; i < rows_max && checkpoint_next(c, &e); i++) {
        struct state_row row = {.created = e->meta.created,
                                .modified = e->meta.modified,
                                .version = e->meta.version,
                                .deleted = e->meta.deleted,
                                .value = overlay_entry_value(e)};
        int err = put(context, overlay_entry_key(e), &row);
        if (err)
            return err;
    }
    bool is_last = c->frozen && c->written == c->frozen->count &&
                   core->sessions.due == core->sessions.due_written;
    *ret_applied = is_last ? c->seq : 0;
    return ERR_OK;
}

size_t core_checkpoint_pending(const struct core *core)
{
    const struct checkpoint *c = &core->checkpoint;
    return c->frozen ? c->frozen->count - c->confirmed + core->sessions.due : 0;
}

/* How much of the frozen rows is to be written when so much of limit is there again, of WHOLE. */
static uint64_t part_of(uint64_t n, uint64_t limit)
{
    n *= CHECKPOINT_HASTE;
    return n < limit ? n * WHOLE / limit : WHOLE;
}

size_t core_checkpoint_due(const struct core *core)
{
    const struct checkpoint *c = &core->checkpoint;
    const struct core_limits *most = &core->limits;
    if (!c->frozen)
        return 0;
    uint64_t keys = part_of(core->active->count, most->checkpoint_keys);
    uint64_t bytes = part_of(core->active->bytes, most->checkpoint_bytes);
    uint64_t records = part_of(core->head - c->seq, most->checkpoint_records);
    uint64_t part = keys > bytes ? keys : bytes;
    part = part > records ? part : records;
    uint64_t rows = c->frozen->count * part / WHOLE;
    return rows > c->confirmed ? rows - c->confirmed : 0;
}

void core_checkpoint_confirm(struct core *core)
{
    session_confirm(&core->sessions);
    if (checkpoint_confirm(&core->checkpoint, core->sessions.due == 0))
        core->applied = core->checkpoint.seq;
}

void core_checkpoint_start(struct core *core)
{
    if (core->checkpoint.frozen)
        return;
    core->checkpoint_wanted = true;
    if (!core->batch.is_open)
        core_freeze_if_due(core);
}
