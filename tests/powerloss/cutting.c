/*
 * cutting.c - see cutting.h. Workers replay the log, each on a disk of its own, and
 * share the cuts among them. Every image follows from seed, cut and variant, so that
 * one of them can be made again.
 */
#define _GNU_SOURCE

#include "tests/powerloss/cutting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/powerloss/disk.h"
#include "tests/support/temp_folder.h"

enum { PATH_SIZE = 512 };

/* splitmix64: neighbouring numbers give unrelated ones. */
static uint64_t mix(uint64_t n)
{
    n += UINT64_C(0x9e3779b97f4a7c15);
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31);
}

static struct sample sample_of(uint64_t seed, size_t cut, unsigned variant)
{
    return (struct sample){mix(mix(mix(seed) + cut) + variant) | 1};
}

/* ---- a replay ---- */

struct replay {
    struct operation_log log;
    struct disk *disk;
    struct expectation expectation;
};

static bool replay_start(struct replay *r, const char *log_path)
{
    *r = (struct replay){0};
    if (!operation_log_read(&r->log, log_path))
        return false;
    r->disk = disk_create();
    if (!r->disk)
        operation_log_free(&r->log);
    return r->disk != NULL;
}

static void replay_end(struct replay *r)
{
    disk_free(r->disk);
    operation_log_free(&r->log);
}

/* Operation i is under way; a note counts at once. */
static bool replay_begin(struct replay *r, size_t i)
{
    const struct note *n = operation_note(r->log.operations[i]);
    if (n)
        expectation_take(&r->expectation, n);
    return disk_begin(r->disk, r->log.operations[i]);
}

/* ---- a worker ---- */

struct shared {
    pthread_mutex_t lock;
    bool stop;
    bool unusable;
    struct cut_report report;
};

struct worker {
    const struct cutting *c;
    struct shared *shared;
    unsigned number;
    char root[PATH_SIZE];    /* of the images */
    char journal[PATH_SIZE]; /* in it */
};

static void add_failure(struct cut_report *r, const char *text)
{
    if (r->failures_count < CUT_FAILURES_MAX)
        snprintf(r->failures[r->failures_count++], sizeof r->failures[0], "%s", text);
}

static void keep_image(const struct worker *w)
{
    if (w->c->keep && rename(w->root, w->c->keep) != 0)
        perror(w->c->keep);
}

static void tally(struct worker *w, size_t cut, unsigned variant, const struct verdict *v)
{
    struct shared *s = w->shared;
    char text[1000];
    snprintf(text, sizeof text, "cut %zu, variant %u: %s", cut, variant, v->text);
    pthread_mutex_lock(&s->lock);
    s->report.images++;
    s->report.outcomes[v->outcome]++;
    if (v->outcome == OUTCOME_WRONG) {
        if (s->report.failures_count == 0)
            keep_image(w);
        add_failure(&s->report, text);
        s->stop = s->stop || w->c->stop_at_wrong;
    }
    pthread_mutex_unlock(&s->lock);
}

static bool cut_here(struct worker *w, const struct replay *r, size_t cut, unsigned variant)
{
    struct sample random = sample_of(w->c->seed, cut, variant);
    struct image image;
    struct verdict verdict;
    disk_draw(r->disk, &random, &image);
    bool ok = mkdir(w->root, 0700) == 0 && image_write(&image, w->root);
    image_free(&image);
    if (ok) {
        inspect(w->journal, w->c->history, &r->expectation, w->c->durability, &verdict);
        tally(w, cut, variant, &verdict);
    }
    temp_folder_remove(w->root);
    return ok;
}

/* The i-th of count operations is one of those that are cut. */
static bool is_chosen(const struct cutting *c, size_t i, size_t count)
{
    if (c->only_cut)
        return i + c->first == c->only_cut;
    if (c->cuts_max == 0 || c->cuts_max >= count)
        return true;
    uint64_t shift = mix(c->seed) % count;
    return (i * c->cuts_max + shift) / count != ((i + 1) * c->cuts_max + shift) / count;
}

