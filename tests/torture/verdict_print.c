/* verdict_print.c - see verdict_print.h. */
#include "tests/torture/verdict_print.h"

#include <inttypes.h>
#include <stdio.h>

void verdict_print(const struct evidence *e, const struct verdict *v)
{
    uint64_t head = e->readings.count ? e->readings.items[e->readings.count - 1].head : 0;
    printf("  %" PRIu64
           " records, %zu requests, %zu watch events, %zu reads, %zu copies; increments: %" PRIu64
           " acknowledged, %" PRIu64 " in doubt, %" PRIu64 " applied\n",
           head, e->operations.count, e->watches.count, e->entries.count, e->digests.count,
           v->increments_acknowledged, v->increments_in_doubt, v->increments_applied);
    if (v->unread)
        printf("  %" PRIu64 " records were removed before anybody had read them\n", v->unread);
    printf("  checked:");
    for (int p = 0; p < PROPERTY_COUNT; p++)
        printf(" %s %" PRIu64 "%s", property_name((enum property)p), v->findings[p].checked,
               p + 1 < PROPERTY_COUNT ? "," : "\n");
    for (int p = 0; p < PROPERTY_COUNT; p++) {
        const struct finding *f = &v->findings[p];
        if (f->violations)
            printf("  VIOLATED: %s, %" PRIu64 " times\n", property_name((enum property)p),
                   f->violations);
        for (uint64_t i = 0; i < f->violations && i < VIOLATIONS_KEPT; i++)
            printf("    %s\n", f->texts[i]);
    }
}
