/*
 * Runs a fuzz target over the files of its corpus, for builds without libFuzzer: what fuzzing once
 * found stays found in the ordinary suite, under every compiler.
 *
 * Each input gets a heap block of exactly its size, so that AddressSanitizer sees a read past its
 * end. No input at all is a failure: it means that the corpus was lost.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_SIZE_BYTES_MAX (64L * 1024 * 1024)
#define PATH_SIZE_BYTES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = NULL;
    uint8_t *data = NULL;
    long size;
    int result = -1;

    file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        goto out;
    }
    size = ftell(file);
    if (size < 0 || size > INPUT_SIZE_BYTES_MAX || fseek(file, 0, SEEK_SET) != 0) {
        goto out;
    }
    data = malloc((size_t)size);
    if (data == NULL && size > 0) {
        goto out;
    }
    if (size > 0 && fread(data, 1, (size_t)size, file) != (size_t)size) {
        goto out;
    }
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    result = 0;
out:
    if (result != 0) {
        perror(path);
    }
    free(data);
    if (file != NULL) {
        (void)fclose(file);
    }
    return result;
}

/* Returns how many inputs of the folder were run, or -1. */
static int replay_folder(const char *folder)
{
    char path[PATH_SIZE_BYTES_MAX];
    struct dirent *entry;
    int count = 0;
    DIR *dir = opendir(folder);

    if (dir == NULL) {
        perror(folder);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL) {
        int length;

        if (entry->d_name[0] == '.') {
            continue;
        }
        length = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof(path) || replay_file(path) != 0) {
            count = -1;
            break;
        }
        count++;
    }
    (void)closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);

        if (count < 0) {
            return EXIT_FAILURE;
        }
        total += count;
    }
    if (total == 0) {
        (void)fprintf(stderr, "no input to replay: the corpus is empty or missing\n");
        return EXIT_FAILURE;
    }
    printf("%d inputs replayed\n", total);
    return EXIT_SUCCESS;
}
