/*
 * load_line.h - one line of `vigil load` as a mutation.
 *
 *   {"key":K,"value":V}               put; "op":"put" may be there
 *   {"op":"delete","key":K}           "expire" means the same
 *   {"op":"incr","key":K,"by":N}      by is 1 unless given
 *   {"txn":[...]}                     any of these as one record
 *
 * What watch, history and ls print beside these members is ignored, so that their
 * lines can be loaded; any other member is an error. Deleting an absent key is
 * none: deletes travel as transactions, which do nothing then.
 */
#ifndef VIGIL_CLI_LOAD_LINE_H
#define VIGIL_CLI_LOAD_LINE_H

#include "protocol/failure.h"
#include "protocol/wire.h"

#include <vigil.h>

/* A parser, and the mutation that it has parsed last. One thread at a time. */
struct load_line;

int load_line_new(struct load_line **ret_line);
void load_line_free(struct load_line *l);
/* text.data[text.size] is a NUL. ERR_OK, or ERR_BAD_VALUE and the like with a sentence. */
int load_line_parse(struct load_line *l, struct bytes text, struct failure *failure);
/* About what the parsed mutation takes in a message. */
size_t load_line_size(const struct load_line *l);
/* Queues the mutation. Returns as vigil_send_put; may be called again after VIGIL_BUSY. */
int load_line_send(const struct load_line *l, vigil *v);

#endif
