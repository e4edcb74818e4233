/*
 * value_read.c - MessagePack to Lua, without loss, or an error that says what
 * cannot be held.
 *
 * nil becomes null, a light userdata that is like no other value. An array and a
 * map are tables with a metatable each, which marks them; bin and ext are
 * userdata. The bytes have been checked to be one value, and are checked again.
 */
#include "server/script/engine.h"

#include <math.h>
#include <stdio.h>

#include "protocol/limits.h"

/* Behind a userdata of bytes. */
struct binary {
    bool is_extension;
    int8_t extension_type;
    size_t size;
    uint8_t data[];
};

/* ---- null, bytes ---- */

void value_push_null(lua_State *L)
{
    lua_pushlightuserdata(L, NULL);
}

bool value_is_null(lua_State *L, int index)
{
    return lua_islightuserdata(L, index) && !lua_touserdata(L, index);
}

static const struct binary *to_binary(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TUSERDATA || !lua_getmetatable(L, index))
        return NULL;
    lua_rawgeti(L, LUA_REGISTRYINDEX, engine_of(L)->bytes_ref);
    bool is_binary = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return is_binary ? lua_touserdata(L, index) : NULL;
}

bool value_to_binary(lua_State *L, int index, struct bytes *ret_data)
{
    const struct binary *b = to_binary(L, index);
    if (!b)
        return false;
    *ret_data = (struct bytes){b->data, b->size};
    return true;
}

bool value_is_extension(lua_State *L, int index, int8_t *ret_type)
{
    const struct binary *b = to_binary(L, index);
    if (!b || !b->is_extension)
        return false;
    *ret_type = b->extension_type;
    return true;
}

static void push_binary(lua_State *L, struct bytes data, bool is_extension, int8_t type)
{
    struct binary *b = lua_newuserdatauv(L, sizeof *b + data.size, 0);
    b->is_extension = is_extension;
    b->extension_type = type;
    b->size = data.size;
    if (data.size > 0)
        memcpy(b->data, data.data, data.size);
    lua_rawgeti(L, LUA_REGISTRYINDEX, engine_of(L)->bytes_ref);
    lua_setmetatable(L, -2);
}

void value_push_binary(lua_State *L, struct bytes data)
{
    push_binary(L, data, false, 0);
}

static int binary_equal(lua_State *L)
{
    const struct binary *a = to_binary(L, 1);
    const struct binary *b = to_binary(L, 2);
    bool equal = a && b && a->is_extension == b->is_extension &&
                 a->extension_type == b->extension_type && a->size == b->size;
    if (equal) {
        meter_charge_bytes(L, a->size);
        equal = memcmp(a->data, b->data, a->size) == 0;
    }
    lua_pushboolean(L, equal);
    return 1;
}

static int binary_length(lua_State *L)
{
    const struct binary *b = to_binary(L, 1);
    lua_pushinteger(L, b ? (lua_Integer)b->size : 0);
    return 1;
}

void value_binary_functions(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"__eq", binary_equal}, {"__len", binary_length}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, "bytes");
    lua_setfield(L, -2, "__name");
}

/* ---- reading ---- */

struct reader {
    lua_State *L;
    const uint8_t *at;
    const uint8_t *end;
    unsigned depth;
};

static void push_next(struct reader *r);

static struct bytes take(struct reader *r, uint64_t size)
{
    if (size > (size_t)(r->end - r->at))
        luaL_error(r->L, "a value is cut off");
    struct bytes b = {r->at, (size_t)size};
    r->at += size;
    return b;
}

static uint64_t take_number(struct reader *r, unsigned width)
{
    struct bytes b = take(r, width);
    uint64_t v = 0;
    for (size_t i = 0; i < b.size; i++)
        v = v << 8 | b.data[i];
    return v;
}

