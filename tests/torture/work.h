/*
 * work.h - requests that are worked out again by the checker (check_work.c): a list of steps, each of which
 * sees those before it, as one transition. In a history:
 *
 *   way: how it was asked for, one of the names below; it makes no difference to what has to come of it
 *   step                       what it does                                             result's value
 *     put key 0 value          puts
 *     del key 0 -              deletes
 *     incr key by -            adds                                                     the sum
 *     get key 0 -                                                                       the value
 *     append key 0 value       adds to the array at key                                 its length
 *     add key 0 value          the same, unless it is in it                             its length
 *     default key 0 value      puts if absent                                           what holds then
 *     pop key 0 -              deletes                                                  what was there
 *     popany prefix 0 -        deletes the first key with the prefix                    what was there; and its key
 *     clear prefix 0 -         deletes all keys with the prefix                         how many
 *     count prefix 0 -                                                                  how many
 *     list prefix by -         at most by keys, if not 0                                [[key, seq, value]...]
 *     push prefix 0 value      puts a new key, behind all that were pushed before       none; but the key
 *     ttl key by value         puts, and it expires after so many milliseconds
 *     lease key by value       puts, and it expires with this lease
 *     move key by other-key    takes by from the one integer, and adds it to the other  [both]
 *
 * A value of a string, and an integer of nine bytes, is used once in a run: whoever puts it can be told by it.
 */
#ifndef VIGIL_TESTS_TORTURE_WORK_H
#define VIGIL_TESTS_TORTURE_WORK_H

enum work_code {
    WORK_PUT,
    WORK_DELETE,
    WORK_INCR,
    WORK_GET,
    WORK_APPEND,
    WORK_ADD,
    WORK_DEFAULT,
    WORK_POP,
    WORK_POP_ANY,
    WORK_CLEAR,
    WORK_COUNT,
    WORK_LIST,
    WORK_PUSH,
    WORK_TTL,
    WORK_LEASE,
    WORK_MOVE,
    WORK_CODES
};

enum work_way {
    WAY_TXN,        /* a transaction */
    WAY_COMPARE,    /* a transaction of what a client worked out, if nothing has changed */
    WAY_CALL,       /* a function, whose source comes with the request */
    WAY_STORED,     /* a function that the server has */
    WAY_ATOMICALLY, /* vigil_atomically */
    WAY_DICT,       /* a single request, by the function of its own */
    WAY_CREATE,     /* the transaction that makes the accounts */
    WORK_WAYS
};

#define WORK_CODE_NAMES                                                                    \
    {                                                                                      \
        "put", "del", "incr", "get", "append", "add", "default", "pop", "popany", "clear", \
            "count", "list", "push", "ttl", "lease", "move"                                \
    }
#define WORK_WAY_NAMES                                                     \
    {                                                                      \
        "txn", "compare", "call", "stored", "atomically", "dict", "create" \
    }

#define ACCOUNT_PREFIX "account/"

#endif
