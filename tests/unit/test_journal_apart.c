/* Work in a process of its own: what it says arrives, however it ends. */
#define _GNU_SOURCE

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal/apart.h"

enum ending { RETURNS, FAILS, IS_KILLED, EXITS, RUNS_ON };

struct task {
    enum ending ending;
    uint32_t messages;
    size_t size;
    /* in the parent */
    uint32_t taken;
    bool wrong;
};

static int work(void *context, int channel, struct failure *failure)
{
    const struct task *task = context;
    uint8_t message[APART_MESSAGE_MAX] = {0};
    for (uint32_t i = 0; i < task->messages; i++) {
        memcpy(message, &i, sizeof i);
        apart_send(channel, message, task->size);
    }
    volatile bool on = task->ending == RUNS_ON;
    while (on)
        continue;
    if (task->ending == IS_KILLED)
        kill(getpid(), SIGKILL); /* which no sanitizer catches */
    if (task->ending == EXITS)
        _exit(7);
    return task->ending == FAILS ? failure_set(failure, ERR_NO_SPACE, "the disk is full") : ERR_OK;
}

static void take(void *context, const void *message, size_t size)
{
    struct task *task = context;
    uint32_t number = 0;
    memcpy(&number, message, sizeof number);
    task->wrong = task->wrong || size != task->size || number != task->taken;
    task->taken++;
}

static int run(struct task *task, bool *ret_died, struct failure *failure)
{
    const struct apart a = {.work = work, .take = take, .context = task};
    *failure = (struct failure){0};
    int err = apart_run(&a, ret_died, failure);
    assert_false(task->wrong);
    assert_int_equal(task->taken, task->messages);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
    return err;
}

static void test_messages_and_result(void **state)
{
    struct task none = {.ending = RETURNS};
    struct task many = {.ending = RETURNS, .messages = 20000, .size = 100};
    struct task large = {.ending = FAILS, .messages = 500, .size = APART_MESSAGE_MAX};
    struct failure failure;
    bool died = true;
    (void)state;
    assert_int_equal(run(&none, &died, &failure), ERR_OK);
    assert_false(died);
    assert_int_equal(run(&many, &died, &failure), ERR_OK);
    assert_int_equal(run(&large, &died, &failure), ERR_NO_SPACE);
    assert_false(died);
    assert_int_equal(failure.code, ERR_NO_SPACE);
    assert_string_equal(failure.text, "the disk is full");
}

static void test_deaths(void **state)
{
    struct task killed = {.ending = IS_KILLED, .messages = 1000, .size = 50};
    struct task exits = {.ending = EXITS, .messages = 1, .size = 4};
    struct failure failure;
    bool died = false;
    (void)state;
    assert_int_equal(run(&killed, &died, &failure), ERR_CORRUPT);
    assert_true(died);
    assert_non_null(strstr(failure.text, "Killed"));
    died = false;
    assert_int_equal(run(&exits, &died, &failure), ERR_CORRUPT);
    assert_true(died);
}

/* The child takes over a limit that is lower than its own. */
static void test_work_without_an_end(void **state)
{
    struct task endless = {.ending = RUNS_ON, .messages = 3, .size = 4};
    struct failure failure;
    struct rlimit before;
    struct rlimit limit;
    bool died = false;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_CPU, &before), 0);
    limit = before;
    limit.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_CPU, &limit), 0);
    int err = run(&endless, &died, &failure);
    assert_int_equal(setrlimit(RLIMIT_CPU, &before), 0);
    assert_int_equal(err, ERR_CORRUPT);
    assert_true(died);
    assert_non_null(strstr(failure.text, "end"));
}

static void test_a_process_that_ignores_its_children(void **state)
{
    struct task task = {.ending = FAILS, .messages = 5, .size = 8};
    struct task dies = {.ending = IS_KILLED};
    struct failure failure;
    bool died = false;
    (void)state;
    signal(SIGCHLD, SIG_IGN);
    assert_int_equal(run(&task, &died, &failure), ERR_NO_SPACE);
    assert_false(died);
    assert_int_equal(run(&dies, &died, &failure), ERR_CORRUPT);
    assert_true(died);
    signal(SIGCHLD, SIG_DFL);
}

static void *take_memory(void *context)
{
    const bool *stop = context;
    while (!__atomic_load_n(stop, __ATOMIC_RELAXED))
        free(malloc(1000));
    return NULL;
}

static int work_with_memory(void *context, int channel, struct failure *failure)
{
    (void)context;
    (void)channel;
    void *memory = malloc(100000);
    if (!memory)
        return failure_set(failure, ERR_NO_MEMORY, "out of memory");
    memset(memory, 1, 100000);
    free(memory);
    return ERR_OK;
}

static void test_beside_other_threads(void **state)
{
    enum { THREADS = 2, TIMES = 50 };
    const struct apart a = {.work = work_with_memory};
    pthread_t threads[THREADS];
    struct failure failure;
    bool stop = false;
    bool died = false;
    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_memory, &stop), 0);
    int err = ERR_OK;
    for (int i = 0; i < TIMES && err == ERR_OK; i++)
        err = apart_run(&a, &died, &failure);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(err, ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_and_result),
        cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_work_without_an_end),
        cmocka_unit_test(test_a_process_that_ignores_its_children),
        cmocka_unit_test(test_beside_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
