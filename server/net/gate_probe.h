/*
 * gate_probe.h - lets a peer that must not be let in knock at a real ZeroMQ socket, at start: libzmq is
 * built in many ways (accept or accept4, recv or its like, linked statically or not), and one whose calls do
 * not come through the gate would work as ever, unguarded.
 */
#ifndef VIGIL_SERVER_NET_GATE_PROBE_H
#define VIGIL_SERVER_NET_GATE_PROBE_H

#include "protocol/failure.h"

/* ERR_OK: its connection was ended. ERR_INTERNAL: it was let in, or it could not be found out. */
int gate_probe(struct failure *failure);

#endif
