/* The sandbox: what a function can reach, and what it cannot whatever it tries. */
// ctest: TIMEOUT=120
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/script/engine.h"
#include "tests/support/sample_bytes.h"
#include "tests/support/script_fixture.h"

static int set_up(void **state)
{
    struct script_fixture *f = malloc(sizeof *f);
    script_fixture_start(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    script_fixture_stop(*state);
    free(*state);
    return 0;
}

/* ---- what there is ---- */

/* In order. */
static const char *const allowed[] = {"array",
                                      "assert",
                                      "bytes",
                                      "delete",
                                      "error",
                                      "get",
                                      "incr",
                                      "ipairs",
                                      "list",
                                      "map",
                                      "math",
                                      "math.abs",
                                      "math.acos",
                                      "math.asin",
                                      "math.atan",
                                      "math.ceil",
                                      "math.cos",
                                      "math.deg",
                                      "math.exp",
                                      "math.floor",
                                      "math.fmod",
                                      "math.huge",
                                      "math.log",
                                      "math.max",
                                      "math.maxinteger",
                                      "math.min",
                                      "math.mininteger",
                                      "math.modf",
                                      "math.pi",
                                      "math.rad",
                                      "math.sin",
                                      "math.sqrt",
                                      "math.tan",
                                      "math.tointeger",
                                      "math.type",
                                      "math.ult",
                                      "next",
                                      "now",
                                      "null",
                                      "pairs",
                                      "pcall",
                                      "put",
                                      "select",
                                      "string",
                                      "string.byte",
                                      "string.char",
                                      "string.find",
                                      "string.format",
                                      "string.gmatch",
                                      "string.gsub",
                                      "string.len",
                                      "string.lower",
                                      "string.match",
                                      "string.pack",
                                      "string.packsize",
                                      "string.rep",
                                      "string.reverse",
                                      "string.sub",
                                      "string.unpack",
                                      "string.upper",
                                      "table",
                                      "table.concat",
                                      "table.insert",
                                      "table.move",
                                      "table.pack",
                                      "table.remove",
                                      "table.sort",
                                      "table.unpack",
                                      "tonumber",
                                      "tostring",
                                      "type",
                                      "utf8",
                                      "utf8.char",
                                      "utf8.charpattern",
                                      "utf8.codepoint",
                                      "utf8.codes",
                                      "utf8.len",
                                      "utf8.offset",
                                      "xpcall"};

struct found {
    char names[256][64];
    size_t count;
};

/* Every field of the table at the top, and of the tables and userdata that it holds: also what
 * their metatables find. */
static void walk(lua_State *L, struct found *found, const char *prefix)
{
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        assert_int_equal(lua_type(L, -2), LUA_TSTRING);
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s", prefix, lua_tostring(L, -2));
        assert_true(found->count < 256);
        strcpy(found->names[found->count++], name);
        /* No table is held: a script could write into it. */
        assert_int_not_equal(lua_type(L, -1), LUA_TTABLE);
        if (lua_type(L, -1) == LUA_TUSERDATA && lua_getmetatable(L, -1)) {
            assert_int_equal(lua_getiuservalue(L, -2, 1), LUA_TNONE);
            lua_pop(L, 1);
            lua_getfield(L, -1, "__index");
            assert_int_equal(lua_type(L, -1), LUA_TTABLE);
            strcat(name, ".");
            walk(L, found, name);
            lua_pop(L, 2);
        }
        lua_pop(L, 1);
    }
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void test_nothing_else_is_reachable(void **state)
{
    struct script_fixture *f = *state;
    struct found *found = calloc(1, sizeof *found);
    lua_State *L = f->engine->L;
    lua_rawgeti(L, LUA_REGISTRYINDEX, f->engine->shared_ref);
    lua_getfield(L, -1, "__index");
    walk(L, found, "");
    lua_settop(L, 0);
    qsort(found->names, found->count, sizeof found->names[0], compare_names);
    for (size_t i = 0; i < found->count || i < sizeof allowed / sizeof allowed[0]; i++) {
        assert_true(i < sizeof allowed / sizeof allowed[0]);
        assert_true(i < found->count);
        assert_string_equal(found->names[i], allowed[i]);
    }
    free(found);

    /* Strings have methods: those of the library, and no other field. */
    lua_pushliteral(L, "");
    assert_true(lua_getmetatable(L, -1));
    lua_getfield(L, -1, "__index");
    lua_getfield(L, -1, "dump");
    assert_true(lua_isnil(L, -1));
    lua_settop(L, 0);

    /* Lua's own table of globals, to which nothing leads, is empty; no library is registered. */
    lua_pushglobaltable(L);
    lua_pushnil(L);
    assert_false(lua_next(L, -2));
    lua_settop(L, 0);
    assert_int_equal(lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE), LUA_TNIL);
    lua_settop(L, 0);
}

