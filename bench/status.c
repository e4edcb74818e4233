/* status.c - see status.h. */
#define _POSIX_C_SOURCE 200809L
#include "bench/status.h"

#include <msgpack.h>
#include <string.h>
#include <vigil.h>

static void take(struct status_figures *f, const msgpack_object_kv *entry)
{
    if (entry->key.type != MSGPACK_OBJECT_STR ||
        entry->val.type != MSGPACK_OBJECT_POSITIVE_INTEGER) {
        return;
    }
    const struct {
        const char *name;
        uint64_t *figure;
    } names[] = {
        {"requests", &f->requests},
        {"messages", &f->messages},
        {"mutations", &f->mutations},
        {"commits", &f->commits},
    };
    const msgpack_object_str *name = &entry->key.via.str;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == name->size && !memcmp(names[i].name, name->ptr, name->size)) {
            *names[i].figure = entry->val.via.u64;
            f->known = true;
        }
    }
}

void status_read(const char *endpoint, struct status_figures *ret_figures)
{
    vigil *v = NULL;
    const void *map = NULL;
    size_t size = 0;
    msgpack_unpacked unpacked;
    struct status_figures f = {0};
    vigil_options options = VIGIL_OPTIONS_INIT;
    options.endpoint = endpoint;
    msgpack_unpacked_init(&unpacked);
    if (vigil_open(&options, &v) == VIGIL_OK && vigil_status(v, &map, &size) == VIGIL_OK &&
        msgpack_unpack_next(&unpacked, map, size, NULL) == MSGPACK_UNPACK_SUCCESS &&
        unpacked.data.type == MSGPACK_OBJECT_MAP) {
        for (uint32_t i = 0; i < unpacked.data.via.map.size; i++) {
            take(&f, &unpacked.data.via.map.ptr[i]);
        }
    }
    msgpack_unpacked_destroy(&unpacked);
    vigil_close(v);
    *ret_figures = f;
}

void status_subtract(const struct status_figures *after, const struct status_figures *before,
                     struct status_figures *ret_difference)
{
    *ret_difference = (struct status_figures){
        .known = after->known && before->known,
        .requests = after->requests - before->requests,
        .messages = after->messages - before->messages,
        .mutations = after->mutations - before->mutations,
        .commits = after->commits - before->commits,
    };
}
