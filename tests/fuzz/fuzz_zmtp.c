/*
 * What a peer sends, to ZeroMQ, as the gate follows it, and to the request socket, which reads it: who
 * is let in, which message is endless, and which messages there are.
 *
 * Wherever the bytes are cut, the verdict is the same, and that of a reference that has all of them
 * before it. A stream that is made here frame by frame is judged as it was made. Nothing that is let
 * through goes beyond the bounds. The reader finds what the reference finds, byte by byte.
 *
 * An input: options, two bytes for the cuts, and then the stream, or what it is made from.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/zmtp_frames.h"
#include "protocol/zmtp_hello.h"
#include "protocol/zmtp_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    OPTION_MADE = 1,  /* the stream is made, else it is what follows */
    OPTION_SMALL = 2, /* messages have at most SMALL bytes */
    SMALL = 300,
    LARGE = 4 * 1024 * 1024,
    HEAD = 3,
    STREAM_MAX = 256 * 1024,
    MORE = 1,
    LONG = 2,
    COMMAND = 4
};

struct stream {
    uint8_t *bytes;
    size_t size;
    uint64_t message_size_max;
};

struct outcome {
    enum zmtp_verdict verdict;
    size_t hello_end; /* what the hello has taken */
    bool frames_pass;
    struct zmtp_frames frames;
};

/* ---- as the gate does it, in pieces ---- */

/* Pieces of 1 to `most` bytes. */
static size_t draw_piece(uint32_t *random, size_t most)
{
    *random = *random * 1664525u + 1013904223u;
    return 1 + (*random >> 8) % most;
}

/* A heap block of each piece's own size shows a read beyond its end. */
static struct outcome follow(const struct stream *s, uint32_t seed, size_t most)
{
    struct outcome o = {.verdict = ZMTP_UNDECIDED, .frames_pass = true};
    struct zmtp_hello hello = {0};
    for (size_t at = 0; at < s->size && o.verdict != ZMTP_REFUSED && o.frames_pass;) {
        size_t left = s->size - at;
        size_t piece = most < SIZE_MAX ? draw_piece(&seed, most) : left;
        size_t size = piece < left ? piece : left;
        size_t used = 0;
        uint8_t *copy = malloc(size);
        assert(copy);
        memcpy(copy, s->bytes + at, size);
        if (o.verdict == ZMTP_UNDECIDED) {
            o.verdict = zmtp_hello_take(&hello, copy, size, &used);
            o.hello_end += used;
            assert(used <= size && (o.verdict != ZMTP_UNDECIDED || used == size));
            assert(hello.size <= sizeof hello.bytes);
        }
        if (o.verdict == ZMTP_WELCOME || o.verdict == ZMTP_SUBSCRIBER)
            o.frames_pass =
                zmtp_frames_take(&o.frames, copy + used, size - used, s->message_size_max);
        if (o.frames_pass)
            assert(o.frames.parts <= ZMTP_PARTS_MAX &&
                   o.frames.message_size <= s->message_size_max);
        free(copy);
        at += size;
    }
    return o;
}

static void expect_same(const struct outcome *a, const struct outcome *b)
{
    assert(a->verdict == b->verdict);
    assert(a->hello_end == b->hello_end);
    assert(a->frames_pass == b->frames_pass);
    if (!a->frames_pass)
        return; /* where in its piece it ended says nothing */
    assert(a->frames.body_left == b->frames.body_left);
    assert(a->frames.message_size == b->frames.message_size);
    assert(a->frames.parts == b->frames.parts);
    assert(a->frames.header_size == b->frames.header_size);
    assert(memcmp(a->frames.header, b->frames.header, a->frames.header_size) == 0);
}

/* ---- the reference: all bytes are there ---- */

static uint64_t big_endian(const uint8_t *p, size_t size)
{
    uint64_t n = 0;
    while (size-- > 0)
        n = n << 8 | *p++;
    return n;
}

