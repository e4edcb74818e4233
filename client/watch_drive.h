/* watch_drive.h - what watch_next.c needs of watch.c and the other way round. */
#ifndef VIGIL_CLIENT_WATCH_DRIVE_H
#define VIGIL_CLIENT_WATCH_DRIVE_H

#include "client/watch.h"

/* All that can be done without waiting, but for handing out: open, subscribe, ask for replays. */
void watch_drive(struct vigil_watch *w);
/* When, on the connection's clock, it is to be driven again. */
int64_t watch_due_ms(const struct vigil_watch *w);
/* Sets the failure for an error of the rule; returns it. */
int watch_fail(struct vigil_watch *w, int error);
/* A record waits for its previous values; what comes behind it is left unread. */
static inline bool watch_is_asking_before(const struct vigil_watch *w)
{
    return w->before && before_is_asking(w->before);
}
void watch_drop_chunk(struct vigil_watch *w);
/* Messages of the stream are wanted. */
static inline bool watch_reads_stream(const struct vigil_watch *w)
{
    return w->rule.state == WATCH_LIVE && !watch_is_asking_before(w);
}

#endif
