/* Values: every format at its edges, msgpack-c as a second opinion, integers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <msgpack.h>

#include "protocol/errors.h"
#include "protocol/key.h"
#include "protocol/limits.h"
#include "protocol/value.h"
#include "tests/support/sample_bytes.h"

/* Valid as it stands; at no cut; and not with a byte more. */
static void check_valid(const uint8_t *data, size_t size)
{
    for (size_t cut = 0; cut <= size; cut++) {
        uint8_t *copy = copy_exactly(data, cut);
        assert_int_equal(value_valid((struct bytes){copy, cut}), cut == size);
        free(copy);
    }
    uint8_t *longer = calloc(1, size + 1);
    memcpy(longer, data, size);
    assert_false(value_valid((struct bytes){longer, size + 1}));
    free(longer);
}

static void test_single_bytes(void **state)
{
    (void)state;
    for (unsigned tag = 0; tag < 256; tag++) {
        uint8_t byte = (uint8_t)tag;
        bool complete = tag <= 0x80 || tag == 0x90 || tag == 0xa0 || tag == 0xc0 || tag == 0xc2 ||
                        tag == 0xc3 || tag >= 0xe0;
        assert_int_equal(value_valid((struct bytes){&byte, 1}), complete);
    }
    assert_false(value_valid((struct bytes){NULL, 0}));
}

/* Tag, size bytes (big-endian), and how many bytes follow in all. */
static void check_sized(uint8_t tag, size_t width, uint64_t size, size_t extra)
{
    size_t total = 1 + width + extra + (size_t)size;
    uint8_t *data = calloc(1, total + 1);
    data[0] = tag;
    for (size_t i = 0; i < width; i++)
        data[1 + i] = (uint8_t)(size >> (8 * (width - 1 - i)));
    memset(data + 1 + width, 'z', total - 1 - width);
    if (total < 600) {
        check_valid(data, total);
    } else {
        assert_true(value_valid((struct bytes){data, total}));
        assert_false(value_valid((struct bytes){data, total - 1}));
        assert_false(value_valid((struct bytes){data, total + 1}));
    }
    free(data);
}

static void test_each_format_at_its_sizes(void **state)
{
    (void)state;
    for (uint8_t size = 0; size < 32; size++)
        check_sized((uint8_t)(0xa0 | size), 0, size, 0);
    static const uint64_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    static const struct {
        uint8_t tag;
        uint8_t width;
        uint8_t extra;
    } formats[] = {{0xd9, 1, 0}, {0xda, 2, 0}, {0xdb, 4, 0}, {0xc4, 1, 0}, {0xc5, 2, 0},
                   {0xc6, 4, 0}, {0xc7, 1, 1}, {0xc8, 2, 1}, {0xc9, 4, 1}};
    for (size_t f = 0; f < sizeof formats / sizeof formats[0]; f++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            if (sizes[i] >> (8 * formats[f].width) == 0)
                check_sized(formats[f].tag, formats[f].width, sizes[i], formats[f].extra);
        }
    }
    static const struct {
        uint8_t tag;
        uint8_t follow;
    } fixed[] = {{0xca, 4}, {0xcb, 8}, {0xcc, 1}, {0xcd, 2}, {0xce, 4},
                 {0xcf, 8}, {0xd0, 1}, {0xd1, 2}, {0xd2, 4}, {0xd3, 8},
                 {0xd4, 2}, {0xd5, 3}, {0xd6, 5}, {0xd7, 9}, {0xd8, 17}};
    for (size_t f = 0; f < sizeof fixed / sizeof fixed[0]; f++)
        check_sized(fixed[f].tag, 0, 0, fixed[f].follow);
}

/* A container's head, then count nils. */
static void check_container(uint8_t tag, size_t width, uint64_t count, size_t items)
{
    size_t total = 1 + width + items;
    uint8_t *data = calloc(1, total);
    data[0] = tag;
    for (size_t i = 0; i < width; i++)
        data[1 + i] = (uint8_t)(count >> (8 * (width - 1 - i)));
    memset(data + 1 + width, 0xc0, items);
    if (total < 600) {
        check_valid(data, total);
    } else {
        assert_true(value_valid((struct bytes){data, total}));
        assert_false(value_valid((struct bytes){data, total - 1}));
    }
    free(data);
}

