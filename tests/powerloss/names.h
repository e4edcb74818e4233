/*
 * names.h - the names below a folder, and the operations that change them.
 */
#ifndef VIGIL_TESTS_POWERLOSS_NAMES_H
#define VIGIL_TESTS_POWERLOSS_NAMES_H

#include "tests/powerloss/image.h"
#include "tests/powerloss/operation_log.h"

struct file;

struct name {
    char path[IMAGE_PATH_SIZE];
    struct file *file; /* NULL: a folder */
};
struct names {
    struct name entries[IMAGE_ENTRIES_MAX];
    size_t count;
};
/* MAKE_FOLDER, CREATE (of file), RENAME or UNLINK. */
void names_apply(struct names *n, const struct operation *o, struct file *file);

struct path_text {
    char text[IMAGE_PATH_SIZE];
};
struct path_text names_first_path(const struct operation *o);
/* "" for what is directly below the root. */
struct path_text names_folder_of(const char *path);

#endif
