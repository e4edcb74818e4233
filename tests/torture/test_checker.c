#define _GNU_SOURCE
/*
 * test_checker.c - the checker is given histories that break one guarantee each, and has to say which;
 * and one that keeps them all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/torture/checker.h"
#include "tests/torture/history.h"

enum { TEXT_MAX = 8192 };

static const char journal_text[] = "H 7 1 4 .\n"
                                   "J 1 100 0 0 1 1 1 1 a/x 0 11 .\n"
                                   "J 2 101 0 0 1 1 1 1 b/y 0 12 .\n"
                                   "J 3 102 0 0 2 2 1 1 a/x 1 13 1 2 b/y 2 14 .\n"
                                   "J 4 103 9 1 1 1 1 1 n/c 0 15 .\n"
                                   "H 7 1 7 .\n"
                                   "J 5 104 9 2 1 1 1 1 n/c 4 16 .\n"
                                   "J 6 105 0 0 1 1 2 1 a/x 3 - .\n"
                                   "J 7 106 0 0 2 2 1 1 a/x 6 17 1 2 a/z 0 18 .\n"
                                   "V 0 .\n";

static const char client_text[] = "P 1 .\n"
                                  "O 1 10 put a/x 11 - .\n"
                                  "R 1 20 0 1 0 1 11 .\n"
                                  "O 2 30 put b/y 12 s0 .\n"
                                  "R 2 40 0 2 0 1 12 .\n"
                                  "O 3 50 txn 1 b/y 2 2 p a/x 13 p b/y 14 .\n"
                                  "S 3 60 0 3 1 .\n"
                                  "O 4 70 incr n/c 1 .\n"
                                  "R 4 80 0 4 0 1 15 .\n"
                                  "O 5 90 incr n/c 1 .\n"
                                  "R 5 100 4 0 0 0 - .\n"
                                  "O 6 110 del a/x v13 .\n"
                                  "R 6 120 0 6 3 0 - .\n"
                                  "O 7 130 get .\n"
                                  "G 7 140 0 6 2 a/x 0 6 0 0 - b/y 1 3 2 2 14 .\n"
                                  "O 8 150 put b/y 99 s2 .\n"
                                  "R 8 160 9 3 0 0 - .\n"
                                  "O 9 170 txn 0 2 p a/x 17 p a/z 18 .\n"
                                  "P 180 .\n"
                                  "O 10 190 wait a/x 1 2 1 0 .\n"
                                  "T 10 200 0 0 3 13 .\n"
                                  "O 11 190 wait b/y - 10 4 0 .\n"
                                  "T 11 200 0 1 7 14 .\n"
                                  "O 12 190 wait a/x 3 20 13 7 .\n"
                                  "T 12 210 3 0 0 - .\n"
                                  "O 13 190 wait b/y - 20 12 7 .\n"
                                  "T 13 210 3 0 0 - .\n"
                                  "O 14 220 peek b/y .\n"
                                  "R 14 230 0 3 0 2 14 .\n"
                                  "O 15 220 peek q/q .\n"
                                  "R 15 230 0 0 0 0 - .\n"
                                  "O 16 240 history a/x .\n";

/* Two holders: the first acknowledges 3 and is fenced; the second goes on, to 7. */
static const char cursor_text[] = "O 101 10 open c 1 a/* .\n"
                                  "R 101 20 0 0 0 0 - .\n"
                                  "W 20 position 7 0 1 a/* .\n"
                                  "E 1 1 100 0 0 1 1 1 1 a/x 0 11 .\n"
                                  "U 1 1 2 - .\n"
                                  "O 102 30 ack c 1 0 .\n"
                                  "R 102 31 0 1 0 0 - .\n"
                                  "E 3 3 102 0 0 2 1 1 1 a/x 1 13 .\n"
                                  "U 3 1 1 11 .\n"
                                  "O 103 40 ack c 3 1 .\n"
                                  "R 103 50 0 3 0 0 - .\n"
                                  "O 104 80 ack c 4 1 .\n"
                                  "R 104 90 32 4 0 0 - .\n"
                                  "X 32 7 4 1 7 .\n"
                                  "P 95 .\n"
                                  "O 105 60 open c 1 a/* .\n"
                                  "R 105 70 0 5 0 0 - .\n"
                                  "W 70 position 7 5 1 a/* .\n"
                                  "E 6 6 105 0 0 1 1 2 1 a/x 3 - .\n"
                                  "U 6 1 1 13 .\n"
                                  "O 106 100 ack c 6 0 .\n"
                                  "R 106 101 0 6 0 0 - .\n"
                                  "O 107 110 look c .\n"
                                  "R 107 120 0 6 0 0 - .\n";