static void push_unsigned(struct reader *r, uint64_t v)
{
    char text[24];
    if (v > INT64_MAX) {
        (void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
        luaL_error(r->L, "the integer %s is beyond Lua's, which end at 2^63-1", text);
    }
    lua_pushinteger(r->L, (lua_Integer)v);
}

static void push_signed(struct reader *r, unsigned width)
{
    uint64_t v = take_number(r, width);
    uint64_t sign = UINT64_C(1) << (8 * width - 1);
    lua_pushinteger(r->L, (lua_Integer)((v ^ sign) - sign));
}

static void push_float(struct reader *r, unsigned width)
{
    uint64_t bits = take_number(r, width);
    uint32_t short_bits = (uint32_t)bits;
    float single;
    double number;
    memcpy(&single, &short_bits, sizeof single);
    memcpy(&number, &bits, sizeof number);
    lua_pushnumber(r->L, width == 4 ? (double)single : number);
}

static void push_text(struct reader *r, uint64_t size)
{
    struct bytes b = take(r, size);
    lua_pushlstring(r->L, (const char *)b.data, b.size);
}

static void push_extension(struct reader *r, uint64_t size)
{
    int8_t type = (int8_t)take_number(r, 1);
    push_binary(r->L, take(r, size), true, type);
}

/* ---- containers ---- */

static void begin_container(struct reader *r, uint64_t items)
{
    if (++r->depth > LIMIT_VALUE_DEPTH)
        luaL_error(r->L, "a value is nested deeper than %d", LIMIT_VALUE_DEPTH);
    if (items > (size_t)(r->end - r->at)) /* each takes a byte at least */
        luaL_error(r->L, "a value is cut off");
    luaL_checkstack(r->L, 6, NULL);
    meter_charge(r->L, items);
}

static void end_container(struct reader *r, int marker_ref)
{
    r->depth--;
    lua_rawgeti(r->L, LUA_REGISTRYINDEX, marker_ref);
    lua_setmetatable(r->L, -2);
}

static void push_array(struct reader *r, uint64_t count)
{
    begin_container(r, count);
    lua_createtable(r->L, (int)count, 0);
    for (uint64_t i = 1; i <= count; i++) {
        push_next(r);
        lua_rawseti(r->L, -2, (lua_Integer)i);
    }
    end_container(r, engine_of(r->L)->array_ref);
}

static void check_key(struct reader *r)
{
    lua_State *L = r->L;
    lua_Integer i;
    int is_integer = 0;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
    case LUA_TBOOLEAN:
    case LUA_TLIGHTUSERDATA:
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            return;
        if (isnan(lua_tonumber(L, -1)))
            luaL_error(L, "a map has the key NaN, which Lua's tables cannot have");
        i = lua_tointegerx(L, -1, &is_integer);
        if (is_integer)
            luaL_error(L, "a map has the float %I.0 as a key, for which Lua takes the integer",
                       (LUAI_UACINT)i);
        return;
    default:
        luaL_error(L, "a map has a key that is %s: Lua would not find it",
                   lua_type(L, -1) == LUA_TTABLE ? "an array or a map" : "binary");
    }
}

static void push_map(struct reader *r, uint64_t count)
{
    lua_State *L = r->L;
    begin_container(r, 2 * count);
    lua_createtable(L, 0, (int)count);
    for (uint64_t i = 0; i < count; i++) {
        push_next(r);
        check_key(r);
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) != LUA_TNIL) {
            sandbox_tostring(L, -2);
            luaL_error(L, "a map has the key '%s' twice", lua_tostring(L, -1));
        }
        lua_pop(L, 1);
        push_next(r);
        lua_rawset(L, -3);
    }
    end_container(r, engine_of(L)->map_ref);
}

/* ---- any value ---- */

/* Tags from 0xc0 to 0xdf. */
static void push_tagged(struct reader *r, uint8_t tag)
{
    switch (tag) {
    case 0xc0:
        value_push_null(r->L);
        return;
    case 0xc2:
    case 0xc3:
        lua_pushboolean(r->L, tag == 0xc3);
        return;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        value_push_binary(r->L, take(r, take_number(r, 1u << (tag - 0xc4))));
        return;
    case 0xc7:
    case 0xc8:
    case 0xc9:
        push_extension(r, take_number(r, 1u << (tag - 0xc7)));
        return;
    case 0xca:
    case 0xcb:
        push_float(r, tag == 0xca ? 4 : 8);
        return;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        push_unsigned(r, take_number(r, 1u << (tag - 0xcc)));
        return;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        push_signed(r, 1u << (tag - 0xd0));
        return;
    case 0xd9:
    case 0xda:
    case 0xdb:
        push_text(r, take_number(r, 1u << (tag - 0xd9)));
        return;
    case 0xdc:
    case 0xdd:
        push_array(r, take_number(r, tag == 0xdc ? 2 : 4));
        return;
    case 0xde:
    case 0xdf:
        push_map(r, take_number(r, tag == 0xde ? 2 : 4));
        return;
    default:
        if (tag >= 0xd4 && tag <= 0xd8)
            push_extension(r, 1u << (tag - 0xd4));
        else
            luaL_error(r->L, "a value has a tag that MessagePack does not know");
    }
}

static void push_next(struct reader *r)
{
    uint8_t tag = (uint8_t)take_number(r, 1);
    if (tag < 0x80)
        lua_pushinteger(r->L, tag);
    else if (tag < 0x90)
        push_map(r, tag & 0x0f);
    else if (tag < 0xa0)
        push_array(r, tag & 0x0f);
    else if (tag < 0xc0)
        push_text(r, tag & 0x1f);
    else if (tag >= 0xe0)
        lua_pushinteger(r->L, (int8_t)tag);
    else
        push_tagged(r, tag);
}

void value_push(lua_State *L, struct bytes value)
{
    struct reader r = {L, value.data, value.data + value.size, 0};
    meter_charge_bytes(L, value.size);
    push_next(&r);
}
