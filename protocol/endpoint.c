/* endpoint.c - see endpoint.h. */
#include "protocol/endpoint.h"

#include <stdio.h>

static const char ipc_scheme[] = "ipc://";
static const char tcp_scheme[] = "tcp://";

static int parse_ipc(const char *text, const char *path, struct endpoint *e,
                     struct failure *failure)
{
    size_t size = strlen(path);
    if (size == 0 || path[0] == '@' || strcmp(path, "*") == 0 || path[size - 1] == '/')
        return failure_set(failure, ERR_INVALID, "'%s' does not name a socket file", text);
    if (size > ENDPOINT_PATH_MAX)
        return failure_set(failure, ERR_INVALID,
                           "the path of '%s' is %zu bytes long, more than the %d that a socket's "
                           "address has room for",
                           text, size, ENDPOINT_PATH_MAX);
    e->kind = ENDPOINT_IPC;
    memcpy(e->path, path, size + 1);
    return ERR_OK;
}

/* Decimal, 0..65535, nothing else; -1 otherwise. */
static int parse_port(const char *text)
{
    int port = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9' && i < 5; i++)
        port = port * 10 + (text[i] - '0');
    return i == 0 || text[i] != '\0' || port > UINT16_MAX ? -1 : port;
}

static int parse_tcp(const char *text, const char *address, struct endpoint *e,
                     struct failure *failure)
{
    const char *colon = strrchr(address, ':');
    int port = colon ? parse_port(colon + 1) : -1;
    if (port < 0)
        return failure_set(failure, ERR_INVALID, "'%s' needs a port: tcp://HOST:PORT", text);
    size_t size = (size_t)(colon - address);
    bool bracketed = size > 2 && address[0] == '[' && address[size - 1] == ']';
    if (size == 0 || size > ENDPOINT_HOST_MAX || memchr(address, '/', size) ||
        memchr(address, ';', size) || (!bracketed && memchr(address, ':', size)))
        return failure_set(failure, ERR_INVALID,
                           "'%s' has no usable host (IPv6 addresses go in brackets)", text);
    e->kind = ENDPOINT_TCP;
    e->port = (uint16_t)port;
    memcpy(e->host, address, size);
    e->host[size] = '\0';
    return ERR_OK;
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct failure *failure)
{
    struct endpoint e = {0};
    int err;
    if (strncmp(text, ipc_scheme, sizeof ipc_scheme - 1) == 0)
        err = parse_ipc(text, text + sizeof ipc_scheme - 1, &e, failure);
    else if (strncmp(text, tcp_scheme, sizeof tcp_scheme - 1) == 0)
        err = parse_tcp(text, text + sizeof tcp_scheme - 1, &e, failure);
    else
        err = failure_set(failure, ERR_INVALID,
                          "'%s' is not an endpoint: ipc:///PATH or tcp://HOST:PORT", text);
    if (err == ERR_OK)
        *ret_endpoint = e;
    return err;
}

void endpoint_format(const struct endpoint *e, char out[ENDPOINT_SIZE])
{
    if (e->kind == ENDPOINT_IPC)
        snprintf(out, ENDPOINT_SIZE, "%s%s%s", ipc_scheme, e->path, e->suffix);
    else
        snprintf(out, ENDPOINT_SIZE, "%s%s:%u", tcp_scheme, e->host, (unsigned)e->port);
}

bool endpoint_is_local(const struct endpoint *e)
{
    if (e->kind == ENDPOINT_IPC)
        return true;
    if (strcmp(e->host, "localhost") == 0 || strcmp(e->host, "[::1]") == 0)
        return true;
    /* Digits and dots alone: 127.example.org is anybody's. */
    return strncmp(e->host, "127.", 4) == 0 && strspn(e->host, "0123456789.") == strlen(e->host);
}

static bool suffix_valid(struct bytes suffix)
{
    if (suffix.size == 0 || suffix.size > ENDPOINT_SUFFIX_MAX)
        return false;
    return !memchr(suffix.data, '/', suffix.size) && !memchr(suffix.data, '\0', suffix.size);
}

/* The role's port in the row of e's port, or the one that follows by rule; 0 if there is none. */
static uint16_t derive_port(const struct endpoint *e, enum endpoint_role role,
                            const struct reply_hello *hello)
{
    struct wire_reader r = wire_reader_of(hello->ports.data, hello->ports.size);
    uint16_t rows = wire_read_u16(&r);
    for (uint16_t i = 0; i < rows && !r.failed; i++) {
        uint16_t ports[3];
        for (size_t k = 0; k < 3; k++)
            ports[k] = wire_read_u16(&r);
        if (!r.failed && ports[0] == e->port)
            return ports[role];
    }
    unsigned port = (unsigned)e->port + (unsigned)role;
    return r.failed || port > UINT16_MAX ? 0 : (uint16_t)port;
}

int endpoint_derive(const struct endpoint *e, enum endpoint_role role,
                    const struct reply_hello *hello, struct endpoint *ret_derived)
{
    struct endpoint derived = *e;
    struct bytes suffix = role == ENDPOINT_STREAM ? hello->stream_suffix : hello->replay_suffix;
    if (role != ENDPOINT_REQUEST && e->kind == ENDPOINT_IPC) {
        if (!suffix_valid(suffix))
            return ERR_MALFORMED;
        memcpy(derived.suffix, suffix.data, suffix.size);
        derived.suffix[suffix.size] = '\0';
    } else if (role != ENDPOINT_REQUEST) {
        derived.port = derive_port(e, role, hello);
        if (derived.port == 0)
            return ERR_MALFORMED;
    }
    *ret_derived = derived;
    return ERR_OK;
}

bool endpoint_default(const char *runtime_dir, unsigned long uid, char out[ENDPOINT_SIZE])
{
    static const char name[] = "/vigil.sock";
    size_t size = runtime_dir ? strlen(runtime_dir) : 0;
    while (size > 1 && runtime_dir[size - 1] == '/')
        size--;
    bool usable = size > 1 && runtime_dir[0] == '/' && size + sizeof name - 1 <= ENDPOINT_PATH_MAX;
    if (usable)
        snprintf(out, ENDPOINT_SIZE, "%s%.*s%s", ipc_scheme, (int)size, runtime_dir, name);
    else
        snprintf(out, ENDPOINT_SIZE, "%s/tmp/vigil-%lu%s", ipc_scheme, uid, name);
    return !usable;
}
