/*
 * cursor_hold.c - which records cursors still wait for, and which cursors
 * compaction has overtaken.
 *
 * A cursor waits for the record after its position, and what follows that, as
 * long as its epoch is the journal's and compaction has not taken it.
 */
#include "server/core/core_state.h"

static bool waits(const struct core *core, const struct cursor *c)
{
    return c->epoch == core->epoch && c->position + 1 >= core->oldest;
}

/* NULL: none waits. */
static const struct cursor *slowest(const struct core *core)
{
    const struct cursor_table *t = &core->cursors;
    const struct cursor *found = NULL;
    for (size_t i = 0; i < t->count; i++) {
        const struct cursor *c = t->sorted[i];
        if (waits(core, c) && (!found || c->position < found->position))
            found = c;
    }
    return found;
}

uint64_t core_cursors_wait_from(const struct core *core)
{
    const struct cursor *c = slowest(core);
    return c ? c->position + 1 : 0;
}

void core_cursors_overtake(struct core *core, uint64_t oldest,
                           void (*tell)(void *context, struct bytes name, uint64_t position,
                                        uint64_t lag),
                           void *context)
{
    const struct cursor_table *t = &core->cursors;
    for (size_t i = 0; i < t->count; i++) {
        const struct cursor *c = t->sorted[i];
        if (!waits(core, c) || c->position + 1 >= oldest)
            continue;
        core->cursors_overtaken++;
        tell(context, c->name, c->position, core->batch.last_seq - c->position);
    }
}

void core_compact_is_held(struct core *core, uint64_t from)
{
    core->compact_held_from = from;
    core->compact_target = 0;
}

int compact_check_hold(struct core *core, struct request *q, uint64_t before)
{
    uint64_t from = core->compact_held_from;
    core->compact_held_from = 0; /* the next request finds out anew */
    const struct cursor *c = from != 0 && before > from ? slowest(core) : NULL;
    if (!c || c->position + 1 != from)
        return ERR_OK;
    return request_fail(q, ERR_CONFLICT,
                        "the records after %llu are kept for cursor %.*s, which has seen no "
                        "further; all before them are compacted. Delete the cursor to go on",
                        (unsigned long long)c->position, (int)c->name.size,
                        (const char *)c->name.data);
}
