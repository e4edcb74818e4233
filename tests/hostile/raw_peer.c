#define _GNU_SOURCE
/* raw_peer.c - see raw_peer.h. */
#include "tests/hostile/raw_peer.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { GREETING_SIZE = 64, SIGNATURE_SIZE = 10, TIMEOUT_S = 10, COMMAND_MAX = 512 };

int raw_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

bool raw_send_bytes(int fd, const void *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR)
            return false;
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool receive_bytes(int fd, void *out, size_t size)
{
    size_t got = 0;
    while (got < size) {
        ssize_t n = recv(fd, (char *)out + got, size - got, 0);
        if (n == 0 || (n < 0 && errno != EINTR))
            return false;
        got += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static size_t add_property(uint8_t *out, const char *name, const void *value, uint8_t size)
{
    size_t name_size = strlen(name);
    out[0] = (uint8_t)name_size;
    memcpy(out + 1, name, name_size);
    memset(out + 1 + name_size, 0, 3);
    out[1 + name_size + 3] = size;
    if (size > 0)
        memcpy(out + 1 + name_size + 4, value, size);
    return 1 + name_size + 4 + size;
}

bool raw_handshake(int fd, const struct raw_hello *hello, enum raw_depth depth)
{
    uint8_t greeting[GREETING_SIZE] = {0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f};
    uint8_t command[COMMAND_MAX] = {RAW_FRAME_COMMAND, 0, 5, 'R', 'E', 'A', 'D', 'Y'};
    uint8_t theirs[GREETING_SIZE];
    size_t size = 8;
    greeting[SIGNATURE_SIZE] = hello->major ? hello->major : 3;
    memcpy(greeting + 12, "NULL", 4);
    size += add_property(command + size, "Socket-Type", hello->type, (uint8_t)strlen(hello->type));
    if (hello->identity)
        size += add_property(command + size, "Identity", hello->identity, hello->identity_size);
    command[1] = (uint8_t)(size - 2);
    if (depth == RAW_CONNECTED)
        return true;
    if (depth == RAW_SIGNATURE)
        return raw_send_bytes(fd, greeting, SIGNATURE_SIZE);
    if (!raw_send_bytes(fd, greeting, sizeof greeting) || depth == RAW_GREETING)
        return depth == RAW_GREETING;
    if (depth == RAW_HALF_READY)
        return raw_send_bytes(fd, command, size / 2);
    return raw_send_bytes(fd, command, size) && receive_bytes(fd, theirs, sizeof theirs) &&
           raw_receive_frame(fd, theirs, 6) > 0 && memcmp(theirs, "\5READY", 6) == 0;
}

int raw_open(const char *path, const char *type)
{
    struct raw_hello hello = {.type = type};
    int fd = raw_connect(path);
    if (fd >= 0 && raw_handshake(fd, &hello, RAW_READY))
        return fd;
    raw_close(fd);
    return -1;
}

size_t raw_frame_header(uint8_t *out, uint8_t flags, size_t size)
{
    if (size < 256) {
        out[0] = flags;
        out[1] = (uint8_t)size;
        return 2;
    }
    out[0] = (uint8_t)(flags | 2);
    for (int i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)((uint64_t)size >> (56 - 8 * i));
    return 9;
}

bool raw_send_frame(int fd, uint8_t flags, const void *data, size_t size)
{
    uint8_t header[9];
    size_t header_size = raw_frame_header(header, flags, size);
    return raw_send_bytes(fd, header, header_size) && raw_send_bytes(fd, data, size);
}

int64_t raw_receive_frame(int fd, void *out, size_t capacity)
{
    uint8_t header[9];
    uint64_t size = 0;
    if (!receive_bytes(fd, header, 2))
        return -1;
    bool is_long = (header[0] & 2) != 0;
    if (is_long && !receive_bytes(fd, header + 2, 7))
        return -1;
    for (int i = 0; i < (is_long ? 8 : 1); i++)
        size = size << 8 | header[1 + i];
    uint8_t rest[4096];
    size_t kept = size < capacity ? (size_t)size : capacity;
    if (!receive_bytes(fd, out, kept))
        return -1;
    for (uint64_t left = size - kept; left > 0;) {
        size_t part = left < sizeof rest ? (size_t)left : sizeof rest;
        if (!receive_bytes(fd, rest, part))
            return -1;
        left -= part;
    }
    return (int64_t)size;
}

bool raw_ended(int fd, int timeout_ms)
{
    uint8_t rest[4096];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t end_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + timeout_ms;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left_ms = end_ms - ((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (left_ms < 0 || poll(&wait, 1, (int)left_ms) == 0)
            return false;
        if (recv(fd, rest, sizeof rest, MSG_DONTWAIT) <= 0 && errno != EAGAIN)
            return true;
    }
}

void raw_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
