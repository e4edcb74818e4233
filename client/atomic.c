/* atomic.c - vigil_atomically: runs the function until what it has read still holds at the commit. */
#include "client/atomic.h"

#include <stdlib.h>

#include "client/clock.h"

enum { TRIES_DEFAULT = 8 };

static struct vigil_atomic *atomic_new(struct vigil *v)
{
    struct vigil_atomic *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->v = v;
    if (vigil_txn_new(&a->txn) != VIGIL_OK) {
        free(a);
        return NULL;
    }
    return a;
}

static void atomic_free(struct vigil_atomic *a)
{
    atomic_leave_turn(a);
    atomic_begin_run(a); /* which frees what the last one wrote */
    atomic_forget_reads(a);
    atomic_set_free(&a->reads);
    atomic_set_free(&a->writes);
    vigil_txn_free(a->txn);
    free(a);
}

static int given_up(struct vigil_atomic *a)
{
    return connection_fail(a->v, ERR_CONFLICT,
                           "%u runs: what was read had changed each time, and the time is over",
                           a->run);
}

static int run_until_it_holds(struct vigil_atomic *a, vigil_atomic_function *function,
                              void *context, const vigil_atomic_options *options, uint64_t *ret_seq)
{
    uint32_t tries = options->tries ? options->tries : TRIES_DEFAULT;
    int64_t deadline =
        deadline_after(options->timeout_ms ? options->timeout_ms : a->v->request_timeout_ms);
    for (;;) {
        int error = ERR_OK;
        atomic_begin_run(a);
        int value = function(a, context);
        if (value != 0)
            return value;
        if (a->error)
            return a->error;
        enum atomic_outcome outcome = atomic_commit(a, ret_seq, &error);
        if (outcome == ATOMIC_DONE)
            return ERR_OK;
        if (outcome == ATOMIC_FAILED)
            return error;
        if (clock_now_ms() >= deadline)
            return given_up(a);
        if ((outcome == ATOMIC_WAIT || a->run >= tries) && !atomic_has_turn(a))
            error = atomic_take_turn(a, deadline);
        else if (outcome == ATOMIC_WAIT)
            atomic_pause(a);
        if (error)
            return error == ERR_CONFLICT ? given_up(a) : error;
    }
}

int vigil_atomically(vigil *v, vigil_atomic_function *function, void *context,
                     const vigil_atomic_options *options, uint64_t *ret_seq)
{
    const vigil_atomic_options defaults = VIGIL_ATOMIC_OPTIONS_INIT;
    uint64_t seq;
    if (!function || v->in_atomic)
        return connection_fail(v, ERR_INVALID, "vigil_atomically within itself");
    struct vigil_atomic *a = atomic_new(v);
    if (!a)
        return connection_fail(v, ERR_NO_MEMORY, NULL);
    /* A try that fails stops nothing: it is not an error yet. */
    bool stop_on_error = v->stop_on_error;
    v->stop_on_error = false;
    v->in_atomic = true;
    int err = run_until_it_holds(a, function, context, options ? options : &defaults, &seq);
    v->in_atomic = false;
    v->stop_on_error = stop_on_error;
    atomic_free(a);
    if (err == ERR_OK && ret_seq)
        *ret_seq = seq;
    return err;
}
