/*
 * endpoint.h - the text form of an address, and the addresses that follow from
 * it: one endpoint is given, those of streams and replays are derived. Strings
 * only; nothing is opened or looked up.
 *
 *   ipc:///run/x.sock        /run/x.sock, /run/x.sock.stream, /run/x.sock.replay
 *   tcp://127.0.0.1:7878     7878, 7879, 7880, unless the hello reply says otherwise
 *
 * 1. An endpoint that endpoint_parse took has derived endpoints that fit
 *    ENDPOINT_SIZE, and ipc paths that fit a socket address.
 */
#ifndef VIGIL_PROTOCOL_ENDPOINT_H
#define VIGIL_PROTOCOL_ENDPOINT_H

#include "protocol/failure.h"
#include "protocol/message.h"

#include <stdint.h>

enum {
    ENDPOINT_PATH_MAX = 96,   /* bytes of an ipc path; a suffix and the terminator fit 108 then */
    ENDPOINT_SUFFIX_MAX = 11, /* bytes */
    ENDPOINT_HOST_MAX = 255,
    ENDPOINT_SIZE = 288 /* of a text, terminator included */
};

#define ENDPOINT_STREAM_SUFFIX ".stream"
#define ENDPOINT_REPLAY_SUFFIX ".replay"

enum endpoint_kind { ENDPOINT_IPC = 1, ENDPOINT_TCP = 2 };
enum endpoint_role { ENDPOINT_REQUEST = 0, ENDPOINT_STREAM = 1, ENDPOINT_REPLAY = 2 };

struct endpoint {
    enum endpoint_kind kind;
    uint16_t port;                        /* tcp; 0 is meaningful to a server only */
    char host[ENDPOINT_HOST_MAX + 1];     /* tcp: a name, an address, [an IPv6 address] or "*" */
    char path[ENDPOINT_PATH_MAX + 1];     /* ipc */
    char suffix[ENDPOINT_SUFFIX_MAX + 1]; /* ipc: of a derived one, behind the path */
};

/* ERR_OK or ERR_INVALID; failure (may be NULL) says what is wrong with the text. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct failure *failure);
void endpoint_format(const struct endpoint *e, char out[ENDPOINT_SIZE]);
/* True where only this machine can connect: ipc, 127.x.x.x, [::1], localhost. */
bool endpoint_is_local(const struct endpoint *e);

/* What a client connects to for a role, after the server's hello: its suffixes,
 * or the ports of the row that has e's port; where no row has it (a forwarded
 * port), port + 1 and + 2. ERR_OK, or ERR_MALFORMED for a hello that makes no sense. */
int endpoint_derive(const struct endpoint *e, enum endpoint_role role,
                    const struct reply_hello *hello, struct endpoint *ret_derived);

/* The endpoint of a server or client that is given none:
 * ipc://RUNTIME_DIR/vigil.sock, or without a usable runtime_dir (NULL, empty,
 * relative, too long) ipc:///tmp/vigil-UID/vigil.sock. Returns true in the
 * second case: the folder is then to be made with mode 0700 by the server, and
 * both sides check that it is a folder of this user, because anyone can make
 * one of that name. */
bool endpoint_default(const char *runtime_dir, unsigned long uid, char out[ENDPOINT_SIZE]);

#endif
