/* error.c - the public names of the error list, held against protocol/errors.h. */
#include <vigil.h>

#include "protocol/errors.h"

#define ERROR_AGREES(number, name, text) \
    _Static_assert((int)VIGIL_##name == (number), "vigil.h disagrees about " #name);
ERROR_LIST(ERROR_AGREES)
#undef ERROR_AGREES

#ifndef VIGIL_VERSION_TEXT
#define VIGIL_VERSION_TEXT "0.1.0"
#endif

const char *vigil_error_name(int error)
{
    return error_name(error);
}

const char *vigil_error_text(int error)
{
    return error_text(error);
}

const char *vigil_version(void)
{
    return VIGIL_VERSION_TEXT;
}
