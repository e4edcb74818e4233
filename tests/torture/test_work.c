#define _GNU_SOURCE
/*
 * test_work.c - the checker is given histories of transfers, of a queue, and of keys that expire, one that is
 * right and others that are not, and has to say what is wrong with each.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/torture/checker.h"
#include "tests/torture/history.h"

enum { TEXT_MAX = 16384 };

/* In all of them #HEX stands for a value of these bytes. */
static const char journal_text[] =
    "H 7 1 18 .\n"
    "J 1 100 0 0 2 2 1 1 account/0 0 #64 1 2 account/1 0 #64 .\n"
    "J 2 101 0 0 3 3 1 1 account/0 1 #5a 1 2 account/1 1 #6e 1 3 slip/1 0 #a161 .\n"
    "J 3 102 0 0 3 3 1 1 account/0 2 #50 1 2 account/1 2 #78 1 3 slip/1 2 #a162 .\n"
    "J 4 103 0 0 3 3 1 1 account/0 3 #46 1 2 account/1 3 #cc82 1 3 slip/1 3 #a163 .\n"
    "J 5 104 0 0 3 3 1 1 account/0 4 #3c 1 2 account/1 4 #cc8c 1 3 slip/1 4 #a164 .\n"
    "J 6 105 0 0 1 1 1 1 q/0000000000000006-0000 0 #05 .\n"
    "J 7 106 0 0 1 1 1 1 q/0000000000000007-0000 0 #06 .\n"
    "J 8 107 0 0 1 1 2 1 q/0000000000000006-0000 6 - .\n"
    "J 9 108 0 0 1 1 1 1 l/a 0 #9105 .\n"
    "J 10 109 0 0 1 1 1 1 l/a 9 #920506 .\n"
    "J 11 110 0 0 1 1 1 1 d/a 0 #a165 .\n"
    "J 12 111 0 0 1 1 1 1 e/1/a 0 #a166 .\n"
    "J 13 112 0 0 1 1 1 1 e/1/b 0 #a167 .\n"
    "J 14 113 0 0 1 1 1 1 e/1/c 0 #a168 .\n"
    "J 15 114 0 0 1 1 3 1 e/1/a 12 - .\n"
    "J 16 115 0 0 2 2 3 1 e/1/b 13 - 3 2 e/1/c 14 - .\n"
    "J 17 116 0 0 1 1 2 1 q/0000000000000007-0000 7 - .\n"
    "J 18 117 0 0 1 1 1 1 e/1/d 0 #a169 .\n"
    "V 0 .\n";

static const char client_text[] =
    "P 1 .\n"
    "O 1 10 do create 1 account/0 0 2 put account/0 0 #64 put account/1 0 #64 .\n"
    "A 1 20 0 1 1 0 .\n"
    "O 2 30 do txn 0 3 incr account/0 -10 - incr account/1 10 - put slip/1 0 #a161 .\n"
    "A 2 40 0 2 1 3 1 1 #5a - 1 1 #6e - 0 0 - - .\n"
    "O 3 50 do compare 2 account/0 2 account/1 2 3 put account/0 0 #50 put account/1 0 #78 "
    "put slip/1 0 #a162 .\n"
    "A 3 60 0 3 1 0 .\n"
    "O 4 70 do call 0 2 move account/0 10 account/1 put slip/1 0 #a163 .\n"
    "A 4 80 0 4 1 2 1 18446744073709551615 #9246cc82 - 2 18446744073709551615 - - .\n"
    "O 5 90 do atomically 0 2 move account/0 10 account/1 put slip/1 0 #a164 .\n"
    "O 6 91 do compare 1 account/0 4 2 put account/0 0 #00 put account/1 0 #00 .\n"
    "A 6 92 0 5 0 0 .\n"
    "O 7 100 do dict 0 1 push q/ 0 #05 .\n"
    "A 7 101 0 6 1 1 2 18446744073709551615 - q/0000000000000006-0000 .\n"
    "O 8 102 do txn 0 1 push q/ 0 #06 .\n"
    "A 8 103 0 7 1 1 0 0 - q/0000000000000007-0000 .\n"
    "O 9 104 do txn 0 2 count q/ 0 - list q/ 0 - .\n"
    "A 9 105 0 7 1 2 1 0 #02 - 1 0 #9293b7712f303030303030303030303030303030362d30303030060593b7712f303030303030303030303030303030372d303030300706 - .\n"
    "O 10 106 do txn 0 1 popany q/ 0 - .\n"
    "A 10 107 0 8 1 1 1 6 #05 q/0000000000000006-0000 .\n"
    "O 11 110 do txn 0 1 append l/a 0 #05 .\n"
    "A 11 111 0 9 1 1 0 0 #01 - .\n"
    "O 12 112 do txn 0 2 add l/a 0 #06 add l/a 0 #05 .\n"
    "A 12 113 0 10 1 2 0 9 #02 - 1 10 #02 - .\n"
    "O 13 114 do txn 0 1 default d/a 0 #a165 .\n"
    "A 13 115 0 11 1 1 0 0 #a165 - .\n"
    "O 14 116 do txn 0 1 default d/a 0 #a171 .\n"
    "A 14 117 0 11 1 1 1 11 #a165 - .\n"
    "O 15 120 do txn 0 1 ttl e/1/a 5 #a166 .\n"
    "A 15 121 0 12 1 0 .\n"
    "O 16 130 grant 9 .\n"
    "R 16 131 0 0 77 0 - .\n"
    "O 17 140 do txn 0 1 lease e/1/b 77 #a167 .\n"
    "A 17 141 0 13 1 0 .\n"
    "O 18 142 do txn 0 1 lease e/1/c 77 #a168 .\n"
    "A 18 143 0 14 1 0 .\n"
    "O 19 5200 renew 77 .\n"
    "R 19 5201 0 0 0 0 - .\n"
    "O 20 6000 revoke 77 .\n"
    "R 20 6100 0 16 0 0 - .\n"
    "O 21 6200 do txn 0 1 clear q/ 0 - .\n"
    "A 21 6201 0 17 1 1 1 0 #01 - .\n"
    "O 22 6210 do call 0 2 move account/0 10 account/1 put slip/1 0 #a170 .\n"
    "A 22 6211 33 0 0 0 .\n"
    "O 24 6215 list .\n"
    "L 24 6216 0 17 e/1/* 0 0 .\n"
    "O 23 6220 do txn 0 1 ttl e/1/d 5 #a169 .\n"
    "Q 6300 3 2 200 .\n"
    "Q 6301 0 0 0 .\n";