static void test_what_is_not_offered(void **state)
{
    static const char *const names[] = {"_G",
                                        "_VERSION",
                                        "arg",
                                        "collectgarbage",
                                        "coroutine",
                                        "debug",
                                        "dofile",
                                        "getmetatable",
                                        "io",
                                        "load",
                                        "loadfile",
                                        "loadstring",
                                        "module",
                                        "os",
                                        "package",
                                        "print",
                                        "rawequal",
                                        "rawget",
                                        "rawlen",
                                        "rawset",
                                        "require",
                                        "setmetatable",
                                        "warn",
                                        "unpack",
                                        "setfenv",
                                        "getfenv",
                                        "math.random",
                                        "math.randomseed",
                                        "string.dump",
                                        "('').dump",
                                        "('').__index",
                                        "string.__index",
                                        "string.__metatable",
                                        "table.__newindex",
                                        "bytes('x') == nil or nil"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char source[128];
        (void)snprintf(source, sizeof source, "return (%s) == nil", names[i]);
        script_expect_true(*state, source);
    }
}

/* ---- what it cannot change ---- */

static void test_shared_things_cannot_be_changed(void **state)
{
    static const char *const attempts[] = {"string.rep = 1",
                                           "string.x = 1",
                                           "math.pi = 3",
                                           "table.insert(string, 1)",
                                           "table.insert(math, 1, 2)",
                                           "table.sort(table)",
                                           "table.move({1}, 1, 1, 1, string)",
                                           "table.concat(string)",
                                           "table.remove(utf8)",
                                           "table.unpack(string)",
                                           "array(string)",
                                           "map(math)",
                                           "for k in next, string do end",
                                           "for k in pairs(string) do end",
                                           "('').x = 1",
                                           "('x').rep = 1",
                                           "null.x = 1",
                                           "local x = null.x",
                                           "bytes('a').x = 1",
                                           "local x = bytes('a').x",
                                           "local f = tostring; f.x = 1",
                                           "string()",
                                           "#string = 1",
                                           "return #string",
                                           "return string .. ''",
                                           "return string < math",
                                           "return null + 1",
                                           "return bytes('a') .. 'b'",
                                           "return bytes('a') < bytes('b')"};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
        script_expect_failure(*state, attempts[i], "test:1:");
    script_expect_true(*state, "return string.rep('a', 2) == 'aa' and ('x'):rep(2) == 'xx'");
}

static void test_globals_are_those_of_one_call(void **state)
{
    script_expect_true(*state,
                       "x = 1; get = nil; tostring = 5; string = {}; args = 7; return true");
    script_expect_true(*state, "return x == nil and type(get) == 'function' and #args == 0 and "
                               "type(tostring) == 'function' and string.rep ~= nil");
    /* The same function, that is cached, finds nothing of its last call. */
    for (int i = 0; i < 3; i++)
        script_expect_integer(*state, "count = (count or 0) + 1; return count", 1);
    /* Nor after one that failed. */
    for (int i = 0; i < 3; i++)
        script_expect_failure(*state, "assert(not leak, 'leaked'); leak = 1; error('as it should')",
                              "as it should");
}

static void test_the_table_of_globals_cannot_be_named(void **state)
{
    static const char *const attempts[] = {"return _ENV", "local _ENV = {}",
                                           "local _ENV <const> = 11; x = 1", "local a = '_ENV'",
                                           "local function f(_ENV) return x end return f({})"};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++)
        script_expect_failure(*state, attempts[i], "_ENV");
}

static int collect_code(lua_State *L, const void *p, size_t size, void *context)
{
    (void)L;
    wire_write_raw(context, p, size);
    return 0;
}

static void test_only_text_is_compiled(void **state)
{
    struct script_fixture *f = *state;
    script_expect_failure(f, "\x1bLua", "attempt to load a binary chunk");
    /* A whole function as bytecode. */
    lua_State *L = luaL_newstate();
    assert_int_equal(luaL_loadstring(L, "return 1"), LUA_OK);
    struct wire_buffer out = {.size_max = 1 << 16};
    assert_int_equal(lua_dump(L, collect_code, &out, 1), 0);
    assert_int_equal(script_fixture_run_bytes(f, (struct bytes){out.data, out.size}, NULL),
                     ERR_SCRIPT);
    assert_non_null(strstr(script_error_text(f->engine, SCRIPT_TEXT_MAX), "binary chunk"));
    wire_buffer_free(&out);
    lua_close(L);
}

