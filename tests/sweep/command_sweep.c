#define _GNU_SOURCE
/*
 * command_sweep.c - the failure sweep over the command `vigil`, against a server that works: an error
 * message and an exit code of its own, or the same output as without a fault.
 */
#include "tests/sweep/sweep.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/server_process.h"

enum { ARGUMENTS_MAX = 10, OUTPUT_SIZE = 16384, EXIT_CODE_MAX = 6 };

/* What is added to a command's arguments. */
enum last_argument { NOTHING, IDLE_FOLDER, WHOLE_BACKUP, NEW_FILE, NEW_CURSOR };

struct command {
    const char *arguments[ARGUMENTS_MAX];
    const char *input;
    int exit_code; /* without a fault */
    bool same;     /* what it prints is the same each time */
    enum last_argument last;
};

static const struct command commands[] = {
    {{"put", "a", "{\"x\": [1, 2.5, \"text\", null]}"}, NULL, 0, false, NOTHING},
    {{"get", "--meta", "fixed"}, NULL, 0, false, NOTHING},
    {{"get", "fixed"}, NULL, 0, true, NOTHING},
    {{"get", "none"}, NULL, 3, true, NOTHING},
    {{"incr", "n", "3"}, NULL, 0, false, NOTHING},
    {{"del", "none"}, NULL, 3, true, NOTHING},
    {{"ls", "--values", "fixed"}, NULL, 0, false, NOTHING},
    {{"ls", "fixed"}, NULL, 0, true, NOTHING},
    {{"history", "fixed"}, NULL, 0, true, NOTHING},
    {{"watch", "--since", "0", "--count", "4", "--timeout", "3s", "fixed*"},
     NULL,
     0,
     true,
     NOTHING},
    {{"watch", "--timeout", "20ms", "other"}, NULL, 4, true, NOTHING},
    {{"watch", "--before", "--since", "2", "--count", "2", "--timeout", "3s", "fixed*"},
     NULL,
     0,
     true,
     NOTHING},
    {{"watch", "--since", "0", "--count", "3", "--timeout", "3s", "fixed*", "--name"},
     NULL,
     0,
     true,
     NEW_CURSOR},
    {{"cursors"}, NULL, 0, false, NOTHING},
    {{"cursors", "kept"}, NULL, 0, false, NOTHING},
    {{"cursors", "--delete", "none"}, NULL, 3, true, NOTHING},
    {{"backup"}, NULL, 0, false, NEW_FILE},
    {{"backup", "--check"}, NULL, 0, true, WHOLE_BACKUP},
    {{"wait", "--timeout", "3s", "--until", ".x == 1", "fixed"}, NULL, 0, false, NOTHING},
    {{"load"},
     "{\"key\":\"a\",\"value\":1}\n{\"op\":\"incr\",\"key\":\"n\"}\n"
     "{\"txn\":[{\"key\":\"a\",\"value\":[]},{\"op\":\"delete\",\"key\":\"b\"}]}\n",
     0,
     false,
     NOTHING},
    {{"compact", "--before", "1"}, NULL, 0, false, NOTHING},
    {{"status"}, NULL, 0, false, NOTHING},
    {{"ping"}, NULL, 0, false, NOTHING},
    {{"help", "watch"}, NULL, 0, true, NOTHING},
    {{"verify"}, NULL, 0, true, IDLE_FOLDER},
};

struct setting {
    struct server_process *server; /* not in the shared memory: its child writes there too */
    char endpoint[SWEEP_PATH_SIZE];
    char idle_data[SWEEP_PATH_SIZE]; /* of no server */
    char backup[SWEEP_PATH_SIZE];    /* a whole one */
    char new_file[SWEEP_PATH_SIZE];  /* of a run */
    char new_cursor[16];             /* likewise */
    const struct command *command;
    char expected[OUTPUT_SIZE]; /* what it printed without a fault */
};

/* An unnamed file with this in it, to be read or written from its start. */
static int file_of(const char *text)
{
    int fd = memfd_create("text", 0);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    return fd;
}

static void execute(const struct setting *t, const char *plan_path, const int files[3])
{
    const struct command *c = t->command;
    const char *const last[] = {[NOTHING] = NULL,
                                [IDLE_FOLDER] = t->idle_data,
                                [WHOLE_BACKUP] = t->backup,
                                [NEW_FILE] = t->new_file,
                                [NEW_CURSOR] = t->new_cursor};
    char *argv[ARGUMENTS_MAX + 8] = {strdup("vigil"), strdup("--server"), strdup(t->endpoint),
                                     strdup("--request-timeout"), strdup("500ms")};
    size_t n = 5;
    for (size_t i = 0; i < ARGUMENTS_MAX && c->arguments[i]; i++)
        argv[n++] = strdup(c->arguments[i]);
    if (last[c->last])
        argv[n++] = strdup(last[c->last]);
    for (int i = 0; i < 3; i++)
        dup2(files[i], i);
    if (plan_path)
        setenv(FAULTS_VARIABLE, plan_path, 1);
    execv(SWEEP_VIGIL, argv);
    _exit(127);
}

static void read_output(int fd, char out[OUTPUT_SIZE])
{
    ssize_t got = pread(fd, out, OUTPUT_SIZE - 1, 0);
    out[got > 0 ? got : 0] = '\0';
}

