/* cursor_rule.c - where a watch's named cursor may stand; see cursor_rule.h. */
#include "client/cursor_rule.h"

static void raise_to(uint64_t *number, uint64_t least)
{
    if (*number < least)
        *number = least;
}

void cursor_rule_init(struct cursor_rule *c, uint64_t position, int64_t now_ms)
{
    *c = (struct cursor_rule){.said = position,
                              .passed = position,
                              .moved = position,
                              .idle_ms = now_ms + CURSOR_IDLE_MS,
                              .retry_ms = now_ms};
}

void cursor_rule_handed(struct cursor_rule *c, uint64_t seq)
{
    raise_to(&c->handed, seq);
    raise_to(&c->passed, seq);
}

void cursor_rule_passed(struct cursor_rule *c, uint64_t position)
{
    raise_to(&c->passed, position);
}

void cursor_rule_say(struct cursor_rule *c, uint64_t seq)
{
    raise_to(&c->said, seq < c->passed ? seq : c->passed);
}

static uint64_t target(const struct cursor_rule *c)
{
    return c->said >= c->handed ? c->passed : c->said;
}

int64_t cursor_rule_due_ms(const struct cursor_rule *c)
{
    if (c->error || c->under_way || target(c) <= c->moved)
        return INT64_MAX;
    if (c->said > c->moved || c->idle_ms < c->retry_ms)
        return c->retry_ms;
    return c->idle_ms;
}

bool cursor_rule_wants_move(const struct cursor_rule *c, int64_t now_ms, uint64_t *ret_position)
{
    if (now_ms < cursor_rule_due_ms(c))
        return false;
    *ret_position = target(c);
    return true;
}

void cursor_rule_sent(struct cursor_rule *c, uint64_t position, int64_t now_ms)
{
    c->under_way = position;
    c->idle_ms = now_ms + CURSOR_IDLE_MS;
}

void cursor_rule_moved(struct cursor_rule *c)
{
    raise_to(&c->moved, c->under_way);
    c->under_way = 0;
    c->trouble = 0;
    c->retry_delay_ms = 0;
}

void cursor_rule_failed(struct cursor_rule *c, int64_t now_ms, int code, bool final)
{
    c->under_way = 0;
    if (final) {
        c->error = code;
        return;
    }
    uint32_t twice = c->retry_delay_ms * 2;
    c->trouble = code;
    c->retry_delay_ms = twice == 0                     ? CURSOR_RETRY_FIRST_MS
                        : twice < CURSOR_RETRY_MOST_MS ? twice
                                                       : CURSOR_RETRY_MOST_MS;
    c->retry_ms = now_ms + c->retry_delay_ms;
}