static const char watch_text[] = "W 5 position 7 0 1 account/* .\n"
                                 "E 1 1 100 0 0 2 2 1 1 account/0 0 #64 1 2 account/1 0 #64 .\n"
                                 "E 2 2 101 0 0 3 2 1 1 account/0 1 #5a 1 2 account/1 1 #6e .\n"
                                 "X 4 7 2 1 2 .\n"
                                 "W 6 position 7 2 1 account/* .\n"
                                 "E 3 3 102 0 0 3 2 1 1 account/0 2 #50 1 2 account/1 2 #78 .\n"
                                 "E 4 4 103 0 0 3 2 1 1 account/0 3 #46 1 2 account/1 3 #cc82 .\n"
                                 "E 5 5 104 0 0 3 2 1 1 account/0 4 #3c 1 2 account/1 4 #cc8c .\n"
                                 "F 5 .\n"
                                 "W 7 position 7 14 1 e/* .\n"
                                 "E 15 15 114 0 0 1 1 3 1 e/1/a 12 - .\n"
                                 "C 5121 15 .\n"
                                 "E 16 16 115 0 0 2 2 3 1 e/1/b 13 - 3 2 e/1/c 14 - .\n"
                                 "C 6050 16 .\n";

struct texts {
    char journal[TEXT_MAX], client[TEXT_MAX], watch[TEXT_MAX];
};

static unsigned hex_digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The values of #HEX. */
static void expand(char out[TEXT_MAX], const char *text)
{
    size_t size = 0;
    while (*text) {
        uint8_t bytes[256];
        size_t count = 0;
        if (*text != '#') {
            out[size++] = *text++;
            continue;
        }
        const char *hex = ++text;
        for (; strchr("0123456789abcdef", *text); text += 2)
            bytes[count++] = (uint8_t)(hex_digit(text[0]) * 16 + hex_digit(text[1]));
        size += (size_t)snprintf(out + size, TEXT_MAX - size, "%llu",
                                 (unsigned long long)value_mark(bytes, count));
        if (value_is_shown(bytes, count))
            size += (size_t)snprintf(out + size, TEXT_MAX - size, ":%.*s", (int)(text - hex), hex);
        assert_true(size + 64 < TEXT_MAX);
    }
    out[size] = '\0';
}

static struct texts clean(void)
{
    struct texts t;
    snprintf(t.journal, TEXT_MAX, "%s", journal_text);
    snprintf(t.client, TEXT_MAX, "%s", client_text);
    snprintf(t.watch, TEXT_MAX, "%s", watch_text);
    return t;
}

static void judge(const struct texts *t, struct verdict *v)
{
    struct evidence e;
    static char expanded[TEXT_MAX];
    const char *const texts[] = {t->journal, t->client, t->watch};
    const char *const names[] = {"journal", "client", "watch"};
    evidence_init(&e);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        expand(expanded, texts[i]);
        if (!evidence_add_text(&e, names[i], expanded, strlen(expanded)))
            fail_msg("%s", e.error);
    }
    checker_run(&e, NULL, v);
    evidence_free(&e);
}

