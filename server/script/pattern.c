/* pattern.c - see pattern.h: a backtracking matcher that counts what it does. */
#include "server/script/pattern.h"

#include <ctype.h>
#include <stdio.h>

static const size_t NO_MATCH = SIZE_MAX;

static size_t match(struct pattern_match *m, size_t s, size_t p);

/* ---- outcome and work ---- */

static bool is_over(const struct pattern_match *m)
{
    return m->is_stopped || m->error[0] != '\0';
}

static size_t invalid(struct pattern_match *m, const char *text)
{
    if (!is_over(m))
        (void)snprintf(m->error, sizeof m->error, "%s", text);
    return NO_MATCH;
}

static size_t invalid_capture(struct pattern_match *m, int index)
{
    if (!is_over(m))
        (void)snprintf(m->error, sizeof m->error, "invalid capture index %%%d", index);
    return NO_MATCH;
}

static void work(struct pattern_match *m, size_t amount)
{
    m->steps += amount < UINT32_MAX / 2 ? (uint32_t)amount : UINT32_MAX / 2;
    if (m->steps < PATTERN_STEPS_AT_ONCE)
        return;
    if (m->spend && !m->spend(m->context, m->steps))
        m->is_stopped = true;
    m->steps = 0;
}

/* ---- one character ---- */

/* Beyond the end of a subject or a pattern there is a NUL, to whoever looks a character ahead. */
static uint8_t subject_at(const struct pattern_match *m, size_t s)
{
    return s < m->subject.size ? m->subject.data[s] : 0;
}

static uint8_t pattern_at(const struct pattern_match *m, size_t p)
{
    return p < m->pattern.size ? m->pattern.data[p] : 0;
}

