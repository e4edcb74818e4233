/*
 * value_write.c - Lua to MessagePack, without loss, or an error that says what
 * cannot be written.
 *
 * Integers and lengths in their shortest form, floats as 64 bits, maps with
 * their keys in order: one value has one form.
 */
#include "server/script/engine.h"

#include <stdlib.h>

#include "protocol/key.h"
#include "protocol/limits.h"
#include "protocol/value.h"

enum { FEW_KEYS = 16 };

/* In the order in which a map's keys are written. */
enum key_rank { RANK_NULL, RANK_FALSE, RANK_TRUE, RANK_INTEGER, RANK_FLOAT, RANK_TEXT };

struct map_key {
    enum key_rank rank;
    union {
        lua_Integer integer;
        lua_Number number;
        struct bytes text; /* the table holds it */
    } of;
};

struct writer {
    lua_State *L;
    struct wire_buffer *out;
    size_t size_max;
    const char *what;
    unsigned depth;
};

static void write_any(struct writer *w, int index);

/* ---- scalars ---- */

static void write_bytes(struct writer *w, const void *data, size_t size)
{
    wire_write_raw(w->out, data, size);
    if (w->out->failed)
        luaL_error(w->L, "%s is too large: at most %I bytes are allowed", w->what,
                   (LUAI_UACINT)w->size_max);
}

static void write_head(struct writer *w, uint8_t tag, uint64_t number, unsigned width)
{
    uint8_t head[9] = {tag};
    for (unsigned i = 0; i < width; i++)
        head[1 + i] = (uint8_t)(number >> (8 * (width - 1 - i)));
    write_bytes(w, head, 1 + width);
}

/* tag: of the form with one byte; the ones with two and four follow it. 0: there is none. */
static void write_size(struct writer *w, size_t size, uint8_t tag8, uint8_t tag16)
{
    if (tag8 != 0 && size <= UINT8_MAX)
        write_head(w, tag8, size, 1);
    else if (size <= UINT16_MAX)
        write_head(w, tag16, size, 2);
    else
        write_head(w, (uint8_t)(tag16 + 1), size, 4);
}

static void write_integer(struct writer *w, lua_Integer v)
{
    uint8_t form[VALUE_INTEGER_SIZE_MAX];
    write_bytes(w, form, value_write_integer((struct value_integer){v < 0, (uint64_t)v}, form));
}

static void write_float(struct writer *w, lua_Number v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    write_head(w, 0xcb, bits, 8);
}

static void write_text(struct writer *w, struct bytes text)
{
    meter_charge_bytes(w->L, text.size);
    if (!utf8_valid(text))
        luaL_error(w->L, "%s holds a string that is not UTF-8: bytes(s) makes it binary", w->what);
    if (text.size < 32)
        write_head(w, (uint8_t)(0xa0 | text.size), 0, 0);
    else
        write_size(w, text.size, 0xd9, 0xda);
    write_bytes(w, text.data, text.size);
}

static void write_extension(struct writer *w, struct bytes data, int8_t type)
{
    uint8_t byte = (uint8_t)type;
    if (data.size == 1 || data.size == 2 || data.size == 4 || data.size == 8 || data.size == 16)
        write_head(w, (uint8_t)(0xd4 + __builtin_ctzll(data.size)), 0, 0);
    else
        write_size(w, data.size, 0xc7, 0xc8);
    write_bytes(w, &byte, 1);
    write_bytes(w, data.data, data.size);
}

static void write_userdata(struct writer *w, int index)
{
    struct bytes data;
    int8_t type;
    if (value_is_null(w->L, index)) {
        write_head(w, 0xc0, 0, 0);
    } else if (!value_to_binary(w->L, index, &data)) {
        luaL_error(w->L, "%s holds a library, which is no value", w->what);
    } else if (value_is_extension(w->L, index, &type)) {
        write_extension(w, data, type);
    } else {
        write_size(w, data.size, 0xc4, 0xc5);
        write_bytes(w, data.data, data.size);
    }
}

/* ---- tables ---- */

enum table_kind { KIND_UNMARKED, KIND_ARRAY, KIND_MAP };

static enum table_kind kind_of(lua_State *L, int index)
{
    const struct script_engine *e = engine_of(L);
    enum table_kind kind = KIND_UNMARKED;
    if (!lua_getmetatable(L, index))
        return kind;
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->array_ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->map_ref);
    if (lua_rawequal(L, -3, -2))
        kind = KIND_ARRAY;
    else if (lua_rawequal(L, -3, -1))
        kind = KIND_MAP;
    lua_pop(L, 3);
    return kind;
}

/* The entries of a table, and whether its keys are 1 to their number. */
static size_t count_entries(lua_State *L, int index, bool *ret_is_sequence)
{
    lua_Unsigned length = lua_rawlen(L, index);
    size_t count = 0;
    bool is_sequence = true;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        meter_charge(L, 1);
        count++;
        if (!lua_isinteger(L, -1) || (lua_Unsigned)lua_tointeger(L, -1) - 1u >= length)
            is_sequence = false;
    }
    *ret_is_sequence = is_sequence && count == length;
    return count;
}

static void write_array(struct writer *w, int index, size_t count)
{
    if (count < 16)
        write_head(w, (uint8_t)(0x90 | count), 0, 0);
    else
        write_size(w, count, 0, 0xdc);
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(w->L, index, (lua_Integer)i);
        write_any(w, lua_gettop(w->L));
        lua_pop(w->L, 1);
    }
}

