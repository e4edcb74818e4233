/* summary.c - see summary.h. */
#include "tests/torture/summary.h"

#include <vigil.h>

#include <inttypes.h>
#include <stdio.h>

static void add_operation(struct summary *s, const struct operation *o)
{
    bool doubt = o->error == NO_ANSWER || o->error == VIGIL_DISCONNECTED ||
                 o->error == VIGIL_TIMEOUT || o->error == VIGIL_OUTCOME_UNKNOWN;
    switch (o->kind) {
    case OPERATION_PUT:
    case OPERATION_DELETE:
    case OPERATION_INCR:
    case OPERATION_TXN:
        s->mutations += o->error == VIGIL_OK;
        s->in_doubt += doubt;
        s->refused += o->error != VIGIL_OK && !doubt;
        break;
    case OPERATION_DO:
        s->done[o->way] += o->error == VIGIL_OK && o->succeeded;
        s->mutations += o->error == VIGIL_OK;
        s->in_doubt += doubt;
        s->refused += o->error != VIGIL_OK && !doubt;
        break;
    case OPERATION_WAIT:
        s->waits += o->error == VIGIL_OK;
        break;
    case OPERATION_PEEK:
    case OPERATION_HISTORY:
        s->reads += o->error == VIGIL_OK;
        break;
    case OPERATION_CURSOR_OPEN:
        s->taken += o->error == VIGIL_OK;
        break;
    case OPERATION_CURSOR_ACKNOWLEDGE:
        s->moved += o->error == VIGIL_OK && o->waits;
        break;
    case OPERATION_BACKUP:
        s->backups += o->error == VIGIL_OK;
        break;
    default:
        break;
    }
}

static void add_watch_event(struct summary *s, const struct watch_event *event)
{
    s->opened += event->kind == WATCH_OPENED;
    s->resumed += event->kind == WATCH_OPENED && event->since == SINCE_POSITION;
    s->watched += event->kind == WATCH_RECORD;
    s->compacted += event->kind == WATCH_ENDED && event->error == VIGIL_COMPACTED;
}

void summary_add(struct summary *s, const struct evidence *e, const struct verdict *v)
{
    if (e->readings.count > 0)
        s->records += e->readings.items[e->readings.count - 1].head;
    s->unread += v->unread;
    for (size_t i = 0; i < e->operations.count; i++)
        add_operation(s, &e->operations.items[i]);
    for (size_t i = 0; i < e->watches.count; i++)
        add_watch_event(s, &e->watches.items[i]);
    s->reads += e->entries.count;
    s->copies += e->digests.count;
    s->restored += e->restored.count;
    s->expired += v->expired;
    for (int p = 0; p < PROPERTY_COUNT; p++)
        s->checked[p] += v->findings[p].checked;
}

void summary_print(const struct summary *s)
{
    static const char *const ways[WORK_WAYS] = WORK_WAY_NAMES;
    printf("in all: %" PRIu64 " rounds; %" PRIu64 " records (%" PRIu64
           " removed unread); mutations: %" PRIu64 " acknowledged, %" PRIu64 " refused, %" PRIu64
           " in doubt; reads: %" PRIu64 ", listings and mirrors: %" PRIu64 ", waits: %" PRIu64 "\n",
           s->rounds, s->records, s->unread, s->mutations, s->refused, s->in_doubt, s->reads,
           s->copies, s->waits);
    printf("  watches: %" PRIu64 " opened, %" PRIu64 " of them at a position, %" PRIu64
           " told COMPACTED; %" PRIu64 " records seen\n",
           s->opened, s->resumed, s->compacted, s->watched);
    printf("  cursors: %" PRIu64 " times opened, %" PRIu64 " moves awaited; backups: %" PRIu64
           " made, %" PRIu64 " restored\n",
           s->taken, s->moved, s->backups, s->restored);
    printf("  work:");
    for (int way = 0; way < WORK_WAYS; way++)
        printf(" %s %" PRIu64 ",", ways[way], s->done[way]);
    printf(" totals looked at: %" PRIu64 ", keys expired: %" PRIu64 "\n",
           s->checked[PROPERTY_TOTALS], s->expired);
    printf("  faults:");
    for (int fault = 0; fault < FAULT_COUNT; fault++)
        printf(" %s %" PRIu64 "%s", fault_name((enum fault)fault), s->faults[fault],
               fault + 1 < FAULT_COUNT ? "," : "\n");
    printf("  checked:");
    for (int p = 0; p < PROPERTY_COUNT; p++)
        printf(" %s %" PRIu64 "%s", property_name((enum property)p), s->checked[p],
               p + 1 < PROPERTY_COUNT ? "," : "\n");
}