static bool is_of_class(int c, int class)
{
    bool is;
    switch (tolower(class)) {
    case 'a':
        is = isalpha(c) != 0;
        break;
    case 'c':
        is = iscntrl(c) != 0;
        break;
    case 'd':
        is = isdigit(c) != 0;
        break;
    case 'g':
        is = isgraph(c) != 0;
        break;
    case 'l':
        is = islower(c) != 0;
        break;
    case 'p':
        is = ispunct(c) != 0;
        break;
    case 's':
        is = isspace(c) != 0;
        break;
    case 'u':
        is = isupper(c) != 0;
        break;
    case 'w':
        is = isalnum(c) != 0;
        break;
    case 'x':
        is = isxdigit(c) != 0;
        break;
    case 'z': /* no longer in the manual, but in Lua */
        is = c == 0;
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !is : is;
}

/* Where the single character class at p ends; the pattern's size + 1 if it does not. */
static size_t class_end(struct pattern_match *m, size_t p)
{
    size_t end = m->pattern.size;
    size_t begin = p;
    uint8_t first = pattern_at(m, p++);
    if (first == '%') {
        if (p < end)
            return p + 1;
        (void)invalid(m, "malformed pattern (ends with '%')");
        return end + 1;
    }
    if (first != '[')
        return p;
    if (pattern_at(m, p) == '^')
        p++;
    do { /* a ']' that comes first stands for itself */
        if (p >= end) {
            (void)invalid(m, "malformed pattern (missing ']')");
            return end + 1;
        }
        if (pattern_at(m, p++) == '%')
            p++;
    } while (p >= end || m->pattern.data[p] != ']');
    work(m, (p - begin) / 8);
    return p + 1;
}

/* p: at the '[', last: at its ']'. */
static bool is_in_set(struct pattern_match *m, int c, size_t p, size_t last)
{
    bool wanted = true;
    const uint8_t *set = m->pattern.data;
    work(m, (last - p) / 8);
    if (set[p + 1] == '^') {
        wanted = false;
        p++;
    }
    while (++p < last) {
        if (set[p] == '%') {
            p++;
            if (is_of_class(c, set[p]))
                return wanted;
        } else if (set[p + 1] == '-' && p + 2 < last) {
            p += 2;
            if (set[p - 2] <= c && c <= set[p])
                return wanted;
        } else if (set[p] == c) {
            return wanted;
        }
    }
    return !wanted;
}

/* Whether the character at s is of the class from p to end. */
static bool matches_one(struct pattern_match *m, size_t s, size_t p, size_t end)
{
    work(m, 1);
    if (s >= m->subject.size || m->is_stopped)
        return false;
    uint8_t c = m->subject.data[s];
    switch (m->pattern.data[p]) {
    case '.':
        return true;
    case '%':
        return is_of_class(c, m->pattern.data[p + 1]);
    case '[':
        return is_in_set(m, c, p, end - 1);
    default:
        return m->pattern.data[p] == c;
    }
}

/* ---- repetitions ---- */

static size_t match_longest(struct pattern_match *m, size_t s, size_t p, size_t end)
{
    size_t count = 0;
    while (matches_one(m, s + count, p, end))
        count++;
    for (;;) {
        size_t found = match(m, s + count, end + 1);
        if (found != NO_MATCH || is_over(m))
            return found;
        if (count == 0)
            return NO_MATCH;
        count--;
    }
}

static size_t match_shortest(struct pattern_match *m, size_t s, size_t p, size_t end)
{
    for (;;) {
        size_t found = match(m, s, end + 1);
        if (found != NO_MATCH || is_over(m))
            return found;
        if (!matches_one(m, s, p, end))
            return NO_MATCH;
        s++;
    }
}

/* ---- captures ---- */

static size_t start_capture(struct pattern_match *m, size_t s, size_t p,
                            enum pattern_capture_kind kind)
{
    if (m->capture_count >= PATTERN_CAPTURES_MAX)
        return invalid(m, "too many captures");
    m->captures[m->capture_count++] = (struct pattern_capture){.kind = kind, .start = s};
    size_t found = match(m, s, p);
    if (found == NO_MATCH)
        m->capture_count--;
    return found;
}

static size_t end_capture(struct pattern_match *m, size_t s, size_t p)
{
    unsigned i = m->capture_count;
    while (i > 0 && m->captures[i - 1].kind != CAPTURE_OPEN)
        i--;
    if (i == 0)
        return invalid(m, "invalid pattern capture");
    struct pattern_capture *c = &m->captures[i - 1];
    c->kind = CAPTURE_CLOSED;
    c->size = s - c->start;
    size_t found = match(m, s, p);
    if (found == NO_MATCH)
        c->kind = CAPTURE_OPEN;
    return found;
}

/* Behind what the capture with this digit had matched, if that comes again. */
static size_t match_again(struct pattern_match *m, size_t s, int digit)
{
    int index = digit - '1';
    if (index < 0 || (unsigned)index >= m->capture_count || m->captures[index].kind == CAPTURE_OPEN)
        return invalid_capture(m, index + 1);
    const struct pattern_capture *c = &m->captures[index];
    if (c->kind == CAPTURE_POSITION || m->subject.size - s < c->size)
        return NO_MATCH;
    work(m, c->size / 8 + 1);
    if (c->size > 0 && memcmp(m->subject.data + c->start, m->subject.data + s, c->size) != 0)
        return NO_MATCH;
    return s + c->size;
}

/* ---- %b and %f ---- */

/* p: at the two characters. Behind the closing one. */
static size_t match_balanced(struct pattern_match *m, size_t s, size_t p)
{
    if (p + 1 >= m->pattern.size)
        return invalid(m, "malformed pattern (missing arguments to '%b')");
    uint8_t opening = m->pattern.data[p];
    uint8_t closing = m->pattern.data[p + 1];
    if (s >= m->subject.size || m->subject.data[s] != opening)
        return NO_MATCH;
    size_t open = 1;
    while (++s < m->subject.size && !m->is_stopped) {
        work(m, 1);
        if (m->subject.data[s] == closing) {
            if (--open == 0)
                return s + 1;
        } else if (m->subject.data[s] == opening) {
            open++;
        }
    }
    return NO_MATCH;
}

/* p: at the set. Whether s is where it begins to hold. */
static bool is_frontier(struct pattern_match *m, size_t s, size_t p, size_t *ret_end)
{
    if (pattern_at(m, p) != '[') {
        (void)invalid(m, "missing '[' after '%f' in pattern");
        return false;
    }
    size_t end = class_end(m, p);
    if (is_over(m))
        return false;
    *ret_end = end;
    int before = s == 0 ? 0 : m->subject.data[s - 1];
    return !is_in_set(m, before, p, end - 1) && is_in_set(m, subject_at(m, s), p, end - 1);
}

/* ---- the matcher ---- */

enum progress { GOES_ON, IS_DECIDED };

/* A single character class with what follows it. */
static enum progress match_class(struct pattern_match *m, size_t *s, size_t *p, size_t *found)
{
    size_t end = class_end(m, *p);
    *found = NO_MATCH;
    if (is_over(m))
        return IS_DECIDED;
    uint8_t suffix = pattern_at(m, end);
    bool matches = matches_one(m, *s, *p, end);
    if (!matches && suffix != '*' && suffix != '?' && suffix != '-')
        return IS_DECIDED;
    switch (suffix) {
    case '?':
        if (matches)
            *found = match(m, *s + 1, end + 1);
        if (*found != NO_MATCH || is_over(m))
            return IS_DECIDED;
        *p = end + 1;
        return GOES_ON;
    case '+':
        *found = match_longest(m, *s + 1, *p, end);
        return IS_DECIDED;
    case '*':
        *found = match_longest(m, *s, *p, end);
        return IS_DECIDED;
    case '-':
        *found = match_shortest(m, *s, *p, end);
        return IS_DECIDED;
    default:
        (*s)++;
        *p = end;
        return GOES_ON;
    }
}

/* What begins with a '%'. */
static enum progress match_escape(struct pattern_match *m, size_t *s, size_t *p, size_t *found)
{
    uint8_t c = pattern_at(m, *p + 1);
    *found = NO_MATCH;
    if (c == 'b') {
        *s = match_balanced(m, *s, *p + 2);
        *p += 4;
        return *s == NO_MATCH ? IS_DECIDED : GOES_ON;
    }
    if (c == 'f')
        return is_frontier(m, *s, *p + 2, p) ? GOES_ON : IS_DECIDED;
    if (isdigit(c)) {
        *s = match_again(m, *s, c);
        *p += 2;
        return *s == NO_MATCH ? IS_DECIDED : GOES_ON;
    }
    return match_class(m, s, p, found);
}

static size_t match(struct pattern_match *m, size_t s, size_t p)
{
    if (m->depth == PATTERN_DEPTH_MAX)
        return invalid(m, "pattern too complex");
    m->depth++;
    enum progress progress = GOES_ON;
    size_t found = NO_MATCH;
    while (progress == GOES_ON) {
        work(m, 1);
        if (is_over(m))
            break;
        if (p >= m->pattern.size) {
            found = s;
            break;
        }
        uint8_t c = m->pattern.data[p];
        if (c == '(') {
            bool is_position = pattern_at(m, p + 1) == ')';
            found = start_capture(m, s, p + 1 + is_position,
                                  is_position ? CAPTURE_POSITION : CAPTURE_OPEN);
            break;
        }
        if (c == ')') {
            found = end_capture(m, s, p + 1);
            break;
        }
        if (c == '$' && p + 1 == m->pattern.size) {
            found = s == m->subject.size ? s : NO_MATCH;
            break;
        }
        progress = c == '%' ? match_escape(m, &s, &p, &found) : match_class(m, &s, &p, &found);
    }
    m->depth--;
    return is_over(m) ? NO_MATCH : found;
}

/* ---- from outside ---- */

enum pattern_result pattern_match_at(struct pattern_match *m, size_t at, size_t *ret_end)
{
    m->capture_count = 0;
    m->depth = 0;
    m->is_stopped = false;
    m->error[0] = '\0';
    size_t end = match(m, at, 0);
    if (m->is_stopped)
        return PATTERN_STOPPED;
    if (m->error[0] != '\0')
        return PATTERN_INVALID;
    if (end == NO_MATCH)
        return PATTERN_NONE;
    *ret_end = end;
    return PATTERN_FOUND;
}

bool pattern_is_plain(struct bytes pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (pattern.data[i] != 0 && strchr("^$*+?.([%-", pattern.data[i]))
            return false;
    }
    return true;
}
