#define _GNU_SOURCE
/* evidence_words.c - see evidence_words.h. */
#include "tests/torture/evidence_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/evidence_lines.h"
#include "tests/torture/history.h"

char *words_next(struct words *w)
{
    static char nothing[] = "";
    char *found = w->rest ? strsep(&w->rest, " ") : NULL;
    if (!found || !*found) {
        w->failed = true;
        return nothing;
    }
    return found;
}

uint64_t words_number(struct words *w)
{
    char *end;
    const char *text = words_next(w);
    uint64_t result = strtoull(text, &end, 10); /* of a negative one: its two's complement */
    if (*end || end == text)
        w->failed = true;
    return result;
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

static struct shown shown_bytes(struct words *w, struct evidence *e, const char *hex)
{
    struct shown s = {.at = e->bytes.count};
    for (; *hex && !w->failed; hex += 2) {
        int high = digit(hex[0]);
        int low = high < 0 ? -1 : digit(hex[1]);
        if (low < 0)
            w->failed = true;
        else
            *LIST_ADD(&e->bytes) = (uint8_t)(high * 16 + low);
    }
    s.size = e->bytes.count - s.at;
    return s;
}

uint64_t words_mark(struct words *w)
{
    char *text = words_next(w);
    text[strcspn(text, ":")] = '\0';
    if (strcmp(text, "-") == 0)
        return 0;
    struct words one = {text, false};
    uint64_t result = words_number(&one);
    w->failed |= one.failed;
    return result;
}

uint64_t words_value(struct words *w, struct evidence *e, struct shown *ret_shown)
{
    *ret_shown = (struct shown){0};
    const char *hex = w->rest ? w->rest + strcspn(w->rest, " :") : "";
    char bytes[2 * VALUE_SHOWN_MAX + 1] = "";
    if (*hex == ':')
        (void)snprintf(bytes, sizeof bytes, "%.*s", (int)strcspn(hex + 1, " "), hex + 1);
    uint64_t result = words_mark(w);
    *ret_shown = shown_bytes(w, e, bytes);
    return result;
}

uint32_t words_key(struct words *w, struct evidence *e)
{
    char *text = words_next(w);
    return w->failed ? 0 : evidence_key(e, text);
}

uint32_t evidence_source(const struct evidence *e)
{
    return (uint32_t)e->sources.count - 1;
}

static bool same_filter(const struct seen_filter *a, const struct seen_filter *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->patterns[i], b->patterns[i]) != 0)
            return false;
    }
    return true;
}

uint32_t words_filter(struct words *w, struct evidence *e, size_t count)
{
    struct seen_filter f = {.count = count};
    if (count == 0 || count > PATTERNS_MAX) {
        w->failed = true;
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        f.patterns[i] = words_next(w);
    for (uint32_t i = 0; i < e->filters.count; i++) {
        if (same_filter(&e->filters.items[i], &f))
            return i;
    }
    for (size_t i = 0; i < count; i++)
        f.patterns[i] = strdup(f.patterns[i]);
    *LIST_ADD(&e->filters) = f;
    return (uint32_t)e->filters.count - 1;
}

struct seen_record words_record(struct words *w, struct evidence *e)
{
    struct seen_record r = {.first = e->changes.count};
    r.seq = words_number(w);
    r.time_us = words_number(w);
    r.session = words_number(w);
    r.number = words_number(w);
    r.parts = (uint16_t)words_number(w);
    r.count = (uint16_t)words_number(w);
    for (uint16_t i = 0; i < r.count && !w->failed; i++) {
        struct seen_change c = {0};
        c.op = (uint8_t)words_number(w);
        c.part = (uint16_t)words_number(w);
        c.key = words_key(w, e);
        c.prev_seq = words_number(w);
        c.mark = words_value(w, e, &c.shown);
        *LIST_ADD(&e->changes) = c;
    }
    return r;
}

size_t words_place(struct words *w, const char *const *names, size_t count)
{
    const char *name = words_next(w);
    size_t place = 0;
    while (place < count && strcmp(names[place], name) != 0)
        place++;
    return place;
}
