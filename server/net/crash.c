#define _GNU_SOURCE
/* crash.c - see crash.h. What runs in the handler is async-signal-safe. */
#include "server/net/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "journal/journal.h"

static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static struct sigaction before[SIGNALS]; /* a sanitizer's, for what is not the journal's */
static const struct journal *_Atomic watched;

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void last_word(int number, siginfo_t *info, void *context)
{
    (void)context;
    const struct journal *j = atomic_load(&watched);
    if (number != SIGABRT && j && journal_maps(j, info->si_addr))
        say("vigild: damaged page in data.mdb: stop using it, and let \"vigil verify\" list what "
            "is wrong\n");
    else
        say("vigild: this is the end; if \"vigil verify\" finds the journal whole, it is a defect "
            "of vigild\n");
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i] == number)
            sigaction(number, &before[i], NULL);
    /* A fault happens again when this returns; abort raises its signal again by itself; a signal
     * that was sent is sent again. */
    if (info->si_code <= 0 && number != SIGABRT)
        raise(number);
}

void crash_install(void)
{
    struct sigaction action = {.sa_sigaction = last_word, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, &before[i]);
}

void crash_watch(const struct journal *journal)
{
    atomic_store(&watched, journal);
}