static void test_containers(void **state)
{
    (void)state;
    for (uint8_t n = 0; n < 16; n++) {
        check_container((uint8_t)(0x90 | n), 0, n, n);
        check_container((uint8_t)(0x80 | n), 0, n, (size_t)2 * n);
    }
    static const uint64_t counts[] = {0, 1, 15, 16, 65535, 65536};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t n = (size_t)counts[i];
        if (n < 65536) {
            check_container(0xdc, 2, n, n);
            check_container(0xde, 2, n, 2 * n);
        }
        check_container(0xdd, 4, n, n);
        check_container(0xdf, 4, n, 2 * n);
    }
}

static void test_announced_sizes_are_not_believed(void **state)
{
    (void)state;
    static const uint8_t tags[] = {0xc6, 0xc9, 0xdb, 0xdd, 0xdf};
    for (size_t i = 0; i < sizeof tags; i++) {
        uint8_t data[64];
        memset(data, 0xff, sizeof data);
        data[0] = tags[i];
        assert_false(value_valid((struct bytes){data, sizeof data}));
    }
    /* [[2^32-1 items], ...] */
    const uint8_t nested[] = {0x92, 0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0, 0xc0, 0xc0, 0xc0};
    assert_false(value_valid((struct bytes){nested, sizeof nested}));
}

static void test_depth(void **state)
{
    (void)state;
    uint8_t data[2 * LIMIT_VALUE_DEPTH + 8];
    for (size_t depth = 1; depth <= LIMIT_VALUE_DEPTH + 2; depth++) {
        bool allowed = depth <= LIMIT_VALUE_DEPTH;
        memset(data, 0x91, depth); /* arrays of one, the innermost empty */
        data[depth - 1] = 0x90;
        assert_int_equal(value_valid((struct bytes){data, depth}), allowed);
        memset(data, 0x91, depth); /* likewise around a nil */
        data[depth] = 0xc0;
        assert_int_equal(value_valid((struct bytes){data, depth + 1}), allowed);
        for (size_t i = 0; i + 1 < depth; i++) { /* maps in maps */
            data[2 * i] = 0x81;
            data[2 * i + 1] = 0x01;
        }
        data[2 * (depth - 1)] = 0x80;
        assert_int_equal(value_valid((struct bytes){data, 2 * depth - 1}), allowed);
    }
    /* Siblings are not nested: a thousand arrays in one. */
    uint8_t wide[3 + 1000];
    memcpy(wide, "\xdc\x03\xe8", 3);
    memset(wide + 3, 0x90, 1000);
    assert_true(value_valid((struct bytes){wide, sizeof wide}));
}

static void test_strings_are_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        bool valid;
    } cases[] = {{"\xa2\xc3\xa9", true},
                 {"\xa2\xc3\x28", false},
                 {"\xa1\xff", false},
                 {"\xa3\xed\xa0\x80", false},
                 {"\xa4\xf0\x9f\x98\x80", true},
                 {"\xa4\xf4\x90\x80\x80", false},
                 {"\xa2\xc0\x80", false},
                 {"\x81\xa1\xff\x01", false},
                 {"\x92\xa1x\xa1\x80", false},
                 {"\xc4\x02\xff\xfe", true},
                 {"\xd4\x05\xff", true},
                 {"\xd9\x01\xff", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(value_valid(bytes_of(cases[i].bytes)), cases[i].valid);
}

static bool all_text_valid(const msgpack_object *o)
{
    if (o->type == MSGPACK_OBJECT_STR)
        return utf8_valid((struct bytes){(const uint8_t *)o->via.str.ptr, o->via.str.size});
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < o->via.array.size; i++) {
            if (!all_text_valid(&o->via.array.ptr[i]))
                return false;
        }
    }
    if (o->type == MSGPACK_OBJECT_MAP) {
        for (uint32_t i = 0; i < o->via.map.size; i++) {
            if (!all_text_valid(&o->via.map.ptr[i].key) || !all_text_valid(&o->via.map.ptr[i].val))
                return false;
        }
    }
    return true;
}

