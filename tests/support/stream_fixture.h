/* stream_fixture.h - opening, keeping and closing streams of a core, and reading what it emits. */
#ifndef VIGIL_TESTS_SUPPORT_STREAM_FIXTURE_H
#define VIGIL_TESTS_SUPPORT_STREAM_FIXTURE_H

#include "tests/support/core_fixture.h"

struct topic {
    uint8_t bytes[TOPIC_SIZE];
    uint64_t last;
    uint32_t interval_ms;
};

struct emitted {
    struct stream_header header;
    struct wire_reader body;
};

struct topic stream_read_open(struct parsed_reply reply);
struct parsed_reply stream_try_open(struct core_fixture *f, const char *peer, uint8_t kind,
                                    const char *text);
struct topic stream_open(struct core_fixture *f, const char *peer, uint8_t kind, const char *text);
uint16_t stream_close(struct core_fixture *f, const char *peer, const struct topic *t);
bool stream_renew(struct core_fixture *f, const char *peer, const struct topic *t);
void stream_put(struct core_fixture *f, const char *key, struct bytes value);
size_t stream_count(const struct core_fixture *f);
size_t peer_count(const struct core_fixture *f);
struct emitted emitted_at(const struct core_fixture *f, size_t i);
void assert_topic(const struct emitted *e, uint8_t kind, const struct topic *t);
struct bytes assert_entry(struct emitted *e, uint64_t prev, uint64_t seq);
struct stream_bookmark assert_bookmark(const struct core_fixture *f, size_t i,
                                       const struct topic *t);

#endif
