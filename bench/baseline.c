/* baseline.c - see baseline.h. */
#define _GNU_SOURCE
#include "bench/baseline.h"

#include <errno.h>
#include <json.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUNS_MAX = 1000000 };

static struct baseline_row *find(struct baseline *b, const char *name)
{
    for (size_t i = 0; i < b->count; i++) {
        if (!strcmp(b->rows[i].name, name)) {
            return &b->rows[i];
        }
    }
    return NULL;
}

const struct baseline_row *baseline_find(const struct baseline *b, const char *name)
{
    return find((struct baseline *)(uintptr_t)b, name);
}

int baseline_set(struct baseline *b, const struct baseline_row *row, struct failure *failure)
{
    struct baseline_row *place = find(b, row->name);
    if (!place && b->count == BASELINE_ROWS_MAX) {
        return failure_set(failure, ERR_LIMIT, "a baseline has %d rows at most", BASELINE_ROWS_MAX);
    }
    if (!place) {
        place = &b->rows[b->count++];
    }
    *place = *row;
    return ERR_OK;
}

/* ---- reading ---- */

/* Ratios of anything that works are above 0. */
static bool take_ratio(struct json_object *row, const char *field, double *ret)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(row, field, &value) ||
        !(json_object_is_type(value, json_type_double) ||
          json_object_is_type(value, json_type_int))) {
        return false;
    }
    *ret = json_object_get_double(value);
    return isfinite(*ret) && *ret > 0;
}

static bool take_runs(struct json_object *row, unsigned *ret)
{
    struct json_object *value = NULL;
    if (!json_object_object_get_ex(row, "runs", &value) ||
        !json_object_is_type(value, json_type_int)) {
        return false;
    }
    int64_t runs = json_object_get_int64(value);
    *ret = (unsigned)runs;
    return runs >= 1 && runs <= RUNS_MAX;
}

static int take_row(const char *name, struct json_object *from, struct baseline *b,
                    struct failure *failure)
{
    struct baseline_row row = {.runs = 0};
    if (strlen(name) >= sizeof row.name || !*name) {
        return failure_set(failure, ERR_INVALID, "the row's name '%.60s' is too long, or empty",
                           name);
    }
    memcpy(row.name, name, strlen(name) + 1);
    if (!json_object_is_type(from, json_type_object) || !take_ratio(from, "ratio", &row.ratio) ||
        !take_ratio(from, "low", &row.low) || !take_ratio(from, "high", &row.high) ||
        !take_runs(from, &row.runs) || row.low > row.ratio || row.ratio > row.high) {
        return failure_set(failure, ERR_INVALID,
                           "row '%s' wants numbers above 0: low <= ratio <= high, and runs", name);
    }
    return baseline_set(b, &row, failure);
}

static int take_rows(struct json_object *root, struct baseline *b, struct failure *failure)
{
    struct json_object *rows = NULL;
    if (!json_object_is_type(root, json_type_object) ||
        !json_object_object_get_ex(root, "rows", &rows) ||
        !json_object_is_type(rows, json_type_object)) {
        return failure_set(failure, ERR_INVALID, "there are no \"rows\" in it");
    }
    int err = ERR_OK;
    json_object_object_foreach(rows, name, row)
    {
        err = err ? err : take_row(name, row, b, failure);
    }
    return err;
}

int baseline_parse(const char *text, size_t size, struct baseline *ret_baseline,
                   struct failure *failure)
{
    struct json_tokener *tokener = json_tokener_new_ex(8);
    struct json_object *root = NULL;
    struct baseline b = {.count = 0};
    int err = ERR_OK;
    if (!tokener) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    if (size > BASELINE_FILE_MAX) {
        err = failure_set(failure, ERR_INVALID, "it is larger than %d bytes", BASELINE_FILE_MAX);
    } else {
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
        root = json_tokener_parse_ex(tokener, text, (int)size);
        enum json_tokener_error error = json_tokener_get_error(tokener);
        if (error != json_tokener_success) {
            err = failure_set(failure, ERR_INVALID, "it is not JSON: %s at byte %zu",
                              json_tokener_error_desc(error), json_tokener_get_parse_end(tokener));
        }
    }
    if (!err) {
        err = take_rows(root, &b, failure);
    }
    if (!err) {
        *ret_baseline = b;
    }
    json_object_put(root);
    json_tokener_free(tokener);
    return err;
}

int baseline_read(const char *path, struct baseline *ret_baseline, struct failure *failure)
{
    struct failure reason = {0};
    char *text = malloc(BASELINE_FILE_MAX + 1);
    FILE *file = fopen(path, "re");
    int err = ERR_OK;
    if (!text) {
        err = failure_set(failure, ERR_NO_MEMORY, "out of memory");
        goto out;
    }
    if (!file) {
        err = failure_set(failure, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                          "cannot read the baseline %s: %s", path, strerror(errno));
        goto out;
    }
    size_t size = fread(text, 1, BASELINE_FILE_MAX + 1, file);
    if (ferror(file)) {
        err =
            failure_set(failure, ERR_IO, "cannot read the baseline %s: %s", path, strerror(errno));
        goto out;
    }
    err = baseline_parse(text, size, ret_baseline, &reason);
    if (err) {
        failure_set(failure, err, "%s is no baseline: %s", path, reason.text);
    }
out:
    if (file) {
        fclose(file);
    }
    free(text);
    return err;
}

/* ---- writing ---- */

static void print_text(FILE *file, const char *name, const char *text)
{
    struct json_object *string = json_object_new_string(text);
    fprintf(file, "  \"%s\": %s,\n", name,
            json_object_to_json_string_ext(string, JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(string);
}

static void print_baseline(FILE *file, const struct baseline *b, const char *version,
                           const char *machine)
{
    fputs("{\n", file);
    print_text(file, "version", version);
    print_text(file, "machine", machine);
    fputs("  \"rows\": {", file);
    for (size_t i = 0; i < b->count; i++) {
        const struct baseline_row *row = &b->rows[i];
        fprintf(file,
                "%s\n    \"%s\": {\"ratio\": %.4f, \"low\": %.4f, \"high\": %.4f, \"runs\": %u}",
                i > 0 ? "," : "", row->name, row->ratio, row->low, row->high, row->runs);
    }
    fputs("\n  }\n}\n", file);
}

int baseline_try_write(const char *path, struct failure *failure)
{
    char *new_path = NULL;
    if (asprintf(&new_path, "%s.new", path) < 0) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    FILE *file = fopen(new_path, "we");
    int err = ERR_OK;
    if (!file) {
        err = failure_set(failure, ERR_IO, "cannot write %s: %s", new_path, strerror(errno));
    } else {
        fclose(file);
        unlink(new_path);
    }
    free(new_path);
    return err;
}

int baseline_write(const char *path, const struct baseline *b, const char *version,
                   const char *machine, struct failure *failure)
{
    char *new_path = NULL;
    FILE *file = NULL;
    int err = ERR_OK;
    if (asprintf(&new_path, "%s.new", path) < 0) {
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    }
    file = fopen(new_path, "we");
    if (!file) {
        err = failure_set(failure, ERR_IO, "cannot write %s: %s", new_path, strerror(errno));
        goto out;
    }
    print_baseline(file, b, version, machine);
    bool failed = ferror(file) != 0;
    failed = fclose(file) != 0 || failed;
    if (failed || rename(new_path, path)) {
        err =
            failure_set(failure, ERR_IO, "cannot write the baseline %s: %s", path, strerror(errno));
        unlink(new_path);
    }
out:
    free(new_path);
    return err;
}