static bool msgpack_accepts(const uint8_t *data, size_t size)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t offset = 0;
    bool ok = msgpack_unpack_next(&unpacked, (const char *)data, size, &offset) ==
                  MSGPACK_UNPACK_SUCCESS &&
              offset == size && all_text_valid(&unpacked.data);
    msgpack_unpacked_destroy(&unpacked);
    return ok;
}

/* Random objects, whole, cut and altered. Sizes of 32 bits are left out: msgpack-c would reserve them. */
static size_t random_object(struct sample *s, uint8_t *out, size_t room, int depth)
{
    static const uint8_t tags[] = {0x00, 0x7f, 0xc0, 0xc2, 0xc3, 0xca, 0xcb, 0xcc,
                                   0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4,
                                   0xd5, 0xd6, 0xd7, 0xd8, 0xe0, 0xff};
    static const uint8_t follow[] = {0, 0, 0, 0, 0, 4, 8, 1, 2,  4, 8,
                                     1, 2, 4, 8, 2, 3, 5, 9, 17, 0, 0};
    size_t kind = sample_below(s, 8);
    if (room < 24) {
        out[0] = 0xc0;
        return 1;
    }
    if (kind < 3 && depth < 6) {
        size_t n = sample_below(s, 6);
        bool map = kind == 0;
        size_t size = 1;
        out[0] = (uint8_t)((map ? 0x80 : 0x90) | n);
        if (kind == 2) {
            out[0] = 0xdc;
            out[1] = 0;
            out[2] = (uint8_t)n;
            size = 3;
        }
        for (size_t i = 0; i < (map ? 2 * n : n); i++)
            size += random_object(s, out + size, (room - size) / 2, depth + 1);
        return size;
    }
    if (kind == 3) {
        size_t n = sample_below(s, 16);
        out[0] = (uint8_t)(0xa0 | n);
        memset(out + 1, 'a', n);
        return 1 + n;
    }
    if (kind == 4) {
        size_t n = sample_below(s, 16);
        out[0] = 0xc4;
        out[1] = (uint8_t)n;
        sample_fill(s, out + 2, n);
        return 2 + n;
    }
    size_t i = sample_below(s, sizeof tags);
    out[0] = tags[i];
    sample_fill(s, out + 1, follow[i]);
    return 1 + (size_t)follow[i];
}

/* True if a 32-bit size could be met while reading these bytes from any place. */
static bool has_wide_tag(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == 0xdd || data[i] == 0xdf)
            return true;
    }
    return false;
}

static void test_agrees_with_msgpack(void **state)
{
    (void)state;
    struct sample s = {4};
    size_t accepted = 0;
    for (int round = 0; round < 60000; round++) {
        uint8_t data[2200];
        size_t size = random_object(&s, data, 400, 0);
        switch (sample_below(&s, 4)) {
        case 0:
            data[sample_below(&s, size)] = (uint8_t)sample_u64(&s);
            break;
        case 1:
            size -= sample_below(&s, size);
            break;
        case 2:
            data[size++] = (uint8_t)sample_u64(&s);
            break;
        default:
            break;
        }
        if (has_wide_tag(data, size))
            continue;
        uint8_t *copy = copy_exactly(data, size);
        bool valid = value_valid((struct bytes){copy, size});
        assert_int_equal(valid, msgpack_accepts(copy, size));
        accepted += valid;
        free(copy);
    }
    assert_true(accepted > 10000);
}

/* ---- integers ---- */

__extension__ typedef __int128 wide;

static wide wide_of(struct value_integer v)
{
    return v.negative ? (wide)(int64_t)v.bits : (wide)v.bits;
}

static struct value_integer integer_of(wide v)
{
    return (struct value_integer){v < 0, (uint64_t)v};
}

