#define _GNU_SOURCE
/*
 * test_server_life.c - starting, stopping and starting again: what survives,
 * what is refused and why, and what is left behind: nothing.
 *
 * ctest: TIMEOUT=120
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/journal.h"
#include "protocol/record.h"
#include "tests/support/raw_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct fixture {
    char folder[TEMP_FOLDER_SIZE];
    char data[128];
    char socket[80]; /* path */
    char listen[160];
    struct server_process server;
    void *zmq;
    struct raw_client client;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_true(temp_folder_make(f->folder));
    snprintf(f->data, sizeof f->data, "%s/data", f->folder);
    snprintf(f->socket, sizeof f->socket, "%s/sock", f->folder);
    snprintf(f->listen, sizeof f->listen, "ipc://%s", f->socket);
    f->zmq = zmq_ctx_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    server_stop(&f->server, SIGKILL);
    raw_close(&f->client);
    zmq_ctx_term(f->zmq);
    temp_folder_remove(f->folder);
    free(f);
    return 0;
}

static bool start(struct fixture *f)
{
    const char *arguments[] = {"--data", f->data, "--listen", f->listen, NULL};
    return server_start(&f->server, TEST_VIGILD, arguments);
}

static void must_start(struct fixture *f)
{
    if (!start(f)) {
        char log[SERVER_LOG_SIZE];
        server_log(&f->server, log);
        fail_msg("vigild ended with %d: %s", f->server.exit_status, log);
    }
}

/* Expects exit 1 and all of the texts in the log. */
static void must_refuse(struct fixture *f, const char *const *arguments, int status,
                        const char *text)
{
    struct server_process refused = {0};
    (void)f;
    assert_false(server_start(&refused, TEST_VIGILD, arguments));
    if (refused.exit_status != status || !server_log_has(&refused, text)) {
        char log[SERVER_LOG_SIZE];
        server_log(&refused, log);
        fail_msg("exit %d instead of %d, '%s' instead of '%s'", refused.exit_status, status, log,
                 text);
    }
    close(refused.log_fd);
}

static bool is_there(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

static void expect_no_sockets(const struct fixture *f)
{
    DIR *folder = opendir(f->folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strncmp(entry->d_name, "sock", 4) == 0)
            fail_msg("%s is left", entry->d_name);
    }
    closedir(folder);
}

static const struct bytes value = {(const uint8_t *)"\x05", 1};

static struct raw_client *connect_client(struct fixture *f)
{
    raw_close(&f->client);
    raw_open(&f->client, f->zmq, f->server.endpoints[0]);
    return &f->client;
}

static uint64_t put(struct fixture *f, const char *key)
{
    struct raw_client *client = connect_client(f);
    struct reply_header reply;
    struct wire_reader body;
    raw_begin(client, 0);
    raw_add_put(client, key, value);
    assert_int_equal(raw_call(client, &reply, &body), ERR_OK);
    return reply.seq;
}

static bool has(struct fixture *f, const char *key, uint64_t *ret_epoch)
{
    struct raw_client *client = connect_client(f);
    struct reply_header reply;
    struct wire_reader body;
    struct reply_get get;
    raw_begin(client, 0);
    raw_add_get(client, key);
    assert_int_equal(raw_call(client, &reply, &body), ERR_OK);
    assert_true(reply_get_read(&body, &get));
    *ret_epoch = client->reply_header.epoch;
    return get.present && bytes_equal(get.value, value);
}

static void a_stop_is_clean_and_everything_is_there_again(void **state)
{
    struct fixture *f = *state;
    const int signals[] = {SIGTERM, SIGINT, SIGKILL, SIGTERM};
    uint64_t seqs[4];
    uint64_t epoch = 0;
    for (size_t i = 0; i < 4; i++) {
        char key[16];
        uint64_t epoch_now = 0;
        must_start(f);
        for (size_t k = 0; k < i; k++) {
            snprintf(key, sizeof key, "k/%zu", k);
            assert_true(has(f, key, &epoch_now));
            assert_true(epoch == 0 || epoch_now == epoch);
            epoch = epoch_now;
        }
        snprintf(key, sizeof key, "k/%zu", i);
        seqs[i] = put(f, key);
        assert_int_equal(seqs[i], i + 1);
        assert_true(is_there(f->socket));
        assert_int_equal(server_stop(&f->server, signals[i]),
                         signals[i] == SIGKILL ? 128 + SIGKILL : 0);
        if (signals[i] != SIGKILL)
            expect_no_sockets(f);
    }
}

