/*
 * gate.h - stands between the network and ZeroMQ, which is too trusting in four places:
 *
 * 1. Out of descriptors, its listeners end the process (ipc) or spin (tcp). So a connection beyond
 *    connections_max, or one that would take one of the last descriptors, is closed as soon as it
 *    is accepted; and whatever else accept may say of a passing trouble, ZeroMQ hears of a connection
 *    that was aborted.
 *
 * 2. A peer that claims a name of the kind that a ROUTER gives out ends the process sooner or later,
 *    and one that claims somebody's leaves memory behind that is never freed. So a new connection is
 *    read along with until it has introduced itself (zmtp_hello.h), and what should not be let in
 *    looks to ZeroMQ like one that was lost.
 *
 * 3. It keeps the frames of a message that is not complete, however many come. So the frames are
 *    counted along (zmtp_frames.h), and a connection ends that sends too many or too much in one.
 *
 * 4. Its XPUB takes in all subscriptions that have come before it does anything else, however many
 *    follow, on the core thread. So a subscriber ends that sends more than GATE_SUBSCRIBER_BYTES, and
 *    GATE_SUBSCRIBER_RATE more with each second.
 *
 * libzmq offers no hook for any of it. The gate defines accept, accept4 and recv for the whole process,
 * which a program may do for the libraries that it is linked with; it calls the kernel for all of them,
 * and looks at nothing but connections that it has accepted itself. Whether libzmq comes this way is
 * tried out at start (gate_probe.h).
 *
 * State belongs to a descriptor, and is made anew when that is accepted again. Nobody tells when it is
 * closed: until then nothing else may recv from it, and in this process nobody but libzmq's connections
 * recv. Request connections (peers.h) are not ZeroMQ's: they share the limit and the figures, are
 * accepted by gate_accept_own, and receive by other calls.
 *
 * gate_open before the sockets are bound, gate_close after they are gone. In between, only ZeroMQ's
 * I/O thread (there is one) passes through it; what is declared here may be called by any.
 */
#ifndef VIGIL_SERVER_NET_GATE_H
#define VIGIL_SERVER_NET_GATE_H

#include "protocol/failure.h"

#include <stddef.h>
#include <stdint.h>

enum {
    GATE_SUBSCRIBER_BYTES = 32 * 1024, /* more than a thousand subscriptions */
    GATE_SUBSCRIBER_RATE = 256         /* bytes a second; a heartbeat has ten */
};

struct gate_figures {
    uint64_t turned_away; /* connections beyond the limit */
    uint64_t refused;     /* connections that did not introduce themselves properly */
    uint64_t cut_off;     /* connections with an endless message, or subscriptions without end */
};

/* message_size_max: of all frames of a message together. ERR_OK, ERR_NO_MEMORY, ERR_LIMIT,
 * ERR_INTERNAL: libzmq would not come through here, or that could not be found out. */
int gate_open(uint32_t connections_max, uint64_t message_size_max, struct failure *failure);
void gate_close(void);
void gate_figures(struct gate_figures *ret_figures);

/* Accepts a connection that is not ZeroMQ's, non-blocking. Returns the descriptor, or -1 with errno:
 * ECONNABORTED also for one beyond the limit. */
int gate_accept_own(int listener);
/* Of such connections: one was not let in, or was cut off. */
void gate_count_refused(void);
void gate_count_cut_off(void);
/* Greater than the descriptor of any connection. */
size_t gate_descriptors_max(void);
/* Connections there may be; fewer than were asked for where the limit of open files is low. */
uint32_t gate_connections_max(void);

#endif