static bool vigil(const struct setting *t, const struct command *command)
{
    struct setting with = *t;
    int status = 1;
    int nothing = open("/dev/null", O_RDWR);
    const int files[3] = {nothing, nothing, 2};
    with.command = command;
    pid_t child = fork();
    if (child == 0)
        execute(&with, NULL, files);
    close(nothing);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

static bool judge(struct sweep *s, const struct setting *t, int status, const char *out,
                  const char *errors)
{
    const struct command *c = t->command;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (code > EXIT_CODE_MAX)
        return sweep_wrong(s, "vigil %s ends with %d and says:\n%s", c->arguments[0], code, errors);
    if (s->plan->fault == FAULT_NONE && code != c->exit_code)
        return sweep_wrong(s, "vigil %s ends with %d without a fault:\n%s", c->arguments[0], code,
                           errors);
    if (code != c->exit_code && errors[0] == '\0' && out[0] == '\0')
        return sweep_wrong(s, "vigil %s ends with %d and says nothing", c->arguments[0], code);
    /* It is there as a whole or not at all; what comes after it may still fail. */
    bool has_file = access(t->new_file, F_OK) == 0;
    if (c->last == NEW_FILE && code == 0 && !has_file)
        return sweep_wrong(s, "vigil %s has made no file", c->arguments[0]);
    if (has_file && !vigil(t, &(struct command){.arguments = {"backup", "--check", t->new_file}}))
        return sweep_wrong(s, "vigil %s leaves a file that is not whole", c->arguments[0]);
    if (code == 0 && c->same && s->plan->fault != FAULT_NONE && strcmp(out, t->expected) != 0)
        return sweep_wrong(s, "vigil %s prints\n%sinstead of\n%s", c->arguments[0], out,
                           t->expected);
    return true;
}

static bool run(struct sweep *s, void *context)
{
    struct setting *t = context;
    char out[OUTPUT_SIZE];
    char errors[OUTPUT_SIZE];
    int status = 0;
    faults = NULL; /* in the command alone */
    snprintf(t->new_file, sizeof t->new_file, "%s/new", s->folder);
    snprintf(t->new_cursor, sizeof t->new_cursor, "c%u", s->number);
    int files[3] = {file_of(t->command->input ? t->command->input : ""), file_of(""), file_of("")};
    sweep_arm(s);
    pid_t child = fork();
    if (child == 0)
        execute(t, s->plan_path, files);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return sweep_wrong(s, "no process");
    sweep_disarm(s);
    read_output(files[1], out);
    read_output(files[2], errors);
    for (int i = 0; i < 3; i++)
        close(files[i]);
    bool good = judge(s, t, status, out, errors);
    if (s->plan->fault == FAULT_NONE && good)
        memcpy(t->expected, out, sizeof out);
    return good;
}

static bool start(struct setting *t, const char *data)
{
    const char *const arguments[] = {"--listen",
                                     t->endpoint,
                                     "--data",
                                     data,
                                     "--log-level=warn",
                                     "--durability=process",
                                     "--max-cursors=100000",
                                     NULL};
    return server_start(t->server, TEST_VIGILD, arguments);
}

/* Two folders with something in them; the second one's server goes on. */
static bool prepare(struct setting *t, const char *data)
{
    static const char *const values[] = {"1", "[2]", "\"three\"", "{\"x\":1}"};
    const char *const folders[] = {t->idle_data, data};
    for (size_t f = 0; f < 2; f++) {
        if (!start(t, folders[f]))
            return false;
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
            if (!vigil(t, &(struct command){.arguments = {"put", "fixed", values[i]}}))
                return false;
        if (f == 0 && server_stop(t->server, SIGTERM) != 0)
            return false;
    }
    return vigil(t, &(struct command){.arguments = {"watch", "--since", "0", "--count", "1",
                                                    "--name", "kept", "fixed"}}) &&
           vigil(t, &(struct command){.arguments = {"backup", t->backup}});
}

int main(int argc, char **argv)
{
    /* Shared with the runs: the first one of each command tells the others what to expect. */
    struct setting *t =
        /* cppcheck-suppress invalidFunctionArg */
        mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct sweep s = {.run = run, .context = t, .points_max = 1, .limit_seconds = 30};
    struct server_process server = {0};
    char folder[TEMP_FOLDER_SIZE];
    char data[SWEEP_PATH_SIZE];
    if (t == MAP_FAILED || !sweep_options(&s, argc, argv) || !temp_folder_make(folder)) {
        fputs(sweep_usage, stderr);
        return 2;
    }
    t->server = &server;
    snprintf(data, sizeof data, "%s/data", folder);
    snprintf(t->backup, sizeof t->backup, "%s/whole", folder);
    snprintf(t->idle_data, sizeof t->idle_data, "%s/idle", folder);
    snprintf(t->endpoint, sizeof t->endpoint, "ipc://%s/s", folder);
    bool prepared = prepare(t, data) && sweep_open(&s);
    for (size_t i = 0; prepared && i < sizeof commands / sizeof commands[0]; i++) {
        t->command = &commands[i];
        s.name = commands[i].arguments[0];
        sweep_run(&s);
    }
    if (server_stop(t->server, SIGTERM) != 0 || !prepared)
        s.failures++;
    temp_folder_remove(folder);
    return prepared ? sweep_close(&s) : EXIT_FAILURE;
}