static void a_second_server_on_the_same_folder_is_refused(void **state)
{
    struct fixture *f = *state;
    char other[192];
    must_start(f);
    snprintf(other, sizeof other, "%s.other", f->listen);
    const char *arguments[] = {"--data", f->data, "--listen", other, NULL};
    must_refuse(f, arguments, 1, f->data);
    put(f, "still/served");
    char left[192];
    snprintf(left, sizeof left, "%s.other.lock", f->socket);
    assert_false(is_there(left));
}

static void an_endpoint_in_use_is_not_taken_over(void **state)
{
    struct fixture *f = *state;
    char other[160];
    must_start(f);
    snprintf(other, sizeof other, "%s/data2", f->folder);
    const char *arguments[] = {"--data", other, "--listen", f->listen, NULL};
    must_refuse(f, arguments, 1, "another vigild listens at");
    put(f, "still/served");

    /* Without the lock file, too: somebody may have removed it. */
    char lock[160];
    snprintf(lock, sizeof lock, "%s.lock", f->socket);
    unlink(lock);
    must_refuse(f, arguments, 1, "another process serves at");
    put(f, "still/served");
}

static void a_tcp_port_in_use_is_named(void **state)
{
    struct fixture *f = *state;
    char other[160];
    const char *arguments[] = {"--data",   f->data,   "--listen", "tcp://127.0.0.1:0",
                               "--listen", f->listen, NULL};
    assert_true(server_start(&f->server, TEST_VIGILD, arguments));
    assert_int_equal(f->server.endpoints_count, 2);
    put(f, "over/tcp");
    snprintf(other, sizeof other, "%s/data2", f->folder);
    const char *again[] = {"--data", other, "--listen", f->server.endpoints[0], NULL};
    must_refuse(f, again, 1, f->server.endpoints[0]);
    assert_int_equal(server_stop(&f->server, SIGTERM), 0);
}