static struct map_key key_at(struct writer *w, int index)
{
    lua_State *L = w->L;
    struct map_key key = {.rank = RANK_NULL};
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        key.rank = lua_toboolean(L, index) ? RANK_TRUE : RANK_FALSE;
        return key;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) {
            key.rank = RANK_INTEGER;
            key.of.integer = lua_tointeger(L, index);
        } else {
            key.rank = RANK_FLOAT;
            key.of.number = lua_tonumber(L, index);
        }
        return key;
    case LUA_TSTRING:
        key.rank = RANK_TEXT;
        key.of.text.data = (const uint8_t *)lua_tolstring(L, index, &key.of.text.size);
        return key;
    default:
        if (!value_is_null(L, index))
            luaL_error(L, "%s holds a map with a %s as a key", w->what, luaL_typename(L, index));
        return key;
    }
}

static int compare_keys(const void *left, const void *right)
{
    const struct map_key *a = left;
    const struct map_key *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    switch (a->rank) {
    case RANK_INTEGER:
        return (a->of.integer > b->of.integer) - (a->of.integer < b->of.integer);
    case RANK_FLOAT:
        return (a->of.number > b->of.number) - (a->of.number < b->of.number);
    case RANK_TEXT:
        return bytes_compare(a->of.text, b->of.text);
    default:
        return 0;
    }
}

static void write_key(struct writer *w, const struct map_key *key)
{
    switch (key->rank) {
    case RANK_NULL:
        write_head(w, 0xc0, 0, 0);
        value_push_null(w->L);
        break;
    case RANK_FALSE:
    case RANK_TRUE:
        write_head(w, key->rank == RANK_TRUE ? 0xc3 : 0xc2, 0, 0);
        lua_pushboolean(w->L, key->rank == RANK_TRUE);
        break;
    case RANK_INTEGER:
        write_integer(w, key->of.integer);
        lua_pushinteger(w->L, key->of.integer);
        break;
    case RANK_FLOAT:
        write_float(w, key->of.number);
        lua_pushnumber(w->L, key->of.number);
        break;
    default:
        write_text(w, key->of.text);
        lua_pushlstring(w->L, (const char *)key->of.text.data, key->of.text.size);
    }
}

static void write_map(struct writer *w, int index, size_t count)
{
    lua_State *L = w->L;
    struct map_key few[FEW_KEYS];
    struct map_key *keys = few;
    if (count < 16)
        write_head(w, (uint8_t)(0x80 | count), 0, 0);
    else
        write_size(w, count, 0, 0xde);
    if (count > FEW_KEYS)
        keys = lua_newuserdatauv(L, count * sizeof *keys, 0);
    size_t n = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        keys[n++] = key_at(w, -1);
    }
    meter_charge(L, 8 * (uint64_t)count);
    qsort(keys, count, sizeof *keys, compare_keys);
    for (size_t i = 0; i < count; i++) {
        write_key(w, &keys[i]);
        lua_rawget(L, index);
        write_any(w, lua_gettop(L));
        lua_pop(L, 1);
    }
    if (count > FEW_KEYS)
        lua_pop(L, 1);
}

static void write_table(struct writer *w, int index)
{
    enum table_kind kind = kind_of(w->L, index);
    bool is_sequence;
    if (++w->depth > LIMIT_VALUE_DEPTH)
        luaL_error(w->L, "%s is nested deeper than %d", w->what, LIMIT_VALUE_DEPTH);
    luaL_checkstack(w->L, 8, NULL);
    size_t count = count_entries(w->L, index, &is_sequence);
    if (kind == KIND_ARRAY && !is_sequence)
        luaL_error(w->L, "%s holds an array with a hole, or with a key that is no position",
                   w->what);
    if (kind == KIND_ARRAY || (kind == KIND_UNMARKED && is_sequence && count > 0))
        write_array(w, index, count);
    else
        write_map(w, index, count);
    w->depth--;
}

/* ---- any value ---- */

static void write_any(struct writer *w, int index)
{
    lua_State *L = w->L;
    struct bytes text;
    meter_charge(L, 1);
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        write_head(w, 0xc0, 0, 0);
        break;
    case LUA_TBOOLEAN:
        write_head(w, lua_toboolean(L, index) ? 0xc3 : 0xc2, 0, 0);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            write_integer(w, lua_tointeger(L, index));
        else
            write_float(w, lua_tonumber(L, index));
        break;
    case LUA_TSTRING:
        text.data = (const uint8_t *)lua_tolstring(L, index, &text.size);
        write_text(w, text);
        break;
    case LUA_TTABLE:
        write_table(w, index);
        break;
    case LUA_TUSERDATA:
    case LUA_TLIGHTUSERDATA:
        write_userdata(w, index);
        break;
    default:
        luaL_error(L, "%s holds a %s, which is no value", w->what, luaL_typename(L, index));
    }
}

struct bytes value_pull(lua_State *L, int index, size_t size_max, const char *what)
{
    struct script_engine *e = engine_of(L);
    struct writer w = {L, &e->out, size_max, what, 0};
    wire_buffer_clear(&e->out);
    e->out.size_max = size_max;
    write_any(&w, lua_absindex(L, index));
    return (struct bytes){e->out.data, e->out.size};
}
