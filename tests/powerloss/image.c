/* image.c - see image.h. */
#define _GNU_SOURCE

#include "tests/powerloss/image.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/powerloss/operation_log.h"

void image_free(struct image *image)
{
    for (size_t i = 0; i < image->count; i++)
        free(image->entries[i].data);
    *image = (struct image){0};
}

static bool path_below(const char *folder, const char *path, char out[PATH_MAX])
{
    int size = snprintf(out, PATH_MAX, "%s/%s", folder, path);
    return size > 0 && size < PATH_MAX;
}

static bool write_file(const struct image_entry *entry, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool ok = pwrite(fd, entry->data, entry->data_size, 0) == (ssize_t)entry->data_size &&
              ftruncate(fd, (off_t)entry->size) == 0;
    return close(fd) == 0 && ok;
}

bool image_write(const struct image *image, const char *folder)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < image->count; i++) {
        const struct image_entry *entry = &image->entries[i];
        if (!path_below(folder, entry->path, path))
            return false;
        if (entry->is_folder ? mkdir(path, 0700) != 0 : !write_file(entry, path))
            return false;
    }
    return true;
}

/* ---- as operations ---- */

static void append_path(int log_fd, enum operation_kind kind, uint64_t file, const char *path)
{
    struct operation o = {.kind = kind, .file = file, .size = strlen(path)};
    operation_log_append(log_fd, &o, path);
}

static void append_content(int log_fd, const struct image_entry *entry, uint64_t file)
{
    struct operation resize = {.kind = OPERATION_RESIZE, .file = file, .offset = entry->size};
    struct operation write = {.kind = OPERATION_WRITE, .file = file, .size = entry->data_size};
    struct operation sync = {.kind = OPERATION_SYNC, .file = file};
    operation_log_append(log_fd, &resize, NULL);
    operation_log_append(log_fd, &write, entry->data);
    operation_log_append(log_fd, &sync, NULL);
}

bool image_append_to_log(const struct image *image, const char *folder, int log_fd)
{
    char path[PATH_MAX];
    struct stat status;
    for (size_t i = 0; i < image->count; i++) {
        const struct image_entry *entry = &image->entries[i];
        if (!path_below(folder, entry->path, path) || stat(path, &status) != 0)
            return false;
        append_path(log_fd, entry->is_folder ? OPERATION_MAKE_FOLDER : OPERATION_CREATE,
                    status.st_ino, entry->path);
        if (!entry->is_folder)
            append_content(log_fd, entry, status.st_ino);
    }
    append_path(log_fd, OPERATION_SYNC_FOLDER, 0, "");
    for (size_t i = 0; i < image->count; i++)
        if (image->entries[i].is_folder)
            append_path(log_fd, OPERATION_SYNC_FOLDER, 0, image->entries[i].path);
    return true;
}

/* ---- held against files ---- */

static bool differs(char error[IMAGE_ERROR_SIZE], const char *path, const char *what)
{
    snprintf(error, IMAGE_ERROR_SIZE, "the log has missed something: %.200s %s", path, what);
    return false;
}

static bool compare_file(const struct image_entry *entry, const char *path,
                         char error[IMAGE_ERROR_SIZE])
{
    enum { PIECE = 65536 };
    static uint8_t piece[PIECE];
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return differs(error, entry->path, "is not there");
    bool same = fstat(fd, &status) == 0 && (size_t)status.st_size == entry->size;
    for (size_t at = 0; same && at < entry->size; at += PIECE) {
        ssize_t size = pread(fd, piece, PIECE, (off_t)at);
        same = size > 0;
        for (size_t i = 0; same && i < (size_t)size; i++)
            same = piece[i] == (at + i < entry->data_size ? entry->data[at + i] : 0);
    }
    close(fd);
    return same || differs(error, entry->path, "has another content");
}

static const struct image_entry *find_entry(const struct image *image, const char *path)
{
    for (size_t i = 0; i < image->count; i++)
        if (strcmp(image->entries[i].path, path) == 0)
            return &image->entries[i];
    return NULL;
}

/* Everything in the folder (below the root: prefix) is in the image. */
static bool compare_names(const struct image *image, const char *root, const char *prefix,
                          char error[IMAGE_ERROR_SIZE])
{
    char path[PATH_MAX];
    char name[IMAGE_PATH_SIZE + 256];
    bool same = true;
    if (!path_below(root, prefix, path))
        return false;
    DIR *stream = opendir(path);
    if (!stream)
        return differs(error, prefix, "cannot be read");
    struct dirent *entry = NULL;
    while (same && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] ? "/" : "", entry->d_name);
        if (!find_entry(image, name))
            same = differs(error, name, "is there");
    }
    closedir(stream);
    return same;
}

bool image_compare(const struct image *image, const char *folder, char error[IMAGE_ERROR_SIZE])
{
    char path[PATH_MAX];
    bool same = compare_names(image, folder, "", error);
    for (size_t i = 0; same && i < image->count; i++) {
        const struct image_entry *entry = &image->entries[i];
        if (!path_below(folder, entry->path, path))
            return false;
        if (entry->is_folder)
            same = compare_names(image, folder, entry->path, error);
        else if (!entry->is_mapped)
            same = compare_file(entry, path, error);
    }
    return same;
}