static void only_stale_sockets_are_replaced(void **state)
{
    struct fixture *f = *state;
    const char *arguments[] = {"--data", f->data, "--listen", f->listen, NULL};
    char stream[160];
    snprintf(stream, sizeof stream, "%s.stream", f->socket);

    int fd = open(stream, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    must_refuse(f, arguments, 1, "is not a socket");
    assert_true(is_there(stream));
    unlink(stream);

    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, f->socket, strlen(f->socket) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    must_refuse(f, arguments, 1, "another process serves at");
    assert_true(is_there(f->socket));
    close(fd); /* stale from here on */
    must_start(f);
    put(f, "over/stale");
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void options_come_from_a_file_and_the_command_line_wins(void **state)
{
    struct fixture *f = *state;
    char path[128];
    char text[1024];
    char other[192];
    snprintf(path, sizeof path, "%s/vigil.conf", f->folder);
    snprintf(other, sizeof other, "%s.other", f->listen);
    snprintf(text, sizeof text,
             "# a comment\n\n  data = %s \nlisten=%s\nretain-age = 7d\nmax-value = 64K\n"
             "allow-remote = no\nlog-level = debug\n",
             f->data, f->listen);
    write_file(path, text);
    const char *arguments[] = {"--listen", other, "--config", path, NULL};
    assert_true(server_start(&f->server, TEST_VIGILD, arguments));
    assert_int_equal(f->server.endpoints_count, 1);
    assert_string_equal(f->server.endpoints[0], other);
    assert_true(is_there(f->data));
    put(f, "over/file");
    assert_int_equal(server_stop(&f->server, SIGTERM), 0);

    const char *only[] = {"--config", path, NULL};
    write_file(path, "data = /nowhere\nspeed = 11\n");
    must_refuse(f, only, 2, ":2: there is no option 'speed'");
    write_file(path, "retain-bytes = many\n");
    must_refuse(f, only, 2, ":1: retain-bytes is a size");
    write_file(path, "just words\n");
    must_refuse(f, only, 2, "key = value");
    unlink(path);
    must_refuse(f, only, 2, path);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *const cases[][3] = {
        {"--listen", "tcp://0.0.0.0:0", "--allow-remote"},
        {"--listen", "tcp://*:7878", "no authentication"},
        {"--listen", "tcp://192.0.2.1:7878", "no authentication"},
        {"--listen", "udp://x", "is not an endpoint"},
        {"--listen", "tcp://127.0.0.1", "needs a port"},
        {"--durability", "hope", "power"},
        {"--retain-age", "7", "duration"},
        {"--max-value", "3M", "out of range"},
        {"--max-message", "70000", "no room"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *arguments[] = {"--data", f->data, cases[i][0], cases[i][1], NULL};
        must_refuse(f, arguments, 2, cases[i][2]);
    }
    const char *unknown[] = {"--speed", "11", NULL};
    must_refuse(f, unknown, 2, "speed");
    assert_false(is_there(f->data));
}

static void folders_that_cannot_be_used_are_refused(void **state)
{
    struct fixture *f = *state;
    char path[192];
    const char *arguments[] = {"--data", f->data, "--listen", f->listen, NULL};
    assert_int_equal(mkdir(f->data, 0700), 0);
    snprintf(path, sizeof path, "%s/letters.txt", f->data);
    write_file(path, "not a journal");
    must_refuse(f, arguments, 1, f->data);
    assert_true(is_there(path));
    expect_no_sockets(f);

    snprintf(path, sizeof path, "ipc://%s/missing/sock", f->folder);
    const char *missing[] = {"--data", f->data, "--listen", path, NULL};
    must_refuse(f, missing, 1, "missing");
}

/* One large put. Returns its status; *ret_seq if it took effect. */
static int put_large(struct raw_client *client, uint64_t *ret_seq)
{
    static const uint8_t large[3 + 60000] = {0xda, 60000 >> 8, 60000 & 0xff};
    struct reply_header reply;
    struct wire_reader body;
    raw_begin(client, 0);
    raw_add_put(client, "full/large", (struct bytes){large, sizeof large});
    if (!ret_seq) {
        raw_send(client);
        return ERR_OK;
    }
    int status = raw_call(client, &reply, &body);
    if (status == ERR_OK)
        *ret_seq = reply.seq;
    return status;
}

/* A file size limit is a full disk to the server (and a signal, for those who do not ignore it). */
static void a_full_disk_refuses_mutations_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    char path[160];
    struct stat file;
    struct rlimit before;
    must_start(f);
    put(f, "full/before");
    snprintf(path, sizeof path, "%s/data.mdb", f->data);
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(prlimit(f->server.pid, RLIMIT_FSIZE, NULL, &before), 0);
    struct rlimit limit = {.rlim_cur = (rlim_t)file.st_size, .rlim_max = before.rlim_max};
    assert_int_equal(prlimit(f->server.pid, RLIMIT_FSIZE, &limit, NULL), 0);

    struct raw_client *client = connect_client(f);
    uint64_t acknowledged = 0;
    int status = ERR_OK;
    for (off_t bytes = 0; status == ERR_OK && bytes < 2 * file.st_size; bytes += 60000)
        status = put_large(client, &acknowledged);
    assert_int_equal(status, ERR_NO_SPACE);

    /* Reads in the same batch are answered. */
    for (int i = 0; i < 10; i++) {
        put_large(client, NULL);
        raw_begin(client, 0);
        raw_add_get(client, "full/before");
        raw_send(client);
    }
    for (int i = 0; i < 20; i++) {
        struct reply_header reply;
        struct wire_reader body;
        assert_true(raw_receive(client));
        assert_true(raw_next(client, &reply, &body));
        assert_int_equal(reply.status, i % 2 ? ERR_OK : ERR_NO_SPACE);
    }
    assert_int_equal(prlimit(f->server.pid, RLIMIT_FSIZE, &before, NULL), 0);
    assert_int_equal(put(f, "full/after"), acknowledged + 1);
    assert_int_equal(server_stop(&f->server, SIGTERM), 0);
    must_start(f);
    uint64_t epoch;
    assert_true(has(f, "full/before", &epoch));
    assert_true(has(f, "full/after", &epoch));
}

/* A journal of one record from the year 2100, all of it in the state: a clean stop before the clock
 * was set back. */
static void make_journal_of_the_future(const struct fixture *f, uint64_t time_us)
{
    struct journal_options options = {.directory = f->data, .epoch = 5};
    struct journal *journal = NULL;
    struct failure failure = {0};
    struct wire_buffer buffer;
    struct record_writer w;
    struct change change = {.op = CHANGE_PUT, .key = raw_text("k"), .value = value};
    struct state_row row = {.created = 1, .modified = 1, .version = 1, .value = value};
    wire_buffer_init(&buffer, 4096);
    record_begin(&w, &buffer, 1, time_us, 0, 0);
    record_add(&w, &change);
    assert_true(record_end(&w) > 0);
    assert_int_equal(journal_open(&options, &journal, &failure), ERR_OK);
    assert_int_equal(journal_batch_begin(journal, 4096, &failure), ERR_OK);
    assert_int_equal(
        journal_batch_append(journal, (struct bytes){buffer.data, buffer.size}, &failure), ERR_OK);
    assert_int_equal(journal_batch_put_row(journal, change.key, &row, &failure), ERR_OK);
    assert_int_equal(journal_batch_set_applied(journal, 1, &failure), ERR_OK);
    assert_int_equal(journal_batch_commit(journal, &failure), ERR_OK);
    journal_close(journal);
    wire_buffer_free(&buffer);
}

static uint64_t time_of_record(const struct fixture *f, uint64_t seq)
{
    struct journal_options options = {.directory = f->data, .epoch = 5};
    struct journal *journal = NULL;
    struct journal_reader *reader = NULL;
    struct journal_view view;
    struct bytes record;
    struct record_header header;
    struct failure failure = {0};
    assert_int_equal(journal_open(&options, &journal, &failure), ERR_OK);
    assert_int_equal(journal_reader_open(journal, &reader, &failure), ERR_OK);
    assert_int_equal(journal_reader_begin(reader, &view, &failure), ERR_OK);
    assert_int_equal(journal_reader_get(reader, seq, &record, &failure), ERR_OK);
    assert_int_equal(record_check(record, &header), ERR_OK);
    journal_reader_end(reader);
    journal_reader_close(reader);
    journal_close(journal);
    return header.time_us;
}

static void time_does_not_fall_over_a_restart(void **state)
{
    struct fixture *f = *state;
    const uint64_t year_2100_us = UINT64_C(4102444800000000);
    make_journal_of_the_future(f, year_2100_us);
    must_start(f);
    assert_int_equal(put(f, "k"), 2);
    assert_int_equal(server_stop(&f->server, SIGTERM), 0);
    assert_true(time_of_record(f, 2) >= year_2100_us);
}

int main(void)
{
#define LIFE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LIFE_TEST(a_stop_is_clean_and_everything_is_there_again),
        LIFE_TEST(a_second_server_on_the_same_folder_is_refused),
        LIFE_TEST(an_endpoint_in_use_is_not_taken_over),
        LIFE_TEST(a_tcp_port_in_use_is_named),
        LIFE_TEST(only_stale_sockets_are_replaced),
        LIFE_TEST(options_come_from_a_file_and_the_command_line_wins),
        LIFE_TEST(options_that_make_no_sense_are_refused),
        LIFE_TEST(folders_that_cannot_be_used_are_refused),
        LIFE_TEST(a_full_disk_refuses_mutations_and_nothing_else),
        LIFE_TEST(time_does_not_fall_over_a_restart),
    };
    return cmocka_run_group_tests_name("server life", tests, NULL, NULL);
}
