/*
 * Waits until an integer is at least a bound, or was so for a moment since the wait began.
 *
 *   wait_for_condition KEY BOUND [TIMEOUT_MS]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <vigil.h>

/* Is called with the present value first (NULL if the key is absent), then with every later one. */
static bool is_reached(void *context, const void *value, size_t size, const vigil_change *change)
{
    const int64_t *bound = context;
    int64_t integer;
    (void)change;
    return value && vigil_unpack_int(value, size, &integer) == VIGIL_OK && integer >= *bound;
}

static void print_result(const vigil_wait_result *result)
{
    int64_t integer = 0;
    if (result->from_state) {
        vigil_unpack_int(result->entry.value, result->entry.size, &integer);
        printf("it is %" PRId64 ", since %" PRIu64 "\n", integer, result->entry.modified);
    } else {
        const vigil_change *change = &result->record.changes[0];
        vigil_unpack_int(change->value, change->size, &integer);
        printf("it became %" PRId64 " at %" PRIu64 "\n", integer, result->record.seq);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s KEY BOUND [TIMEOUT_MS]\n", argv[0]);
        return 2;
    }
    int64_t bound = strtoll(argv[2], NULL, 10);
    int timeout_ms = argc > 3 ? (int)strtol(argv[3], NULL, 10) : -1;
    vigil_wait_options options = {.until = is_reached, .context = &bound};
    vigil_wait_result result;
    vigil *v = NULL;

    int err = vigil_open(NULL, &v);
    if (err == VIGIL_OK)
        err = vigil_wait(v, argv[1], &options, timeout_ms, &result);
    if (err == VIGIL_OK)
        print_result(&result);
    else
        fprintf(stderr, "%s: %s\n", vigil_error_name(err), vigil_failure_text(v));
    vigil_close(v);
    return err != VIGIL_OK;
}
