/* fixture_cursors.c - see fixture_cursors.h. */
#include "tests/support/fixture_cursors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "protocol/errors.h"
#include "tests/support/sample_bytes.h"

static void free_row(const struct fixture_cursor *row)
{
    free((void *)(uintptr_t)row->name.data);
    free((void *)(uintptr_t)row->row.data);
}

static void add(struct fixture_cursor **list, size_t *count, size_t *capacity,
                const struct fixture_cursor *row)
{
    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 16;
        *list = realloc(*list, *capacity * sizeof **list);
        assert_non_null(*list);
    }
    (*list)[(*count)++] = *row;
}

static int stage(void *context, struct bytes name, struct bytes row)
{
    struct fixture_cursors *c = context;
    struct fixture_cursor staged = {{copy_exactly(name.data, name.size), name.size},
                                    {copy_exactly(row.data, row.size), row.size}};
    add(&c->staged, &c->staged_count, &c->staged_capacity, &staged);
    return ERR_OK;
}

void fixture_cursors_stage(struct fixture_cursors *c, struct core *core)
{
    fixture_cursors_drop_staged(c);
    assert_int_equal(core_cursor_rows(core, stage, c), ERR_OK);
}

void fixture_lives_stage(struct fixture_cursors *c, struct core *core)
{
    fixture_cursors_drop_staged(c);
    assert_int_equal(core_life_rows(core, stage, c), ERR_OK);
}

static int compare_names(const void *a, const void *b)
{
    return bytes_compare(((const struct fixture_cursor *)a)->name,
                         ((const struct fixture_cursor *)b)->name);
}

void fixture_lives_restore(struct fixture_cursors *c, struct core *core)
{
    if (c->count > 0)
        qsort(c->rows, c->count, sizeof *c->rows, compare_names);
    for (size_t i = 0; i < c->count; i++)
        assert_int_equal(core_restore_life(core, c->rows[i].name, c->rows[i].row), ERR_OK);
}

void fixture_cursors_drop_staged(struct fixture_cursors *c)
{
    for (size_t i = 0; i < c->staged_count; i++)
        free_row(&c->staged[i]);
    c->staged_count = 0;
}

static void commit_row(struct fixture_cursors *c, const struct fixture_cursor *staged)
{
    size_t at = 0;
    while (at < c->count && !bytes_equal(c->rows[at].name, staged->name))
        at++;
    if (at < c->count) {
        free_row(&c->rows[at]);
        c->rows[at] = c->rows[--c->count];
    }
    if (staged->row.size > 0)
        add(&c->rows, &c->count, &c->capacity, staged);
    else
        free_row(staged);
}

void fixture_cursors_commit(struct fixture_cursors *c)
{
    for (size_t i = 0; i < c->staged_count; i++)
        commit_row(c, &c->staged[i]);
    c->staged_count = 0;
}

void fixture_cursors_restore(const struct fixture_cursors *c, struct core *core)
{
    for (size_t i = 0; i < c->count; i++)
        assert_int_equal(core_restore_cursor(core, c->rows[i].name, c->rows[i].row), ERR_OK);
}

void fixture_cursors_free(struct fixture_cursors *c)
{
    fixture_cursors_drop_staged(c);
    for (size_t i = 0; i < c->count; i++)
        free_row(&c->rows[i]);
    free(c->rows);
    free(c->staged);
    *c = (struct fixture_cursors){0};
}
