/*
 * errors.h - the one list of Vigil's error codes: number, name, what to say.
 *
 * The numbers are on the wire and in the public header (client/include/vigil.h
 * repeats them as an enum with documentation; client/error.c asserts that both
 * agree). They are never renumbered.
 */
#ifndef VIGIL_PROTOCOL_ERRORS_H
#define VIGIL_PROTOCOL_ERRORS_H

#define ERROR_LIST(X)                                                                              \
    X(0, OK, "done")                                                                               \
    X(1, INVALID, "an argument is not valid")                                                      \
    X(2, NO_MEMORY, "out of memory")                                                               \
    X(3, TIMEOUT, "timed out")                                                                     \
    X(4, DISCONNECTED, "the server cannot be reached")                                             \
    X(5, COMPACTED, "the journal no longer has what this position needs")                          \
    X(6, EPOCH_CHANGED, "the position belongs to another epoch of the journal")                    \
    X(7, POSITION_AHEAD, "the position is beyond the journal's head")                              \
    X(8, NOT_FOUND, "no such key")                                                                 \
    X(9, CONFLICT, "the condition does not hold")                                                  \
    X(10, BAD_KEY, "a key must be 1 to 480 bytes of valid UTF-8 without NUL")                      \
    X(11, BAD_VALUE, "a value must be one well-formed MessagePack object, at most 32 levels deep") \
    X(12, TOO_LARGE, "too large")                                                                  \
    X(13, NOT_AN_INTEGER, "the value is not an integer")                                           \
    X(14, OUT_OF_RANGE, "the result does not fit 64 bits")                                         \
    X(15, LIMIT, "a limit is reached")                                                             \
    X(16, NO_STREAM, "no such stream; open it again")                                              \
    X(17, NO_SPACE, "no space left for the journal")                                               \
    X(18, IO, "input/output error")                                                                \
    X(19, CORRUPT, "damaged data")                                                                 \
    X(20, MALFORMED, "malformed message")                                                          \
    X(21, VERSION, "unsupported protocol version")                                                 \
    X(22, UNKNOWN_OP, "unknown operation")                                                         \
    X(23, BUSY, "too many requests under way")                                                     \
    X(24, OUTCOME_UNKNOWN, "whether this mutation took effect can no longer be known")             \
    X(25, ABORTED, "not tried, because a request before it failed")                                \
    X(26, LOCKED, "in use by another process")                                                     \
    X(27, ACCESS, "permission denied")                                                             \
    X(28, FOREIGN, "not a Vigil journal, or one of a newer format")                                \
    X(29, STOPPING, "the server is stopping")                                                      \
    X(30, INTERNAL, "internal error")                                                              \
    X(31, INTERRUPTED, "interrupted")                                                              \
    X(32, CURSOR_TAKEN, "another watcher has taken this cursor over")                              \
    X(33, SCRIPT, "the function has failed")                                                       \
    X(34, LEASE_ENDED, "no such lease; it has ended")

enum error_code {
#define ERROR_ENUM(number, name, text) ERR_##name = (number),
    ERROR_LIST(ERROR_ENUM)
#undef ERROR_ENUM
};

/* The name ("COMPACTED") or the sentence of a code; never NULL. Any thread. */
const char *error_name(int code);
const char *error_text(int code);

#endif
