/* main.c - vigild: reads its options, serves, and says on stderr what went wrong. */
#include "server/net/config.h"
#include "server/net/crash.h"
#include "server/net/log.h"
#include "server/net/server.h"
#include "server/net/signals.h"

#include <stdio.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* The one line on stdout: whoever started the server waits for it. */
static void print_ready(const struct server *s)
{
    char text[ENDPOINT_SIZE];
    fputs("ready", stdout);
    for (size_t i = 0; i < s->listen.count; i++) {
        endpoint_format(&s->listen.points[i].endpoint, text);
        printf(" %s", text);
        log_info("serving at %s, data in %s", text, s->config->data);
    }
    putchar('\n');
    if (fflush(stdout) != 0)
        log_warn("the ready line could not be written to stdout");
}

int main(int argc, char **argv)
{
    static struct config config;
    struct failure failure = {0};
    int signal_fd = -1;

    int err = config_load(argc, argv, &config, &failure);
    if (err != ERR_OK) {
        fprintf(stderr, "vigild: %s\n", failure.text);
        return EXIT_USAGE;
    }
    log_set_level(config.log_level);
    crash_install();
    err = signals_open(&signal_fd, &failure);
    if (err == ERR_OK)
        err = server_run(&config, signal_fd, print_ready, &failure);
    if (err != ERR_OK)
        log_error("%s", failure.text);
    else
        log_info("stopped");
    if (signal_fd >= 0)
        close(signal_fd);
    return err == ERR_OK ? 0 : EXIT_FAILED;
}
