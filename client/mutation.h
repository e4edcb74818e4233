/*
 * mutation.h - writes a mutation or a read into the outbox; shared by blocking and pipelined calls.
 */
#ifndef VIGIL_CLIENT_MUTATION_H
#define VIGIL_CLIENT_MUTATION_H

#include "client/connection.h"

/* Each checks the arguments and leaves an open request, to be ended. They set the failure. */
int mutation_begin_put(struct vigil *v, const char *key, const void *value, size_t size,
                       const vigil_condition *condition);
int mutation_begin_delete(struct vigil *v, const char *key, const vigil_condition *condition);
int mutation_begin_incr(struct vigil *v, const char *key, int64_t by);
int mutation_begin_call(struct vigil *v, const vigil_function *function, const void *arguments,
                        size_t arguments_size, bool check_only);
int mutation_begin_get(struct vigil *v, const char *key);
/* flags: 0 or REQUEST_ATOMIC. */
int mutation_begin_txn(struct vigil *v, const vigil_txn *t, uint8_t flags);
/* vigil_txn_commit with flags, and a timeout as for connection_call. */
int mutation_commit_txn(struct vigil *v, const vigil_txn *t, uint8_t flags, int timeout_ms,
                        bool *ret_succeeded, uint64_t *ret_seq,
                        const vigil_txn_result **ret_results, size_t *ret_count);

#endif
