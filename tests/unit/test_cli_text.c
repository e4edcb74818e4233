/* The command line's small forms: durations, positions, options, cursor files, lines read. */
#define _POSIX_C_SOURCE 200809L
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/command_line.h"
#include "client/cli/cursor.h"
#include "client/cli/duration.h"
#include "client/cli/line_reader.h"
#include "client/cli/position.h"
#include "tests/support/sample_bytes.h"
#include "tests/support/temp_folder.h"

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int ms;
    } good[] = {{"10", 10000},
                {"10s", 10000},
                {"500ms", 500},
                {"2m", 120000},
                {"1h", 3600000},
                {"0", 0},
                {"1.5s", 1500},
                {"0.25", 250},
                {"0.5ms", 1},
                {"forever", -1},
                {"2147483647ms", INT_MAX},
                {"1.0000000001s", 1000},
                {"596h", 2145600000}};
    static const char *const bad[] = {"",
                                      "s",
                                      "-1",
                                      "1x",
                                      "1.s",
                                      "1 s",
                                      ".5",
                                      "1d",
                                      "1e3",
                                      "ms",
                                      "10S",
                                      "597h",
                                      "2147483648ms",
                                      "inf",
                                      "99999999999999999999",
                                      "1.5.5s",
                                      "+1",
                                      " 1"};
    int ms = 77;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(duration_parse(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    ms = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (duration_parse(bad[i], &ms))
            fail_msg("'%s' is taken for a duration", bad[i]);
    assert_int_equal(ms, 77);
}

static void test_positions(void **state)
{
    static const char *const bad[] = {"",
                                      ":",
                                      "1:",
                                      "12:5",
                                      "00000000000000001:5",
                                      "-1",
                                      "1x",
                                      "18446744073709551616",
                                      "000000000000000g:1",
                                      "Now",
                                      " 1",
                                      "0000000000000001:5:6",
                                      "0000000000000001:"};
    struct start start;
    vigil_position position;
    char text[POSITION_TEXT_SIZE];

    (void)state;
    assert_true(position_parse_start("now", &start));
    assert_int_equal(start.since, VIGIL_SINCE_NOW);
    assert_true(position_parse_start("oldest", &start));
    assert_int_equal(start.since, VIGIL_SINCE_OLDEST);
    assert_true(position_parse_start("0", &start));
    assert_int_equal(start.since, VIGIL_SINCE_POSITION);
    assert_true(start.position.epoch == 0 && start.position.seq == 0);
    assert_true(position_parse_start("00ABcdef12345678:18446744073709551615", &start));
    assert_true(start.position.epoch == UINT64_C(0x00abcdef12345678));
    assert_true(start.position.seq == UINT64_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (position_parse_start(bad[i], &start))
            fail_msg("'%s' is taken for a position", bad[i]);

    position_format(start.position, text);
    assert_string_equal(text, "00abcdef12345678:18446744073709551615");
    assert_true(position_parse(text, &position));
    assert_true(position.epoch == start.position.epoch && position.seq == start.position.seq);
}

static const struct option_spec specs[] = {{"count", 'n', "N", "a number"},
                                           {"raw", 'r', NULL, "a flag"},
                                           {"since", 0, "POSITION", "where"}};
static const struct option_spec global_specs[] = {{"server", 's', "ENDPOINT", "the server"}};

struct parsed {
    struct option_table local;
    struct option_table global;
    struct arguments arguments;
    char error[COMMAND_LINE_ERROR_SIZE];
};

static int parse(struct parsed *p, bool only_options, int argc, const char *const *argv)
{
    char *copies[16];

    *p = (struct parsed){.local = {.specs = specs, .count = 3},
                         .global = {.specs = global_specs, .count = 1}};
    for (int i = 0; i < argc; i++)
        memcpy(&copies[i], &argv[i], sizeof(char *));
    struct option_table *const tables[] = {&p->local, &p->global};
    return command_line_parse(tables, 2, only_options, argc, copies, &p->arguments, p->error);
}

#define PARSE(p, ...)                                                                \
    parse((p), false, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), \
          (const char *const[]){__VA_ARGS__})

static void test_options(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "a", "--count", "3", "-s", "x", "b", "--since=5", "-r"), 8);
    assert_string_equal(p.local.values[0], "3");
    assert_string_equal(p.local.values[1], "");
    assert_string_equal(p.local.values[2], "5");
    assert_string_equal(p.global.values[0], "x");
    assert_int_equal(p.arguments.word_count, 2);
    assert_string_equal(p.arguments.words[1], "b");

    /* Negative numbers, "-", and everything behind "--" are words. */
    assert_int_equal(PARSE(&p, "-5", "-.5", "-", "--", "--count", "-n"), 6);
    assert_int_equal(p.arguments.word_count, 5);
    assert_string_equal(p.arguments.words[3], "--count");
    assert_null(p.local.values[0]);

    assert_int_equal(PARSE(&p, "-n7", "--count=8", "--since", "-3"), 4);
    assert_string_equal(p.local.values[0], "8");
    assert_string_equal(p.local.values[2], "-3");

    const char *const before_command[] = {"-s", "x", "watch", "--count"};
    assert_int_equal(parse(&p, true, 4, before_command), 2);
}