static const char watch_text[] = "Z 6 6 .\n"
                                 "Z 7 4 .\n"
                                 "W 5 position 7 0 1 a/* .\n"
                                 "E 1 1 100 0 0 1 1 1 1 a/x 0 11 .\n"
                                 "B 2 2 1 .\n"
                                 "E 3 3 102 0 0 2 1 1 1 a/x 1 13 .\n"
                                 "B 5 5 1 .\n"
                                 "X 4 7 5 1 5 .\n"
                                 "W 6 position 7 5 1 a/* .\n"
                                 "E 6 6 105 0 0 1 1 2 1 a/x 3 - .\n"
                                 "E 7 7 106 0 0 2 2 1 1 a/x 6 17 1 2 a/z 0 18 .\n"
                                 "F 7 .\n";

/* A mirror of everything at 3, where a/x and b/y are there. */
static void write_mirror(char out[TEXT_MAX], uint64_t spoil)
{
    uint64_t digest = digest_of("a/x", 3, 13) + digest_of("b/y", 3, 14) + spoil;
    snprintf(out, TEXT_MAX, "M 1 3 2 2 %llu 1 * .\n", (unsigned long long)digest);
}

/* A backup of everything up to 3, restored. */
static const char restored_text[] = "O 201 61 backup .\n"
                                    "R 201 65 0 3 0 0 - .\n"
                                    "Y 8 2 3 .\n"
                                    "I 2 101 0 0 1 1 1 1 b/y 0 12 .\n"
                                    "I 3 102 0 0 2 2 1 1 a/x 1 13 1 2 b/y 2 14 .\n"
                                    "Z 6 6 .\n";

/* All changes of a/x, or only those from 6 on. */
static void write_history(char *out, bool complete)
{
    uint64_t digest = digest_of("a/x", 6, 0) + digest_of("a/x", 7, 17);
    if (complete)
        digest += digest_of("a/x", 1, 11) + digest_of("a/x", 3, 13);
    sprintf(out + strlen(out), "K 16 250 0 %d %d %d 7 %llu .\n", complete, complete ? 4 : 2,
            complete ? 1 : 6, (unsigned long long)digest);
}

struct texts {
    char journal[TEXT_MAX], client[TEXT_MAX], watch[TEXT_MAX], cursor[TEXT_MAX], restored[TEXT_MAX],
        mirror[TEXT_MAX];
};

static struct texts clean(void)
{
    struct texts t;
    snprintf(t.journal, TEXT_MAX, "%s", journal_text);
    snprintf(t.client, TEXT_MAX, "%s", client_text);
    write_history(t.client, true);
    snprintf(t.watch, TEXT_MAX, "%s", watch_text);
    snprintf(t.cursor, TEXT_MAX, "%s", cursor_text);
    snprintf(t.restored, TEXT_MAX, "%s", restored_text);
    write_mirror(t.mirror, 0);
    return t;
}

static void judge(const struct texts *t, const struct checker_options *options, struct verdict *v)
{
    struct evidence e;
    const char *const texts[] = {t->journal, t->client,   t->watch,
                                 t->cursor,  t->restored, t->mirror};
    const char *const names[] = {"journal", "client", "watch", "cursor", "restored", "mirror"};
    evidence_init(&e);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!evidence_add_text(&e, names[i], texts[i], strlen(texts[i])))
            fail_msg("%s", e.error);
    }
    checker_run(&e, options, v);
    evidence_free(&e);
}

