/*
 * crc32c.c - the checksum in two ways: by the processor's own instruction where
 * there is one, by tables elsewhere. Both give the same result.
 *
 * A CRC is linear: the table entry of a byte is the sum (exclusive or) of the
 * entries of its bits. So each table of 256 is written here as the eight entries
 * of the bits and spread by the compiler, and there is nothing to initialise.
 */
#include "protocol/crc32c.h"

#include "protocol/wire.h"

#define BYTE_ENTRY(i, b0, b1, b2, b3, b4, b5, b6, b7)                                    \
    (((i)&1 ? (b0) : 0) ^ ((i)&2 ? (b1) : 0) ^ ((i)&4 ? (b2) : 0) ^ ((i)&8 ? (b3) : 0) ^ \
     ((i)&16 ? (b4) : 0) ^ ((i)&32 ? (b5) : 0) ^ ((i)&64 ? (b6) : 0) ^ ((i)&128 ? (b7) : 0))
#define BYTE_ENTRIES_4(i, ...)                                    \
    BYTE_ENTRY(i, __VA_ARGS__), BYTE_ENTRY((i) + 1, __VA_ARGS__), \
        BYTE_ENTRY((i) + 2, __VA_ARGS__), BYTE_ENTRY((i) + 3, __VA_ARGS__)
#define BYTE_ENTRIES_16(i, ...)                                           \
    BYTE_ENTRIES_4(i, __VA_ARGS__), BYTE_ENTRIES_4((i) + 4, __VA_ARGS__), \
        BYTE_ENTRIES_4((i) + 8, __VA_ARGS__), BYTE_ENTRIES_4((i) + 12, __VA_ARGS__)
#define BYTE_ENTRIES_64(i, ...)                                              \
    BYTE_ENTRIES_16(i, __VA_ARGS__), BYTE_ENTRIES_16((i) + 16, __VA_ARGS__), \
        BYTE_ENTRIES_16((i) + 32, __VA_ARGS__), BYTE_ENTRIES_16((i) + 48, __VA_ARGS__)
#define BYTE_TABLE(...)                                                          \
    {                                                                            \
        BYTE_ENTRIES_64(0, __VA_ARGS__), BYTE_ENTRIES_64(64, __VA_ARGS__),       \
            BYTE_ENTRIES_64(128, __VA_ARGS__), BYTE_ENTRIES_64(192, __VA_ARGS__) \
    }

/* clang-format off */
/* slices[k]: what a byte does that k more bytes follow. */
static const uint32_t slices[8][256] = {
    BYTE_TABLE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu,
               0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u),
    BYTE_TABLE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u,
               0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u),
    BYTE_TABLE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u,
               0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u),
    BYTE_TABLE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u,
               0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu),
    BYTE_TABLE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u,
               0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu),
    BYTE_TABLE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu,
               0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u),
    BYTE_TABLE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u,
               0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u),
    BYTE_TABLE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau,
               0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u),
};
/* clang-format on */

static uint32_t by_tables(uint32_t crc, const uint8_t *p, size_t size)
{
    for (; size >= 8; p += 8, size -= 8) {
        uint32_t low = crc ^ wire_load_u32(p);
        uint32_t high = wire_load_u32(p + 4);
        crc = slices[7][low & 0xff] ^ slices[6][(low >> 8) & 0xff] ^ slices[5][(low >> 16) & 0xff] ^
              slices[4][low >> 24] ^ slices[3][high & 0xff] ^ slices[2][(high >> 8) & 0xff] ^
              slices[1][(high >> 16) & 0xff] ^ slices[0][high >> 24];
    }
    for (; size > 0; p++, size--)
        crc = (crc >> 8) ^ slices[0][(crc ^ *p) & 0xff];
    return crc;
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size)
{
    return ~by_tables(~crc, data, size);
}

#if defined(__x86_64__)

#include <nmmintrin.h>

/* The instruction takes three cycles and one can start in each: three runs of
 * LANE_SIZE bytes go side by side and are then joined. */
enum { LANE_SIZE = 256 };

/* clang-format off */
/* lane_shift[k]: what the CRC's byte k becomes when LANE_SIZE zero bytes follow. */
static const uint32_t lane_shift[4][256] = {
    BYTE_TABLE(0xdcb17aa4u, 0xbc8e83b9u, 0x7cf17183u, 0xf9e2e306u,
               0xf629b0fdu, 0xe9bf170bu, 0xd69258e7u, 0xa8c8c73fu),
    BYTE_TABLE(0x547df88fu, 0xa8fbf11eu, 0x541b94cdu, 0xa837299au,
               0x558225c5u, 0xab044b8au, 0x53e4e1e5u, 0xa7c9c3cau),
    BYTE_TABLE(0x4a7ff165u, 0x94ffe2cau, 0x2c13b365u, 0x582766cau,
               0xb04ecd94u, 0x6571edd9u, 0xcae3dbb2u, 0x902bc195u),
    BYTE_TABLE(0x25bbf5dbu, 0x4b77ebb6u, 0x96efd76cu, 0x2833d829u,
               0x5067b052u, 0xa0cf60a4u, 0x4472b7b9u, 0x88e56f72u),
};
/* clang-format on */

static uint64_t shift_by_lane(uint64_t crc)
{
    return lane_shift[0][crc & 0xff] ^ lane_shift[1][(crc >> 8) & 0xff] ^
           lane_shift[2][(crc >> 16) & 0xff] ^ lane_shift[3][(crc >> 24) & 0xff];
}

static inline uint64_t load_word(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t start, const uint8_t *p,
                                                                 size_t size)
{
    uint64_t crc = start;
    for (; size >= (size_t)3 * LANE_SIZE; p += 3 * LANE_SIZE, size -= (size_t)3 * LANE_SIZE) {
        uint64_t second = 0;
        uint64_t third = 0;
        for (size_t i = 0; i < LANE_SIZE; i += 8) {
            crc = _mm_crc32_u64(crc, load_word(p + i));
            second = _mm_crc32_u64(second, load_word(p + LANE_SIZE + i));
            third = _mm_crc32_u64(third, load_word(p + (size_t)2 * LANE_SIZE + i));
        }
        crc = shift_by_lane(shift_by_lane(crc) ^ second) ^ third;
    }
    for (; size >= 8; p += 8, size -= 8)
        crc = _mm_crc32_u64(crc, load_word(p));
    if (size & 4) {
        crc = _mm_crc32_u32((uint32_t)crc, wire_load_u32(p));
        p += 4;
    }
    if (size & 2) {
        crc = _mm_crc32_u16((uint32_t)crc, wire_load_u16(p));
        p += 2;
    }
    if (size & 1)
        crc = _mm_crc32_u8((uint32_t)crc, *p);
    return (uint32_t)crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    if (!__builtin_cpu_supports("sse4.2"))
        return crc32c_portable(crc, data, size);
    return ~by_instruction(~crc, data, size);
}

#else

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return crc32c_portable(crc, data, size);
}

#endif
