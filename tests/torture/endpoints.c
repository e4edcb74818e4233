#define _GNU_SOURCE
/* endpoints.c - see endpoints.h. */
#include "tests/torture/endpoints.h"

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_FIRST = 10000, PORT_LAST = 32000, ROW = 3, TRIES = 2000 };

static bool is_free(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool bound = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return bound;
}

/* The first of so many free ports in a row, or 0. Runs at the same time begin at different places. */
static unsigned find_row(unsigned count)
{
    unsigned port = PORT_FIRST + (unsigned)getpid() * 97 % (PORT_LAST - PORT_FIRST);
    for (unsigned tries = 0; tries < TRIES; tries++) {
        unsigned found = 0;
        if (port + count >= PORT_LAST)
            port = PORT_FIRST;
        while (found < count && is_free(port + found))
            found++;
        if (found == count)
            return port;
        port += found + 1;
    }
    return 0;
}

bool endpoints_find(struct endpoints *e, const struct plan *plan, const char *folder)
{
    unsigned port = find_row(ROW * (1 + PLAN_PROXIES));
    if (port == 0)
        return false;
    snprintf(e->server[PLAN_IPC], TORTURE_ENDPOINT_SIZE, "ipc://%s/sock", folder);
    snprintf(e->server[PLAN_TCP], TORTURE_ENDPOINT_SIZE, "tcp://127.0.0.1:%u", port);
    for (unsigned i = 0; i < PLAN_PROXIES; i++) {
        if (plan->proxies[i].front == PLAN_TCP)
            snprintf(e->proxies[i], TORTURE_ENDPOINT_SIZE, "tcp://127.0.0.1:%u",
                     port + ROW * (1 + i));
        else
            snprintf(e->proxies[i], TORTURE_ENDPOINT_SIZE, "ipc://%s/proxy%u", folder, i);
    }
    return true;
}