/* Replaces the only place of old. */
static void replace(char *text, const char *old, const char *new_text)
{
    char *at = strstr(text, old);
    char rest[TEXT_MAX];
    if (!at || strstr(at + 1, old))
        fail_msg("'%s' is not there once", old);
    snprintf(rest, sizeof rest, "%s", at + strlen(old));
    snprintf(at, TEXT_MAX - (size_t)(at - text), "%s%s", new_text, rest);
}

static void show(const struct verdict *v)
{
    for (int p = 0; p < PROPERTY_COUNT; p++) {
        for (uint64_t i = 0; i < v->findings[p].violations && i < VIOLATIONS_KEPT; i++)
            print_message("%s: %s\n", property_name((enum property)p), v->findings[p].texts[i]);
    }
}

static void a_clean_history_passes_and_every_property_was_looked_at(void **state)
{
    (void)state;
    struct texts t = clean();
    struct verdict v;
    judge(&t, NULL, &v);
    show(&v);
    assert_int_equal(v.violations, 0);
    for (int p = 0; p <= PROPERTY_BACKUPS; p++) { /* the others are in test_work.c */
        if (v.findings[p].checked == 0)
            fail_msg("nothing was checked of '%s'", property_name((enum property)p));
    }
    assert_int_equal(v.increments_acknowledged, 1);
    assert_int_equal(v.increments_in_doubt, 1);
    assert_int_equal(v.increments_applied, 2);
}

enum { JOURNAL, CLIENT, WATCH, CURSOR, RESTORED };

struct violation {
    enum property property;
    int where;
    const char *old;
    const char *new_text;
};

