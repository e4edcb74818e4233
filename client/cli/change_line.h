/*
 * change_line.h - the lines of watch, wait, history and ls: one JSON object each.
 *
 *   {"seq":7,"op":"put","key":"a","value":1,"prev_seq":3,"time":"2026-01-31T12:00:00.000001Z"}
 *
 * A delete or expire has no value. Of a watch with previous values there is also
 * "before", the value until then; where it is not known "before_unknown":true; and
 * neither where the key was not there. A change of a record of n > 1 changes also has
 * "part" and "parts", and the record's last line here "last":true.
 */
#ifndef VIGIL_CLI_CHANGE_LINE_H
#define VIGIL_CLI_CHANGE_LINE_H

#include "protocol/wire.h"

#include <vigil.h>

/* Both append lines with their newline. False: a value that is not well-formed, or out has failed. */
bool change_line_write_record(struct wire_buffer *out, const vigil_record *record);
/* A key's present state: key, present, value, seq (where it changed last), created, version, as_of. */
bool change_line_write_entry(struct wire_buffer *out, const vigil_entry *entry, bool with_value);
void change_line_write_bookmark(struct wire_buffer *out, const vigil_event *bookmark);

/* RFC 3339 in UTC, with microseconds: 27 bytes and a NUL. */
enum { CHANGE_LINE_TIME_SIZE = 28 };
void change_line_format_time(uint64_t time_us, char text[CHANGE_LINE_TIME_SIZE]);

#endif