/* Replaces the only place of old. */
static void replace(char *text, const char *old, const char *new_text)
{
    char *at = strstr(text, old);
    static char rest[TEXT_MAX];
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

static void what_is_right_passes(void **state)
{
    (void)state;
    struct texts t = clean();
    struct verdict v;
    judge(&t, &v);
    show(&v);
    assert_int_equal(v.violations, 0);
    assert_int_equal(v.expired, 3);
    assert_true(v.findings[PROPERTY_RESULTS].checked >= 18);
    assert_int_equal(v.findings[PROPERTY_TOTALS].checked, 5 + 5 + 2);
    assert_int_equal(v.findings[PROPERTY_LIVES].checked, 3 + 1);
}

enum { JOURNAL, CLIENT, WATCH };

struct violation {
    enum property property;
    int where;
    const char *old;
    const char *new_text;
};

#define PREVIOUS_7 "q/0000000000000007-0000"
static const struct violation violations[] = {
    /* Half a transfer, half of it lost, twice as much, a total that moves for one record. */
    {PROPERTY_TOTALS, JOURNAL, "3 3 1 1 account/0 1 #5a 1 2 account/1 1 #6e 1 3 slip/1 0 #a161",
     "2 2 1 1 account/0 1 #5a 1 2 slip/1 0 #a161"},
    {PROPERTY_RESULTS, JOURNAL, "3 3 1 1 account/0 1 #5a 1 2 account/1 1 #6e 1 3 slip/1 0 #a161",
     "2 2 1 1 account/0 1 #5a 1 2 slip/1 0 #a161"},
    {PROPERTY_RESULTS, JOURNAL, "account/0 4 #3c 1 2 account/1 4 #cc8c",
     "account/0 4 #32 1 2 account/1 4 #cc96"}, /* of who got no answer */
    {PROPERTY_TOTALS, JOURNAL, "account/1 2 #78", "account/1 2 #79"},
    {PROPERTY_TOTALS, JOURNAL, "1 2 account/1 2 #78", "2 2 account/1 2 -"},
    {PROPERTY_TOTALS, WATCH, "3 2 1 1 account/0 2 #50 1 2 account/1 2 #78",
     "3 1 1 1 account/0 2 #50"},
    {PROPERTY_TOTALS, WATCH, "account/1 3 #cc82", "account/1 3 #cc83"},
    {PROPERTY_TOTALS, CLIENT, "Q 6300 3 2 200", "Q 6300 3 2 210"},
    {PROPERTY_TOTALS, CLIENT, "Q 6300 3 2 200", "Q 6300 3 1 200"},
    {PROPERTY_TOTALS, CLIENT, "Q 6301 0 0 0", "Q 6301 1 0 0"},
    {PROPERTY_RESULTS, CLIENT, "account/0 2 account/1 2 3", "account/0 2 account/1 1 3"},
    {PROPERTY_RESULTS, CLIENT, "A 6 92 0 5 0", "A 6 92 0 4 0"}, /* its compare held then */
    {PROPERTY_RESULTS, CLIENT, "#9246cc82", "#9246cc83"},
    {PROPERTY_EXACTLY_ONCE, CLIENT, "put slip/1 0 #a170", "put slip/1 0 #a164"},
    {PROPERTY_EXACTLY_ONCE, JOURNAL, "slip/1 4 #a164", "slip/1 4 #a163"},
    /* An item that was not there, or is handed out twice, or in the wrong order; lengths. */
    {PROPERTY_RESULTS, CLIENT, "A 21 6201",
     "A 21 6201 0 17 1 1 1 0 #01 - .\nO 30 6202 do txn 0 1 popany q/ 0 - .\nA 30 6203"},
    {PROPERTY_EXACTLY_ONCE, CLIENT, "O 11 110",
     "O 30 107 do txn 0 1 popany q/ 0 - .\nA 30 108 0 8 1 1 1 6 #05 q/0000000000000006-0000 .\n"
     "O 11 110"},
    {PROPERTY_RESULTS, CLIENT, "1 1 6 #05 q/0000000000000006-0000", "1 1 7 #06 " PREVIOUS_7},
    {PROPERTY_RESULTS, CLIENT, "A 10 107 0 8 1 1 1 6 #05 q/0000000000000006-0000",
     "A 10 107 0 7 1 1 0 0 - -"},
    {PROPERTY_RESULTS, CLIENT, "1 1 0 0 - " PREVIOUS_7, "1 1 0 0 - q/0000000000000007-0001"},
    {PROPERTY_RESULTS, CLIENT, "0 9 1 1 0 0 #01", "0 9 1 1 0 0 #02"},
    {PROPERTY_RESULTS, CLIENT, "1 10 #02", "1 9 #02"},
    {PROPERTY_RESULTS, CLIENT, "0 9 #02", "1 9 #02"},
    {PROPERTY_RESULTS, JOURNAL, "l/a 9 #920506", "l/a 9 #920605"},
    {PROPERTY_RESULTS, CLIENT, "A 9 105 0 7 1 2 1 0 #02", "A 9 105 0 7 1 2 1 0 #03"},
    {PROPERTY_RESULTS, CLIENT, "A 9 105 0 7", "A 9 105 0 8"},
    {PROPERTY_RESULTS, CLIENT, "1 11 #a165", "0 0 #a171"},
    {PROPERTY_RESULTS, CLIENT, "A 21 6201 0 17 1 1 1 0 #01", "A 21 6201 0 17 1 1 1 0 #02"},
    {PROPERTY_SERIAL, CLIENT, "A 9 105 0 7 1 2 1 0 #02", "A 9 105 0 6 1 2 1 0 #01"},
    {PROPERTY_DURABLE, CLIENT, "A 9 105 0 7", "A 9 105 0 40"},
    /* Too early, without an end, never, in other company, some of a lease's, after its closing. */
    {PROPERTY_LIVES, WATCH, "C 5121 15", "C 5119 15"},
    {PROPERTY_LIVES, WATCH, "C 6050 16", "C 5999 16"},
    {PROPERTY_LIVES, CLIENT, "O 20 6000 revoke 77 .\nR 20 6100 0 16 0 0 - .\n", ""},
    {PROPERTY_LIVES, JOURNAL, "J 15 114 0 0 1 1 3 1 e/1/a 12 -", "J 15 114 0 0 1 1 3 1 d/a 11 -"},
    {PROPERTY_LIVES, JOURNAL, "J 15 114 0 0 1 1 3 1 e/1/a 12 -",
     "J 15 114 0 0 1 1 1 1 d/b 0 #a174"},
    {PROPERTY_LIVES, JOURNAL, "J 15 114 0 0 1 1 3 1 e/1/a 12 -",
     "J 15 114 0 0 2 2 3 1 e/1/a 12 - 2 2 d/a 11 -"},
    {PROPERTY_LIVES, JOURNAL, "2 2 3 1 e/1/b 13 - 3 2 e/1/c 14 -", "1 1 3 1 e/1/b 13 -"},
    {PROPERTY_LIVES, JOURNAL, "J 16 115 0 0 2 2 3 1 e/1/b 13 - 3 2 e/1/c 14 -",
     "J 16 115 0 0 1 1 1 1 d/b 0 #a174"},
    {PROPERTY_LIVES, CLIENT, "L 24 6216 0 17 e/1/* 0", "L 24 6216 0 18 e/1/* 1"},
    {PROPERTY_LIVES, JOURNAL, "J 18 117 0 0 1 1 1 1 e/1/d 0 #a169",
     "J 18 117 0 0 1 1 1 1 e/1/c 16 #a168"},
};

static void each_violation_is_caught_and_called_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof violations / sizeof *violations; i++) {
        const struct violation *broken = &violations[i];
        static struct texts t;
        struct verdict v;
        t = clean();
        char *const texts[] = {t.journal, t.client, t.watch};
        replace(texts[broken->where], broken->old, broken->new_text);
        judge(&t, &v);
        if (v.findings[broken->property].violations == 0) {
            show(&v);
            fail_msg("case %zu: '%s' was not seen in '%s'", i, property_name(broken->property),
                     broken->new_text);
        }
    }
}

