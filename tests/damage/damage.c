/*
 * damage.c - bits flipped, sectors zeroed, pages swapped and lost writes, in every kind of
 * page and place of a journal's data file. After each, in turn:
 *
 *   verify has to end, and to report a problem wherever what is read differs from the truth;
 *   the journal's own interface, in a child process, and, for some, a vigild through libvigil
 *   serve what is true, or an error that names it, or refuse, or die with a word. Each second
 *   cut comes while the file is in use.
 *
 *   damage [--cuts N] [--servers N] [--seed S] [--records N] [--only NUMBER] [--verbose]
 *
 * Nothing that is served is a lie, with one exception, which is counted by itself: a page that
 * is an older version of itself (a write that the disk lost) is whole, and only verify tells.
 *
 * ctest: TIMEOUT=120 LABELS=release-only
 */
#define _GNU_SOURCE

#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/damage/reading.h"
#include "tests/support/temp_folder.h"

struct options {
    uint64_t cuts;
    uint64_t servers; /* so many of them are served by a vigild as well */
    uint64_t seed;
    uint64_t records;
    uint64_t only; /* UINT64_MAX: all */
    bool verbose;
};

struct figures {
    uint64_t cuts;
    uint64_t direct[OUTCOMES];
    uint64_t served[OUTCOMES];
    uint64_t verify_found;
    uint64_t verify_missed; /* though something was harmed */
    uint64_t wrong;
};

struct run {
    struct options o;
    struct truth t;
    struct image image;
    uint8_t *undo;
    char folder[TEMP_FOLDER_SIZE];
    char directory[128];
    struct figures figures[CUT_KINDS];
    uint64_t cuts_in[PAGE_USES];
};

/* As after a clean stop: without the redo log of the run before, which belongs to another file. */
static bool write_image(const struct run *r, const uint8_t *bytes)
{
    char path[160];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/redo.%d", r->directory, i);
        (void)unlink(path);
    }
    snprintf(path, sizeof path, "%s/data.mdb", r->directory);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t used = r->image.pages * r->image.page_size;
    bool done = fd >= 0 && pwrite(fd, bytes, used, 0) == (ssize_t)used &&
                ftruncate(fd, (off_t)r->image.size) == 0;
    close(fd);
    return done;
}

static void complain(struct run *r, const struct cut *c, uint64_t number, const char *how,
                     const char *what)
{
    /* Which writes were lost, a page cannot tell; verify does (counted as missed otherwise). */
    bool wrong = c->kind != CUT_OLDER;
    r->figures[c->kind].wrong += wrong;
    if (wrong || r->o.verbose)
        printf("%s cut %" PRIu64 " (--seed %" PRIu64 "): %s: %s: %s\n", wrong ? "WRONG" : "known",
               number, r->o.seed, c->text, how, what);
}

static void show_problem(void *context, uint64_t seq, const char *text)
{
    const struct run *r = context;
    if (r->o.verbose)
        printf("  verify: %" PRIu64 ": %s\n", seq, text);
}

static bool run_verify(struct run *r)
{
    struct journal_verify_report report = {0};
    struct failure failure = {0};
    int err = journal_verify(r->directory, show_problem, NULL, r, &report, &failure);
    if (err != ERR_OK && r->o.verbose)
        printf("  verify: %s\n", failure.text);
    return err != ERR_OK || report.problems > 0;
}

static void count(struct run *r, const struct cut *c, uint64_t number, enum outcome outcome,
                  bool served, bool live, const char *what)
{
    struct figures *f = &r->figures[c->kind];
    (served ? f->served : f->direct)[outcome]++;
    if (outcome == OUTCOME_LIE || outcome == OUTCOME_SILENT)
        complain(r, c, number,
                 served ? live ? "server, live" : "server"
                 : live ? "live"
                        : "journal",
                 what);
}