static void test_no_address_is_told(void **state)
{
    script_expect_true(*state, "return tostring({}) == 'table' and tostring(print) == 'nil'");
    script_expect_true(*state,
                       "return tostring(get) == 'function' and tostring(math) == 'library'");
    script_expect_true(*state, "return string.format('%s %5s', {}, get) == 'table function'");
    script_expect_failure(*state, "return string.format('%p', {})", "%p");
    script_expect_failure(*state, "return string.format('%-20p', 'x')", "%p");
    script_expect_failure(*state, "error({})", "(the error object is a table)");
    script_expect_failure(*state, "error(get)", "(the error object is a function)");
}

/* ---- errors ---- */

static void test_errors_of_any_kind(void **state)
{
    struct script_fixture *f = *state;
    script_expect_failure(f, "error('boom')", "test:1: boom\nstack traceback:\n\t");
    script_expect_failure(f, "error('boom', 0)", "boom\nstack");
    script_expect_failure(f, "error()", "(the error object is a nil)");
    script_expect_failure(f, "error(null)", "null");
    script_expect_failure(f, "error(12)", "12");
    script_expect_failure(f, "error(true)", "true");
    script_expect_failure(f, "error(bytes('raw'))", "raw");
    script_expect_failure(f, "local t = nil; return t.x", "test:1: attempt to index a nil value");
    script_expect_failure(f, "local x = = 1", "test:1: unexpected symbol");
    script_expect_failure(f, "\n\nfor", "test:3:");
    assert_null(strstr(f->text, "traceback"));
    script_expect_failure(f, "return 1, 2", "one value");
    script_expect_failure(f,
                          "local function inner() error('deep') end\n"
                          "local function outer() inner() end\n"
                          "outer()",
                          "test:1: deep\nstack traceback:\n\t[C]: in global 'error'\n\ttest:1: in "
                          "upvalue 'inner'\n\ttest:2: in local 'outer'\n\ttest:3: in main chunk");
}

static void test_text_is_clean(void **state)
{
    struct script_fixture *f = *state;
    script_expect_failure(f, "error('a\\27[31m\\0b\\xff\\xc2\\x9b\\u{20ac}\\n\\t.', 0)",
                          "a?[31m?b??\xe2\x82\xac\n\t.");
    script_expect_failure(f, "error(('x'):rep(100000), 0)", "xxxx");
    assert_non_null(strstr(f->text, "traceback"));
}

static void test_protected_calls(void **state)
{
    struct script_fixture *f = *state;
    script_expect_true(f, "local ok, e = pcall(error, 'x'); return ok == false and e == 'x'");
    script_expect_true(f, "local ok, a, b = pcall(function(...) return ... end, 1, 2)\n"
                          "return ok and a == 1 and b == 2");
    script_expect_true(f, "return select('#', pcall(function() end)) == 1");
    script_expect_true(f, "local ok, e = xpcall(error, function(m) return m .. '!' end, 'x')\n"
                          "return ok == false and e == 'x!'");
    script_expect_true(f, "local ok, a, b = xpcall(function(...) return ... end, error, 1, 2)\n"
                          "return ok and a == 1 and b == 2");
    script_expect_true(f, "return (xpcall(error, function() error('again') end, 'x')) == false");
    script_expect_true(f, "local ok, e = pcall(error, {code = 7}); return e.code == 7");
    script_expect_true(f, "return (pcall(pcall)) == false and (pcall(xpcall, 1)) == false");
}

/* ---- hostile: each ends, with its error, and the next call is served ---- */

static void test_endless_loops(void **state)
{
    struct script_fixture *f = *state;
    static const char *const sources[] = {
        "while true do end",
        "repeat until false",
        "::a:: goto a",
        "for i = 1, math.huge do end",
        "while true do pcall(error) end",
        "pcall(function() while true do end end) while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) pcall(f) end f() while true do f() end",
        "xpcall(function() while true do end end, function() while true do end end)",
        "while true do xpcall(error, function() while true do end end) end",
        "local function h() return xpcall(error, h) end while true do h() end",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "('x'):gsub('x', function() while true do end end)",
        "while true do ('x'):gsub('x', function() pcall(error) end) end",
        "for k in function() return 1 end do end",
        "local t = setmetatable == nil while t do end",
        "local s = 'x' while true do local y = s .. s end",
        "while true do local f = function() return s end end",
        "while true do tostring(1.5) end",
        "while true do for i in ('abc'):gmatch('.') do end end"};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        script_expect_failure(f, sources[i], "steps is reached\nstack traceback:\n\t");
        assert_non_null(strstr(f->text, "test:1: "));
    }
}