static const wide range_low = (wide)INT64_MIN;
static const wide range_high = (wide)UINT64_MAX;

/* Around each width's edge, both signs. */
static size_t edge_integers(wide out[128])
{
    static const unsigned shifts[] = {0, 5, 7, 8, 15, 16, 31, 32, 62, 63, 64};
    size_t n = 0;
    out[n++] = 0;
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        for (int delta = -1; delta <= 1; delta++) {
            wide v = ((wide)1 << shifts[i]) + delta;
            if (v >= range_low && v <= range_high)
                out[n++] = v;
            if (-v >= range_low)
                out[n++] = -v;
        }
    }
    return n;
}

static void test_integers_round_trip_in_shortest_form(void **state)
{
    (void)state;
    wide edges[128];
    size_t n = edge_integers(edges);
    for (size_t i = 0; i < n; i++) {
        wide v = edges[i];
        uint8_t out[VALUE_INTEGER_SIZE_MAX];
        size_t size = value_write_integer(integer_of(v), out);
        size_t shortest = v >= -32 && v <= 127                ? 1
                          : v >= INT8_MIN && v <= UINT8_MAX   ? 2
                          : v >= INT16_MIN && v <= UINT16_MAX ? 3
                          : v >= INT32_MIN && v <= UINT32_MAX ? 5
                                                              : 9;
        assert_int_equal(size, shortest);
        assert_true(value_valid((struct bytes){out, size}));
        struct value_integer back;
        assert_int_equal(value_read_integer((struct bytes){out, size}, &back), ERR_OK);
        assert_true(wide_of(back) == v);
        assert_int_equal(back.negative, v < 0);

        /* msgpack-c writes and reads the same. */
        msgpack_sbuffer buffer;
        msgpack_sbuffer_init(&buffer);
        msgpack_packer packer;
        msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
        if (v < 0)
            msgpack_pack_int64(&packer, (int64_t)v);
        else
            msgpack_pack_uint64(&packer, (uint64_t)v);
        assert_int_equal(buffer.size, size);
        assert_memory_equal(buffer.data, out, size);
        msgpack_sbuffer_destroy(&buffer);
    }
}

static void test_integers_of_every_width(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        bool negative;
        uint64_t bits;
    } cases[] = {
        {"\xcc\x05", 2, false, 5},
        {"\xcd\x00\x05", 3, false, 5},
        {"\xce\x00\x00\x00\x05", 5, false, 5},
        {"\xcf\x00\x00\x00\x00\x00\x00\x00\x05", 9, false, 5},
        {"\xd0\x05", 2, false, 5},
        {"\xd0\xff", 2, true, UINT64_MAX},
        {"\xd1\xff\xfe", 3, true, UINT64_MAX - 1},
        {"\xd2\xff\xff\xff\xff", 5, true, UINT64_MAX},
        {"\xd3\xff\xff\xff\xff\xff\xff\xff\xff", 9, true, UINT64_MAX},
        {"\xd3\x7f\xff\xff\xff\xff\xff\xff\xff", 9, false, INT64_MAX},
        {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9, false, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t *copy = copy_exactly(cases[i].bytes, cases[i].size);
        struct value_integer v;
        assert_int_equal(value_read_integer((struct bytes){copy, cases[i].size}, &v), ERR_OK);
        assert_int_equal(v.negative, cases[i].negative);
        assert_true(v.bits == cases[i].bits);
        free(copy);
        for (size_t cut = 0; cut < cases[i].size; cut++) {
            copy = copy_exactly(cases[i].bytes, cut);
            assert_int_equal(value_read_integer((struct bytes){copy, cut}, &v), ERR_NOT_AN_INTEGER);
            free(copy);
        }
    }
    static const char *const others[] = {"",
                                         "\xc0",
                                         "\xc3",
                                         "\xa1\x35",
                                         "\x91\x05",
                                         "\x05\x05",
                                         "\xca\x3f\x80\x01\x01",
                                         "\xd4\x01\x01",
                                         "\x80",
                                         "\xcc\x05\x05",
                                         "\xc1"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct value_integer v = {true, 77};
        assert_int_equal(value_read_integer(bytes_of(others[i]), &v), ERR_NOT_AN_INTEGER);
        assert_true(v.negative && v.bits == 77);
    }
}