static const struct violation violations[] = {
    /* Told of a read's state that was not; of time running backwards; of conditions that did not hold. */
    {PROPERTY_SERIAL, CLIENT, "b/y 1 3 2 2 14", "b/y 1 2 2 1 12"},
    {PROPERTY_SERIAL, CLIENT, "b/y 1 3 2 2 14", "b/y 0 0 0 0 -"},
    {PROPERTY_SERIAL, CLIENT, "G 7 140 0 6 2 a/x 0 6 0 0 - b/y 1 3 2 2 14",
     "G 7 140 0 3 1 b/y 1 3 2 2 14"},
    {PROPERTY_SERIAL, CLIENT, "O 1 10 put", "O 1 45 put"}, /* told at 55, see below */
    {PROPERTY_SERIAL, CLIENT, "put b/y 12 s0", "put b/y 12 s1"},
    {PROPERTY_SERIAL, CLIENT, "del a/x v13", "del a/x v11"},
    {PROPERTY_SERIAL, CLIENT, "txn 1 b/y 2 2", "txn 1 b/y 1 2"},
    {PROPERTY_SERIAL, CLIENT, "R 6 120 0 6 3 0", "R 6 120 0 6 1 0"},
    {PROPERTY_SERIAL, CLIENT, "R 4 80 0 4 0 1", "R 4 80 0 4 0 2"},
    {PROPERTY_SERIAL, CLIENT, "R 8 160 9 3", "R 8 160 9 2"},
    {PROPERTY_SERIAL, JOURNAL, "a/x 1 13", "a/x 0 13"},
    {PROPERTY_SERIAL, JOURNAL, "J 6 105", "J 6 99"},
    {PROPERTY_SERIAL, JOURNAL, "J 4 103 9 1", "J 4 103 9 3"},
    {PROPERTY_SERIAL, CLIENT, "R 14 230 0 3 0 2 14", "R 14 230 0 3 0 2 15"},
    {PROPERTY_SERIAL, CLIENT, "R 14 230 0 3 0 2 14", "R 14 230 0 2 0 1 12"},
    {PROPERTY_SERIAL, CLIENT, "R 14 230 0 3 0 2 14", "R 14 230 0 0 0 0 -"},
    {PROPERTY_SERIAL, CLIENT, "0 1 4 1 7",
     "0 1 3 1 7"}, /* of a history: a change, its end, its value */
    {PROPERTY_SERIAL, CLIENT, "0 1 4 1 7", "0 1 4 1 6"},
    {PROPERTY_SERIAL, CLIENT, "0 1 4 1 7 ", "0 1 4 1 7 1"},
    {PROPERTY_SERIAL, CLIENT, "0 1 4 1 7", "0 1 0 0 0"},
    {PROPERTY_SERIAL, CLIENT, "P 180 .", "O 99 180 del b/y - .\nR 99 180 0 2 0 0 - .\nP 180 ."},
    /* Acknowledged or shown, and not there; or there otherwise; or taken back. */
    {PROPERTY_DURABLE, CLIENT, "R 6 120 0 6 3 0", "R 6 120 0 8 3 0"},
    {PROPERTY_DURABLE, CLIENT, "put a/x 11 -", "put a/x 19 -"},
    {PROPERTY_DURABLE, JOURNAL, "H 7 1 7", "H 8 1 7"},
    {PROPERTY_DURABLE, JOURNAL, "H 7 1 4", "H 7 1 9"},
    {PROPERTY_DURABLE, JOURNAL, "H 7 1 4", "H 7 2 4"},
    {PROPERTY_DURABLE, JOURNAL, "J 2 101 0 0 1 1 1 1 b/y 0 12 .\n", ""},
    {PROPERTY_DURABLE, JOURNAL, "V 0 .\n", "J 4 103 9 1 1 1 1 1 n/c 0 16 .\nV 0 .\n"},
    {PROPERTY_DURABLE, JOURNAL, "V 0", "V 1"},
    {PROPERTY_DURABLE, WATCH, "B 5 5 1", "B 5 8 1"},
    {PROPERTY_DURABLE, WATCH, "a/x 1 13", "a/x 1 12"},
    {PROPERTY_DURABLE, WATCH, "F 7 .\n", "E 8 8 107 0 0 1 1 1 1 a/x 7 19 .\n"},
    {PROPERTY_ORDERED, WATCH,
     "E 6 6 105 0 0 1 1 2 1 a/x 3 - .\nE 7 7 106 0 0 2 2 1 1 a/x 6 17 1 2 a/z 0 18 .\nF 7",
     "E 7 7 106 0 0 2 2 1 1 a/x 6 17 1 2 a/z 0 18 .\nE 6 6 105 0 0 1 1 2 1 a/x 3 - .\nF 7"},
    {PROPERTY_UNIQUE, WATCH, "F 7 .\n", "E 7 7 106 0 0 2 2 1 1 a/x 6 17 1 2 a/z 0 18 .\nF 7 .\n"},
    {PROPERTY_RELIABLE, WATCH, "E 3 3 102 0 0 2 1 1 1 a/x 1 13 .\n", ""},
    {PROPERTY_RELIABLE, WATCH, "E 7 7 106 0 0 2 2 1 1 a/x 6 17 1 2 a/z 0 18 .\n", ""},
    {PROPERTY_ATOMIC, WATCH, "2 2 1 1 a/x 6 17 1 2 a/z 0 18", "2 1 1 1 a/x 6 17"},
    {PROPERTY_ATOMIC, CLIENT, "2 p a/x 13 p b/y 14", "2 p a/x 13 p b/z 14"},
    {PROPERTY_FILTERED, WATCH, "2 1 1 1 a/x 1 13", "2 2 1 1 a/x 1 13 1 2 b/y 2 14"},
    {PROPERTY_FILTERED, WATCH, "B 5 5 1", "E 4 4 103 9 1 1 1 1 1 n/c 0 15 .\nB 5 5 1"},
    {PROPERTY_RESUMABLE, WATCH, "E 6 6 105 0 0 1 1 2 1 a/x 3 - .\n", ""},
    {PROPERTY_RESUMABLE, WATCH, "E 6 6 105", "E 3 3 102 0 0 2 1 1 1 a/x 1 13 .\nE 6 6 105"},
    {PROPERTY_RESUMABLE, WATCH, "E 1 1 100 0 0 1 1 1 1 a/x 0 11 .\n", ""},
    {PROPERTY_BOOKMARKED, WATCH, "B 5 5 1", "B 2 5 1"},
    {PROPERTY_BOOKMARKED, WATCH, "B 5 5 1", "B 5 4 1"},
    {PROPERTY_BOOKMARKED, WATCH, "E 1 1 100", "E 2 1 100"},
    {PROPERTY_HONEST, WATCH, "X 4 7 5 1 5", "X 5 7 5 1 5"},
    {PROPERTY_HONEST, WATCH, "X 4 7 5 1 5", "X 5 7 5 7 7"},
    {PROPERTY_HONEST, WATCH, "X 4 7 5 1 5", "X 6 7 5 1 5"},
    {PROPERTY_HONEST, WATCH, "X 4 7 5 1 5", "X 7 7 5 1 5"},
    {PROPERTY_HONEST, WATCH, "W 6 position 7", "W 6 position 8"},
    {PROPERTY_HONEST, CLIENT, "0 1 4 1 7", "0 0 4 1 7"},
    {PROPERTY_HONEST, WATCH, "Z 6 6", "Z 6 0"},
    {PROPERTY_HONEST, WATCH, "Z 7 4", "Z 7 5"},
    {PROPERTY_HONEST, CLIENT, "T 10 200 0 0 3 13", "T 10 200 5 0 0 -"},
    {PROPERTY_HONEST, CLIENT, "T 10 200 0 0 3 13", "T 10 200 7 0 0 -"},
    {PROPERTY_EXACTLY_ONCE, CLIENT, "2 p a/x 13 p b/y 14", "4 p a/x 13 p b/y 14 i n/c 1 i n/c 1"},
    {PROPERTY_EXACTLY_ONCE, CLIENT, "O 5 90 incr n/c 1 .\nR 5 100 4 0 0 0 - .\n", ""},
    {PROPERTY_EXACTLY_ONCE, CLIENT, "R 5 100 4 0 0 0 -", "R 5 100 17 0 0 0 -"},
    {PROPERTY_EXACTLY_ONCE, CLIENT, "P 180 .", "S 9 175 17 0 0 .\nP 180 ."},
    {PROPERTY_EXACTLY_ONCE, JOURNAL, "a/z 0 18", "a/z 0 11"},
    {PROPERTY_EXACTLY_ONCE, JOURNAL, "J 5 104 9 2", "J 5 104 9 1"},
    {PROPERTY_WAITS, CLIENT, "wait a/x 1 2 1", "wait a/x 0 2 1"},
    {PROPERTY_WAITS, CLIENT, "T 10 200 0 0 3 13", "T 10 200 0 0 4 13"},
    {PROPERTY_WAITS, CLIENT, "wait b/y - 10 4", "wait b/y - 10 5"},
    /* Moved back; passed what nobody had dealt with; moved by who had lost it, or lost to nobody. */
    {PROPERTY_CURSORS, CURSOR, "R 105 70 0 5", "R 105 70 0 2"},
    {PROPERTY_CURSORS, CURSOR, "R 107 120 0 6", "R 107 120 0 4"},
    {PROPERTY_CURSORS, CURSOR, "R 107 120 0 6", "R 107 120 0 9"},
    {PROPERTY_CURSORS, CURSOR, "R 105 70 0 5", "R 105 70 0 6"},
    {PROPERTY_CURSORS, CURSOR, "O 103 40 ack c 3 1 .\nR 103 50 0 3 0 0 - .\n", ""},
    {PROPERTY_CURSORS, CURSOR, "ack c 4 1 .\nR 104 90 32", "ack c 6 1 .\nR 104 90 0"},
    {PROPERTY_CURSORS, CURSOR, "R 104 90 32", "R 104 90 8"},
    {PROPERTY_HONEST, CURSOR, "O 105 60 open", "O 105 96 open"}, /* after it had been told */
    {PROPERTY_RESUMABLE, CURSOR, "E 6 6 105", "E 3 3 102 0 0 2 1 1 1 a/x 1 13 .\nE 6 6 105"},
    {PROPERTY_CURSORS, CURSOR, "O 107 110 look c .\nR 107 120 0 6",
     "D .\nO 107 110 look c .\nR 107 120 5 6"},
    {PROPERTY_BEFORE, CURSOR, "U 3 1 1 11", "U 3 1 1 12"},
    {PROPERTY_BEFORE, CURSOR, "U 3 1 1 11", "U 3 1 2 -"},
    {PROPERTY_BEFORE, CURSOR, "U 3 1 1 11", "U 3 1 3 -"}, /* 1 is still there */
    {PROPERTY_BEFORE, CURSOR, "U 1 1 2 -", "U 1 1 1 13"},
    {PROPERTY_BACKUPS, RESTORED, "Y 8 2 3", "Y 7 2 3"},
    {PROPERTY_BACKUPS, RESTORED, "Y 8 2 3", "Y 8 1 3"},
    {PROPERTY_BACKUPS, RESTORED, "Y 8 2 3", "Y 8 2 4"},
    {PROPERTY_BACKUPS, RESTORED, "R 201 65 0 3", "R 201 65 0 2"},
    {PROPERTY_BACKUPS, RESTORED, "I 2 101 0 0 1 1 1 1 b/y 0 12 .\n", ""},
    {PROPERTY_BACKUPS, RESTORED, "a/x 1 13", "a/x 1 12"},
    {PROPERTY_SERIAL, RESTORED, "O 201 61", "O 201 85"}, /* with the end at 89: not up to date */
    {PROPERTY_HONEST, RESTORED, "Z 6 6", "Z 6 0"},
    {PROPERTY_WAITS, CLIENT, "wait a/x 3 20 13 7", "wait a/x 2 20 13 7"},
    {PROPERTY_WAITS, CLIENT, "wait b/y - 20 12 7", "wait b/y - 20 14 7"},
};

