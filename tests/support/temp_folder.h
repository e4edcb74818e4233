/* temp_folder.h - a folder under TMPDIR of a test's own, removed with all that is in it. */
#ifndef VIGIL_TESTS_SUPPORT_TEMP_FOLDER_H
#define VIGIL_TESTS_SUPPORT_TEMP_FOLDER_H

enum { TEMP_FOLDER_SIZE = 64 }; /* short, because sockets live in it */

/* False: could not be made. */
int temp_folder_make(char out[TEMP_FOLDER_SIZE]);
void temp_folder_remove(const char *folder);

#endif
