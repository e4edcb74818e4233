#define _GNU_SOURCE
/* harvest.c - see harvest.h. */
#include "tests/torture/harvest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "journal/journal.h"
#include "protocol/errors.h"
#include "protocol/record.h"

enum { RECENT = 2000, ALL_EVERY = 8 };

static const char *const files[] = {"data.mdb", "lock.mdb", "vigil.lock"};

bool harvest_open(struct harvest *h, const char *data, const char *copy, const char *history_path)
{
    *h = (struct harvest){.crcs_count = 1024};
    snprintf(h->data, sizeof h->data, "%s", data);
    snprintf(h->copy, sizeof h->copy, "%s", copy);
    h->crcs = calloc(h->crcs_count, sizeof *h->crcs);
    return h->crcs && history_open(&h->history, history_path);
}

void harvest_may_miss(struct harvest *h)
{
    history_begin(&h->history, 'N');
    history_end(&h->history);
}

void harvest_holds_for_cursors(struct harvest *h)
{
    history_begin(&h->history, 'D');
    history_end(&h->history);
}

void harvest_close(struct harvest *h)
{
    free(h->crcs);
    history_close(&h->history);
}

static bool fail(struct harvest *h, const char *what, const char *why)
{
    snprintf(h->error, sizeof h->error, "%s: %s", what, why);
    return false;
}

/* Holes stay holes: most of the file may be allocated and never written. */
static bool copy_file(const char *from, const char *to)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    off_t size = in >= 0 ? lseek(in, 0, SEEK_END) : -1;
    bool ok = in >= 0 && out >= 0 && size >= 0 && ftruncate(out, size) == 0;
    for (off_t at = 0; ok && at < size;) {
        off_t begin = lseek(in, at, SEEK_DATA);
        if (begin < 0)
            break; /* nothing but a hole is left */
        off_t end = lseek(in, begin, SEEK_HOLE);
        off_t place = begin;
        while (ok && begin < end) {
            ssize_t done = copy_file_range(in, &begin, out, &place, (size_t)(end - begin), 0);
            ok = done > 0;
        }
        at = end;
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return ok;
}

static bool make_copy(struct harvest *h)
{
    char from[192], to[192];
    snprintf(from, sizeof from, "%s/data.mdb", h->data);
    snprintf(to, sizeof to, "%s/data.mdb", h->copy);
    if (mkdir(h->copy, 0700) != 0 && errno != EEXIST)
        return fail(h, h->copy, strerror(errno));
    return copy_file(from, to) || fail(h, from, "cannot be copied");
}

static void remove_copy(struct harvest *h)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[192];
        snprintf(path, sizeof path, "%s/%s", h->copy, files[i]);
        unlink(path);
    }
    rmdir(h->copy);
}

static bool is_new(struct harvest *h, uint64_t seq, uint32_t crc)
{
    if (seq >= h->crcs_count) {
        uint64_t count = 2 * seq;
        uint32_t *crcs = realloc(h->crcs, count * sizeof *crcs);
        if (!crcs)
            abort();
        memset(crcs + h->crcs_count, 0, (count - h->crcs_count) * sizeof *crcs);
        h->crcs = crcs;
        h->crcs_count = count;
    }
    if (h->crcs[seq] == (crc | 1))
        return false;
    h->crcs[seq] = crc | 1;
    return true;
}

static bool write_record(struct harvest *h, uint64_t seq, struct bytes bytes)
{
    struct record_header header;
    struct change change;
    if (record_check(bytes, &header) != ERR_OK || header.seq != seq)
        return fail(h, "a record", "is damaged");
    if (!is_new(h, seq, header.crc))
        return true;
    struct history *out = &h->history;
    history_begin(out, 'J');
    history_u64(out, header.seq);
    history_u64(out, header.time_us);
    history_u64(out, header.session);
    history_u64(out, header.number);
    history_u64(out, header.parts);
    history_u64(out, header.count);
    for (struct change_iterator i = record_changes(bytes.data); change_next(&i, &change);) {
        char key[512];
        snprintf(key, sizeof key, "%.*s", (int)change.key.size, (const char *)change.key.data);
        history_u64(out, change.op);
        history_u64(out, change.part);
        history_word(out, key);
        history_u64(out, change.prev_seq);
        history_value(out, change.op == CHANGE_PUT ? change.value.data : NULL, change.value.size);
    }
    history_end(out);
    return true;
}

/* all: also those that were read before, which must not have changed. */
static bool read_records(struct harvest *h, struct journal_reader *reader, bool all)
{
    struct journal_view view;
    struct failure failure = {0};
    uint64_t seq;
    struct bytes record;
    if (journal_reader_begin(reader, &view, &failure) != ERR_OK)
        return fail(h, "a view of the journal", failure.text);
    history_begin(&h->history, 'H');
    history_u64(&h->history, view.epoch);
    history_u64(&h->history, view.oldest);
    history_u64(&h->history, view.head);
    history_end(&h->history);
    uint64_t from = view.oldest;
    if (!all && h->head > RECENT && h->head - RECENT > from)
        from = h->head - RECENT;
    h->head = view.head;
    h->epoch = view.epoch;
    int err = journal_reader_seek(reader, from, &failure);
    bool ok = true;
    while (ok && err == ERR_OK) {
        err = journal_reader_next(reader, &seq, &record, &failure);
        if (err == ERR_OK)
            ok = write_record(h, seq, record);
    }
    journal_reader_end(reader);
    return ok && (err == ERR_NOT_FOUND || fail(h, "the journal", failure.text));
}

static void on_problem(void *context, uint64_t seq, const char *text)
{
    struct harvest *h = context;
    snprintf(h->error, sizeof h->error, "verify: %llu: %s", (unsigned long long)seq, text);
}

static bool read_copy(struct harvest *h, bool verify)
{
    struct journal_options options = {
        .directory = h->copy, .allocate_bytes = 1u << 20, .reserve_bytes = 1u << 20, .epoch = 1};
    struct journal *journal = NULL;
    struct journal_reader *reader = NULL;
    struct journal_verify_report report = {0};
    struct failure failure = {0};
    bool ok = true;
    if (verify && journal_verify(h->copy, on_problem, NULL, h, &report, &failure) != ERR_OK)
        return fail(h, "verify", failure.text);
    if (verify) {
        history_begin(&h->history, 'V');
        history_u64(&h->history, report.problems);
        history_end(&h->history);
    }
    if (journal_open(&options, &journal, &failure) != ERR_OK)
        return fail(h, "the journal does not open", failure.text);
    if (journal_reader_open(journal, &reader, &failure) != ERR_OK)
        ok = fail(h, "the journal cannot be read", failure.text);
    ok = ok && read_records(h, reader, verify || h->readings++ % ALL_EVERY == 0);
    journal_reader_close(reader);
    journal_close(journal);
    return ok;
}

bool harvest_read(struct harvest *h, bool verify)
{
    bool ok = make_copy(h) && read_copy(h, verify);
    remove_copy(h);
    return ok;
}
