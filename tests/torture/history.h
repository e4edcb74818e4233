/*
 * history.h - what an actor was told and saw, one line an event, appended by one write() each, so that
 * a SIGKILL costs at most the line under way.
 *
 * A line is words between single spaces; the first is its kind, the last is "." and says that the
 * line is whole. Keys of the torture run contain no space. Times are of CLOCK_BOOTTIME in
 * microseconds, which all processes of a machine share, and by which keys live. A value is shown as its
 * mark (below), `-` if there is none; integers and arrays that are short as MARK:HEX, with their bytes.
 *
 *   the journal, as it was read between two runs of the server and at the end
 *     H epoch oldest head                         one reading of it
 *     V problems                                  what verify found in it
 *     N                                           records may be removed before they are read
 *     D                                           none that a cursor has not seen is removed
 *     J seq time session number parts changes     a record not seen before, or seen otherwise
 *   what one process asked, and was told; a request without an answer is in doubt
 *     P time                                      a process begins
 *     O id time put key mark condition            condition: `-`, `s`SEQ or `v`MARK
 *     O id time del key condition
 *     O id time incr key by
 *     O id time txn compares (key seq)... changes (p key mark | d key | i key by)...
 *     O id time do way compares (key seq)... steps (name key by value)...    one request, or what is to
 *                                                 look like one: see work.h
 *     O id time get | list | compact | backup
 *     O id time grant ttl | renew lease | revoke lease    of a lease; ttl in milliseconds
 *     O id time wait key since divisor remainder until    since: `-` or seq; until: 0, or what it has looked
 *                                                 at if it times out
 *     O id time peek key | history key            peek: a get among pipelined requests
 *     O id time open cursor patterns pattern... | ack cursor seq waits | look cursor    COMPACTED: so it
 *                                                 was told, and the cursor stands there
 *     R id time error seq prev version mark       of put, del, incr (its value), peek, compact, backup, and
 *                                                 of open, ack, look: seq is the cursor's position; of
 *                                                 grant: prev is the lease
 *     S id time error seq succeeded               of txn
 *     A id time error seq succeeded results (present seq value key)...    of do; no results: not known; of
 *                                                 one, present 2 and the greatest seq: not told
 *     G id time error seq n (key present modified created version mark)...
 *     L id time error seq pattern count digest    of list
 *     T id time error from_state seq mark         of wait
 *     K id time error complete count first last digest    of history: its changes, by digest_of
 *   what a watcher saw
 *     W time since epoch seq patterns pattern...  opened, at this position; since: now, oldest, position
 *     E position seq time session number parts changes
 *     U seq changes (before mark)...              the values before, of the record just seen
 *     C time seq                                  this record, with keys that expired, had come by then
 *     B position head oldest
 *     X error epoch position oldest head          its end, as it was told
 *     F head                                      it has drained the stream up to head
 *     Z expected error                            asked for a position that is none
 *   what a mirror held
 *     M time seq at_least count digest patterns pattern...
 *   what a mirror or a listing had of the accounts, at one seq
 *     Q time seq accounts total
 *
 *   what was found in a restored backup
 *     Y epoch oldest head
 *     I seq time session number parts changes
 *
 *   changes: n (op part key prev_seq mark)...
 */
#ifndef VIGIL_TESTS_TORTURE_HISTORY_H
#define VIGIL_TESTS_TORTURE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HISTORY_LINE_MAX = 65536, VALUE_SHOWN_MAX = 160 };

struct history {
    int fd;
    size_t size;
    bool too_long;
    char line[HISTORY_LINE_MAX];
};

/* Appends to the file; what a process before left unfinished is cut off from what follows. */
bool history_open(struct history *h, const char *path);
void history_close(struct history *h);

/* begin, words, end. A line that does not fit, or cannot be written, ends the process. */
void history_begin(struct history *h, char kind);
void history_word(struct history *h, const char *word);
void history_u64(struct history *h, uint64_t number);
void history_i64(struct history *h, int64_t number);
/* `-` where value is NULL; with its bytes if value_is_shown. */
void history_value(struct history *h, const void *value, size_t size);
void history_end(struct history *h);

uint64_t history_now_us(void);
/* Tells values apart: 64 bits, never 0, the same for the same bytes. */
uint64_t value_mark(const void *value, size_t size);
/* A MessagePack integer or array of at most VALUE_SHOWN_MAX bytes. */
bool value_is_shown(const void *value, size_t size);
/* What one key adds to the digest of a state (a sum modulo 2^64). */
uint64_t digest_of(const char *key, uint64_t modified, uint64_t mark);
/* A pattern is a key, or a prefix followed by '*'. */
bool pattern_matches(const char *pattern, const char *key);

#endif
