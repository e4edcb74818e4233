/*
 * figures.h - what the kernel says of a process, and of the disk and the machine
 * that figures were measured on.
 */
#ifndef VIGIL_BENCH_FIGURES_H
#define VIGIL_BENCH_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct process_figures {
    uint64_t cpu_ns;   /* all threads, user and system */
    uint64_t switches; /* context switches of the threads that live, both kinds */
    uint64_t rss_bytes;
    uint64_t rss_anon_bytes; /* without the pages of mapped files, such as the journal's */
    /* What it handed to write() and its like. (write_bytes of the same file of the kernel would count
     * what becomes dirty, but in folios, which are larger than the blocks that are written.) */
    uint64_t written_bytes;
};

/* False if there is no such process. */
bool process_figures_read(pid_t pid, struct process_figures *ret_figures);

/* Bytes written so far to the device below path, by whomever; 0 where that is not known. */
uint64_t device_written_bytes(const char *path);
/* The file system below path: "ext4", or its number where the name is not known. */
void file_system_name(const char *path, char *out, size_t size);
/* True where a sync costs nothing because nothing survives: tmpfs, ramfs. */
bool file_system_is_volatile(const char *path);
/* "Linux 6.1.0, 4 cores, Some CPU @ 2.50GHz". */
void machine_name(char *out, size_t size);

#endif
