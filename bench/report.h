/*
 * report.h - what a command found, in the order in which it was added: as lines
 * for people, or as one JSON object with the same names.
 */
#ifndef VIGIL_BENCH_REPORT_H
#define VIGIL_BENCH_REPORT_H

#include "bench/histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct report;

struct report *report_new(void); /* ends the program when out of memory */
void report_free(struct report *r);
void report_text(struct report *r, const char *name, const char *text);
void report_count(struct report *r, const char *name, uint64_t count);
/* Kept to about four significant digits; not a number (x / 0) becomes null. */
void report_number(struct report *r, const char *name, double number);
/* PREFIXp50_us, p90_us, p99_us, p999_us, max_us of a histogram of nanoseconds; null while it is
 * empty. */
void report_latency(struct report *r, const char *prefix, const struct histogram *h);
/* The number at a JSON pointer: "/ops_per_s", or "/rows/1/ops_per_s" of a table. False: none there. */
bool report_find(const struct report *r, const char *pointer, double *ret_number);
/* A report of its own that is a row of the table of that name; it lives as long as r does. The rows
 * of a table have the same names in the same order. */
struct report *report_row(struct report *r, const char *table);
void report_print(const struct report *r, bool json);

#endif