static void each_violation_is_caught_and_called_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof violations / sizeof *violations; i++) {
        const struct violation *broken = &violations[i];
        struct texts t = clean();
        struct verdict v;
        char *const texts[] = {t.journal, t.client, t.watch, t.cursor, t.restored};
        replace(texts[broken->where], broken->old, broken->new_text);
        if (broken->new_text[0] == 'O' && broken->property == PROPERTY_SERIAL)
            replace(broken->where == CLIENT ? t.client : t.restored,
                    broken->where == CLIENT ? "R 1 20" : "R 201 65",
                    broken->where == CLIENT ? "R 1 55"
                                            : "R 201 89"); /* its end after its beginning */
        judge(&t, NULL, &v);
        if (v.findings[broken->property].violations == 0) {
            show(&v);
            fail_msg("case %zu: '%s' was not seen in '%s'", i, property_name(broken->property),
                     broken->new_text);
        }
    }
}

/* Records 1 to 4 are removed before they are read; the watcher of a/... does not see all of them. */
static void where_the_server_removes_records_what_was_seen_is_judged(void **state)
{
    (void)state;
    static const char *const removed[] = {
        "J 1 100 0 0 1 1 1 1 a/x 0 11 .\n", "J 2 101 0 0 1 1 1 1 b/y 0 12 .\n",
        "J 3 102 0 0 2 2 1 1 a/x 1 13 1 2 b/y 2 14 .\n", "J 4 103 9 1 1 1 1 1 n/c 0 15 .\n"};
    struct texts t = clean();
    struct verdict v;
    for (size_t i = 0; i < sizeof removed / sizeof *removed; i++)
        replace(t.journal, removed[i], "");
    replace(t.journal, "H 7 1 7", "N .\nH 7 5 7");
    judge(&t, NULL, &v);
    show(&v);
    assert_int_equal(v.violations, 0);
    assert_int_equal(v.unread, 3); /* the first one was seen as a whole */
    struct texts broken = t;
    replace(broken.journal, "N .\n", ""); /* nothing may be missed */
    judge(&broken, NULL, &v);
    assert_int_equal(v.findings[PROPERTY_DURABLE].violations >= 3, true);
    broken = t;
    replace(broken.journal, "J 6 105 0 0 1 1 2 1 a/x 3 - .\n", ""); /* that one was not removed */
    judge(&broken, NULL, &v);
    assert_int_equal(v.findings[PROPERTY_DURABLE].violations > 0, true);
    broken = t;
    replace(broken.watch, "E 6 6 105 0 0 1 1 2 1 a/x 3 - .\n", "");
    judge(&broken, NULL, &v);
    assert_int_equal(v.findings[PROPERTY_RESUMABLE].violations, 1);
    broken = clean();
    replace(broken.watch, "W 5 position", "W 5 oldest");
    replace(broken.watch, "E 1 1 100 0 0 1 1 1 1 a/x 0 11 .\n", "");
    judge(&broken, NULL, &v);
    assert_int_equal(v.findings[PROPERTY_RESUMABLE].violations, 1);
    replace(broken.journal, "H 7 1 7", "H 7 5 7"); /* whatever there still is */
    judge(&broken, NULL, &v);
    assert_int_equal(v.violations, 0);
    broken = t;
    replace(broken.watch, "X 4 7 5 1 5", "X 5 7 5 6 6"); /* 6 is still there */
    judge(&broken, NULL, &v);
    assert_int_equal(v.findings[PROPERTY_HONEST].violations > 0, true);
}

