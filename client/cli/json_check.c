/*
 * json_check.c - a walk over the tokens of a JSON text. Touches each byte a
 * constant number of times, allocates nothing. Any thread.
 */
#include "client/cli/json_check.h"

#include "protocol/key.h"

struct check {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    struct failure *failure;
};

static int refuse(const struct check *c, const char *what)
{
    return failure_set(c->failure, ERR_BAD_VALUE, "no valid JSON at byte %zu: %s",
                       (size_t)(c->at - c->start) + 1, what);
}

static int peek(const struct check *c)
{
    return c->at < c->end ? *c->at : -1;
}

static bool is_digit(int character)
{
    return character >= '0' && character <= '9';
}

static bool is_space(int character)
{
    return character == ' ' || character == '\t' || character == '\n' || character == '\r';
}

/* The four digits of a \u escape, which *at is at. -1 if they are not there. */
static int read_hex4(struct check *c)
{
    int value = 0;

    if (c->end - c->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int character = c->at[i];
        int lower = character | 0x20;
        if (is_digit(character))
            value = value * 16 + character - '0';
        else if (lower >= 'a' && lower <= 'f')
            value = value * 16 + lower - 'a' + 10;
        else
            return -1;
    }
    c->at += 4;
    return value;
}

/* Behind the backslash. */
static int check_escape(struct check *c, bool *has_nul)
{
    int character = peek(c);

    if (character < 0 || strchr("\"\\/bfnrtu", character) == NULL || character == 0)
        return refuse(c, "unknown escape");
    c->at++;
    if (character != 'u')
        return ERR_OK;

    int unit = read_hex4(c);
    if (unit < 0)
        return refuse(c, "\\u needs four hexadecimal digits");
    if (unit == 0)
        *has_nul = true;
    if (unit < 0xd800 || unit > 0xdfff)
        return ERR_OK;
    if (unit <= 0xdbff && c->end - c->at >= 6 && c->at[0] == '\\' && c->at[1] == 'u') {
        c->at += 2;
        int low = read_hex4(c);
        if (low >= 0xdc00 && low <= 0xdfff)
            return ERR_OK;
    }
    return refuse(c, "half of a surrogate pair");
}

/* At the opening quote. */
static int check_string(struct check *c)
{
    bool has_nul = false;

    for (c->at++;;) {
        while (c->at < c->end && *c->at != '"' && *c->at != '\\' && *c->at >= 0x20)
            c->at++;
        int character = peek(c);
        if (character < 0)
            return refuse(c, "a string does not end");
        if (character < 0x20)
            return refuse(c, "a control character within a string; write it as an escape");
        c->at++;
        if (character == '"')
            break;
        int err = check_escape(c, &has_nul);
        if (err != ERR_OK)
            return err;
    }
    if (has_nul) {
        const uint8_t *next = c->at;
        while (next < c->end && is_space(*next))
            next++;
        if (next < c->end && *next == ':')
            return refuse(c, "a name with \\u0000; write the object as {\"$map\":[[name,value]]}");
    }
    return ERR_OK;
}

/* Integers have to fit 64 bits: -2^63 to 2^64-1. */
static int check_integer_range(struct check *c, const uint8_t *digits, bool negative)
{
    uint64_t limit = negative ? UINT64_C(1) << 63 : UINT64_MAX;
    uint64_t value = 0;

    for (const uint8_t *p = digits; p < c->at; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (limit - digit) / 10) {
            c->at = digits;
            return refuse(c, "an integer beyond 64 bits; write it as a string, or with a decimal "
                             "point or an exponent if it may be rounded");
        }
        value = value * 10 + digit;
    }
    return ERR_OK;
}

static bool skip_digits(struct check *c)
{
    if (!is_digit(peek(c)))
        return false;
    while (is_digit(peek(c)))
        c->at++;
    return true;
}

static int check_number(struct check *c)
{
    bool negative = peek(c) == '-';
    bool integer = true;

    if (negative)
        c->at++;
    const uint8_t *digits = c->at;
    if (peek(c) == '0') {
        c->at++;
        if (is_digit(peek(c)))
            return refuse(c, "a number with a leading zero");
    } else if (!skip_digits(c)) {
        return refuse(c, "a number without digits");
    }
    if (peek(c) == '.') {
        integer = false;
        c->at++;
        if (!skip_digits(c))
            return refuse(c, "a decimal point without digits behind it");
    }
    if (peek(c) == 'e' || peek(c) == 'E') {
        integer = false;
        c->at++;
        if (peek(c) == '+' || peek(c) == '-')
            c->at++;
        if (!skip_digits(c))
            return refuse(c, "an exponent without digits");
    }
    return integer ? check_integer_range(c, digits, negative) : ERR_OK;
}

static int check_word(struct check *c)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t size = strlen(words[i]);
        if ((size_t)(c->end - c->at) >= size && memcmp(c->at, words[i], size) == 0) {
            c->at += size;
            return ERR_OK;
        }
    }
    return refuse(c, "a string needs double quotes around it");
}

int json_check(struct bytes text, struct failure *failure)
{
    struct check c = {text.data, text.data, text.data + text.size, failure};

    if (!utf8_valid(text))
        return failure_set(failure, ERR_BAD_VALUE, "no valid JSON: it is not UTF-8");
    while (c.at < c.end) {
        int character = *c.at;
        int err = ERR_OK;
        if (character == '"')
            err = check_string(&c);
        else if (character == '-' || is_digit(character))
            err = check_number(&c);
        else if (is_space(character) || (character != 0 && strchr("{}[]:,", character) != NULL))
            c.at++;
        else
            err = check_word(&c);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}
