/* filter.c - the canonical set of patterns, and its test against a key. */
#include "protocol/filter.h"

#include "protocol/errors.h"
#include "protocol/key.h"

static bool starts_with(struct bytes text, struct bytes prefix)
{
    return text.size >= prefix.size &&
           (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

static bool pattern_match(const struct pattern *p, struct bytes key)
{
    return p->kind == PATTERN_PREFIX ? starts_with(key, p->text) : bytes_equal(key, p->text);
}

static bool pattern_covers(const struct pattern *a, const struct pattern *b)
{
    return a->kind == PATTERN_PREFIX ? starts_with(b->text, a->text)
                                     : b->kind == PATTERN_EXACT && bytes_equal(a->text, b->text);
}

static int pattern_compare(const struct pattern *a, const struct pattern *b)
{
    int order = bytes_compare(a->text, b->text);
    return order != 0 ? order : (int)a->kind - (int)b->kind;
}

static int pattern_check(const struct pattern *p)
{
    switch (p->kind) {
    case PATTERN_EXACT:
        return key_valid(p->text) ? ERR_OK : ERR_BAD_KEY;
    case PATTERN_PREFIX:
        return prefix_valid(p->text) ? ERR_OK : ERR_BAD_KEY;
    default:
        return ERR_INVALID;
    }
}

int filter_init(struct filter *f, const struct pattern *patterns, size_t n)
{
    const struct pattern *sorted[LIMIT_FILTER_PATTERNS];
    if (n == 0)
        return ERR_INVALID;
    if (n > LIMIT_FILTER_PATTERNS)
        return ERR_LIMIT;
    for (size_t i = 0; i < n; i++) {
        int err = pattern_check(&patterns[i]);
        if (err)
            return err;
        size_t place = i;
        for (; place > 0 && pattern_compare(sorted[place - 1], &patterns[i]) > 0; place--)
            sorted[place] = sorted[place - 1];
        sorted[place] = &patterns[i];
    }

    /* Whatever a prefix covers follows it directly, but for the exact pattern of
     * the same text, which stands before it. */
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && pattern_covers(sorted[kept - 1], sorted[i]))
            continue;
        if (kept > 0 && pattern_covers(sorted[i], sorted[kept - 1]))
            kept--;
        sorted[kept++] = sorted[i];
    }

    uint8_t *storage = f->storage;
    f->count = kept;
    for (size_t i = 0; i < kept; i++) {
        struct bytes text = sorted[i]->text;
        if (text.size > 0)
            memcpy(storage, text.data, text.size);
        f->patterns[i] = (struct pattern){sorted[i]->kind, {storage, text.size}};
        storage += text.size;
    }
    return ERR_OK;
}

bool filter_match(const struct filter *f, struct bytes key)
{
    for (size_t i = 0; i < f->count; i++) {
        if (pattern_match(&f->patterns[i], key))
            return true;
    }
    return false;
}

void filter_write(struct wire_buffer *b, const struct filter *f)
{
    wire_write_u16(b, (uint16_t)f->count);
    for (size_t i = 0; i < f->count; i++) {
        wire_write_u8(b, f->patterns[i].kind);
        wire_write_bytes16(b, f->patterns[i].text);
    }
}

int filter_read(struct wire_reader *r, struct filter *f)
{
    struct pattern patterns[LIMIT_FILTER_PATTERNS];
    uint16_t count = wire_read_u16(r);
    if (r->failed)
        return ERR_MALFORMED;
    if (count > LIMIT_FILTER_PATTERNS)
        return ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        patterns[i].kind = wire_read_u8(r);
        patterns[i].text = wire_read_bytes16(r);
    }
    return r->failed ? ERR_MALFORMED : filter_init(f, patterns, count);
}