static bool run_cut(struct run *r, uint64_t number)
{
    struct cut c;
    char what[256] = "";
    cut_make(&r->image, &r->t, number, r->o.seed, &c, r->undo);
    struct figures *f = &r->figures[c.kind];
    struct live live = {&r->image, &c, r->directory};
    bool is_live = number % 2 == 1;
    bool with_server = r->o.servers && number % (r->o.cuts / r->o.servers + 1) <= 1;
    f->cuts++;
    r->cuts_in[c.use]++;
    if (!write_image(r, r->image.bytes))
        return false;
    bool found = run_verify(r);
    f->verify_found += found;
    if (!write_image(r, is_live ? r->undo : r->image.bytes))
        return false;
    enum outcome outcome = read_directly(&r->t, r->directory, is_live ? &live : NULL, what);
    count(r, &c, number, outcome, false, is_live, what);
    /* Live, the file had gone on: it is not the one that verify has seen. */
    found = found || (is_live && run_verify(r));
    if (outcome != OUTCOME_UNHARMED && !found) {
        f->verify_missed++;
        f->wrong++;
        printf("WRONG cut %" PRIu64 " (--seed %" PRIu64 "): %s: verify finds nothing (%s: %s)\n",
               number, r->o.seed, c.text, outcome_names[outcome], what);
    }
    if (r->o.verbose)
        printf("cut %" PRIu64 ": %s: %s %s\n", number, c.text, outcome_names[outcome], what);
    if (with_server) {
        if (!write_image(r, is_live ? r->undo : r->image.bytes))
            return false;
        outcome = read_through_server(&r->t, r->directory, r->folder, is_live ? &live : NULL, what);
        count(r, &c, number, outcome, true, is_live, what);
    }
    cut_undo(&r->image, &c, r->undo);
    return true;
}

static void print_outcomes(const char *name, const uint64_t *counts)
{
    printf("  %-8s", name);
    for (unsigned i = 0; i < OUTCOMES; i++)
        printf(" %s %" PRIu64 "%s", outcome_names[i], counts[i], i + 1 < OUTCOMES ? "," : "\n");
}

static uint64_t print_figures(const struct run *r)
{
    static const char *const uses[PAGE_USES] = {"meta", "branch", "leaf", "overflow", "free"};
    uint64_t wrong = 0;
    for (unsigned k = 0; k < CUT_KINDS; k++) {
        const struct figures *f = &r->figures[k];
        printf("%s: %" PRIu64 " cuts, verify found %" PRIu64 ", missed harm in %" PRIu64 "\n",
               cut_kind_names[k], f->cuts, f->verify_found, f->verify_missed);
        print_outcomes("journal", f->direct);
        print_outcomes("vigild", f->served);
        wrong += f->wrong;
    }
    printf("pages hit:");
    for (unsigned u = 0; u < PAGE_USES; u++)
        printf(" %s %" PRIu64 " (of %zu pages)%s", uses[u], r->cuts_in[u], r->image.by_use[u],
               u + 1 < PAGE_USES ? "," : "\n");
    printf("wrong: %" PRIu64 "\n", wrong);
    return wrong;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option options[] = {
        {"cuts", required_argument, NULL, 'c'},
        {"servers", required_argument, NULL, 'v'},
        {"seed", required_argument, NULL, 's'},
        {"records", required_argument, NULL, 'r'},
        {"only", required_argument, NULL, 'o'},
        {"verbose", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;
        if (option == 'c')
            o->cuts = n;
        else if (option == 'v')
            o->servers = n;
        else if (option == 's')
            o->seed = n;
        else if (option == 'r')
            o->records = n;
        else if (option == 'o')
            o->only = n;
        else if (option == 'V')
            o->verbose = true;
        else
            return false;
    }
    return o->cuts > 0 && o->records >= 1000;
}

int main(int argc, char **argv)
{
    static struct run r;
    r.o = (struct options){
        .cuts = 250, .servers = 24, .seed = 1, .records = 1600, .only = UINT64_MAX};
    if (!read_options(argc, argv, &r.o)) {
        fprintf(stderr, "usage: damage [--cuts N] [--servers N] [--seed S] [--records N (1000 or "
                        "more)] [--only NUMBER] [--verbose]\n");
        return 2;
    }
    bool done = temp_folder_make(r.folder);
    snprintf(r.directory, sizeof r.directory, "%s/journal", r.folder);
    setvbuf(stdout, NULL, _IOLBF, 0);
    done = done && truth_make(&r.t, r.directory, r.o.seed, r.o.records) &&
           image_load(&r.image, r.directory) && (r.undo = malloc(r.image.size)) != NULL;
    for (uint64_t i = 0; i < r.o.cuts && done; i++)
        if (r.o.only == UINT64_MAX || i == r.o.only)
            done = run_cut(&r, i);
    uint64_t wrong = done ? print_figures(&r) : 1;
    if (!done)
        fprintf(stderr, "damage: it could not be done\n");
    temp_folder_remove(r.folder);
    truth_free(&r.t);
    image_free(&r.image);
    free(r.undo);
    return wrong ? 1 : 0;
}
