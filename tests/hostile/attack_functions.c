/*
 * attack_functions.c - functions that are made to take for ever, to take all memory, or to get out.
 * Each first changes a key, and ends with its error, so that the key is never there.
 */
#include "tests/hostile/raw_call.h"
#include "tests/hostile/scenario.h"

#include <stdio.h>
#include <string.h>

enum { PEERS = 8, SOURCE_MAX = 512, BURST = 4096, CHANGED_SIZE = 15 };

static const char changed[] = "hostile/changed";
static const uint8_t no_arguments[] = {0x90};

/* clang-format off */
static const char *const sources[] = {
    "while true do end",
    "for i = 1, 1e18 do pcall(error, i) end",
    "local function f() return 1 + f() end return f()",
    "local function f() pcall(f) pcall(f) end f()",
    "local function f() error({}) end while true do xpcall(f, function(e) error(e) end) end",
    "local t = {} while true do t[#t + 1] = ('x'):rep(100000 + #t) end",
    "local t = {} while true do t = {t, t} end",
    "local s = 'x' while true do s = s .. s end",
    "return ('x'):rep(1 << 40)",
    "return ('x'):rep(1 << 20, ('y'):rep(1 << 20))",
    "return ('a'):rep(60000):find(('.-'):rep(30) .. 'b')",
    "return ('a'):rep(200000):gsub('.-.-.-b', '%0%0%0')",
    "return ('%99999d'):format(1)",
    "local t = {} for i = 1, 20000 do t[i] = i end for i = 1, 20000 do t[i] = nil end "
        "while true do next(t) end",
    "local t = {} for i = 1, 50000 do t[i] = i % 7 end table.sort(t, function() return true end) "
        "while true do table.sort(t) end",
    "while true do table.concat({('x'):rep(1 << 20), ('y'):rep(1 << 20)}) end",
    "while true do table.move({}, 1, 1e15, 2) end",
    "for i = 1, 1e9 do put('hostile/' .. i, i) end",
    "for i = 1, 1e9 do put('hostile/one', ('x'):rep(100000)) end",
    "while true do list('') end",
    "\x1bLua\x54\x00\x19\x93\r\n\x1a\n",
    "return os.exit(1)",
    "return io.open('/etc/passwd'):read('a')",
    "return load('return 1')()",
    "return string.dump(function() end)",
    "return getmetatable('').__index.rep('x', 1)",
    "('').x.y = 1",
    "error(error)",
    "error({{{}}})",
    "local t = {} t[1] = t return t",
    "return {get, put}",
};
/* clang-format on */

/* No two are alike, so that each is compiled. */
static size_t write_source(struct attacker *a, char *out)
{
    const char *source = sources[attacker_random(a) % (sizeof sources / sizeof *sources)];
    bool is_code = source[0] != '\x1b';
    return (size_t)snprintf(out, SOURCE_MAX, "%s%s --%llx",
                            is_code ? "put('hostile/changed', 1) " : "", source,
                            (unsigned long long)attacker_random(a));
}

/* A message with that many; those of a burst run into its bound. */
static bool send_calls(struct attacker *a, struct raw_call *c, unsigned count)
{
    char source[SOURCE_MAX];
    raw_call_begin(c, 0);
    for (unsigned i = 0; i < count; i++) {
        size_t size = write_source(a, source);
        const struct request_call call = {.source = {(const uint8_t *)source, size},
                                          .arguments = {no_arguments, sizeof no_arguments}};
        raw_call_part_begin(c, OP_CALL, 0, 0);
        request_call_write(&c->out, &call);
        raw_call_part_end(c);
    }
    return raw_call_send(c);
}

static void check_nothing_changed(struct attacker *a, struct raw_call *c)
{
    const struct request_get get = {.key = {(const uint8_t *)changed, CHANGED_SIZE}};
    uint8_t body[1] = {1};
    raw_call_begin(c, 0);
    raw_call_part_begin(c, OP_GET, 0, 0);
    request_get_write(&c->out, &get);
    raw_call_part_end(c);
    if (!raw_call_send(c) || raw_call_receive(c, body, sizeof body) != ERR_OK)
        a->fault = "the request after a hostile function was not answered";
    else if (body[0] != 0)
        a->fault = "a function that failed has changed something";
}

void attack_functions(struct attacker *a)
{
    struct raw_call peers[PEERS];
    unsigned opened = 0;
    while (opened < PEERS && raw_call_open(&peers[opened], a->target->sockets[TO_REQUESTS]))
        opened++;
    for (unsigned round = 0; a->done < a->volume && opened == PEERS && !a->fault; round++) {
        /* All at once, so that there is one of each connection. */
        for (unsigned i = 0; i < PEERS; i++)
            send_calls(a, &peers[i], round % 8 == i ? BURST : 1);
        for (unsigned i = 0; i < PEERS; i++) {
            uint8_t body[8];
            int status = raw_call_receive(&peers[i], body, sizeof body);
            if (status != ERR_SCRIPT && status != ERR_BUSY)
                a->fault = status < 0 ? "a hostile function was not answered in time"
                                      : "a hostile function did not end with its error";
            a->done += status == ERR_SCRIPT;
        }
        check_nothing_changed(a, &peers[0]);
    }
    if (opened < PEERS)
        a->fault = "a connection was refused";
    while (opened > 0)
        raw_call_close(&peers[--opened]);
}
