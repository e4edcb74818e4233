/* names.c - see names.h. */
#define _GNU_SOURCE

#include "tests/powerloss/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct name *find_name(struct names *n, const char *path)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->entries[i].path, path) == 0)
            return &n->entries[i];
    return NULL;
}

static void add_name(struct names *n, const char *path, struct file *file)
{
    if (n->count == IMAGE_ENTRIES_MAX)
        abort();
    snprintf(n->entries[n->count].path, IMAGE_PATH_SIZE, "%s", path);
    n->entries[n->count++].file = file;
}

static void remove_name(struct names *n, const char *path)
{
    struct name *found = find_name(n, path);
    if (!found)
        return;
    size_t after = (size_t)(n->entries + n->count - (found + 1));
    memmove(found, found + 1, after * sizeof *found);
    n->count--;
}

static struct path_text text_of(const uint8_t *data, size_t size)
{
    struct path_text path;
    if (size >= IMAGE_PATH_SIZE)
        abort();
    memcpy(path.text, data, size);
    path.text[size] = '\0';
    return path;
}

struct path_text names_first_path(const struct operation *o)
{
    const uint8_t *data = operation_data(o);
    const uint8_t *end = memchr(data, 0, (size_t)o->size);
    return text_of(data, end ? (size_t)(end - data) : (size_t)o->size);
}

static struct path_text second_path(const struct operation *o)
{
    size_t skipped = strlen(names_first_path(o).text) + 1;
    return text_of(operation_data(o) + skipped, (size_t)o->size - skipped);
}

struct path_text names_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return text_of((const uint8_t *)path, slash ? (size_t)(slash - path) : 0);
}

void names_apply(struct names *n, const struct operation *o, struct file *file)
{
    struct path_text path = names_first_path(o);
    struct name *found = find_name(n, path.text);
    switch (o->kind) {
    case OPERATION_RENAME:
        if (!found)
            break;
        file = found->file;
        remove_name(n, path.text);
        path = second_path(o);
        remove_name(n, path.text);
        add_name(n, path.text, file);
        break;
    case OPERATION_UNLINK:
        remove_name(n, path.text);
        break;
    default:
        if (!found)
            add_name(n, path.text, file);
        break;
    }
}
