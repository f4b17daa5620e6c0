/*
 * check: does every invariant of the format hold?
 *
 * Works on a view that the library makes for itself, to which the half-done changes
 * of dead or stopped writers have been applied: what a dead writer left behind is
 * not damage.
 */
#include "tools/inspect/inspect.h"
#include "tools/inspect/output.h"
#include "tools/inspect/segment.h"

/* A problem, as the library finds it. */
static void print_problem(void *arg, uint64_t offset, const char *text) {
    struct report *report = arg;

    row_begin(report);
    field_word(report, "offset", offset);
    field_text(report, "problem", text);
    row_end(report);
}

/* The last line of the JSON form: whoever reads it knows that nothing was cut off. */
static void print_result(struct report *report, int err, uint64_t problems) {
    if (report->form != REPORT_JSON)
        return;
    row_begin(report);
    field_bool(report, "ok", err == SHMKV_OK);
    field_number(report, "problems", problems);
    if (err && shmkv_error_name(err))
        field_text(report, "error", shmkv_error_name(err));
    row_end(report);
}

static int check_run(const struct args *args) {
    const char *segment = args->operands[0];
    struct report report;
    uint64_t problems = 0;
    shmkv_t *kv;

    report_open(&report, args->json ? REPORT_JSON : REPORT_ROWS, false, NULL);
    int err = open_reader(segment, &kv);
    bool opened = err == SHMKV_OK;
    if (opened)
        err = shmkv_verify(kv, print_problem, &report, &problems);
    print_result(&report, err, problems);
    fflush(stdout);
    if (opened && err == SHMKV_ECORRUPT)
        complain("'%s': %llu problem%s", segment, (unsigned long long)problems,
                 problems == 1 ? "" : "s");
    else if (err)
        explain(segment, err);
    else if (!args->json)
        printf("ok\n");
    if (opened)
        shmkv_close(kv);
    return status_of(err);
}

const struct command command_check = {
    .name = "check",
    .operands = "SEGMENT",
    .least = 1,
    .most = 1,
    .options = "j",
    .summary = "Check every invariant of the format",
    .text =
        "Prints 'ok', or a line for each problem: where, a tab, what is wrong there; then the "
        "exit\n"
        "status is 3. With --json the last object has \"ok\" and \"problems\". Nothing is "
        "repaired,\n"
        "and what a dead writer left half done is not a problem: the next writer completes it.\n"
        "Exit status 4: the segment changed too fast to be sure.\n",
    .run = check_run,
};
