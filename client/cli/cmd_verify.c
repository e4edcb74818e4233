/*
 * cmd_verify.c - vigil verify DIR. The one command that works on a journal's
 * folder rather than on a server, and so the only one that includes journal.h.
 */
#define _POSIX_C_SOURCE 200809L
#include "client/cli/command.h"
#include "client/cli/duration.h"
#include "client/cli/json_write.h"
#include "journal/journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { OPTION_JSON };
enum { PROGRESS_MS = 200, FLUSH_SIZE = 1 << 16 };

static const struct option_spec options[] = {
    {"json", 0, NULL, "one JSON object for each problem, and one for the summary"},
};

struct verification {
    struct cli *cli;
    bool as_json;
    bool on_terminal;
    int64_t progress_due_ms;
};

static void clear_progress(const struct verification *v)
{
    if (v->on_terminal)
        fputs("\r\033[K", stderr);
}

static void take_problem(void *context, uint64_t seq, const char *text)
{
    struct verification *v = context;
    struct wire_buffer *out = &v->cli->out.buffer;

    clear_progress(v);
    json_write_raw(out, v->as_json ? "{\"problem\":" : "seq ");
    if (v->as_json)
        json_write_string(out, (struct bytes){(const uint8_t *)text, strlen(text)});
    if (v->as_json)
        json_write_raw(out, ",\"seq\":");
    json_write_u64(out, seq);
    if (!v->as_json) {
        json_write_raw(out, ": ");
        json_write_raw(out, text);
    }
    json_write_raw(out, v->as_json ? "}\n" : "\n");
    /* A damaged journal may have millions; a failure to print shows at the end. */
    if (out->size >= FLUSH_SIZE && output_flush(&v->cli->out) != OUTPUT_OK)
        wire_buffer_clear(out);
}

static void show_progress(void *context, uint64_t done, uint64_t all)
{
    struct verification *v = context;
    int64_t now = duration_now_ms();

    if (!v->on_terminal || now < v->progress_due_ms)
        return;
    v->progress_due_ms = now + PROGRESS_MS;
    fprintf(stderr, "\rverify: %" PRIu64 " of %" PRIu64 " (%" PRIu64 "%%)\033[K", done, all,
            all > 0 ? done * 100 / all : 100);
}

static void print_summary(struct wire_buffer *out, const struct journal_verify_report *report,
                          bool as_json)
{
    char text[512];

    snprintf(text, sizeof(text),
             as_json ? "{\"epoch\":\"%016" PRIx64 "\",\"oldest\":%" PRIu64 ",\"head\":%" PRIu64
                       ",\"applied\":%" PRIu64 ",\"records\":%" PRIu64 ",\"changes\":%" PRIu64
                       ",\"keys\":%" PRIu64 ",\"problems\":%" PRIu64 "}\n"
                     : "epoch %016" PRIx64 ", records %" PRIu64 " to %" PRIu64
                       " (state as of %" PRIu64 "): %" PRIu64 " records, %" PRIu64
                       " changes, %" PRIu64 " keys, problems: %" PRIu64 "\n",
             report->epoch, report->oldest, report->head, report->applied, report->records,
             report->changes, report->keys, report->problems);
    json_write_raw(out, text);
}

static int run(struct cli *cli, const struct arguments *arguments, const char *const *values)
{
    struct verification v = {
        .cli = cli,
        .as_json = values[OPTION_JSON] != NULL,
        .on_terminal = isatty(2) == 1,
    };
    struct journal_verify_report report;
    struct failure failure = {.text = ""};

    int error =
        journal_verify(arguments->words[0], take_problem, show_progress, &v, &report, &failure);
    clear_progress(&v);
    if (error != ERR_OK)
        return cli_error(cli, "%s%s", failure.text[0] != '\0' ? failure.text : error_text(error),
                         error == ERR_LOCKED ? ": stop that server first, or verify a copy" : "");
    print_summary(&cli->out.buffer, &report, v.as_json);
    return report.problems == 0 ? EXIT_DONE : EXIT_ERROR;
}

const struct command command_verify = {
    .name = "verify",
    .words = "DIR",
    .words_min = 1,
    .words_max = 1,
    .summary = "checks a journal's folder, offline",
    .text = "Reads the journal in DIR, which no server may be using, and checks each record's\n"
            "checksum, the chain of seqs, and the state against the journal. Prints each problem\n"
            "and a summary. Exit code 0 if there is none, otherwise 1. Changes nothing.\n",
    .examples = "  vigil verify /var/lib/vigil\n"
                "  vigil verify /var/lib/vigil --json | tail -n 1 | jq .problems\n",
    .options = options,
    .option_count = OPTION_COUNT(options),
    .run = run,
};
