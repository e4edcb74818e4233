/* report.c - see report.h. */
#include "bench/report.h"

#include <inttypes.h>
#include <json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct report {
    struct json_object *fields;
};

static void add(struct report *r, const char *name, struct json_object *value)
{
    if (json_object_object_add(r->fields, name, value)) {
        abort(); /* out of memory */
    }
}

struct report *report_new(void)
{
    struct report *r = malloc(sizeof *r);
    if (!r || !(r->fields = json_object_new_object())) {
        abort();
    }
    return r;
}

void report_free(struct report *r)
{
    if (r) {
        json_object_put(r->fields);
        free(r);
    }
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
        report_number(r, name, (double)histogram_percentile(h, points[i].percent) / 1000.0);
    }
}

void report_print(const struct report *r, bool json)
{
    if (json) {
        puts(json_object_to_json_string_ext(r->fields, JSON_C_TO_STRING_PLAIN));
    } else {
        json_object_object_foreach(r->fields, name, value)
        {
            printf("%-26s %s\n", name, value ? json_object_get_string(value) : "-");
        }
    }
    fflush(stdout);
}