static void test_bad_options(void **state)
{
    struct parsed p;

    (void)state;
    assert_int_equal(PARSE(&p, "--cuont", "3"), -1);
    assert_non_null(strstr(p.error, "did you mean '--count'"));
    assert_int_equal(PARSE(&p, "--nothing-like-it"), -1);
    assert_non_null(strstr(p.error, "unknown option '--nothing-like-it'"));
    assert_null(strstr(p.error, "did you mean"));
    assert_int_equal(PARSE(&p, "-x"), -1);
    assert_int_equal(PARSE(&p, "--n", "3"), -1);
    assert_int_equal(PARSE(&p, "--raw=1"), -1);
    assert_non_null(strstr(p.error, "takes no value"));
    assert_int_equal(PARSE(&p, "--count"), -1);
    assert_non_null(strstr(p.error, "needs a value"));
    assert_int_equal(PARSE(&p, "-n"), -1);

    /* Long ones do not overflow anything. */
    char name[5000] = "--";
    memset(name + 2, 'x', sizeof(name) - 3);
    name[sizeof(name) - 1] = '\0';
    const char *const argv[] = {name};
    assert_int_equal(parse(&p, false, 1, argv), -1);
}

static void test_too_many_words(void **state)
{
    enum { MANY = 3 * WORDS_MAX };
    struct parsed p = {.arguments = {.word_count = 0}};
    struct option_table *const tables[] = {&p.local};
    char word[] = "w";
    char *argv[MANY];

    (void)state;
    for (int i = 0; i < MANY; i++)
        argv[i] = word;
    assert_int_equal(command_line_parse(tables, 1, false, MANY, argv, &p.arguments, p.error), MANY);
    assert_int_equal(p.arguments.word_count, WORDS_MAX + 1);
}

static void test_closest(void **state)
{
    static const char *const names[] = {"put", "get", "watch", "wait", "history"};

    (void)state;
    assert_string_equal(command_line_closest("wacth", names, 5), "watch");
    assert_string_equal(command_line_closest("histroy", names, 5), "history");
    assert_string_equal(command_line_closest("gte", names, 5), "get");
    assert_null(command_line_closest("zzz", names, 5));
    assert_null(command_line_closest("", names, 5));
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void check_content(const char *path, const char *expected)
{
    char text[128] = "";
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t size = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[size] = '\0';
    assert_string_equal(text, expected);
}

static void test_cursor(void **state)
{
    char folder[TEMP_FOLDER_SIZE];
    char path[128];
    char link[128];
    struct cursor *c = NULL;
    struct failure failure;
    struct stat status;
    bool present = true;
    vigil_position position = {1, 2};

    (void)state;
    assert_true(temp_folder_make(folder));
    snprintf(path, sizeof(path), "%s/cursor", folder);
    snprintf(link, sizeof(link), "%s/link", folder);

    assert_int_equal(cursor_open(path, &c, &present, &position, &failure), ERR_OK);
    assert_false(present);
    assert_true(position.epoch == 1 && position.seq == 2);
    assert_int_equal(cursor_write(c, (vigil_position){0xabc, 7}, &failure), ERR_OK);
    check_content(path, "0000000000000abc:7\n");

    /* The same again touches nothing; another one replaces the file as a whole. */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cursor_write(c, (vigil_position){0xabc, 7}, &failure), ERR_OK);
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(cursor_write(c, (vigil_position){0xabc, 8}, &failure), ERR_OK);
    check_content(path, "0000000000000abc:8\n");
    cursor_close(c);

    /* Through a link, which stays one. */
    assert_int_equal(symlink("cursor", link), 0);
    assert_int_equal(cursor_open(link, &c, &present, &position, &failure), ERR_OK);
    assert_true(present);
    assert_true(position.epoch == 0xabc && position.seq == 8);
    assert_int_equal(cursor_write(c, (vigil_position){0xabc, 9}, &failure), ERR_OK);
    assert_int_equal(lstat(link, &status), 0);
    assert_true(S_ISLNK(status.st_mode));
    check_content(path, "0000000000000abc:9\n");
    cursor_close(c);
    cursor_close(NULL);
    temp_folder_remove(folder);
}

