/* truth.c - see truth.h. */
#define _GNU_SOURCE

#include "tests/damage/truth.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/limits.h"
#include "protocol/record.h"

enum { BATCH_RECORDS = 40, CHANGES_MAX = 5, SESSIONS = 30, SESSION_ROW_SIZE = 28 };

uint64_t truth_draw(uint64_t *random, uint64_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random % below;
}

uint8_t *read_data_file(const char *directory, size_t *ret_size)
{
    char path[256];
    struct stat status;
    snprintf(path, sizeof path, "%s/data.mdb", directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        return NULL;
    uint8_t *image = malloc((size_t)status.st_size);
    ssize_t got = image ? pread(fd, image, (size_t)status.st_size, 0) : -1;
    close(fd);
    *ret_size = (size_t)status.st_size;
    if (got == status.st_size)
        return image;
    free(image);
    return NULL;
}

struct bytes truth_name(const struct truth_key *k)
{
    return (struct bytes){(const uint8_t *)k->name, strlen(k->name)};
}

struct bytes truth_record(const struct truth *t, uint64_t seq)
{
    return (struct bytes){t->records.data + t->record_at[seq],
                          t->record_at[seq + 1] - t->record_at[seq]};
}

const struct truth_key *truth_find(const struct truth *t, struct bytes name)
{
    for (size_t i = 0; i < TRUTH_KEYS; i++)
        if (bytes_equal(truth_name(&t->keys[i]), name))
            return &t->keys[i];
    return NULL;
}

/* A binary object of MessagePack: mostly small, some with pages of their own. */
static uint8_t *draw_value(struct truth *t, size_t *ret_size)
{
    uint64_t kind = truth_draw(&t->random, 100);
    size_t size = kind < 85   ? 10 + truth_draw(&t->random, 120)
                  : kind < 97 ? 200 + truth_draw(&t->random, 2500)
                              : 4000 + truth_draw(&t->random, 12000);
    uint8_t *value = malloc(size + 3);
    if (!value)
        return NULL;
    value[0] = 0xc5; /* bin 16 */
    value[1] = (uint8_t)(size >> 8);
    value[2] = (uint8_t)size;
    for (size_t i = 0; i < size; i++)
        value[3 + i] = (uint8_t)truth_draw(&t->random, 256);
    *ret_size = size + 3;
    return value;
}

static bool change_key(struct truth *t, struct record_writer *w, struct truth_key *k, uint64_t seq)
{
    struct state_row *row = &k->row;
    bool present = row->modified != 0 && !row->deleted;
    struct change c = {.key = truth_name(k), .prev_seq = row->modified};
    free(k->value);
    k->value = NULL;
    if (present && truth_draw(&t->random, 8) == 0) {
        c.op = CHANGE_DELETE;
        *row = (struct state_row){.modified = seq, .deleted = true};
    } else {
        size_t size = 0;
        k->value = draw_value(t, &size);
        if (!k->value)
            return false;
        c.op = CHANGE_PUT;
        c.value = (struct bytes){k->value, size};
        *row = (struct state_row){.created = present ? row->created : seq,
                                  .modified = seq,
                                  .version = present ? row->version + 1 : 1,
                                  .value = c.value};
    }
    record_add(w, &c);
    return true;
}

static bool append(struct truth *t, struct journal *j, struct failure *failure)
{
    struct record_writer w;
    uint64_t seq = ++t->head;
    unsigned changes =
        truth_draw(&t->random, 5) ? 1 : (unsigned)truth_draw(&t->random, CHANGES_MAX);
    /* The last tenth of the keys is changed in the beginning only: their records get compacted. */
    uint64_t keys = seq < 300 ? TRUTH_KEYS : TRUTH_KEYS * 9 / 10;
    uint64_t first = truth_draw(&t->random, keys - CHANGES_MAX);
    t->record_at[seq] = t->records.size;
    record_begin(&w, &t->records, seq, seq * 1000, 0, 0);
    for (unsigned i = 0; i < (changes ? changes : 1); i++)
        if (!change_key(t, &w, &t->keys[first + i], seq))
            return false;
    if (record_end(&w) == 0)
        return false;
    t->record_at[seq + 1] = t->records.size;
    return journal_batch_append(j, truth_record(t, seq), failure) == ERR_OK;
}

static int put_sessions(struct truth *t, struct journal *j, struct failure *failure)
{
    uint8_t row[SESSION_ROW_SIZE] = {0};
    int err = ERR_OK;
    wire_store_u64(row, t->head);
    wire_store_u64(row + 8, t->head);
    for (uint64_t id = 1; id <= SESSIONS && err == ERR_OK; id++)
        err = journal_batch_put_session(j, id * 1000003, (struct bytes){row, sizeof row}, failure);
    return err;
}

static int checkpoint(struct truth *t, struct journal *j, struct failure *failure)
{
    int err = ERR_OK;
    for (size_t i = 0; i < TRUTH_KEYS && err == ERR_OK; i++)
        if (t->keys[i].row.modified > t->applied)
            err = journal_batch_put_row(j, truth_name(&t->keys[i]), &t->keys[i].row, failure);
    if (err == ERR_OK)
        err = put_sessions(t, j, failure);
    t->applied = t->head;
    return err ? err : journal_batch_set_applied(j, t->applied, failure);
}

/* Batches, checkpoints, and compaction of half of what there is. */
static bool fill(struct truth *t, struct journal *j, const char *directory, uint64_t records,
                 struct failure *failure)
{
    for (unsigned batch = 1; t->head < records; batch++) {
        bool more = false;
        bool blocked = false;
        bool last = t->head + BATCH_RECORDS >= records;
        if (journal_batch_begin(j, 1 << 20, failure) != ERR_OK)
            return false;
        for (unsigned i = 0; i < BATCH_RECORDS; i++)
            if (!append(t, j, failure))
                return false;
        if (batch % 3 == 0 && !last && checkpoint(t, j, failure) != ERR_OK)
            return false;
        if (batch % 5 == 0 &&
            journal_batch_compact(j, t->head / 2, NULL, 0, 100, &more, &blocked, failure) != ERR_OK)
            return false;
        if (journal_batch_commit(j, failure) != ERR_OK)
            return false;
        if (!t->older && t->head > records * 9 / 10)
            t->older = read_data_file(directory, &t->older_size);
    }
    return t->older != NULL;
}

bool truth_make(struct truth *t, const char *directory, uint64_t seed, uint64_t records)
{
    const struct journal_options options = {.directory = directory,
                                            .map_size_bytes = UINT64_C(1) << 30,
                                            .allocate_bytes = 1 << 16,
                                            .reserve_bytes = 1 << 16,
                                            .epoch = 0xE1};
    struct journal *j = NULL;
    struct failure failure = {.text = "out of memory"};
    *t = (struct truth){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    wire_buffer_init(&t->records, SIZE_MAX / 2);
    t->record_at = calloc((size_t)records + BATCH_RECORDS + 2, sizeof *t->record_at);
    for (unsigned i = 0; i < TRUTH_KEYS; i++)
        snprintf(t->keys[i].name, sizeof t->keys[i].name, "%s/%03u%.*s", i % 2 ? "jobs" : "config",
                 i, (int)(i % 40), "/a-rather-long-tail-of-a-key-of-this-kind");
    bool made = t->record_at && journal_open(&options, &j, &failure) == ERR_OK &&
                fill(t, j, directory, records, &failure);
    if (made) {
        struct journal_status status;
        journal_status(j, &status);
        t->oldest = status.oldest;
    } else {
        fprintf(stderr, "damage: the journal cannot be made: %s\n", failure.text);
    }
    journal_close(j);
    return made;
}

void truth_free(struct truth *t)
{
    for (size_t i = 0; i < TRUTH_KEYS; i++)
        free(t->keys[i].value);
    free(t->record_at);
    free(t->older);
    wire_buffer_free(&t->records);
}