static void a_mirror_that_differs_or_lags_is_caught(void **state)
{
    (void)state;
    struct texts t = clean();
    struct verdict v;
    write_mirror(t.mirror, 1);
    judge(&t, NULL, &v);
    assert_int_equal(v.findings[PROPERTY_SERIAL].violations, 1);
    t = clean();
    replace(t.mirror, "M 1 3 2", "M 1 3 4");
    judge(&t, NULL, &v);
    assert_int_equal(v.findings[PROPERTY_SERIAL].violations, 1);
}

static void where_nothing_may_be_in_doubt_doubt_is_a_violation(void **state)
{
    (void)state;
    struct texts t = clean();
    struct verdict v;
    judge(&t, &(struct checker_options){.no_doubt = true}, &v);
    assert_int_equal(v.findings[PROPERTY_EXACTLY_ONCE].violations, 2); /* requests 5 and 9 */
    assert_int_equal(v.violations, 2);
}

static void torn_lines_are_dropped_and_nonsense_is_refused(void **state)
{
    (void)state;
    struct evidence e;
    static const char torn[] = "P 1 .\nO 1 10 put a/x 1\nP 2 .\nO 2 20 put a/x 12 - .\nR 2 30 0 ";
    evidence_init(&e);
    assert_true(evidence_add_text(&e, "torn", torn, strlen(torn)));
    assert_int_equal(e.torn_lines, 2);
    assert_int_equal(e.operations.count, 1);
    assert_int_equal(e.operations.items[0].end_us, NEVER);
    static const char *const nonsense[] = {"Q 1 .\n", "B 1 x 3 .\n", "R 5 1 0 1 0 1 - .\n",
                                           "W 1 now 1 1 99 a .\n", "O 3 1 push a .\n"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
        assert_false(evidence_add_text(&e, "nonsense", nonsense[i], strlen(nonsense[i])));
    evidence_free(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_history_passes_and_every_property_was_looked_at),
        cmocka_unit_test(each_violation_is_caught_and_called_by_its_name),
        cmocka_unit_test(where_the_server_removes_records_what_was_seen_is_judged),
        cmocka_unit_test(a_mirror_that_differs_or_lags_is_caught),
        cmocka_unit_test(where_nothing_may_be_in_doubt_doubt_is_a_violation),
        cmocka_unit_test(torn_lines_are_dropped_and_nonsense_is_refused),
    };
    return cmocka_run_group_tests_name("torture checker", tests, NULL, NULL);
}
