/* figures.c - see figures.h. */
#define _GNU_SOURCE
#include "bench/figures.h"
#include "bench/monotonic.h"

#include <dirent.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

/* The numbers of "name: number" lines of a status file, kB as they stand. */
static bool read_status(const char *path, struct process_figures *f)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon) {
            continue;
        }
        *colon = '\0';
        uint64_t number = strtoull(colon + 1, NULL, 10);
        if (!strcmp(line, "VmRSS")) {
            f->rss_bytes = number * 1024;
        } else if (!strcmp(line, "RssAnon")) {
            f->rss_anon_bytes = number * 1024;
        } else if (strstr(line, "_ctxt_switches")) { /* voluntary_ and nonvoluntary_ */
            f->switches += number;
        }
    }
    fclose(file);
    return true;
}

/* What a process of another user has written is not told: it stays 0. */
static void read_io(pid_t pid, struct process_figures *f)
{
    char path[64];
    char line[256];
    snprintf(path, sizeof path, "/proc/%d/io", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        static const char name[] = "wchar:";
        if (!strncmp(line, name, sizeof name - 1)) {
            f->written_bytes = strtoull(line + sizeof name - 1, NULL, 10);
        }
    }
    if (file) {
        fclose(file);
    }
}

uint64_t device_written_bytes(const char *path)
{
    enum { SECTOR_SIZE = 512, SECTORS_WRITTEN = 6 /* how many fields stand before it */ };
    struct stat s;
    char name[64];
    char line[512] = "";
    if (stat(path, &s)) {
        return 0;
    }
    snprintf(name, sizeof name, "/sys/dev/block/%u:%u/stat", major(s.st_dev), minor(s.st_dev));
    FILE *file = fopen(name, "re");
    bool read = file && fgets(line, sizeof line, file);
    if (file) {
        fclose(file);
    }
    char *at = line;
    for (int i = 0; read && i < SECTORS_WRITTEN; i++) {
        strtoull(at, &at, 10);
    }
    return read ? strtoull(at, NULL, 10) * SECTOR_SIZE : 0;
}

bool process_figures_read(pid_t pid, struct process_figures *ret_figures)
{
    struct process_figures f = {0};
    clockid_t clock;
    struct timespec cpu;
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &cpu)) {
        return false;
    }
    f.cpu_ns = (uint64_t)cpu.tv_sec * NS_PER_S + (uint64_t)cpu.tv_nsec;

    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    if (!tasks) {
        return false;
    }
    const struct dirent *entry;
    while ((entry = readdir(tasks))) {
        long task = strtol(entry->d_name, NULL, 10);
        if (task > 0) {
            snprintf(path, sizeof path, "/proc/%d/task/%ld/status", (int)pid, task);
            read_status(path, &f);
        }
    }
    closedir(tasks);
    read_io(pid, &f);
    *ret_figures = f;
    return true;
}

static long file_system_type(const char *path)
{
    struct statfs s;
    return statfs(path, &s) ? 0 : (long)s.f_type;
}

void file_system_name(const char *path, char *out, size_t size)
{
    static const struct {
        long type;
        const char *name;
    } known[] = {
        {EXT4_SUPER_MAGIC, "ext4"},         {XFS_SUPER_MAGIC, "xfs"}, {BTRFS_SUPER_MAGIC, "btrfs"},
        {F2FS_SUPER_MAGIC, "f2fs"},         {TMPFS_MAGIC, "tmpfs"},   {RAMFS_MAGIC, "ramfs"},
        {OVERLAYFS_SUPER_MAGIC, "overlay"}, {NFS_SUPER_MAGIC, "nfs"}, {0x2fc12fc1, "zfs"},
    };
    long type = file_system_type(path);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (known[i].type == type) {
            snprintf(out, size, "%s", known[i].name);
            return;
        }
    }
    snprintf(out, size, "0x%lx", (unsigned long)type);
}

bool file_system_is_volatile(const char *path)
{
    long type = file_system_type(path);
    return type == TMPFS_MAGIC || type == RAMFS_MAGIC;
}

void machine_name(char *out, size_t size)
{
    char model[128] = "";
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (file && !model[0] && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (!strncmp(line, "model name", 10) && colon) {
            snprintf(model, sizeof model, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        }
    }
    if (file) {
        fclose(file);
    }
    struct utsname u = {0};
    uname(&u);
    snprintf(out, size, "%s %s, %ld cores%s%s", u.sysname, u.release, sysconf(_SC_NPROCESSORS_ONLN),
             model[0] ? ", " : "", model);
}