static void check_add(wide a, int64_t by)
{
    struct value_integer sum = {false, 123};
    int err = value_integer_add(integer_of(a), by, &sum);
    wide expected = a + by;
    if (expected < range_low || expected > range_high) {
        assert_int_equal(err, ERR_OUT_OF_RANGE);
        assert_true(sum.bits == 123);
    } else {
        assert_int_equal(err, ERR_OK);
        assert_true(wide_of(sum) == expected);
        assert_int_equal(sum.negative, expected < 0);
    }
}

static void test_addition(void **state)
{
    (void)state;
    wide edges[128];
    size_t n = edge_integers(edges);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            if (edges[j] <= INT64_MAX)
                check_add(edges[i], (int64_t)edges[j]);
        }
    }
    struct sample s = {5};
    for (int round = 0; round < 100000; round++) {
        uint64_t bits = sample_u64(&s) >> sample_below(&s, 64);
        wide a = sample_below(&s, 2) && bits >> 63 == 0 ? -(wide)bits : (wide)bits;
        check_add(a, (int64_t)(sample_u64(&s) >> sample_below(&s, 64)));
        check_add(a, -(int64_t)(sample_u64(&s) >> (1 + sample_below(&s, 63))));
    }
}

/* ["ab", [1, {"k": nil}], 7], then 8: element by element. */
static void test_elements_one_after_another(void **state)
{
    (void)state;
    static const uint8_t data[] = {0x93, 0xa2, 'a', 'b', 0x92, 1, 0x81, 0xa1, 'k', 0xc0, 7, 8};
    for (size_t cut = 0; cut <= sizeof data; cut++) {
        uint8_t *copy = copy_exactly(data, cut);
        struct wire_reader r = wire_reader_of(copy, cut);
        struct bytes value;
        struct bytes text;
        uint32_t count = 0;
        bool whole = cut >= 4; /* an element takes a byte at least */
        assert_int_equal(value_next_array(&r, &count), whole);
        assert_int_equal(value_next(&r, &value), whole);
        if (whole) {
            assert_int_equal(count, 3);
            assert_false(value_next_array(&r, &count) && cut < 6);
            assert_true(value_read_string(value, &text));
            assert_true(bytes_equal(text, bytes_of("ab")));
            r.at = copy + 4;
            assert_int_equal(value_next(&r, &value), cut >= 10);
            if (cut < 10)
                assert_ptr_equal(r.at, copy + 4);
            else
                assert_false(value_read_string(value, &text));
        }
        if (cut >= 11) {
            assert_true(value_next(&r, &value));
            assert_int_equal(value.data[0], 7);
            assert_int_equal(value_next(&r, &value), cut == sizeof data);
            assert_false(value_next(&r, &value));
            assert_false(value_next_array(&r, &count));
        }
        free(copy);
    }
    struct wire_reader failed = {data, data + sizeof data, true};
    struct bytes value;
    uint32_t count;
    assert_false(value_next(&failed, &value));
    assert_false(value_next_array(&failed, &count));
    assert_false(value_read_string((struct bytes){data + 1, 2}, &value));
    assert_false(value_read_string((struct bytes){data + 1, 4}, &value));
    assert_false(value_read_string((struct bytes){NULL, 0}, &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single_bytes),
        cmocka_unit_test(test_each_format_at_its_sizes),
        cmocka_unit_test(test_containers),
        cmocka_unit_test(test_announced_sizes_are_not_believed),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_strings_are_utf8),
        cmocka_unit_test(test_agrees_with_msgpack),
        cmocka_unit_test(test_integers_round_trip_in_shortest_form),
        cmocka_unit_test(test_integers_of_every_width),
        cmocka_unit_test(test_addition),
        cmocka_unit_test(test_elements_one_after_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