/* 0: there is none, or not as a whole. */
static size_t frame_header(const struct stream *s, size_t at, uint64_t *ret_body)
{
    if (at >= s->size)
        return 0;
    size_t size = (s->bytes[at] & LONG) != 0 ? 9 : 2;
    if (s->size - at < size)
        return 0;
    *ret_body = big_endian(s->bytes + at + 1, size - 1);
    return size;
}

static bool equals(const uint8_t *data, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(data, text, size) == 0;
}

static bool is_identity(const uint8_t *name, size_t size)
{
    char lower[8];
    if (size != sizeof lower)
        return false;
    for (size_t i = 0; i < size; i++)
        lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
    return memcmp(lower, "identity", size) == 0;
}

static enum zmtp_verdict judge_body(const uint8_t *p, uint64_t size)
{
    bool has_type = false;
    bool subscribes = false;
    uint64_t at = 6;
    if (size < 6 || memcmp(p, "\5READY", 6) != 0)
        return ZMTP_REFUSED;
    while (at < size) {
        const uint8_t *name = p + at + 1;
        size_t name_size = p[at];
        if (size - at < 1 + name_size + 4)
            return ZMTP_REFUSED;
        uint64_t value_size = big_endian(name + name_size, 4);
        const uint8_t *value = name + name_size + 4;
        at += 1 + name_size + 4;
        if (value_size > size - at)
            return ZMTP_REFUSED;
        at += value_size;
        if (value_size > 0 && is_identity(name, name_size))
            return ZMTP_REFUSED;
        if (equals(name, name_size, "Socket-Type")) {
            has_type = true;
            subscribes = subscribes || equals(value, (size_t)value_size, "SUB") ||
                         equals(value, (size_t)value_size, "XSUB");
        }
    }
    return subscribes ? ZMTP_SUBSCRIBER : has_type ? ZMTP_WELCOME : ZMTP_REFUSED;
}

static enum zmtp_verdict judge_hello(const struct stream *s, size_t *ret_end)
{
    uint64_t body = 0;
    if ((s->size > 0 && s->bytes[0] != 0xff) || (s->size > 9 && s->bytes[9] != 0x7f) ||
        (s->size > 10 && s->bytes[10] < 3) ||
        (s->size > ZMTP_GREETING_SIZE && (s->bytes[ZMTP_GREETING_SIZE] & ~LONG) != COMMAND))
        return ZMTP_REFUSED;
    size_t header = frame_header(s, ZMTP_GREETING_SIZE, &body);
    if (header == 0)
        return ZMTP_UNDECIDED;
    if (body > ZMTP_READY_SIZE_MAX)
        return ZMTP_REFUSED;
    if (s->size - ZMTP_GREETING_SIZE - header < body)
        return ZMTP_UNDECIDED;
    *ret_end = ZMTP_GREETING_SIZE + header + (size_t)body;
    return judge_body(s->bytes + ZMTP_GREETING_SIZE + header, body);
}

/* What has come of the message under way goes to *ret. */
static bool judge_frames(const struct stream *s, size_t at, struct zmtp_frames *ret)
{
    uint32_t parts = 0;
    uint64_t total = 0;
    uint64_t body = 0;
    for (size_t header; (header = frame_header(s, at, &body)) > 0;) {
        uint8_t flags = s->bytes[at];
        if ((flags & (COMMAND | MORE)) == (COMMAND | MORE))
            return false;
        if ((flags & COMMAND) == 0) {
            if (++parts > ZMTP_PARTS_MAX || body > s->message_size_max ||
                total + body > s->message_size_max)
                return false;
            total += body;
            if ((flags & MORE) == 0) {
                parts = 0;
                total = 0;
            }
        }
        *ret = (struct zmtp_frames){.parts = parts, .message_size = total};
        if (body > s->size - at - header)
            return true;
        at += header + (size_t)body;
    }
    return true;
}

