/* journal_fixture.c - see journal_fixture.h. */
#define _GNU_SOURCE

#include "tests/support/journal_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/record.h"

int journal_fixture_setup(void **state)
{
    struct journal_fixture *f = calloc(1, sizeof *f);
    if (!f)
        return -1;
    if (!temp_folder_make(f->parent)) {
        free(f);
        return -1;
    }
    snprintf(f->directory, sizeof f->directory, "%s/journal", f->parent);
    f->options = (struct journal_options){.directory = f->directory,
                                          .map_size_bytes = UINT64_C(1) << 30,
                                          .allocate_bytes = 1 << 20,
                                          .reserve_bytes = 1 << 20,
                                          .epoch = 0xE1};
    wire_buffer_init(&f->buffer, LIMIT_RECORD_SIZE);
    *state = f;
    return 0;
}

int journal_fixture_teardown(void **state)
{
    struct journal_fixture *f = *state;
    journal_close(f->j);
    temp_folder_remove(f->parent);
    wire_buffer_free(&f->buffer);
    free(f);
    return 0;
}

void journal_fixture_open(struct journal_fixture *f)
{
    assert_null(f->j);
    assert_ok(journal_open(&f->options, &f->j, &f->failure), f);
}

void journal_fixture_close(struct journal_fixture *f)
{
    journal_close(f->j);
    f->j = NULL;
}

const char *journal_fixture_open_fails(struct journal_fixture *f, int code)
{
    struct journal *j = NULL;
    f->failure = (struct failure){0};
    assert_int_equal(journal_open(&f->options, &j, &f->failure), code);
    assert_null(j);
    assert_int_equal(f->failure.code, code);
    return f->failure.text;
}

void journal_fixture_path(const struct journal_fixture *f, const char *name, char *out, size_t size)
{
    int length = snprintf(out, size, "%s/%s", f->directory, name);
    assert_true(length > 0 && (size_t)length < size);
}

void journal_fixture_in_child(void (*work)(struct journal_fixture *f), struct journal_fixture *f)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        work(f);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void journal_fixture_damage(const struct journal_fixture *f, const char *text, size_t offset)
{
    char path[FIXTURE_PATH_SIZE + 16];
    struct stat status;
    journal_fixture_path(f, "data.mdb", path, sizeof path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    size_t size = (size_t)status.st_size;
    uint8_t *file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(file, MAP_FAILED);
    uint8_t *found = memmem(file, size, text, strlen(text));
    assert_non_null(found);
    /* The same page may have been copied on write: all copies are damaged. */
    for (; found; found = memmem(found + 1, size - (size_t)(found + 1 - file), text, strlen(text)))
        found[offset] = (uint8_t)~found[offset];
    munmap(file, size);
    close(fd);
}

struct bytes journal_fixture_record(struct journal_fixture *f, uint64_t seq, struct bytes key,
                                    const struct bytes *value, uint64_t prev_seq)
{
    struct record_writer w;
    struct change c = {.op = value ? CHANGE_PUT : CHANGE_DELETE, .prev_seq = prev_seq, .key = key};
    if (value)
        c.value = *value;
    wire_buffer_clear(&f->buffer);
    record_begin(&w, &f->buffer, seq, seq * 1000, 0, 0);
    record_add(&w, &c);
    size_t size = record_end(&w);
    assert_true(size > 0);
    return (struct bytes){f->buffer.data, size};
}

struct numbered {
    char key[32];
    char value[32];
};

static struct numbered numbered(uint64_t n)
{
    struct numbered text;
    snprintf(text.key, sizeof text.key, "key %llu.", (unsigned long long)n);
    snprintf(text.value, sizeof text.value, "\xd9\x1cvalue %022llu", (unsigned long long)n);
    return text;
}

static struct bytes text_bytes(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

static struct bytes numbered_record(struct journal_fixture *f, uint64_t n)
{
    struct numbered text = numbered(n);
    struct bytes value = text_bytes(text.value);
    return journal_fixture_record(f, n, text_bytes(text.key), &value, 0);
}

void journal_fixture_append(struct journal_fixture *f, uint64_t count)
{
    uint64_t head = journal_fixture_status(f).head;
    assert_ok(journal_batch_begin(f->j, count * 140, &f->failure), f);
    for (uint64_t i = 1; i <= count; i++)
        assert_ok(journal_batch_append(f->j, numbered_record(f, head + i), &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

void journal_fixture_checkpoint(struct journal_fixture *f)
{
    struct journal_status s = journal_fixture_status(f);
    assert_ok(journal_batch_begin(f->j, (s.head - s.applied) * 80, &f->failure), f);
    for (uint64_t n = s.applied + 1; n <= s.head; n++) {
        struct numbered text = numbered(n);
        struct state_row row = {
            .created = n, .modified = n, .version = 1, .value = text_bytes(text.value)};
        assert_ok(journal_batch_put_row(f->j, text_bytes(text.key), &row, &f->failure), f);
    }
    assert_ok(journal_batch_set_applied(f->j, s.head, &f->failure), f);
    assert_ok(journal_batch_commit(f->j, &f->failure), f);
}

void journal_fixture_compact(struct journal_fixture *f, uint64_t target, uint32_t records_max)
{
    bool more = true;
    bool blocked = false;
    while (more) {
        assert_ok(journal_batch_begin(f->j, 0, &f->failure), f);
        assert_ok(
            journal_batch_compact(f->j, target, NULL, 0, records_max, &more, &blocked, &f->failure),
            f);
        assert_ok(journal_batch_commit(f->j, &f->failure), f);
    }
}

void journal_fixture_check_records(struct journal_fixture *f)
{
    struct journal_reader *r = NULL;
    struct journal_view view;
    struct bytes record;
    uint64_t seq = 0;
    struct journal_status s = journal_fixture_status(f);
    assert_ok(journal_reader_open(f->j, &r, &f->failure), f);
    assert_ok(journal_reader_begin(r, &view, &f->failure), f);
    assert_int_equal(view.head, s.head);
    assert_int_equal(view.oldest, s.oldest);
    assert_int_equal(view.applied, s.applied);
    assert_true(view.epoch == s.epoch);
    assert_ok(journal_reader_seek(r, view.oldest, &f->failure), f);
    for (uint64_t n = view.oldest; n <= view.head; n++) {
        assert_ok(journal_reader_next(r, &seq, &record, &f->failure), f);
        assert_int_equal(seq, n);
        assert_true(bytes_equal(record, numbered_record(f, n)));
    }
    assert_int_equal(journal_reader_next(r, &seq, &record, &f->failure), ERR_NOT_FOUND);
    journal_reader_end(r);
    journal_reader_close(r);
}

static void print_problem(void *context, uint64_t seq, const char *text)
{
    const uint64_t *expected = context;
    if (*expected == 0)
        print_error("seq %llu: %s\n", (unsigned long long)seq, text);
}

void journal_fixture_verify(struct journal_fixture *f, uint64_t problems)
{
    struct journal_verify_report report;
    bool was_open = f->j != NULL;
    journal_fixture_close(f);
    assert_ok(journal_verify(f->directory, print_problem, NULL, &problems, &report, &f->failure),
              f);
    assert_int_equal(report.problems, problems);
    if (was_open)
        journal_fixture_open(f);
}

struct journal_status journal_fixture_status(const struct journal_fixture *f)
{
    struct journal_status status;
    journal_status(f->j, &status);
    return status;
}
