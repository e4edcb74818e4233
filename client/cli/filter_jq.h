/*
 * filter_jq.h - a jq expression as a condition on values, or as what makes a new one.
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

/* The expression's one output for this value (NULL data: null), appended to out; nothing where it
 * has none. *ret_count: 0 or 1. ERR_OK; ERR_INVALID with a sentence: the expression fails on the
 * value, has several outputs, or the value has integers that jq would round; ERR_BAD_VALUE: the
 * output is no value. */
int filter_jq_transform(struct filter_jq *f, struct bytes value, struct wire_buffer *out,
                        size_t *ret_count, struct failure *failure);

#endif
