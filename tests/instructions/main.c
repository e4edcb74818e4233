/*
 * main.c - runs one case; check.sh runs this program within callgrind, which counts the instructions of
 * measured_case and of what it calls.
 *
 *   instructions --list       the cases: NAME OPERATIONS
 *   instructions --compiler   what this program was made by
 *   instructions NAME         runs the case
 */
#include "tests/instructions/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct instruction_case *const lists[] = {core_cases, codec_cases};
enum { LISTS = sizeof lists / sizeof lists[0] };

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#if defined(__x86_64__)
#define PROCESSOR "x86-64"
#elif defined(__aarch64__)
#define PROCESSOR "aarch64"
#else
#define PROCESSOR "other"
#endif
#ifdef LINK_TIME
#define LINKED "link-time"
#else
#define LINKED "no-link-time"
#endif

/* Its name is what callgrind is told. It is called through a pointer that the compiler does not know, so
 * that it is neither inlined nor copied, and does not end with a jump. */
void measured_case(const struct instruction_case *c);
static void (*volatile measure)(const struct instruction_case *c) = measured_case;
static volatile unsigned runs;

void measured_case(const struct instruction_case *c)
{
    c->run(c);
    runs = runs + 1;
}

static void list_cases(void)
{
    for (size_t i = 0; i < LISTS; i++) {
        for (const struct instruction_case *c = lists[i]; c->name; c++)
            printf("%s %llu\n", c->name, (unsigned long long)c->operations);
    }
}

static const struct instruction_case *find_case(const char *name)
{
    for (size_t i = 0; i < LISTS; i++) {
        for (const struct instruction_case *c = lists[i]; c->name; c++) {
            if (!strcmp(c->name, name))
                return c;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *word = argc == 2 ? argv[1] : "";
    if (!strcmp(word, "--list")) {
        list_cases();
        return EXIT_SUCCESS;
    }
    if (!strcmp(word, "--compiler")) {
        puts(COMPILER " " PROCESSOR " " LINKED);
        return EXIT_SUCCESS;
    }
    const struct instruction_case *c = find_case(word);
    if (!c) {
        fputs("usage: instructions --list | --compiler | CASE\n", stderr);
        return 2;
    }
    c->prepare(c);
    measure(c);
    if (!c->succeeded(c))
        load_give_up("the case did not do what it should");
    return EXIT_SUCCESS;
}
