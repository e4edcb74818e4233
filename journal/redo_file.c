/*
 * redo_file.c - see redo.h: the log's two files, byte by byte
 * (docs/journal-format.md, "The redo log").
 *
 *   base   0 8 bytes magic  8 u32 format  12 u32 page size  16 u64 log  24 u64 generation
 *          32 u64 number  40 40 bytes boot id  80 two meta pages' first 152 bytes
 *          384 two u64 sizes of the files  400 u64 head  408 u32 flags  412 u32 crc
 *   entry  0 u32 magic  4 u32 crc of all that follows  8 u64 log  16 u64 generation
 *          24 u64 number  32 u32 size of the items  36 u32 0  40 the items
 *   item   0 u8 kind  1 u16 size of the key  3 u32 size of the value  7 key, value
 *
 * Entries begin at multiples of 8.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/environment.h"
#include "journal/redo.h"
#include "protocol/crc32c.h"

static const uint8_t base_magic[8] = {'V', 'I', 'G', 'I', 'L', 'R', 'D', 'O'};
static const uint32_t entry_magic = 0x4f445256; /* "VRDO" */

enum {
    AT_FORMAT = 8,
    AT_PAGE_SIZE = 12,
    AT_LOG = 16,
    AT_GENERATION = 24,
    AT_NUMBER = 32,
    AT_BOOT_ID = 40,
    AT_METAS = AT_BOOT_ID + BOOT_ID_SIZE,
    AT_SIZES = AT_METAS + 2 * REDO_META_SIZE,
    AT_HEAD = AT_SIZES + 8 * REDO_SEGMENTS,
    AT_FLAGS = AT_HEAD + 8,
    AT_CRC = AT_FLAGS + 4,

    FLAG_LAST = 1,

    ENTRY_CRC = 4,
    ENTRY_LOG = 8,
    ENTRY_GENERATION = 16,
    ENTRY_NUMBER = 24,
    ENTRY_SIZE = 32,
    ENTRY_ALIGN = 8,

    PATH_SIZE = 4096,
    ZEROS_SIZE = 65536,
};
_Static_assert(AT_CRC + 4 <= REDO_BASE_SIZE, "a base is one sector");

/* ---- the files ---- */

static bool segment_path(const char *directory, unsigned segment, const char *suffix,
                         char out[PATH_SIZE])
{
    char name[32];
    snprintf(name, sizeof name, "redo.%u%s", segment, suffix);
    return directory_path(directory, name, out, PATH_SIZE);
}

