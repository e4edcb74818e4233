/*
 * redis_command.c - operations in Redis's protocol; see redis.h. Written by hand,
 * as redis-benchmark does it, so that the load generator costs little: hiredis
 * would parse a format for each.
 */
#include "bench/peers/redis.h"

#include <stdlib.h>
#include <string.h>

/* What there is of a command beside its values, at most: keys, lengths, words. */
enum { FRAME_SIZE = 512, DIGITS_MAX = 20 };

int redis_command_open(struct redis_command *c, size_t value_size, struct failure *failure)
{
    c->bytes = malloc(FRAME_SIZE + 2 * value_size);
    if (!c->bytes) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    return ERR_OK;
}

void redis_command_close(struct redis_command *c)
{
    free(c->bytes);
    c->bytes = NULL;
}

uint32_t redis_command_replies(enum redis_kind kind)
{
    /* Each command has one; those of a transaction are MULTI, the two that are queued, EXEC. SET and
     * PUBLISH do without, though a crash between them loses what was published: a MULTI takes a
     * fifth of Redis's throughput, and its channels may lose a change anyway. */
    return kind == REDIS_SET_XADD ? 4 : kind == REDIS_SET_PUBLISH ? 2 : 1;
}

static void add_bytes(struct redis_command *c, const void *bytes, size_t size)
{
    memcpy(c->bytes + c->size, bytes, size);
    c->size += size;
}

static void add_text(struct redis_command *c, const char *text)
{
    add_bytes(c, text, strlen(text));
}

static void add_bulk(struct redis_command *c, const void *bytes, size_t size)
{
    char digits[DIGITS_MAX];
    size_t first = sizeof digits;
    size_t rest = size;
    do {
        digits[--first] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    add_text(c, "$");
    add_bytes(c, digits + first, sizeof digits - first);
    add_text(c, "\r\n");
    add_bytes(c, bytes, size);
    add_text(c, "\r\n");
}

/* words: the command's beginning as it is sent. */
static void add_command(struct redis_command *c, const char *words, const char *key,
                        const void *value, size_t value_size)
{
    add_text(c, words);
    add_bulk(c, key, strlen(key));
    if (value) {
        add_bulk(c, value, value_size);
    }
}

void redis_command_encode(struct redis_command *c, enum redis_kind kind, const char *key,
                          const void *value, size_t value_size)
{
    static const char multi[] = "*1\r\n$5\r\nMULTI\r\n";
    static const char exec[] = "*1\r\n$4\r\nEXEC\r\n";
    static const char set[] = "*3\r\n$3\r\nSET\r\n";
    static const char publish[] = "*3\r\n$7\r\nPUBLISH\r\n";
    static const char xadd[] = "*5\r\n$4\r\nXADD\r\n$6\r\n" REDIS_STREAM "\r\n$1\r\n*\r\n";
    bool is_transaction = kind == REDIS_SET_XADD;
    c->size = 0;
    if (is_transaction) {
        add_text(c, multi);
    }
    if (kind == REDIS_SET || kind == REDIS_SET_PUBLISH || kind == REDIS_SET_XADD) {
        add_command(c, set, key, value, value_size);
    }
    if (kind == REDIS_PUBLISH || kind == REDIS_SET_PUBLISH) {
        add_command(c, publish, key, value, value_size);
    } else if (kind == REDIS_XADD || kind == REDIS_SET_XADD) {
        add_command(c, xadd, key, value, value_size);
    } else if (kind == REDIS_INCR) {
        add_command(c, "*2\r\n$4\r\nINCR\r\n", key, NULL, 0);
    } else if (kind == REDIS_GET) {
        add_command(c, "*2\r\n$3\r\nGET\r\n", key, NULL, 0);
    }
    if (is_transaction) {
        add_text(c, exec);
    }
}
