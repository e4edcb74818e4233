#define _GNU_SOURCE
/* temp_folder.c - see temp_folder.h. */
#include "tests/support/temp_folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int temp_folder_make(char out[TEMP_FOLDER_SIZE])
{
    const char *parent = getenv("TMPDIR");
    if (!parent || strlen(parent) > TEMP_FOLDER_SIZE - 20)
        parent = "/tmp";
    snprintf(out, TEMP_FOLDER_SIZE, "%s/vigil-XXXXXX", parent);
    return mkdtemp(out) != NULL;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

void temp_folder_remove(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
