/*
 * json_check.h - the lexical rules of JSON (RFC 8259), for what json-c lets pass.
 *
 * json-c takes NaN, "1." and raw control characters for JSON, saturates integers
 * that do not fit, replaces lone surrogates, and cuts names at \u0000. Each of
 * these would store something else than was written, so each is an error here.
 * What the tokens form together is left to json-c.
 */
#ifndef VIGIL_CLI_JSON_CHECK_H
#define VIGIL_CLI_JSON_CHECK_H

#include "protocol/failure.h"
#include "protocol/wire.h"

/* ERR_OK, or ERR_BAD_VALUE with a sentence that names the place. */
int json_check(struct bytes text, struct failure *failure);

#endif
