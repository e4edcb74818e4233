/*
 * image.h - the content of a folder: written out as files, appended to a log as the
 * operations that make it, or held against files that are there.
 */
#ifndef VIGIL_TESTS_POWERLOSS_IMAGE_H
#define VIGIL_TESTS_POWERLOSS_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { IMAGE_ENTRIES_MAX = 16, IMAGE_PATH_SIZE = 256, IMAGE_ERROR_SIZE = 400 };

struct image_entry {
    char path[IMAGE_PATH_SIZE]; /* below the folder */
    bool is_folder;
    bool is_mapped; /* a file that is written to through memory: what it holds is not known */
    uint8_t *data;
    size_t data_size; /* zeros follow */
    size_t size;
};
struct image {
    struct image_entry entries[IMAGE_ENTRIES_MAX]; /* a folder stands before what is in it */
    size_t count;
};

void image_free(struct image *image);
/* Writes it below a folder that is there and empty. */
bool image_write(const struct image *image, const char *folder);
/* Appends what makes it, durably. It has been written below folder: the files there have the
 * numbers that the operations after these will name. */
bool image_append_to_log(const struct image *image, const char *folder, int log_fd);
/* Whether exactly this is below folder; if not, error says what is different. */
bool image_compare(const struct image *image, const char *folder, char error[IMAGE_ERROR_SIZE]);

#endif
