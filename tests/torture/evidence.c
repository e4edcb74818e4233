#define _GNU_SOURCE
/* evidence.c - see evidence.h: what it holds, and reading files. The lines are read in evidence_lines.c. */
#include "tests/torture/evidence.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/torture/evidence_lines.h"
#include "tests/torture/history.h"

enum { FOLDER_FILES_MAX = 1024 };

void evidence_init(struct evidence *e)
{
    *e = (struct evidence){.key_slots_count = 1024};
    e->key_slots = calloc(e->key_slots_count, sizeof *e->key_slots);
    if (!e->key_slots)
        abort();
}

void evidence_free(struct evidence *e)
{
    for (size_t i = 0; i < e->sources.count; i++)
        free(e->sources.items[i]);
    for (size_t i = 0; i < e->keys.count; i++)
        free(e->keys.items[i]);
    for (size_t i = 0; i < e->filters.count; i++) {
        for (size_t k = 0; k < e->filters.items[i].count; k++)
            free(e->filters.items[i].patterns[k]);
    }
    free(e->sources.items);
    free(e->keys.items);
    free(e->key_slots);
    free(e->filters.items);
    free(e->changes.items);
    free(e->journal.items);
    free(e->readings.items);
    free(e->operations.items);
    free(e->steps.items);
    free(e->sights.items);
    free(e->totals.items);
    free(e->bytes.items);
    free(e->entries.items);
    free(e->digests.items);
    free(e->watches.items);
    free(e->restored.items);
    free(e->restored_records.items);
}

void *evidence_grown(void *items, size_t count, size_t *allocated, size_t item_size)
{
    if (count < *allocated)
        return items;
    *allocated = *allocated ? *allocated * 2 : 64;
    items = realloc(items, *allocated * item_size);
    if (!items)
        abort();
    return items;
}

static uint64_t hash_of(const char *text)
{
    return value_mark(text, strlen(text));
}

static void place_key(struct evidence *e, uint32_t index)
{
    size_t slot = hash_of(e->keys.items[index]) % e->key_slots_count;
    while (e->key_slots[slot])
        slot = (slot + 1) % e->key_slots_count;
    e->key_slots[slot] = index + 1;
}

bool evidence_find_key(const struct evidence *e, const char *key, uint32_t *ret_key)
{
    for (size_t slot = hash_of(key) % e->key_slots_count; e->key_slots[slot];
         slot = (slot + 1) % e->key_slots_count) {
        if (strcmp(e->keys.items[e->key_slots[slot] - 1], key) == 0) {
            *ret_key = e->key_slots[slot] - 1;
            return true;
        }
    }
    return false;
}

uint32_t evidence_key(struct evidence *e, const char *key)
{
    uint32_t found;
    if (evidence_find_key(e, key, &found))
        return found;
    *LIST_ADD(&e->keys) = strdup(key);
    if (e->keys.count * 2 > e->key_slots_count) {
        e->key_slots_count *= 2;
        free(e->key_slots);
        e->key_slots = calloc(e->key_slots_count, sizeof *e->key_slots);
        if (!e->key_slots)
            abort();
        for (uint32_t i = 0; i + 1 < e->keys.count; i++)
            place_key(e, i);
    }
    place_key(e, (uint32_t)e->keys.count - 1);
    return (uint32_t)e->keys.count - 1;
}

bool filter_matches(const struct evidence *e, uint32_t filter, uint32_t key)
{
    const struct seen_filter *f = &e->filters.items[filter];
    for (size_t i = 0; i < f->count; i++) {
        if (pattern_matches(f->patterns[i], e->keys.items[key]))
            return true;
    }
    return false;
}

bool evidence_add_text(struct evidence *e, const char *source, const char *text, size_t size)
{
    char line[HISTORY_LINE_MAX];
    *LIST_ADD(&e->sources) = strdup(source);
    e->first_open_operation = e->operations.count;
    e->processes++;
    const char *end = text + size;
    for (size_t number = 1; text < end; number++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        bool whole = newline && length >= 3 && length < sizeof line &&
                     memcmp(text + length - 2, " .", 2) == 0;
        if (whole) {
            memcpy(line, text, length - 2);
            line[length - 2] = '\0';
            if (!evidence_line(e, line)) {
                snprintf(e->error, sizeof e->error, "%s:%zu: '%.100s' makes no sense", source,
                         number, line);
                return false;
            }
        } else if (length > 0) {
            e->torn_lines++;
        }
        text += length + (newline != NULL);
    }
    return true;
}

bool evidence_add_file(struct evidence *e, const char *path)
{
    char *text = NULL;
    size_t size = 0, allocated = 0, got;
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(e->error, sizeof e->error, "%s: %s", path, strerror(errno));
        return false;
    }
    do {
        if (size + HISTORY_LINE_MAX > allocated) {
            allocated = allocated * 2 + 2 * HISTORY_LINE_MAX;
            text = realloc(text, allocated);
            if (!text)
                abort();
        }
        got = fread(text + size, 1, allocated - size, file);
        size += got;
    } while (got > 0);
    fclose(file);
    const char *name = strrchr(path, '/');
    bool ok = evidence_add_text(e, name ? name + 1 : path, text, size);
    free(text);
    return ok;
}

static int is_history(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');
    return end && strcmp(end, ".history") == 0;
}

bool evidence_add_folder(struct evidence *e, const char *folder)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_history, alphasort);
    bool ok = count > 0 && count <= FOLDER_FILES_MAX;
    if (!ok)
        snprintf(e->error, sizeof e->error, "%s: %d histories", folder, count);
    for (int i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        ok = ok && evidence_add_file(e, path);
        free(entries[i]);
    }
    free(entries);
    return ok;
}