static bool work_on(struct worker *w, struct replay *r)
{
    const struct cutting *c = w->c;
    size_t count = r->log.count > c->first ? r->log.count - c->first : 0;
    size_t chosen = 0;
    for (size_t i = 0; i < r->log.count; i++) {
        if (i == c->first && c->first > 0)
            r->expectation = c->before;
        if (!replay_begin(r, i))
            return false;
        if (i >= c->first && is_chosen(c, i - c->first, count) &&
            chosen++ % c->workers == w->number) {
            unsigned variants = disk_is_settled(r->disk) ? 1 : c->variants;
            pthread_mutex_lock(&w->shared->lock);
            bool stop = w->shared->stop;
            w->shared->report.cuts += !stop;
            pthread_mutex_unlock(&w->shared->lock);
            for (unsigned v = 0; !stop && v < variants; v++)
                if (!cut_here(w, r, i, v))
                    return false;
        }
        disk_finish(r->disk);
    }
    return true;
}

static void work(struct worker *w)
{
    struct replay r;
    bool ok = replay_start(&r, w->c->log_path);
    if (ok) {
        ok = work_on(w, &r);
        pthread_mutex_lock(&w->shared->lock);
        w->shared->report.operations = r.log.count;
        if (!ok && !w->shared->unusable) {
            w->shared->unusable = true;
            add_failure(&w->shared->report,
                        disk_error(r.disk)[0] ? disk_error(r.disk) : "cannot write an image");
        }
        pthread_mutex_unlock(&w->shared->lock);
        replay_end(&r);
    }
    _exit(ok ? 0 : 1);
}

static struct shared *make_shared(void)
{
    pthread_mutexattr_t attributes;
    struct shared *s = share_memory(sizeof *s);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return s;
}

bool cut_everywhere(const struct cutting *c, struct cut_report *ret_report)
{
    pid_t workers[CUT_WORKERS_MAX];
    struct shared *shared = make_shared();
    bool ok = true;
    fflush(NULL);
    for (unsigned i = 0; i < c->workers; i++) {
        struct worker w = {.c = c, .shared = shared, .number = i};
        snprintf(w.root, sizeof w.root, "%s/image-%u", c->folder, i);
        snprintf(w.journal, sizeof w.journal, "%s/image-%u/journal", c->folder, i);
        workers[i] = fork();
        if (workers[i] == 0)
            work(&w);
        ok = ok && workers[i] > 0;
    }
    for (unsigned i = 0; i < c->workers; i++) {
        int status = 0;
        ok = workers[i] > 0 && waitpid(workers[i], &status, 0) == workers[i] && WIFEXITED(status) &&
             WEXITSTATUS(status) == 0 && ok;
    }
    *ret_report = shared->report;
    if (!ok && ret_report->failures_count == 0)
        add_failure(ret_report, "a worker has failed");
    munmap(shared, sizeof *shared);
    return ok;
}

/* ---- without inspection ---- */

bool cut_once(const char *log_path, size_t cut, uint64_t seed, struct image *ret_image,
              struct expectation *ret_expectation)
{
    struct replay r;
    if (!replay_start(&r, log_path))
        return false;
    bool ok = cut < r.log.count;
    for (size_t i = 0; ok && i <= cut; i++) {
        ok = replay_begin(&r, i);
        if (ok && i < cut)
            disk_finish(r.disk);
    }
    if (ok) {
        struct sample random = sample_of(seed, cut, 0);
        disk_draw(r.disk, &random, ret_image);
        *ret_expectation = r.expectation;
    }
    replay_end(&r);
    return ok;
}

bool cut_explains(const char *log_path, const char *root, char error[IMAGE_ERROR_SIZE])
{
    struct replay r;
    struct image image;
    if (!replay_start(&r, log_path)) {
        snprintf(error, IMAGE_ERROR_SIZE, "%s cannot be read", log_path);
        return false;
    }
    bool ok = true;
    for (size_t i = 0; ok && i < r.log.count; i++) {
        ok = replay_begin(&r, i);
        if (ok)
            disk_finish(r.disk);
    }
    if (!ok) {
        snprintf(error, IMAGE_ERROR_SIZE, "%s", disk_error(r.disk));
    } else {
        disk_draw_all(r.disk, &image);
        ok = image_compare(&image, root, error);
        image_free(&image);
    }
    replay_end(&r);
    return ok;
}

size_t cut_count_operations(const char *log_path)
{
    struct operation_log log;
    if (!operation_log_read(&log, log_path))
        return 0;
    size_t count = log.count;
    operation_log_free(&log);
    return count;
}