static void expect_as_judged(const struct stream *s, const struct outcome *o)
{
    size_t end = o->hello_end;
    enum zmtp_verdict verdict = judge_hello(s, &end);
    struct zmtp_frames frames = {0};
    assert(verdict == o->verdict && end == o->hello_end);
    if (verdict == ZMTP_REFUSED || verdict == ZMTP_UNDECIDED)
        return;
    assert(judge_frames(s, end, &frames) == o->frames_pass);
    assert(!o->frames_pass ||
           (frames.parts == o->frames.parts && frames.message_size == o->frames.message_size));
}

/* ---- messages ---- */

/* What is found one after another: how many of each, and a sum over where it lies. */
struct findings {
    uint64_t counts[ZMTP_ENDLESS + 1];
    uint64_t sum;
};

static void note(struct findings *f, enum zmtp_found found, struct bytes body)
{
    f->counts[found]++;
    f->sum = f->sum * 31 + found * 7 + body.size;
    for (size_t i = 0; i < body.size; i++)
        f->sum = f->sum * 31 + body.data[i];
}

/* In pieces of 1 to `most` bytes; what is left of one lies before the next, in a heap block of its own
 * size. */
static struct findings read_in_pieces(const struct stream *s, size_t at, uint32_t seed, size_t most)
{
    struct findings f = {0};
    struct zmtp_reader r = {0};
    uint8_t *held = NULL;
    size_t held_size = 0;
    while (at < s->size && f.counts[ZMTP_ENDLESS] == 0) {
        size_t left = s->size - at;
        size_t piece = most < SIZE_MAX ? draw_piece(&seed, most) : left;
        size_t size = piece < left ? piece : left;
        uint8_t *all = malloc(held_size + size);
        assert(all);
        if (held_size > 0)
            memcpy(all, held, held_size);
        memcpy(all + held_size, s->bytes + at, size);
        free(held);
        held = all;
        at += size;
        struct bytes data = {all, held_size + size};
        enum zmtp_found found;
        do {
            struct bytes body = {NULL, 0};
            size_t used = 0;
            found = zmtp_reader_next(&r, data, s->message_size_max, &used, &body);
            assert(used <= data.size && r.parts <= ZMTP_PARTS_MAX &&
                   r.message_size <= s->message_size_max);
            if (found != ZMTP_INCOMPLETE)
                note(&f, found, body);
            data.data += used;
            data.size -= used;
        } while (found != ZMTP_INCOMPLETE && found != ZMTP_ENDLESS);
        held_size = data.size;
        uint8_t *rest = malloc(held_size + 1);
        assert(rest);
        memcpy(rest, data.data, held_size);
        free(held);
        held = rest;
    }
    free(held);
    return f;
}

/* Of a stream of frames from at on, whose end may be cut off. */
static struct findings find_all(const struct stream *s, size_t at)
{
    struct findings f = {0};
    uint32_t parts = 0;
    uint64_t total = 0;
    uint64_t body = 0;
    for (size_t header; (header = frame_header(s, at, &body)) > 0; at += header + (size_t)body) {
        uint8_t flags = s->bytes[at];
        bool is_command = (flags & COMMAND) != 0;
        bool has_more = (flags & MORE) != 0;
        bool is_whole = body <= s->size - at - header;
        struct bytes found = {s->bytes + at + header, (size_t)body};
        uint64_t all = is_command ? 0 : total;
        if ((is_command && has_more) || (!is_command && parts == ZMTP_PARTS_MAX) ||
            body > s->message_size_max - all) {
            note(&f, ZMTP_ENDLESS, (struct bytes){NULL, 0});
            return f;
        }
        if (!is_whole)
            return f;
        if (is_command && body <= 64) {
            note(&f, ZMTP_CONTROL, found);
        } else if (!is_command && !has_more) {
            note(&f, parts > 0 ? ZMTP_SURPLUS : ZMTP_MESSAGE,
                 parts > 0 ? (struct bytes){NULL, 0} : found);
            parts = 0;
            total = 0;
        } else if (!is_command) {
            parts++;
            total += body;
        }
    }
    return f;
}

