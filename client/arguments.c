/* arguments.c - checks what the application gives. */
#define _POSIX_C_SOURCE 200809L
#include "client/arguments.h"

#include <stdlib.h>

#include "protocol/key.h"
#include "protocol/value.h"

int arguments_key(struct vigil *v, const char *key, struct bytes *ret_key)
{
    struct bytes k = {(const uint8_t *)key, key ? strnlen(key, LIMIT_KEY_SIZE + 1) : 0};
    if (!key || !key_valid(k))
        return v ? connection_fail(v, ERR_BAD_KEY, NULL) : ERR_BAD_KEY;
    *ret_key = k;
    return ERR_OK;
}

int arguments_prefix(struct vigil *v, const char *prefix, struct bytes *ret_prefix)
{
    struct bytes p = {(const uint8_t *)prefix, prefix ? strnlen(prefix, LIMIT_KEY_SIZE + 1) : 0};
    if (p.size > LIMIT_KEY_SIZE || !prefix_valid(p))
        return v ? connection_fail(v, ERR_BAD_KEY, "a prefix has at most %d bytes of UTF-8",
                                   LIMIT_KEY_SIZE)
                 : ERR_BAD_KEY;
    *ret_prefix = p;
    return ERR_OK;
}

int arguments_cursor_name(struct vigil *v, const char *name, struct bytes *ret_name)
{
    struct bytes n = {(const uint8_t *)name, name ? strnlen(name, LIMIT_CURSOR_NAME + 1) : 0};
    if (!name || n.size > LIMIT_CURSOR_NAME || !key_valid(n))
        return connection_fail(v, ERR_BAD_KEY, "a cursor's name is 1 to %d bytes of UTF-8",
                               LIMIT_CURSOR_NAME);
    *ret_name = n;
    return ERR_OK;
}

int arguments_value(struct vigil *v, const void *value, size_t size, struct bytes *ret_value)
{
    struct bytes bytes = {value, size};
    if (size > v->value_size_max)
        return connection_fail(v, ERR_TOO_LARGE, "a value of %zu bytes; the server takes %u", size,
                               v->value_size_max);
    if (!value || !value_valid(bytes))
        return connection_fail(v, ERR_BAD_VALUE, NULL);
    *ret_value = bytes;
    return ERR_OK;
}

static struct pattern read_pattern(const char *text)
{
    size_t size = strnlen(text, LIMIT_KEY_SIZE + 2);
    bool prefix = size > 0 && text[size - 1] == '*';
    return (struct pattern){.kind = prefix ? PATTERN_PREFIX : PATTERN_EXACT,
                            .text = {(const uint8_t *)text, prefix ? size - 1 : size}};
}

int arguments_filter(struct vigil *v, const char *const *patterns, size_t count,
                     struct filter **ret_filter)
{
    struct pattern list[LIMIT_FILTER_PATTERNS] = {{.kind = PATTERN_PREFIX}};
    if (count > LIMIT_FILTER_PATTERNS)
        return connection_fail(v, ERR_LIMIT, "%zu patterns; %d are possible", count,
                               LIMIT_FILTER_PATTERNS);
    for (size_t i = 0; i < count; i++) {
        if (!patterns || !patterns[i])
            return connection_fail(v, ERR_INVALID, "pattern %zu is NULL", i + 1);
        list[i] = read_pattern(patterns[i]);
    }
    struct filter *f = malloc(sizeof *f);
    if (!f)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    int err = filter_init(f, list, count ? count : 1);
    if (err) {
        free(f);
        return connection_fail(v, err, "a pattern is not valid: %s", error_text(err));
    }
    *ret_filter = f;
    return ERR_OK;
}

size_t arguments_filter_size(const struct filter *f)
{
    size_t size = 2;
    for (size_t i = 0; i < f->count; i++)
        size += 3 + f->patterns[i].text.size;
    return size;
}
