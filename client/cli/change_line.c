/* change_line.c - see change_line.h. No state: any thread. */
#include "client/cli/change_line.h"

#include "client/cli/json_write.h"

#include <inttypes.h>
#include <stdio.h>

static void write_digits(char *out, uint32_t number, int width)
{
    for (int i = width - 1; i >= 0; i--, number /= 10)
        out[i] = (char)('0' + number % 10);
}

/* Days since 1970 to a date of the Gregorian calendar, counted in years from March on (so that the
 * leap day is a year's last): gmtime and strftime take several times as long as the whole line. */
static void civil_from_days(uint64_t days, uint32_t *year, uint32_t *month, uint32_t *day)
{
    uint64_t shifted = days + 719468; /* from 0000-03-01 */
    uint64_t era = shifted / 146097;
    uint32_t day_of_era = (uint32_t)(shifted % 146097);
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t march_month = (5 * day_of_year + 2) / 153;

    *day = day_of_year - (153 * march_month + 2) / 5 + 1;
    *month = march_month < 10 ? march_month + 3 : march_month - 9;
    *year = (uint32_t)(era * 400 + year_of_era + (*month <= 2));
}

void change_line_format_time(uint64_t time_us, char text[CHANGE_LINE_TIME_SIZE])
{
    static const uint64_t last_us = UINT64_C(253402300799999999); /* the end of the year 9999 */
    uint32_t year;
    uint32_t month;
    uint32_t day;

    if (time_us > last_us)
        time_us = last_us;
    uint64_t seconds = time_us / 1000000;
    uint32_t second_of_day = (uint32_t)(seconds % 86400);
    civil_from_days(seconds / 86400, &year, &month, &day);

    memcpy(text, "0000-00-00T00:00:00.000000Z", CHANGE_LINE_TIME_SIZE);
    write_digits(text, year, 4);
    write_digits(text + 5, month, 2);
    write_digits(text + 8, day, 2);
    write_digits(text + 11, second_of_day / 3600, 2);
    write_digits(text + 14, second_of_day / 60 % 60, 2);
    write_digits(text + 17, second_of_day % 60, 2);
    write_digits(text + 20, (uint32_t)(time_us % 1000000), 6);
}

static const char *op_name(enum vigil_change_op op)
{
    switch (op) {
    case VIGIL_PUT:
        return "put";
    case VIGIL_DELETE:
        return "delete";
    case VIGIL_EXPIRE:
        return "expire";
    }
    return "unknown";
}

static bool write_before(struct wire_buffer *out, const vigil_change *change)
{
    if (change->before == VIGIL_BEFORE_UNKNOWN)
        json_write_raw(out, ",\"before_unknown\":true");
    if (change->before != VIGIL_BEFORE_VALUE)
        return true;
    json_write_raw(out, ",\"before\":");
    return json_write_value(out, (struct bytes){change->before_value, change->before_size});
}

bool change_line_write_record(struct wire_buffer *out, const vigil_record *record)
{
    char time_text[CHANGE_LINE_TIME_SIZE];

    change_line_format_time(record->time_us, time_text);
    for (uint16_t i = 0; i < record->count; i++) {
        const vigil_change *change = &record->changes[i];
        json_write_member(out, "{\"seq\":", record->seq);
        json_write_raw(out, ",\"op\":\"");
        json_write_raw(out, op_name(change->op));
        json_write_raw(out, "\",\"key\":");
        json_write_string(out, (struct bytes){(const uint8_t *)change->key, change->key_size});
        if (change->op == VIGIL_PUT) {
            json_write_raw(out, ",\"value\":");
            if (!json_write_value(out, (struct bytes){change->value, change->size}))
                return false;
        }
        if (!write_before(out, change))
            return false;
        json_write_member(out, ",\"prev_seq\":", change->prev_seq);
        json_write_raw(out, ",\"time\":\"");
        wire_write_raw(out, time_text, CHANGE_LINE_TIME_SIZE - 1);
        wire_write_u8(out, '"');
        if (record->parts > 1) {
            json_write_member(out, ",\"part\":", change->part);
            json_write_member(out, ",\"parts\":", record->parts);
            if (i + 1 == record->count)
                json_write_raw(out, ",\"last\":true");
        }
        json_write_raw(out, "}\n");
    }
    return !out->failed;
}

bool change_line_write_entry(struct wire_buffer *out, const vigil_entry *entry, bool with_value)
{
    json_write_member(out, "{\"seq\":", entry->modified);
    json_write_raw(out, ",\"key\":");
    json_write_string(out, (struct bytes){(const uint8_t *)entry->key, strlen(entry->key)});
    json_write_raw(out, entry->present ? ",\"present\":true" : ",\"present\":false");
    if (entry->present && with_value) {
        json_write_raw(out, ",\"value\":");
        if (!json_write_value(out, (struct bytes){entry->value, entry->size}))
            return false;
    }
    if (entry->present) {
        json_write_member(out, ",\"created\":", entry->created);
        json_write_member(out, ",\"version\":", entry->version);
    }
    json_write_member(out, ",\"as_of\":", entry->seq);
    json_write_raw(out, "}\n");
    return !out->failed;
}

void change_line_write_bookmark(struct wire_buffer *out, const vigil_event *bookmark)
{
    char epoch[17];

    snprintf(epoch, sizeof(epoch), "%016" PRIx64, bookmark->position.epoch);
    json_write_member(out, "{\"bookmark\":true,\"seq\":", bookmark->position.seq);
    json_write_member(out, ",\"head\":", bookmark->head);
    json_write_member(out, ",\"oldest\":", bookmark->oldest);
    json_write_raw(out, ",\"epoch\":\"");
    json_write_raw(out, epoch);
    json_write_raw(out, "\"}\n");
}
