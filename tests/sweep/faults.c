#define _GNU_SOURCE
/* faults.c - see faults.h: the plan, and what is due. */
#include "tests/sweep/faults.h"

#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct fault_plan *faults;

static const char *const names[FAULT_COUNT] = {
#define FAULT_NAME(name) #name,
    FAULTS_WRAPPED(FAULT_NAME) FAULTS_INSIDE(FAULT_NAME)
#undef FAULT_NAME
};

static uintptr_t program_base;

static int take_first(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    program_base = info->dlpi_addr; /* the program itself comes first */
    return 1;
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv(FAULTS_VARIABLE);
    void *frames[1];
    dl_iterate_phdr(take_first, NULL);
    (void)backtrace(frames, 1); /* the first use loads a library */
    if (!path)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        abort();
    void *plan = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (plan == MAP_FAILED)
        abort();
    close(fd);
    faults = plan;
}

const char *fault_name(enum fault fault)
{
    return names[fault];
}

static void note_place(struct fault_plan *plan)
{
    void *frames[FAULT_TRACE_MAX + 2];
    int count = backtrace(frames, FAULT_TRACE_MAX + 2);
    for (int i = 2; i < count; i++)
        atomic_store(&plan->trace[i - 2], (uintptr_t)frames[i] - program_base);
}

int fault_code(enum fault fault, int first, int second)
{
    struct fault_plan *plan = faults;
    if (!plan || !atomic_load_explicit(&plan->armed, memory_order_relaxed))
        return 0;
    uint32_t count = atomic_fetch_add(&plan->counts[fault], 1) + 1;
    if (plan->fault != (int)fault || count < plan->at || (count > plan->at && !plan->lasting))
        return 0;
    if (atomic_fetch_add(&plan->met, 1) == 0)
        note_place(plan);
    return plan->lasting || (plan->at & 1) != 0 ? first : second;
}
