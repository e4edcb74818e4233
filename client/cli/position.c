/* position.c - see position.h. No state: any thread. */
#include "client/cli/position.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool position_parse_u64(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

static bool parse_epoch(const char *text, size_t size, uint64_t *ret_epoch)
{
    uint64_t epoch = 0;

    if (size != 16)
        return false;
    for (size_t i = 0; i < size; i++) {
        int character = tolower((unsigned char)text[i]);
        if (!isxdigit(character))
            return false;
        epoch =
            epoch << 4 | (uint64_t)(isdigit(character) ? character - '0' : character - 'a' + 10);
    }
    *ret_epoch = epoch;
    return true;
}

bool position_parse(const char *text, vigil_position *ret_position)
{
    vigil_position position = {0, 0};
    const char *colon = strchr(text, ':');

    if (colon != NULL && !parse_epoch(text, (size_t)(colon - text), &position.epoch))
        return false;
    if (!position_parse_u64(colon != NULL ? colon + 1 : text, &position.seq))
        return false;
    *ret_position = position;
    return true;
}

bool position_parse_start(const char *text, struct start *ret_start)
{
    struct start start = {VIGIL_SINCE_POSITION, {0, 0}};

    if (strcmp(text, "now") == 0)
        start.since = VIGIL_SINCE_NOW;
    else if (strcmp(text, "oldest") == 0)
        start.since = VIGIL_SINCE_OLDEST;
    else if (!position_parse(text, &start.position))
        return false;
    *ret_start = start;
    return true;
}

void position_format(vigil_position position, char text[POSITION_TEXT_SIZE])
{
    snprintf(text, POSITION_TEXT_SIZE, "%016" PRIx64 ":%" PRIu64, position.epoch, position.seq);
}