static void test_loops_within_c_functions(void **state)
{
    struct script_fixture *f = *state;
    static const char *const sources[] = {
        "return (('a'):rep(100000)):find(('a*'):rep(50) .. 'b')",
        "return (('a'):rep(100000)):match('(.-)(.-)(.-)(.-)x')",
        "return (('a'):rep(100000)):gsub('.-.-.-x', '')",
        "for _ in (('a'):rep(100000)):gmatch('a-a-a-b') do end",
        "while true do (('a'):rep(1000000)):find('b', 1, true) end",
        "local s = ('('):rep(500000) while true do s:find('%b()') end",
        "local s = ('a'):rep(500000) while true do s:match('(.*)%1b') end",
        "local p = '[' .. ('b'):rep(500000) .. ']' while true do ('aaaa'):find(p) end",
        "while true do (' '):rep(1000000 // 1 | 0) end",
        "while true do (''):rep(1 << 62) end",
        "while true do ('x'):rep(1000):upper():lower():reverse() end",
        "while true do tonumber(('0'):rep(1000000)) end",
        "while true do utf8.len(('a'):rep(1000000)) end",
        "local t = {} for i = 1, 100000 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end",
        "local t = {} for i = 1, 100000 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end",
        "table.move({}, 1, 1 << 62, 2)",
        "local t = {} for i = 1, 50000 do t[i] = 'abc' end while true do table.concat(t) end",
        "local t = {} for i = 1, 50000 do t[i] = i end while true do select('#', table.unpack(t)) end",
        "local a = ('x'):rep(1000000) local t = {} for i = 1, 300 do t[i] = a .. i end",
        "while true do string.format('%99.99f', 1e308) end",
        "while true do string.pack('c1000000', 'x') end",
        "local t = {} for i = 1, 1000 do t[i] = {} end while true do put('k', t) end",
        "local t = {} for i = 1, 30 do t = {t, t} end put('k', t)",
        "while true do list('') end",
        "while true do string.rep('x', 100000, 'y') end"};
    f->limits.operations = 1000000000;
    f->limits.memory = 64 << 20;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        script_expect_failure(f, sources[i], "steps is reached");
}

/* One instruction of each of these takes long, and no step counts it: the clock does. */
static void test_long_instructions(void **state)
{
    struct script_fixture *f = *state;
    static const char *const sources[] = {
        "local a, b = ('x'):rep(3000000), ('x'):rep(3000000) while true do local c = a == b end",
        "local a, b = ('x'):rep(3000000), ('x'):rep(3000000) while true do local c = a < b end",
        "local a = ('0'):rep(3000000) while true do local c = a + 0 end",
        ("local t = {} for i = 1, 150000 do t['k' .. i] = i end for k in pairs(t) do t[k] = nil end "
         "while true do next(t) end")};
    f->limits.time_ms = 100;
    f->limits.steps = 1000000000000;
    f->limits.memory = 64 << 20;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        script_expect_failure(f, sources[i], "the time limit of 100 ms is reached\nstack");
}

static void test_endless_memory(void **state)
{
    struct script_fixture *f = *state;
    static const char *const sources[] = {
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} for i = 1, 1e9 do t[i] = {} end",
        "local t = {} while true do t = {t} end",
        "local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "return ('x'):rep(1 << 40)",
        "return ('x'):rep(1 << 62, 'yz')",
        "return ('xxxxxxxx'):rep((1 << 61) + 1)",
        "return ('x'):rep(100000):gsub('', ('y'):rep(100000))",
        "return table.concat({('x'):rep(5000000), ('y'):rep(5000000)})",
        "return string.pack('c1000000000', 'x')",
        "local t = {pcall(string.rep, 'x', 1 << 40)} return 1",
        "while true do pcall(string.rep, 'x', 1 << 40) end",
        "local s = ('x'):rep(4000000) pcall(function() return s .. s .. s end) return 1",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end",
        ("local function f() local t = {f} t.g = function() return t end return t end\n"
         "local a = {} while true do a[#a + 1] = f() end")};
    f->limits.steps = 1000000000;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        script_expect_failure(f, sources[i], "the memory limit of 8388608 bytes is reached\nstack");
        assert_non_null(strstr(f->text, "test:1: "));
    }
    /* Garbage does not count: much more than the limit may be allocated over time. */
    script_expect_integer(f,
                          "local n = 0 for i = 1, 200 do n = n + #(('x'):rep(500000 + i)) end "
                          "return n",
                          100020100);
}

