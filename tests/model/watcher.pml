/*
 * watcher.pml - the watcher's rule and the server's two invariants, for spin.
 *
 * One watcher of one filter; a server that commits records in batches, publishes them on a lossy
 * stream, sends bookmarks, answers replays from what is committed (published or not), restarts at any
 * point and compacts. Losses, restarts and compactions are bounded in number, so that progress can be
 * asked for; where they strike is open, and so is which records match.
 *
 * Checked: SAFETY, at each move of the position p: every matching record up to p has been handed out,
 * each once and in order, unless the watcher was told COMPACTED; p never falls; a bookmark never takes
 * p past what is committed. PROGRESS: once the faults are spent, p reaches the last record or the
 * watcher was told COMPACTED.
 *
 * Not in the model: several filters (streams share nothing but head), bytes, the lengths of time-outs (a
 * lost reply's strikes at some time), epochs (a change of epoch ends the watch).
 */
#ifndef RECORDS
#define RECORDS 3
#endif
#ifndef LOSSES
#define LOSSES 2
#endif
#ifndef RESTARTS
#define RESTARTS 1
#endif
#ifndef COMPACTIONS
#define COMPACTIONS 1
#endif
#define QUEUE 2

mtype = { RECORD, BOOKMARK };

/* The server. */
byte committed = 0;            /* head of the journal */
byte published = 0;            /* head as the core thread has published it */
byte oldest = 1;
byte incarnation = 1;
bool matching[RECORDS + 1];
bool streaming = false;        /* the stream is open in this incarnation */
byte last = 0;                 /* its last seq */
byte losses = 0, restarts = 0, compactions = 0;

chan live = [QUEUE] of { mtype, byte, byte, byte }; /* kind, incarnation, seq or head, prev or last */
chan open_request = [0] of { bool };
chan open_reply = [1] of { byte, byte, byte };      /* incarnation, published head, last */
chan replay_request = [1] of { byte };              /* after */
chan replay_reply = [1] of { byte, byte, byte, bool }; /* from, to, head, compacted */

/* The watcher. */
byte p = 0;
byte handed_out[RECORDS + 1];
bool told_compacted = false;
bool reply_lost = false;
byte known_incarnation = 0;

/* A full queue drops; so does the network, as often as LOSSES allows. */
inline broadcast(kind, first, second)
{
    if
    :: full(live) -> skip
    :: nfull(live) -> live!kind(incarnation, first, second)
    :: losses < LOSSES -> losses++
    fi
}

active proctype core()
{
    byte i;
    do
    /* A batch of one or two records: committed first, published afterwards. */
    :: atomic { committed < RECORDS && published == committed ->
           committed++;
           if
           :: matching[committed] = true
           :: matching[committed] = false
           fi;
           if
           :: committed < RECORDS ->
               committed++;
               if
               :: matching[committed] = true
               :: matching[committed] = false
               fi
           :: skip
           fi }
    :: atomic { published < committed ->
           i = published + 1;
           do
           :: i <= committed ->
               if
               :: streaming && matching[i] ->
                   broadcast(RECORD, i, last);
                   last = i
               :: else -> skip
               fi;
               i++
           :: else -> break
           od;
           published = committed }
    od
}

/* The rest of the core thread stands in processes of its own, so that weak fairness lets each happen;
 * atomic steps keep what belongs together in one turn. Bookmarks come between batches only. */
active proctype bookmarks()
{
    do
    :: atomic { streaming && published == committed && nfull(live) ->
           broadcast(BOOKMARK, published, last) }
    od
}

active proctype opening()
{
end:
    do
    :: atomic { open_request?_ ->
           if
           :: !streaming -> streaming = true; last = published
           :: else -> skip
           fi;
           open_reply!incarnation, published, last }
    od
}

active proctype faults()
{
end:
    do
    /* A restart at any point, also between commit and publication. */
    :: atomic { restarts < RESTARTS ->
           restarts++;
           incarnation++;
           streaming = false;
           published = committed }
    :: atomic { compactions < COMPACTIONS && oldest < committed ->
           compactions++;
           oldest++ }
    od
}

/* The replay thread sees the journal: committed, whether published or not. One record a reply. */
active proctype replay()
{
    byte after, to;
end:
    do
    :: atomic { replay_request?after ->
           if
           :: after + 1 < oldest -> replay_reply!after, after, committed, true
           :: else ->
               if
               :: after < committed -> to = after + 1
               :: else -> to = after
               fi;
               if
               :: nfull(replay_reply) -> replay_reply!after, to, committed, false
               :: losses < LOSSES -> losses++; reply_lost = true
               fi
           fi }
    od
}

inline move_to(position)
{
    assert(position >= p);
    assert(position <= committed);
    k = p + 1;
    do
    :: k <= position -> assert(!matching[k] || handed_out[k] == 1); k++
    :: else -> break
    od;
    p = position
}

inline hand_out(seq)
{
    assert(matching[seq]);
    assert(seq > p);
    handed_out[seq]++;
    assert(handed_out[seq] == 1)
}

active proctype watcher()
{
    mtype kind;
    byte from_incarnation, first, second, from, to, head, k;
    bool compacted;

reopen:
    open_request!true;
    atomic { open_reply?known_incarnation, first, second;
        if
        :: second <= p && first > p -> move_to(first)
        :: else -> skip
        fi }
    if
    :: second > p -> goto mend
    :: else -> skip
    fi;

follow:
    do
    :: atomic { live?kind, from_incarnation, first, second ->
           if
           :: from_incarnation != known_incarnation -> skip /* another topic: not even received */
           :: from_incarnation == known_incarnation && kind == RECORD ->
               if
               :: first <= p -> skip
               :: first > p && second <= p -> hand_out(first); move_to(first)
               :: else -> goto mend
               fi
           :: from_incarnation == known_incarnation && kind == BOOKMARK ->
               if
               :: second <= p && first > p -> move_to(first)
               :: second <= p && first <= p -> skip
               :: else -> goto mend
               fi
           fi }
    /* Bookmarks stay away: the stream is opened again. */
    :: empty(live) && known_incarnation != incarnation -> goto reopen
    od;

mend:
    /* Replay until the head that the replies name; the live socket is left unread. */
    do
    :: replay_request!p;
        if
        :: replay_reply?from, to, head, compacted ->
            if
            :: compacted -> told_compacted = true; goto ended
            :: else -> skip
            fi;
            atomic {
                k = to;
                if
                :: from <= p && to > p && matching[to] -> hand_out(to)
                :: else -> skip
                fi;
                if
                :: from <= p && to > p -> move_to(to)
                :: else -> skip
                fi }
            if
            :: p >= head -> goto follow
            :: else -> skip
            fi
        :: reply_lost -> reply_lost = false /* its time-out: ask again */
        fi
    od;

ended:
    skip
}

ltl progress { <> (told_compacted || p == RECORDS) }