static void expect_same_findings(const struct findings *a, const struct findings *b)
{
    assert(memcmp(a->counts, b->counts, sizeof a->counts) == 0);
    assert(a->sum == b->sum);
}

/* ---- streams that are made ---- */

static bool add(struct stream *s, const void *data, size_t size)
{
    if (STREAM_MAX - s->size < size)
        return false;
    memcpy(s->bytes + s->size, data, size);
    s->size += size;
    return true;
}

static bool add_frame(struct stream *s, uint8_t flags, size_t size)
{
    uint8_t header[9] = {flags, (uint8_t)size};
    static const uint8_t body[UINT16_MAX];
    if ((flags & LONG) != 0)
        memcpy(header + 1, (uint8_t[8]){[6] = (uint8_t)(size >> 8), [7] = (uint8_t)size}, 8);
    return STREAM_MAX - s->size >= sizeof header + size &&
           add(s, header, (flags & LONG) != 0 ? 9 : 2) && add(s, body, size);
}

/* Four bytes a step: flags, a size, how often. Returns whether all of it must be let through. */
static bool make(struct stream *s, const uint8_t *data, size_t size)
{
    static const char ready[] = "\4\51\5READY"
                                "\13Socket-Type\0\0\0\6DEALER"
                                "\10Identity\0\0\0\0";
    uint8_t greeting[ZMTP_GREETING_SIZE] = {0xff, [9] = 0x7f, [10] = 3, [11] = 1, [12] = 'N'};
    uint64_t parts = 0;
    uint64_t total = 0;
    add(s, greeting, sizeof greeting);
    add(s, ready, sizeof ready - 1);
    for (; size >= 4; data += 4, size -= 4) {
        uint8_t flags = data[0] & (MORE | LONG | COMMAND);
        size_t body = (flags & LONG) != 0 ? (size_t)data[1] << 8 | data[2] : data[1];
        unsigned count = data[3] > 250 ? 4096 : data[3] > 240 ? data[3] : 1;
        if ((flags & COMMAND) != 0)
            flags &= (uint8_t)~MORE;
        for (unsigned i = 0; i < count && add_frame(s, flags, body); i++) {
            if ((flags & COMMAND) != 0)
                continue;
            parts++;
            total += body;
            if (parts > ZMTP_PARTS_MAX || total > s->message_size_max)
                return false;
            if ((flags & MORE) == 0) {
                parts = 0;
                total = 0;
            }
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[STREAM_MAX];
    if (size < HEAD || size - HEAD > STREAM_MAX)
        return 0;
    struct stream s = {.bytes = room,
                       .message_size_max = (data[0] & OPTION_SMALL) != 0 ? SMALL : LARGE};
    uint32_t seed = (uint32_t)data[1] << 8 | data[2];
    bool made = (data[0] & OPTION_MADE) != 0;
    bool passes = true;
    if (made)
        passes = make(&s, data + HEAD, size - HEAD);
    else
        add(&s, data + HEAD, size - HEAD);
    struct outcome whole = follow(&s, 0, SIZE_MAX);
    bool is_let_in = whole.verdict == ZMTP_WELCOME || whole.verdict == ZMTP_SUBSCRIBER;
    size_t behind = is_let_in ? whole.hello_end : s.size;
    struct findings found = read_in_pieces(&s, behind, 0, SIZE_MAX);
    struct findings expected = find_all(&s, behind);
    expect_same_findings(&found, &expected);
    expect_as_judged(&s, &whole);
    assert(!made || (whole.verdict == ZMTP_WELCOME && whole.frames_pass == passes));
    static const size_t pieces[] = {1, 3, 20, 300};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        if (s.size / pieces[i] > 3000)
            continue; /* nothing that a shorter stream does not show */
        struct outcome cut = follow(&s, seed, pieces[i]);
        expect_same(&whole, &cut);
        found = read_in_pieces(&s, behind, seed, pieces[i]);
        expect_same_findings(&found, &expected);
    }
    return 0;
}
