/* nats_stream.c - see nats_stream.h. */
#define _GNU_SOURCE
#include "bench/peers/nats_stream.h"

#include <string.h>

#define BUCKET "vigil"

struct stream {
    const char *operation;
    const char *name;
    const char *prefix;
    const char *subjects;
};

/* The first is what the library calls the bucket's stream. */
static const struct stream streams[] = {
    {.operation = "put", "KV_" BUCKET, "$KV." BUCKET ".", "$KV." BUCKET ".>"},
    {.operation = "publish", "LOG", "log.", "log.>"},
};

static const struct stream *find(const struct peer_plan *plan)
{
    return strcmp(plan->operation->name, streams[0].operation) == 0 ? &streams[0] : &streams[1];
}

const char *nats_stream_prefix(const struct peer_plan *plan)
{
    return find(plan)->prefix;
}

const char *nats_stream_subjects(const struct peer_plan *plan)
{
    return find(plan)->subjects;
}

const char *nats_stream_name(const struct peer_plan *plan)
{
    return find(plan)->name;
}

static natsStatus make_bucket(jsCtx *js)
{
    kvStore *store = NULL;
    natsStatus status = js_KeyValue(&store, js, BUCKET);
    if (status == NATS_NOT_FOUND) {
        kvConfig config;
        kvConfig_Init(&config);
        config.Bucket = BUCKET;
        config.StorageType = js_FileStorage;
        status = js_CreateKeyValue(&store, js, &config);
    }
    kvStore_Destroy(store);
    return status;
}

static natsStatus make_stream(jsCtx *js, const struct stream *stream)
{
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    const char *subjects[] = {stream->subjects};
    config.Name = stream->name;
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.Storage = js_FileStorage;
    return js_AddStream(NULL, js, &config, NULL, NULL);
}

int nats_stream_make(const struct peer_plan *plan, struct failure *failure)
{
    const struct stream *stream = find(plan);
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    jsCtx *js = NULL;
    int err = nats_plain_options(plan->address, &options, failure);
    if (err) {
        return err;
    }
    natsStatus status = natsConnection_Connect(&connection, options);
    if (status == NATS_OK) {
        status = natsConnection_JetStream(&js, connection, NULL);
    }
    if (status == NATS_OK) {
        status = stream == &streams[0] ? make_bucket(js) : make_stream(js, stream);
    }
    if (status != NATS_OK) {
        err = nats_fail(failure, status, connection ? "cannot make the stream" : "cannot connect");
    }
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    natsOptions_Destroy(options);
    return err;
}