/* A watcher that begins in the middle knows a balance once it has seen it. */
static void a_view_that_begins_in_the_middle_knows_what_it_has_seen(void **state)
{
    (void)state;
    struct texts t = clean();
    struct verdict v;
    replace(t.watch, "W 5 position 7 0 1 account/* .\n", "W 5 now 7 1 1 account/* .\n");
    replace(t.watch, "E 1 1 100 0 0 2 2 1 1 account/0 0 #64 1 2 account/1 0 #64 .\n", "");
    judge(&t, &v);
    show(&v);
    assert_int_equal(v.violations, 0);
    assert_int_equal(v.findings[PROPERTY_TOTALS].checked, 5 + 4 + 2);
    replace(t.watch, "W 6 position 7 2", "W 6 now 7 3");
    replace(t.watch, "E 3 3 102 0 0 3 2 1 1 account/0 2 #50 1 2 account/1 2 #78 .\n", "");
    judge(&t, &v);
    assert_int_equal(v.violations, 0);
    assert_int_equal(v.findings[PROPERTY_TOTALS].checked, 5 + 3 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_passes),
        cmocka_unit_test(each_violation_is_caught_and_called_by_its_name),
        cmocka_unit_test(a_view_that_begins_in_the_middle_knows_what_it_has_seen),
    };
    return cmocka_run_group_tests_name("torture checker: work", tests, NULL, NULL);
}
