/*
 * filter_jq.h - a jq expression as a condition on values.
 *
 * jq's numbers are 64-bit floats: integers beyond 2^53 are rounded before the
 * expression sees them.
 */
#ifndef VIGIL_CLI_FILTER_JQ_H
#define VIGIL_CLI_FILTER_JQ_H

#include "protocol/failure.h"
#include "protocol/wire.h"

/* A compiled expression. One thread at a time. */
struct filter_jq;

/* ERR_OK, ERR_INVALID with what jq says about the expression, ERR_NO_MEMORY. */
int filter_jq_new(const char *expression, struct filter_jq **ret_filter, struct failure *failure);
void filter_jq_free(struct filter_jq *f);
/* *ret_holds: one of the outputs for this value (NULL data: null) is neither false nor null. ERR_OK;
 * ERR_INVALID if the expression fails on the value, with jq's message. */
int filter_jq_evaluate(struct filter_jq *f, struct bytes value, bool *ret_holds,
                       struct failure *failure);

#endif
