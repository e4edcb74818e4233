/* Patterns: the same outcomes, errors included, as Lua's own string library in the same process. */
// ctest: TIMEOUT=120
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "server/script/pattern.h"
#include "tests/support/sample_bytes.h"
#include "tests/support/script_fixture.h"

/* Everything that patterns are used for, as one text. */
static const char program[] =
    "local s, p, r = args[1], args[2], args[3]\n"
    "local out = {}\n"
    "local function show(...)\n"
    "    for i = 1, select('#', ...) do out[#out + 1] = tostring((select(i, ...))) end\n"
    "    out[#out + 1] = '|'\n"
    "end\n"
    "show(pcall(string.find, s, p))\n"
    "show(pcall(string.find, s, p, 3))\n"
    "show(pcall(string.find, s, p, -2))\n"
    "show(pcall(string.find, s, p, 1, true))\n"
    "show(pcall(string.match, s, p))\n"
    "show(pcall(string.match, s, p, -3))\n"
    "show(pcall(function()\n"
    "    for a, b in string.gmatch(s, p) do show(a, b) end\n"
    "    for a in string.gmatch(s, p, 3) do show(a) end\n"
    "end))\n"
    "show(pcall(string.gsub, s, p, r))\n"
    "show(pcall(string.gsub, s, p, r, 2))\n"
    "show(pcall(string.gsub, s, p, {a = 'A', ab = false, b = 7}))\n"
    "show(pcall(string.gsub, s, p, function(a, b) return b end))\n"
    "show(pcall(string.rep, s, #p, r))\n"
    "return table.concat(out, ';')\n";

struct both {
    struct script_fixture fixture;
    lua_State *real;
};

static int set_up(void **state)
{
    struct both *b = calloc(1, sizeof *b);
    script_fixture_start(&b->fixture);
    b->fixture.limits.steps = 100000000;
    b->real = luaL_newstate();
    luaL_openlibs(b->real);
    assert_int_equal(luaL_loadbuffer(b->real, program, strlen(program), "=test"), LUA_OK);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct both *b = *state;
    script_fixture_stop(&b->fixture);
    lua_close(b->real);
    free(b);
    return 0;
}

