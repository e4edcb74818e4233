/* acknowledgement.c - see acknowledgement.h. */
#include "client/cli/acknowledgement.h"

#include "client/cli/duration.h"

#include <stdlib.h>

struct acknowledgement *acknowledgement_new(vigil_watch *watch, uint64_t seq)
{
    struct acknowledgement *a = calloc(1, sizeof(*a));

    if (a == NULL)
        return NULL;
    a->watch = watch;
    a->written = seq;
    a->said = seq;
    a->said_ms = duration_now_ms() - ACKNOWLEDGEMENT_MS;
    return a;
}

void acknowledgement_mark(struct acknowledgement *a, uint64_t seq, size_t end)
{
    a->marks[a->mark_count++] = (struct acknowledgement_mark){.end = end, .seq = seq};
}

int64_t acknowledgement_due_ms(const struct acknowledgement *a)
{
    return a->written > a->said ? a->said_ms + ACKNOWLEDGEMENT_MS : -1;
}

int acknowledgement_written(struct acknowledgement *a, uint64_t seq)
{
    const int64_t now_ms = duration_now_ms();

    a->mark_count = 0;
    a->written = seq;
    if (a->written == a->said || now_ms < acknowledgement_due_ms(a))
        return VIGIL_OK;
    a->said = a->written;
    a->said_ms = now_ms;
    return vigil_watch_acknowledge_to(a->watch, a->said, 0);
}

void acknowledgement_cut(struct acknowledgement *a, size_t size)
{
    for (size_t i = 0; i < a->mark_count && a->marks[i].end <= size; i++)
        a->written = a->marks[i].seq;
    a->mark_count = 0;
}

int acknowledgement_finish(struct acknowledgement *a, int timeout_ms)
{
    return vigil_watch_acknowledge_to(a->watch, a->written, timeout_ms);
}
