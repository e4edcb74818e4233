/* report.c - see report.h. */
#include "bench/report.h"

#include <inttypes.h>
#include <json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report {
    struct json_object *fields;
    struct report *rows; /* of all its tables, the newest first */
    struct report *next; /* of the rows that it is one of */
};

static void add(struct report *r, const char *name, struct json_object *value)
{
    if (json_object_object_add(r->fields, name, value)) {
        abort(); /* out of memory */
    }
}

struct report *report_new(void)
{
    struct report *r = calloc(1, sizeof *r);
    if (!r || !(r->fields = json_object_new_object())) {
        abort();
    }
    return r;
}

void report_free(struct report *r)
{
    if (r) {
        while (r->rows) {
            struct report *row = r->rows;
            r->rows = row->next;
            report_free(row);
        }
        json_object_put(r->fields);
        free(r);
    }
}

bool report_find(const struct report *r, const char *pointer, double *ret_number)
{
    struct json_object *value = NULL;
    if (json_pointer_get(r->fields, pointer, &value) ||
        !(json_object_is_type(value, json_type_double) ||
          json_object_is_type(value, json_type_int))) {
        return false;
    }
    *ret_number = json_object_get_double(value);
    return true;
}

struct report *report_row(struct report *r, const char *table)
{
    struct report *row = report_new();
    struct json_object *rows = NULL;
    if (!json_object_object_get_ex(r->fields, table, &rows)) {
        if (!(rows = json_object_new_array())) {
            abort();
        }
        add(r, table, rows);
    }
    if (json_object_array_add(rows, json_object_get(row->fields))) {
        abort();
    }
    row->next = r->rows;
    r->rows = row;
    return row;
}

void report_text(struct report *r, const char *name, const char *text)
{
    add(r, name, json_object_new_string(text));
}

void report_count(struct report *r, const char *name, uint64_t count)
{
    add(r, name, json_object_new_uint64(count));
}

void report_number(struct report *r, const char *name, double number)
{
    if (!isfinite(number)) {
        add(r, name, NULL);
        return;
    }
    int decimals = fabs(number) >= 1000 ? 0 : fabs(number) >= 100 ? 1 : fabs(number) >= 10 ? 2 : 3;
    char digits[64];
    snprintf(digits, sizeof digits, "%.*f", decimals, number);
    add(r, name, json_object_new_double_s(number, digits));
}

void report_latency(struct report *r, const char *prefix, const struct histogram *h)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {
        {"p50_us", 50}, {"p90_us", 90}, {"p99_us", 99}, {"p999_us", 99.9}, {"max_us", 100}};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, points[i].name);
        double us = (double)histogram_percentile(h, points[i].percent) / 1000.0;
        report_number(r, name, h->count ? us : NAN);
    }
}

static const char *text_of(struct json_object *value)
{
    return value ? json_object_get_string(value) : "-";
}

static int column_width(struct json_object *rows, const char *column)
{
    size_t width = strlen(column);
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        struct json_object *row = json_object_array_get_idx(rows, i);
        size_t length = strlen(text_of(json_object_object_get(row, column)));
        width = length > width ? length : width;
    }
    return (int)width;
}

/* row NULL: the columns' names. */
static void print_row(struct json_object *rows, struct json_object *row)
{
    json_object_object_foreach(json_object_array_get_idx(rows, 0), column, unused)
    {
        (void)unused;
        const char *text = row ? text_of(json_object_object_get(row, column)) : column;
        printf("%*s  ", column_width(rows, column), text);
    }
    putchar('\n');
}

static void print_table(const char *name, struct json_object *rows)
{
    printf("\n%s\n", name);
    print_row(rows, NULL);
    for (size_t i = 0; i < json_object_array_length(rows); i++) {
        print_row(rows, json_object_array_get_idx(rows, i));
    }
}

void report_print(const struct report *r, bool json)
{
    if (json) {
        puts(json_object_to_json_string_ext(r->fields, JSON_C_TO_STRING_PLAIN |
                                                           JSON_C_TO_STRING_NOSLASHESCAPE));
    } else {
        json_object_object_foreach(r->fields, name, value)
        {
            if (json_object_is_type(value, json_type_array)) {
                print_table(name, value);
            } else {
                printf("%-26s %s\n", name, text_of(value));
            }
        }
    }
    fflush(stdout);
}