static const char *run_real(struct both *b, const char *const arguments[3])
{
    lua_State *L = b->real;
    lua_settop(L, 1);
    lua_createtable(L, 3, 0);
    for (int i = 0; i < 3; i++) {
        lua_pushstring(L, arguments[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "args");
    lua_pushvalue(L, 1);
    assert_int_equal(lua_pcall(L, 0, 1, 0), LUA_OK);
    return lua_tostring(L, -1);
}

/* The text within a MessagePack string. */
static struct bytes text_of(struct bytes value)
{
    size_t head = value.data[0] == 0xd9 ? 2 : value.data[0] == 0xda ? 3 : 1;
    assert_true(value.data[0] != 0xdb);
    return (struct bytes){value.data + head, value.size - head};
}

static void check(struct both *b, const char *subject, const char *pattern, const char *replacement)
{
    const char *const list[3] = {subject, pattern, replacement};
    uint8_t packed[256] = {0x93};
    size_t size = 1;
    for (int i = 0; i < 3; i++) {
        size_t length = strlen(list[i]);
        assert_true(length < 32);
        packed[size++] = (uint8_t)(0xa0 | length);
        memcpy(packed + size, list[i], length);
        size += length;
    }
    int err = script_fixture_run(&b->fixture, program, &(struct bytes){packed, size});
    const char *expected = run_real(b, list);
    struct bytes said = {NULL, 0};
    if (!err)
        said = text_of(b->fixture.result);
    if (err || !bytes_equal(said, bytes_of(expected)))
        print_error("'%s' '%s' '%s': %s\n%.*s\nin place of\n%s\n", subject, pattern, replacement,
                    script_error_text(b->fixture.engine, SCRIPT_TEXT_MAX), (int)said.size,
                    (const char *)said.data, expected);
    assert_int_equal(err, ERR_OK);
    assert_true(bytes_equal(said, bytes_of(expected)));
}

static void test_chosen_patterns(void **state)
{
    static const char *const patterns[] = {
        "",       "a",       ".",        "^a",       "a$",        "^$",        "$",      "a*",
        "a+",     "a-",      "a?b",      "(a)(b)",   "()a()",     "(a*)(.)%1", "%d+",    "%a-%s",
        "[abc]",  "[^abc]+", "[a-c]*",   "[%a_]",    "[]]",       "[^]]",      "[a-]",   "[%]]",
        "%b()",   "%b",      "%b(",      "%f[%w]",   "%f[%W]",    "%f",        "%f[",    "%",
        "[",      "[a",      "[%",       "(",        ")",         "(a",        "a)",     "(()a)",
        "%1",     "(%1)",    "(a)%2",    "%0",       "(a)%0",     "^^a",       "a^",     "a$b",
        "%.",     "%z",      "%Z+",      "[%z]",     "[a%",       "[^",        "[^]",    "[]",
        ".-b",    "(.-)b",   "(a+)(a+)", "((a)(b))", "x*",        "[b-a]",     "%w+%W*", "[%a-z]",
        "[a-%z]", "[+-]",    "[--/]",    "%p",       "%c%g%x%u%l"};
    static const char *const subjects[] = {
        "",        "a",        "ab",     "aab",  "abc abd", "((a)b",          "x = 10, y",
        "[a]-[b]", "a.b\n\tc", "ABab12", "aaaa", "abab",    "THE (quick) fox"};
    static const char *const replacements[] = {"",  "-",  "%0", "<%1>", "%2",
                                               "%", "%%", "%a", "%1%0"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        for (size_t j = 0; j < sizeof subjects / sizeof subjects[0]; j++)
            check(*state, subjects[j], patterns[i], replacements[(i + j) % 9]);
    }
}

static void test_random_patterns(void **state)
{
    static const char *const parts[] = {"a",    "b",  "ab", ".",   "%a", "%d", "[ab]", "[^a]", "*",
                                        "+",    "-",  "?",  "(",   ")",  "()", "%1",   "%2",   "^",
                                        "$",    "%",  "[",  "]",   "%b", "()", "%f",   "[%w]", "-",
                                        "%b()", "%s", "1",  "[a-", "^",  "%u", "x"};
    struct sample s = {77};
    for (int round = 0; round < 12000; round++) {
        char subject[16] = "";
        char pattern[32] = "";
        char replacement[16] = "";
        for (size_t n = sample_below(&s, 12); n > 0; n--)
            strncat(subject, &"a\0b\0(\0)\0 \0001\0x\0]"[2 * sample_below(&s, 8)], 1);
        for (size_t n = 1 + sample_below(&s, 6); n > 0; n--)
            strncat(pattern, parts[sample_below(&s, sizeof parts / sizeof parts[0])],
                    sizeof pattern - 1 - strlen(pattern));
        for (size_t n = sample_below(&s, 4); n > 0; n--)
            strncat(replacement, &"%\0a\0001\0000\0002"[2 * sample_below(&s, 5)], 1);
        check(*state, subject, pattern, replacement);
    }
}

static bool spend_counting(void *context, uint32_t steps)
{
    uint64_t *left = context;
    if (*left < steps)
        return false;
    *left -= steps;
    return true;
}

static void test_a_bound_stops_each_kind_of_work(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *subject = malloc(SIZE);
    memset(subject, 'a', SIZE);
    static const char *const patterns[] = {"a*a*a*a*b", "(a*)*b",      "a-a-a-a-b",
                                           ".-.-.-x",   "(.*)%1(.*)b", "a?a?a?.*.*.*b"};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        uint64_t left = 1000000;
        struct pattern_match m = {.subject = {(const uint8_t *)subject, SIZE},
                                  .pattern = bytes_of(patterns[i]),
                                  .spend = spend_counting,
                                  .context = &left};
        size_t end;
        enum pattern_result result = PATTERN_NONE;
        for (size_t at = 0; at < SIZE && result == PATTERN_NONE; at++)
            result = pattern_match_at(&m, at, &end);
        assert_int_equal(result, PATTERN_STOPPED);
    }
    /* %b goes through the subject without a single character class. */
    uint64_t left = 1000;
    struct pattern_match m = {.subject = {(const uint8_t *)subject, SIZE},
                              .pattern = bytes_of("%bab"),
                              .spend = spend_counting,
                              .context = &left};
    size_t end;
    assert_int_equal(pattern_match_at(&m, 0, &end), PATTERN_STOPPED);
    free(subject);
}

static void test_depth_is_bounded(void **state)
{
    (void)state;
    char pattern[2000];
    char subject[600];
    memset(subject, 'a', sizeof subject);
    for (size_t i = 0; i + 1 < sizeof pattern; i += 2)
        memcpy(pattern + i, "a?", 2);
    struct pattern_match m = {.subject = {(const uint8_t *)subject, sizeof subject},
                              .pattern = {(const uint8_t *)pattern, sizeof pattern}};
    size_t end;
    assert_int_equal(pattern_match_at(&m, 0, &end), PATTERN_INVALID);
    assert_string_equal(m.error, "pattern too complex");
}

/* Nothing is read beyond the end: each copy ends where its heap block does. */
static void test_ends_are_kept(void **state)
{
    (void)state;
    static const char *const patterns[] = {"%",   "[",  "[^",  "[%",  "%b",
                                           "%bx", "%f", "%f[", "[a-", "("};
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        size_t size = strlen(patterns[i]);
        uint8_t *pattern = copy_exactly(patterns[i], size);
        uint8_t *subject = copy_exactly("x", 1);
        struct pattern_match m = {.subject = {subject, 1}, .pattern = {pattern, size}};
        size_t end;
        for (size_t at = 0; at <= 1; at++) {
            enum pattern_result result = pattern_match_at(&m, at, &end);
            assert_true(result == PATTERN_INVALID || result == PATTERN_FOUND);
        }
        free(pattern);
        free(subject);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chosen_patterns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_random_patterns, set_up, tear_down),
        cmocka_unit_test(test_a_bound_stops_each_kind_of_work),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_ends_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
