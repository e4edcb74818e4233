#define _GNU_SOURCE
/* status.c - the figures of a status reply: a MessagePack map of text to integer or text. */
#include "protocol/value.h"
#include "server/net/clocks.h"
#include "server/net/gate.h"
#include "server/net/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { MAP_16 = 0xde, TEXT_FIX = 0xa0, TEXT_16 = 0xda, MAP_HEADER_SIZE = 3 };

struct map_writer {
    struct wire_buffer *buffer;
    uint16_t count;
};

static void write_text(struct wire_buffer *b, const char *text)
{
    size_t size = strlen(text);
    if (size < 32) {
        wire_write_u8(b, (uint8_t)(TEXT_FIX | size));
    } else {
        wire_write_u8(b, TEXT_16); /* MessagePack is big-endian */
        wire_write_u8(b, (uint8_t)(size >> 8));
        wire_write_u8(b, (uint8_t)size);
    }
    wire_write_raw(b, text, size);
}

static void add_text(struct map_writer *m, const char *name, const char *value)
{
    write_text(m->buffer, name);
    write_text(m->buffer, value);
    m->count++;
}

static void add_integer(struct map_writer *m, const char *name, uint64_t value)
{
    uint8_t encoded[VALUE_INTEGER_SIZE_MAX];
    size_t size = value_write_integer((struct value_integer){.bits = value}, encoded);
    write_text(m->buffer, name);
    wire_write_raw(m->buffer, encoded, size);
    m->count++;
}

/* Identities are 64-bit numbers without an order: as hex they survive every JSON reader. */
static void add_identity(struct map_writer *m, const char *name, uint64_t value)
{
    char text[17];
    snprintf(text, sizeof text, "%016" PRIx64, value);
    add_text(m, name, text);
}

static void add_process(struct map_writer *m, const struct server *s)
{
    char endpoints[CONFIG_LISTEN_MAX * (ENDPOINT_SIZE + 1)] = "";
    size_t used = 0;
    for (size_t i = 0; i < s->listen.count; i++) {
        char text[ENDPOINT_SIZE];
        endpoint_format(&s->listen.points[i].endpoint, text);
        used +=
            (size_t)snprintf(endpoints + used, sizeof endpoints - used, "%s%s", i ? " " : "", text);
    }
    add_text(m, "server", "vigild " VIGIL_VERSION_TEXT);
    add_integer(m, "pid", (uint64_t)getpid());
    add_integer(m, "uptime_s", (clock_boot_us() - s->started_us) / 1000000);
    add_text(m, "endpoints", endpoints);
    add_text(m, "data", s->config->data);
    add_text(m, "durability", s->config->durability == JOURNAL_PROCESS ? "process" : "power");
    add_identity(m, "incarnation", s->incarnation);
}

static void add_journal(struct map_writer *m, const struct server *s)
{
    struct journal_status status;
    journal_status(s->journal, &status);
    add_identity(m, "epoch", status.epoch);
    add_integer(m, "head", status.head);
    add_integer(m, "oldest", status.oldest);
    add_integer(m, "applied", status.applied);
    add_integer(m, "records_bytes", status.records_bytes);
    add_integer(m, "file_bytes", status.file_bytes);
    add_integer(m, "allocated_bytes", status.allocated_bytes);
    add_text(m, "journal", s->turn.no_space ? "no space" : "ok");
}

static void add_core(struct map_writer *m, const struct server *s)
{
    struct core_figures figures;
    core_figures(s->core, &figures);
    add_integer(m, "streams", figures.streams);
    add_integer(m, "peers", figures.peers);
    add_integer(m, "sessions", figures.sessions);
    add_integer(m, "session_replies", figures.session_replies);
    add_integer(m, "session_bytes", figures.session_bytes);
    add_integer(m, "cursors", figures.cursors);
    add_integer(m, "cursors_overtaken", figures.cursors_overtaken);
    add_integer(m, "lives", figures.lives);
    add_integer(m, "leases", figures.leases);
    add_integer(m, "expired", figures.expired);
    add_integer(m, "overlay_keys", figures.overlay_keys);
    add_integer(m, "overlay_bytes", figures.overlay_bytes);
    add_integer(m, "checkpoint_pending", core_checkpoint_pending(s->core));
    add_integer(m, "requests", figures.requests);
    add_integer(m, "mutations", figures.mutations);
    add_integer(m, "calls", figures.calls);
    add_integer(m, "calls_failed", figures.calls_failed);
    add_integer(m, "function_us", figures.function_us);
    add_integer(m, "records_published", figures.records_published);
    add_integer(m, "stream_messages", figures.stream_messages);
    add_integer(m, "bookmarks", figures.bookmarks);
}

static void add_gate(struct map_writer *m)
{
    struct gate_figures figures;
    gate_figures(&figures);
    add_integer(m, "connections_max", gate_connections_max());
    add_integer(m, "connections_turned_away", figures.turned_away);
    add_integer(m, "connections_refused", figures.refused);
    add_integer(m, "connections_cut_off", figures.cut_off);
}

static void add_turns(struct map_writer *m, const struct server *s)
{
    const struct turn_figures *figures = &s->turn.figures;
    add_integer(m, "messages", figures->messages);
    add_integer(m, "malformed", figures->malformed);
    add_integer(m, "overloads", figures->overloads);
    add_integer(m, "replies_dropped", figures->replies_dropped);
    add_integer(m, "commits", figures->commits);
    add_integer(m, "commits_failed", figures->failed_commits);
    add_integer(m, "batch_records_p50", histogram_at(&figures->batch_records, 500));
    add_integer(m, "batch_records_max", figures->batch_records.max);
    add_integer(m, "commit_us_p50", histogram_at(&figures->commit_us, 500));
    add_integer(m, "commit_us_p99", histogram_at(&figures->commit_us, 990));
    add_integer(m, "commit_us_max", figures->commit_us.max);
    add_integer(m, "subscriptions", s->subscriptions.received);
    add_integer(m, "subscribers_ended", s->subscriptions.ended);
    add_gate(m);
}

static void add_replay(struct map_writer *m, struct server *s)
{
    struct replay_figures *f = &s->replay_figures;
    add_integer(m, "replay_requests", atomic_load_explicit(&f->requests, memory_order_relaxed));
    add_integer(m, "replay_records", atomic_load_explicit(&f->records, memory_order_relaxed));
    add_integer(m, "replay_bytes", atomic_load_explicit(&f->bytes, memory_order_relaxed));
    add_integer(m, "replay_dropped", atomic_load_explicit(&f->dropped, memory_order_relaxed));
    add_integer(m, "replay_damaged", atomic_load_explicit(&f->damaged, memory_order_relaxed));
}

void status_write(void *context, struct wire_buffer *map)
{
    struct server *s = context;
    struct map_writer m = {.buffer = map};
    size_t start = map->size;
    wire_write_u8(map, MAP_16);
    wire_write_u8(map, 0);
    wire_write_u8(map, 0);
    add_process(&m, s);
    add_journal(&m, s);
    add_core(&m, s);
    add_turns(&m, s);
    add_replay(&m, s);
    if (map->failed || map->size < start + MAP_HEADER_SIZE)
        return;
    map->data[start + 1] = (uint8_t)(m.count >> 8);
    map->data[start + 2] = (uint8_t)m.count;
}
