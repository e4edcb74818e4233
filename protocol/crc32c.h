/*
 * crc32c.h - CRC-32C (Castagnoli, polynomial 0x1EDC6F41 reflected), as iSCSI
 * and ext4 use it (RFC 3720, B.4). Uses SSE 4.2 where the machine has it.
 */
#ifndef VIGIL_PROTOCOL_CRC32C_H
#define VIGIL_PROTOCOL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Extends crc (0 to start) by data. Any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* The table version that other machines use; for tests. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t size);

#endif
