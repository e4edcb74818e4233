/*
 * The redo log as a start reads it: any bytes in its bases and entries end in a log that can be done
 * again, or in one that is damaged, with a text that says so. The input is tried as it is, and once
 * more with the entries' checksums, names and numbers put right, so that mutations get behind those.
 *
 *   0 u16 bytes of the first segment's entries  2 its base  418 the other base  834 the entries
 */
#define _GNU_SOURCE

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal/redo.h"
#include "protocol/crc32c.h"

enum {
    BASE_SIZE = 416,
    BASE_CRC = BASE_SIZE - 4,
    BASES_AT = 2,
    ENTRIES_AT = BASES_AT + 2 * BASE_SIZE,
    FILE_SIZE = 64 << 10,
    INPUT_MAX = 32 << 10,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static void remove_folder(void)
{
    char path[96];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/redo.%d", folder, i);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void make_folder(void)
{
    const char *parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/vigil-fuzz-XXXXXX", parent);
    if (!mkdtemp(folder))
        abort();
    atexit(remove_folder);
}

static void write_segment(int number, const uint8_t *base, const uint8_t *entries, size_t size)
{
    static uint8_t file[FILE_SIZE];
    char path[96];
    memset(file, 0, sizeof file);
    memcpy(file, base, BASE_SIZE);
    if (size > 0)
        memcpy(file + REDO_ENTRIES_AT, entries, size);
    snprintf(path, sizeof path, "%s/redo.%d", folder, number);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t written = write(fd, file, sizeof file);
    if (fd < 0 || written != (ssize_t)sizeof file)
        abort();
    struct redo_base decoded;
    int err = redo_base_read(fd, &decoded);
    assert(err == ERR_OK || err == ERR_CORRUPT || err == ERR_NOT_FOUND);
    if (err == ERR_OK) { /* what was read is what would be written */
        uint8_t again[REDO_BASE_SIZE];
        int rc = redo_base_write(fd, &decoded);
        ssize_t got = pread(fd, again, sizeof again, 0);
        assert(rc == 0 && got == (ssize_t)sizeof again);
        err = redo_base_read(fd, &decoded);
        assert(err == ERR_OK);
    }
    close(fd);
}

static size_t first_size(const uint8_t *data, size_t size)
{
    return wire_load_u16(data) % (size - ENTRIES_AT + 1);
}

static void read_log(const uint8_t *data, size_t size)
{
    struct failure failure = {0};
    bool needed = false;
    size_t first = first_size(data, size);
    write_segment(0, data + BASES_AT, data + ENTRIES_AT, first);
    write_segment(1, data + BASES_AT + BASE_SIZE, data + ENTRIES_AT + first,
                  size - ENTRIES_AT - first);
    int err = redo_check(folder, &needed, &failure);
    assert(err == ERR_OK || err == ERR_CORRUPT || err == ERR_NO_MEMORY);
    assert(err == ERR_OK || (failure.code == err && failure.text[0] != '\0'));
}

/* Each item lies within the bytes. */
static void read_items(const uint8_t *data, size_t size)
{
    struct wire_reader r = wire_reader_of(data, size);
    struct redo_item item;
    size_t seen = 0;
    while (redo_item_next(&r, &item)) {
        seen += REDO_ITEM_HEADER_SIZE + item.key.size + item.value.size;
        assert(item.kind >= REDO_RECORD && item.kind <= REDO_OLDEST);
        assert(item.value.size == 0 || item.value.data + item.value.size <= data + size);
    }
    assert(r.failed || seen == size);
}

/* Returns the number after the last. */
static uint64_t put_entries_right(uint8_t *at, size_t left, uint64_t log, uint64_t generation,
                                  uint64_t number)
{
    while (left >= REDO_ENTRY_HEADER_SIZE) {
        size_t size = wire_load_u32(at + 32) % (left - REDO_ENTRY_HEADER_SIZE + 1);
        wire_store_u32(at, 0x4f445256);
        wire_store_u64(at + 8, log);
        wire_store_u64(at + 16, generation);
        wire_store_u64(at + 24, number++);
        wire_store_u32(at + 32, (uint32_t)size);
        wire_store_u32(at + 4, crc32c(0, at + 8, REDO_ENTRY_HEADER_SIZE - 8 + size));
        read_items(at + REDO_ENTRY_HEADER_SIZE, size);
        size = redo_entry_size(size);
        size = size < left ? size : left;
        at += size;
        left -= size;
    }
    return number;
}

/* One log, of which the first segment's base counts. */
static void put_right(uint8_t *data, size_t size)
{
    uint8_t *base = data + BASES_AT;
    uint8_t *other = base + BASE_SIZE;
    uint64_t generation = wire_load_u64(base + 24) % 1000 + 2;
    memcpy(base, "VIGILRDO\x01\0\0", 12);
    memcpy(other, base, 12);
    wire_store_u64(base + 24, generation);
    wire_store_u64(other + 24, generation - 1);
    memcpy(other + 16, base + 16, 8);
    memset(base + 384, 0, 16);
    for (int i = 0; i < 2; i++, base += BASE_SIZE) {
        wire_store_u32(base + 12, 4096);
        wire_store_u32(base + BASE_CRC, crc32c(0, base, BASE_CRC));
    }
    base = data + BASES_AT;
    size_t first = first_size(data, size);
    uint64_t log = wire_load_u64(base + 16);
    uint64_t number = wire_load_u64(base + 32);
    number = put_entries_right(data + ENTRIES_AT, first, log, generation, number);
    put_entries_right(data + ENTRIES_AT + first, size - ENTRIES_AT - first, log, generation + 1,
                      number);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!folder[0])
        make_folder();
    read_items(data, size);
    if (size < ENTRIES_AT || size > INPUT_MAX)
        return 0;
    read_log(data, size);
    uint8_t *copy = malloc(size);
    if (!copy)
        return 0;
    memcpy(copy, data, size);
    put_right(copy, size);
    read_log(copy, size);
    free(copy);
    return 0;
}
