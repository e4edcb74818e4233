/* document_block.h - the bytes of a hex block of a document, ```hex name=NAME. */
#ifndef VIGIL_TESTS_SUPPORT_DOCUMENT_BLOCK_H
#define VIGIL_TESTS_SUPPORT_DOCUMENT_BLOCK_H

#include <stddef.h>
#include <stdint.h>

/* document: its path within the source tree, which SRC in the environment names, or otherwise
 * source. Fails the test if there is no such block, or if it has more than size bytes. */
size_t document_block(const char *source, const char *document, const char *name, uint8_t *out,
                      size_t size);

#endif