static void test_deep_recursion(void **state)
{
    struct script_fixture *f = *state;
    f->limits.steps = 1000000000;
    script_expect_failure(f, "local function f() return 1 + f() end return f()",
                          "nested deeper than 5000\nstack traceback:\n");
    assert_non_null(strstr(f->text, "(skipping "));
    script_expect_failure(f, "local function f() local x = pcall(f) return f() + 1 end f()",
                          "deep");
    script_expect_true(
        f, "local ok, e = pcall(function() local function f(x) return (x:gsub('.', f)) end "
           "return f('x') end) return not ok and e:find('C stack overflow') ~= nil");
    script_expect_true(
        f, "local function f(n) return n == 0 and true or (f(n - 1)) end return f(3000)");
    /* Tail calls are no recursion. */
    script_expect_true(f, "local function f(n) if n == 0 then return true end return f(n - 1) end "
                          "return f(100000)");
    script_expect_failure(f, "local function f() return pcall(f) end f() error('after')", "after");
    script_expect_failure(f, "return table.unpack({}, 1, 1e8)", "too many results to unpack");
    script_expect_failure(f, "return ('x'):rep(2e6):byte(1, -1)", "");
    /* The parser's, too. */
    char *source = malloc(200001);
    memset(source, '(', 200000);
    source[200000] = '\0';
    script_expect_failure(f, source, "overflow");
    memset(source, '{', 200000);
    memcpy(source, "return ", 7);
    script_expect_failure(f, source, "overflow");
    for (size_t i = 0; i + 8 <= 200000; i += 8)
        memcpy(source + i, "while 1 ", 8);
    script_expect_failure(f, source, "");
    free(source);
}

static void test_a_source_that_compiles_slowly(void **state)
{
    struct script_fixture *f = *state;
    /* Names that are looked for in all enclosing functions. */
    struct wire_buffer b = {.size_max = 1 << 20};
    for (int level = 0; level < 150; level++) {
        const char *head = "local function f()";
        wire_write_raw(&b, head, strlen(head));
        for (int i = 0; i < 100; i++)
            wire_write_raw(&b, "local a ", 8);
    }
    while (b.size < SCRIPT_SOURCE_MAX - 4)
        wire_write_raw(&b, "x=y ", 4);
    f->limits.time_ms = 5;
    int err = script_fixture_run_bytes(f, (struct bytes){b.data, b.size}, NULL);
    assert_int_equal(err, ERR_SCRIPT);
    assert_non_null(strstr(script_error_text(f->engine, SCRIPT_TEXT_MAX), "time limit"));
    wire_write_raw(&b, "        ", 8);
    err = script_fixture_run_bytes(f, (struct bytes){b.data, b.size}, NULL);
    assert_int_equal(err, ERR_SCRIPT);
    assert_non_null(strstr(script_error_text(f->engine, SCRIPT_TEXT_MAX), "at most 262144"));
    wire_buffer_free(&b);
}

#define SANDBOX_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SANDBOX_TEST(test_nothing_else_is_reachable),
        SANDBOX_TEST(test_what_is_not_offered),
        SANDBOX_TEST(test_shared_things_cannot_be_changed),
        SANDBOX_TEST(test_globals_are_those_of_one_call),
        SANDBOX_TEST(test_the_table_of_globals_cannot_be_named),
        SANDBOX_TEST(test_only_text_is_compiled),
        SANDBOX_TEST(test_no_address_is_told),
        SANDBOX_TEST(test_errors_of_any_kind),
        SANDBOX_TEST(test_text_is_clean),
        SANDBOX_TEST(test_protected_calls),
        SANDBOX_TEST(test_endless_loops),
        SANDBOX_TEST(test_loops_within_c_functions),
        SANDBOX_TEST(test_long_instructions),
        SANDBOX_TEST(test_endless_memory),
        SANDBOX_TEST(test_deep_recursion),
        SANDBOX_TEST(test_a_source_that_compiles_slowly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
