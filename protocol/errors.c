/* errors.c - names and sentences of the error list. */
#include "protocol/errors.h"

const char *error_name(int code)
{
    switch (code) {
#define ERROR_CASE(number, name, text) \
    case number:                       \
        return #name;
        ERROR_LIST(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "UNKNOWN";
    }
}

const char *error_text(int code)
{
    switch (code) {
#define ERROR_CASE(number, name, text) \
    case number:                       \
        return text;
        ERROR_LIST(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "unknown error";
    }
}