int redo_pwrite(int fd, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *from = data;
    while (size > 0) {
        ssize_t n = pwrite(fd, from, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        from += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

int redo_extend(struct redo_files *files, unsigned segment, uint64_t end, uint64_t step)
{
    static const uint8_t zeros[ZEROS_SIZE];
    end = (end + step - 1) / step * step;
    if (end > environment_file_limit())
        return EFBIG; /* a write would say so too, but with a SIGXFSZ */
    while (files->capacity[segment] < end) {
        uint64_t left = end - files->capacity[segment];
        size_t size = left < sizeof zeros ? (size_t)left : sizeof zeros;
        int rc = redo_pwrite(files->fd[segment], zeros, size, files->capacity[segment]);
        if (rc != 0)
            return rc;
        files->capacity[segment] += size;
    }
    return 0;
}

void redo_files_close(struct redo_files *files)
{
    for (unsigned i = 0; i < REDO_SEGMENTS; i++) {
        if (files->fd[i] >= 0)
            close(files->fd[i]);
        files->fd[i] = -1;
    }
}

/* Under a name of its own until what is in it is on the disk: a file whose blocks never arrived
 * may hold anything. */
static int create_segment(const char *directory, unsigned segment, uint64_t capacity,
                          struct redo_files *files, struct failure *failure)
{
    char path[PATH_SIZE];
    if (!segment_path(directory, segment, ".new", path))
        return environment_failure(failure, ENAMETOOLONG, "make a redo log in", directory);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return environment_failure(failure, errno, "make", path);
    files->fd[segment] = fd;
    int rc = redo_extend(files, segment, capacity, capacity);
    if (rc == 0 && fsync(fd) != 0)
        rc = errno;
    if (rc != 0) {
        (void)unlink(path);
        return environment_failure(failure, rc, "make", path);
    }
    files->synced[segment] = files->capacity[segment];
    return ERR_OK;
}

static int name_segment(const char *directory, unsigned segment, struct failure *failure)
{
    char from[PATH_SIZE];
    char to[PATH_SIZE];
    if (!segment_path(directory, segment, ".new", from) ||
        !segment_path(directory, segment, "", to) || rename(from, to) != 0)
        return environment_failure(failure, errno, "make a redo log in", directory);
    return ERR_OK;
}

static void unlink_all(const char *directory)
{
    char path[PATH_SIZE];
    for (unsigned i = 0; i < REDO_SEGMENTS; i++) {
        if (segment_path(directory, i, ".new", path))
            (void)unlink(path);
        if (segment_path(directory, i, "", path))
            (void)unlink(path);
    }
}

int redo_files_create(const char *directory, uint64_t capacity, struct redo_files *ret_files,
                      struct failure *failure)
{
    struct redo_files files = {.fd = {-1, -1}};
    int err = ERR_OK;
    for (unsigned i = 0; i < REDO_SEGMENTS && err == ERR_OK; i++)
        err = create_segment(directory, i, capacity, &files, failure);
    for (unsigned i = 0; i < REDO_SEGMENTS && err == ERR_OK; i++)
        err = name_segment(directory, i, failure);
    if (err == ERR_OK)
        err = directory_sync(directory, failure);
    if (err != ERR_OK) {
        redo_files_close(&files);
        unlink_all(directory);
        return err;
    }
    *ret_files = files;
    return ERR_OK;
}

int redo_files_open(const char *directory, bool writable, struct redo_files *ret_files,
                    bool *ret_any, struct failure *failure)
{
    struct redo_files files = {.fd = {-1, -1}};
    char path[PATH_SIZE];
    int flags = (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW;
    *ret_any = false;
    for (unsigned i = 0; i < REDO_SEGMENTS; i++) {
        struct stat status;
        if (writable && segment_path(directory, i, ".new", path))
            (void)unlink(path); /* of a start that was cut short */
        if (!segment_path(directory, i, "", path))
            return environment_failure(failure, ENAMETOOLONG, "open a redo log in", directory);
        files.fd[i] = open(path, flags);
        if (files.fd[i] < 0 && errno == ENOENT)
            continue;
        if (files.fd[i] < 0 || fstat(files.fd[i], &status) != 0) {
            int rc = errno;
            redo_files_close(&files);
            return environment_failure(failure, rc, "open", path);
        }
        files.capacity[i] = (uint64_t)status.st_size;
        files.synced[i] = files.capacity[i];
        *ret_any = true;
    }
    *ret_files = files;
    return ERR_OK;
}

int redo_files_remove(const char *directory, unsigned segment, struct failure *failure)
{
    char path[PATH_SIZE];
    const unsigned order[REDO_SEGMENTS] = {1 - segment, segment};
    for (unsigned i = 0; i < REDO_SEGMENTS; i++)
        if (!segment_path(directory, order[i], "", path) || (unlink(path) != 0 && errno != ENOENT))
            return environment_failure(failure, errno, "remove a redo log in", directory);
    return directory_sync(directory, failure);
}

/* ---- the base ---- */

int redo_base_write(int fd, const struct redo_base *base)
{
    uint8_t out[REDO_BASE_SIZE] = {0};
    memcpy(out, base_magic, sizeof base_magic);
    wire_store_u32(out + AT_FORMAT, REDO_FORMAT);
    wire_store_u32(out + AT_PAGE_SIZE, base->page_size);
    wire_store_u64(out + AT_LOG, base->log);
    wire_store_u64(out + AT_GENERATION, base->generation);
    wire_store_u64(out + AT_NUMBER, base->number);
    memcpy(out + AT_BOOT_ID, base->boot_id, BOOT_ID_SIZE);
    memcpy(out + AT_METAS, base->metas, sizeof base->metas);
    for (size_t i = 0; i < REDO_SEGMENTS; i++)
        wire_store_u64(out + AT_SIZES + 8 * i, base->sizes[i]);
    wire_store_u64(out + AT_HEAD, base->head);
    wire_store_u32(out + AT_FLAGS, base->last ? FLAG_LAST : 0);
    wire_store_u32(out + AT_CRC, crc32c(0, out, AT_CRC));
    int rc = redo_pwrite(fd, out, sizeof out, 0);
    return rc == 0 && fdatasync(fd) != 0 ? errno : rc;
}

static bool is_zero(const uint8_t *data, size_t size)
{
    return data[0] == 0 && memcmp(data, data + 1, size - 1) == 0;
}

int redo_base_read(int fd, struct redo_base *ret_base)
{
    uint8_t in[REDO_BASE_SIZE];
    ssize_t size;
    do {
        size = pread(fd, in, sizeof in, 0);
    } while (size < 0 && errno == EINTR);
    if (size < 0)
        return ERR_IO;
    if (size != (ssize_t)sizeof in)
        return ERR_CORRUPT;
    if (is_zero(in, sizeof in))
        return ERR_NOT_FOUND;
    struct redo_base base = {
        .log = wire_load_u64(in + AT_LOG),
        .generation = wire_load_u64(in + AT_GENERATION),
        .number = wire_load_u64(in + AT_NUMBER),
        .head = wire_load_u64(in + AT_HEAD),
        .page_size = wire_load_u32(in + AT_PAGE_SIZE),
        .last = wire_load_u32(in + AT_FLAGS) & FLAG_LAST,
    };
    if (memcmp(in, base_magic, sizeof base_magic) != 0 ||
        wire_load_u32(in + AT_FORMAT) != REDO_FORMAT ||
        wire_load_u32(in + AT_CRC) != crc32c(0, in, AT_CRC) || base.page_size < REDO_META_SIZE)
        return ERR_CORRUPT;
    memcpy(base.boot_id, in + AT_BOOT_ID, BOOT_ID_SIZE);
    memcpy(base.metas, in + AT_METAS, sizeof base.metas);
    for (size_t i = 0; i < REDO_SEGMENTS; i++)
        base.sizes[i] = wire_load_u64(in + AT_SIZES + 8 * i);
    *ret_base = base;
    return ERR_OK;
}

int redo_metas_read(int data_fd, uint32_t page_size, struct redo_base *base)
{
    base->page_size = page_size;
    for (unsigned i = 0; i < 2; i++) {
        ssize_t size;
        do {
            size = pread(data_fd, base->metas[i], REDO_META_SIZE, (off_t)i * page_size);
        } while (size < 0 && errno == EINTR);
        if (size != REDO_META_SIZE)
            return size < 0 ? errno : EIO;
    }
    return 0;
}

int redo_metas_restore(int data_fd, const struct redo_base *base)
{
    int rc = 0;
    for (unsigned i = 0; i < 2 && rc == 0; i++)
        rc = redo_pwrite(data_fd, base->metas[i], REDO_META_SIZE, (uint64_t)i * base->page_size);
    return rc == 0 && fdatasync(data_fd) != 0 ? errno : rc;
}

/* ---- entries ---- */

size_t redo_entry_size(size_t items_size)
{
    size_t size = REDO_ENTRY_HEADER_SIZE + items_size;
    return (size + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
}

void redo_entry_add(struct wire_buffer *entry, const struct redo_item *item)
{
    if (entry->size == 0)
        (void)wire_extend(entry, REDO_ENTRY_HEADER_SIZE);
    uint8_t *p = wire_extend(entry, REDO_ITEM_HEADER_SIZE + item->key.size + item->value.size);
    if (!p)
        return;
    p[0] = (uint8_t)item->kind;
    wire_store_u16(p + 1, (uint16_t)item->key.size);
    wire_store_u32(p + 3, (uint32_t)item->value.size);
    p += REDO_ITEM_HEADER_SIZE;
    if (item->key.size > 0)
        memcpy(p, item->key.data, item->key.size);
    if (item->value.size > 0)
        memcpy(p + item->key.size, item->value.data, item->value.size);
}

void redo_entry_finish(struct wire_buffer *entry, uint64_t log, uint64_t generation,
                       uint64_t number)
{
    uint8_t *at = entry->data;
    wire_store_u32(at, entry_magic);
    wire_store_u64(at + ENTRY_LOG, log);
    wire_store_u64(at + ENTRY_GENERATION, generation);
    wire_store_u64(at + ENTRY_NUMBER, number);
    wire_store_u32(at + ENTRY_SIZE, (uint32_t)(entry->size - REDO_ENTRY_HEADER_SIZE));
    wire_store_u32(at + ENTRY_SIZE + 4, 0);
    wire_store_u32(at + ENTRY_CRC, crc32c(0, at + ENTRY_LOG, entry->size - ENTRY_LOG));
}

static bool is_whole(struct bytes data, uint64_t log, uint64_t generation)
{
    const uint8_t *at = data.data;
    if (data.size < REDO_ENTRY_HEADER_SIZE || wire_load_u32(at) != entry_magic ||
        wire_load_u64(at + ENTRY_LOG) != log || wire_load_u64(at + ENTRY_GENERATION) != generation)
        return false;
    size_t size = wire_load_u32(at + ENTRY_SIZE);
    return size <= data.size - REDO_ENTRY_HEADER_SIZE &&
           wire_load_u32(at + ENTRY_CRC) ==
               crc32c(0, at + ENTRY_LOG, REDO_ENTRY_HEADER_SIZE - ENTRY_LOG + size);
}

bool redo_entry_check(struct bytes data, uint64_t log, uint64_t generation, uint64_t number,
                      struct wire_reader *ret_items)
{
    if (!is_whole(data, log, generation) || wire_load_u64(data.data + ENTRY_NUMBER) != number)
        return false;
    *ret_items =
        wire_reader_of(data.data + REDO_ENTRY_HEADER_SIZE, wire_load_u32(data.data + ENTRY_SIZE));
    return true;
}

bool redo_entry_follows(struct bytes data, uint64_t log, uint64_t generation, uint64_t number)
{
    for (; data.size >= REDO_ENTRY_HEADER_SIZE; data.data += ENTRY_ALIGN, data.size -= ENTRY_ALIGN)
        if (is_whole(data, log, generation) && wire_load_u64(data.data + ENTRY_NUMBER) > number)
            return true;
    return false;
}

bool redo_item_next(struct wire_reader *r, struct redo_item *ret_item)
{
    if (wire_left(r) == 0)
        return false;
    uint8_t kind = wire_read_u8(r);
    uint16_t key_size = wire_read_u16(r);
    uint32_t value_size = wire_read_u32(r);
    struct redo_item item = {.kind = (enum redo_kind)kind};
    item.key = wire_read_raw(r, key_size);
    item.value = wire_read_raw(r, value_size);
    if (r->failed || kind < REDO_RECORD || kind > REDO_OLDEST) {
        r->failed = true;
        return false;
    }
    *ret_item = item;
    return true;
}
