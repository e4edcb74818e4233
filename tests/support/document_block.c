/* document_block.c - see document_block.h. */
#include "tests/support/document_block.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

size_t document_block(const char *source, const char *document, const char *name, uint8_t *out,
                      size_t size)
{
    char path[4096];
    char fence[128];
    static char text[1 << 17];
    const char *tree = getenv("SRC");
    (void)snprintf(path, sizeof path, "%s/%s", tree ? tree : source, document);
    (void)snprintf(fence, sizeof fence, "```hex name=%s\n", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[length] = '\0';
    const char *line = strstr(text, fence);
    assert_non_null(line);
    size_t count = 0;
    for (line += strlen(fence); strncmp(line, "```", 3) != 0; line = strchr(line, '\n') + 1) {
        char *end;
        for (const char *at = line; *at != '#'; at = end + strspn(end, " ")) {
            assert_true(count < size);
            out[count++] = (uint8_t)strtoul(at, &end, 16);
            assert_ptr_equal(end, at + 2);
        }
    }
    return count;
}