static void test_bad_cursors(void **state)
{
    static const char *const contents[] = {
        "", "x", "\n", "1:2\n", "0000000000000abc:\n", "0000000000000abc:5 \n"};
    char folder[TEMP_FOLDER_SIZE];
    char path[128];
    struct cursor *c = NULL;
    struct failure failure;
    bool present = false;
    vigil_position position;

    (void)state;
    assert_true(temp_folder_make(folder));
    snprintf(path, sizeof(path), "%s/cursor", folder);
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        write_file(path, contents[i]);
        assert_int_equal(cursor_open(path, &c, &present, &position, &failure), ERR_BAD_VALUE);
        assert_non_null(strstr(failure.text, path));
    }
    /* A folder, and a file in a folder that is not there. */
    assert_int_equal(cursor_open(folder, &c, &present, &position, &failure), ERR_IO);
    snprintf(path, sizeof(path), "%s/none/cursor", folder);
    assert_int_equal(cursor_open(path, &c, &present, &position, &failure), ERR_OK);
    assert_int_equal(cursor_write(c, (vigil_position){1, 1}, &failure), ERR_IO);
    assert_non_null(strstr(failure.text, strerror(ENOENT)));
    cursor_close(c);
    temp_folder_remove(folder);
}

static void expect_line(struct line_reader *r, const char *text, uint64_t number)
{
    struct bytes line;

    while (!line_reader_next(r, &line)) {
        assert_false(line_reader_done(r));
        assert_true(line_reader_fill(r));
    }
    assert_int_equal(line.size, strlen(text));
    assert_string_equal((const char *)line.data, text);
    assert_true(r->line_number == number);
}

static void test_lines(void **state)
{
    struct line_reader r;
    struct bytes line;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    line_reader_init(&r, fds[0]);
    assert_int_equal(write(fds[1], "one\n\ntw", 7), 7);
    expect_line(&r, "one", 1);
    expect_line(&r, "", 2);
    assert_false(line_reader_next(&r, &line));
    assert_int_equal(write(fds[1], "o\nthree", 7), 7);
    expect_line(&r, "two", 3);
    close(fds[1]);
    expect_line(&r, "three", 4);
    assert_true(line_reader_done(&r));
    assert_false(line_reader_next(&r, &line));
    close(fds[0]);
    line_reader_free(&r);
}

/* Lines around the size of a block, cut wherever the blocks end. */
static void test_long_lines(void **state)
{
    static const size_t sizes[] = {0,       1, (1 << 18) - 2, (1 << 18) - 1, 1 << 18, (1 << 18) + 1,
                                   1 << 20, 3};
    struct line_reader r;
    FILE *f = tmpfile();

    (void)state;
    assert_non_null(f);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t n = 0; n < sizes[i]; n++)
            fputc('a' + (int)(n % 26), f);
        fputc('\n', f);
    }
    rewind(f);
    line_reader_init(&r, fileno(f));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bytes line;
        while (!line_reader_next(&r, &line))
            assert_true(line_reader_fill(&r));
        assert_int_equal(line.size, sizes[i]);
        assert_int_equal(line.data[line.size], 0);
        if (line.size > 0)
            assert_int_equal(line.data[line.size - 1], 'a' + (int)((line.size - 1) % 26));
    }
    assert_true(line_reader_fill(&r));
    assert_true(line_reader_done(&r));
    line_reader_free(&r);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),      cmocka_unit_test(test_positions),
        cmocka_unit_test(test_options),        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_too_many_words), cmocka_unit_test(test_closest),
        cmocka_unit_test(test_cursor),         cmocka_unit_test(test_bad_cursors),
        cmocka_unit_test(test_lines),          cmocka_unit_test(test_long_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
