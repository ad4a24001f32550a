/*
 * checkd_plugin.h: write checks for checkd in C or C++, version 1.0.
 *
 * This file is all that a plugin needs: a plugin is a shared library that exports one function,
 * checkd_plugin_entry_v1, and is built with `cc -shared -fPIC`. It is C99, C11 and C++17.
 *
 * WHAT MAY CHANGE
 *   Nothing that stands here, ever: a field keeps its place, its type and its meaning. A later version
 *   1.x adds fields at the end of a structure, and nothing else. So each structure carries its size as
 *   the side that made it knows it, or the structure that points to a list carries the size of one
 *   element: each side reads only as far as that, and what is not there counts as zero. A function
 *   pointer beyond the size that checkd_host or checkd_run gives must not be read. What cannot be said
 *   in this way will be checkd_plugin_entry_v2; a library may export both.
 *
 * WHO OWNS WHAT
 *   Memory never changes its owner. What the plugin points to from its table must stay as it is for as
 *   long as the process lives: make it static. What checkd hands to a function may be read until that
 *   function returns, unless a line below says otherwise; copy what is to be kept. What the plugin
 *   hands to one of checkd's functions is copied before that function returns.
 *
 * WHICH THREAD
 *   A line at each function says it. In short: one instance is used by one thread at a time, different
 *   instances by different threads at the same time. So what lies in an instance needs no lock, and a
 *   global variable does.
 *
 * WHAT ENDS A PROCESS
 *   No function may let an exception or a longjmp out. A crash ends the plugin's own process, never the
 *   daemon: its runs become Unknown(crashed).
 */
#ifndef CHECKD_PLUGIN_H
#define CHECKD_PLUGIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header. In the plugin's table, so that checkd can name it. */
#define CHECKD_HEADER_MAJOR 1
#define CHECKD_HEADER_MINOR 0

/*
 * A text in UTF-8: a pointer and a length, without a zero at its end. `data` may be NULL when `length`
 * is 0. What is no UTF-8, and NULL with another length, is shown with a mark in its place. Frozen for
 * ever: it has no size.
 */
typedef struct checkd_text {
    const char *data;
    size_t length;
} checkd_text;

/* A text from a literal, for a static table: CHECKD_TEXT("spool"). */
#define CHECKD_TEXT(literal) { literal, sizeof(literal) - 1 }

/* A text from a C string, which must live as long as the text is used; NULL is the empty text. */
static inline checkd_text checkd_text_of(const char *string)
{
    checkd_text text;
    text.data = string;
    text.length = string != NULL ? strlen(string) : 0;
    return text;
}

/* ------------------------------------------------------------------------------------- options */

/* What a person may write for an option. A later 1.x may add values at the end. */
typedef enum checkd_form {
    CHECKD_FORM_TEXT = 1,    /* "words": read with option_text */
    CHECKD_FORM_INTEGER = 2, /* 5: read with option_integer */
    CHECKD_FORM_NUMBER = 3,  /* 0.5: read with option_number */
    CHECKD_FORM_BOOLEAN = 4, /* true: read with option_integer, 0 or 1 */
    CHECKD_FORM_SPAN = 5,    /* "30s": read with option_integer, in milliseconds */
    CHECKD_FORM_SIZE = 6,    /* "512MiB": read with option_integer, in bytes */
    CHECKD_FORM_PERCENT = 7, /* "25%": read with option_number, 25 */
    CHECKD_FORM_PORT = 8,    /* 8080 or "{port}": read with option_integer */
    CHECKD_FORM_SECRET = 9   /* { env = "X" } or { file = "x" }: read with option_text */
} checkd_form;

/* One option of a kind. Static. */
typedef struct checkd_option {
    checkd_text name;          /* [a-z][a-z0-9_]*; not the name of a key of checkd, such as timeout */
    checkd_text meaning;       /* one sentence, for `checkd kinds` and editors */
    uint32_t form;             /* one of checkd_form */
    uint32_t required;         /* 1: a person must write it; 0: the default holds */
    checkd_text default_value; /* as a person writes it, without quotes (30s); empty: none */
} checkd_option;

/* The options of one instance, as checkd knows them. Valid until `configure` returns. */
typedef struct checkd_options checkd_options;

/* What is wrong with options, as checkd collects it. Valid until `configure` returns. */
typedef struct checkd_problems checkd_problems;

/*
 * What checkd offers to a plugin. Valid for as long as the process lives; every function may be called
 * from any thread, at any time, with arguments that are valid there.
 */
typedef struct checkd_host {
    size_t size; /* of this structure, as checkd knows it */

    /*
     * The value of an option: 1 and *value, or 0 when there is none (not written, and no default), or
     * it has another form. The text may be read until `configure` returns; a secret is the secret
     * itself. checkd has refused unknown, missing and ill-formed options before `configure` is called.
     */
    int32_t (*option_text)(const checkd_options *options, checkd_text name, checkd_text *value);
    int32_t (*option_integer)(const checkd_options *options, checkd_text name, int64_t *value);
    int32_t (*option_number)(const checkd_options *options, checkd_text name, double *value);

    /* Says what is wrong with an option; an empty name: with all of them together. */
    void (*problem)(checkd_problems *problems, checkd_text option, checkd_text message);

    /* A line for checkd's log, with the plugin's name. */
    void (*log)(checkd_text line);
} checkd_host;

/* ---------------------------------------------------------------------------------------- runs */

/* What a run says. A later version adds no value. */
typedef enum checkd_status {
    CHECKD_PASS = 1,   /* as it should be */
    CHECKD_WARN = 2,   /* it works, and a person should look; counts as a pass */
    CHECKD_FAIL = 3,   /* the target is silent, refuses, or answers wrongly */
    CHECKD_UNKNOWN = 4 /* nobody could look; restarts nothing, ever */
} checkd_status;

/* Why it is not a pass. A later version 1.x may add values at the end. */
typedef enum checkd_cause {
    CHECKD_CAUSE_NONE = 0,          /* with pass */
    CHECKD_CAUSE_TIMEOUT = 1,       /* with warn or fail: no answer in time */
    CHECKD_CAUSE_REFUSED = 2,       /* with fail */
    CHECKD_CAUSE_WRONG = 3,         /* with warn or fail: an answer that should be another */
    CHECKD_CAUSE_STALE = 4,         /* with warn or fail: too old */
    CHECKD_CAUSE_NO_PERMISSION = 5, /* with unknown: the check may not look */
    CHECKD_CAUSE_MISCONFIGURED = 6  /* with unknown: it cannot look, or does not know yet */
} checkd_cause;

/* One number that a run measured. */
typedef struct checkd_measurement {
    checkd_text name; /* [a-z][a-z0-9_]*, at most 64 bytes */
    double value;     /* finite, or it is dropped */
    checkd_text unit; /* "s", "B", "%" or empty */
    double limit;     /* what it was judged against; NAN: nothing */
} checkd_measurement;

/* The answer of one run. */
typedef struct checkd_sample {
    size_t size;         /* sizeof(checkd_sample) */
    uint32_t status;     /* one of checkd_status; another one makes the run Unknown(crashed) */
    uint32_t cause;      /* one of checkd_cause */
    checkd_text message; /* one line for a person, with numbers and units; cut at 1 KiB */
    const checkd_measurement *measurements; /* NULL when there are none */
    size_t measurement_count;               /* at most 64 are kept */
    size_t measurement_size;                /* sizeof(checkd_measurement) */
} checkd_sample;

/* One run: whom it is about, how long it may take, and where its answer goes. */
typedef struct checkd_run {
    size_t size;         /* of this structure, as checkd knows it */
    checkd_text group;   /* the group that the check belongs to */
    checkd_text member;  /* the member; empty for a check that the group shares */
    int64_t index;       /* the member's index, from 0; -1: none */
    int64_t pid;         /* the member's process; -1: none */
    int64_t port;        /* the member's port; -1: none */
    uint64_t timeout_ms; /* what the target may take, from now: give it to sockets */

    /*
     * The answer of this run, once, before `run` returns, from the thread that runs it. A second
     * answer is dropped and told in the log; a run without any is Unknown(crashed).
     */
    void (*sink)(void *user, const checkd_sample *sample);
    void *user; /* for `sink`; means nothing to a plugin */
} checkd_run;

/* -------------------------------------------------------------------------------------- a kind */

/* How far one run speaks. A later version adds no value. */
typedef enum checkd_scope {
    CHECKD_SCOPE_PROCESS = 0,   /* about one member: a run per member */
    CHECKD_SCOPE_HOST = 1,      /* about this machine: a run per group */
    CHECKD_SCOPE_DEPENDENCY = 2 /* about something that members need: a run per group */
} checkd_scope;

/* One kind of check. Static. */
typedef struct checkd_kind {
    checkd_text kind;     /* its name in a configuration: [a-z][a-z0-9_-]*, at most 64 bytes */
    checkd_text summary;  /* one line for a person */
    checkd_text example;  /* the smallest honest options, as TOML */
    const checkd_option *options; /* NULL when it has none */
    size_t option_count;
    size_t option_size; /* sizeof(checkd_option) */
    uint32_t scope;     /* one of checkd_scope */
    uint32_t reserved;  /* 0 */
    void *user;         /* handed back to `configure`; checkd does not look at it */

    /*
     * Makes an instance: the answer is whatever the other two functions need, and not NULL; it is the
     * plugin's own. With options that cannot work, say all that is wrong with `host->problem` and
     * return NULL. Pure: it opens no file and no connection, because it also runs when a configuration
     * is only validated. Called from any thread, never from two at the same time.
     */
    void *(*configure)(void *user, const checkd_host *host, const checkd_options *options,
                       checkd_problems *problems);

    /*
     * One attempt, which ends with one call of `run->sink`. It may block: it has a thread of its own
     * until it returns. Called from any thread, never for one instance from two at the same time.
     *
     * When the time is up and its thread waits in a system call, the run is Fail(timeout); when it
     * does anything else one second later, it is Unknown(overran). In both cases the thread is left
     * behind, with its instance, and `destroy` is called when `run` returns at last.
     */
    void (*run)(void *instance, const checkd_run *run);

    /* Ends an instance and frees it. Called once, from any thread, when none of its runs is left. */
    void (*destroy)(void *instance);
} checkd_kind;

/* The plugin's table. Static. */
typedef struct checkd_plugin {
    size_t size;           /* sizeof(checkd_plugin) */
    uint32_t header_major; /* CHECKD_HEADER_MAJOR */
    uint32_t header_minor; /* CHECKD_HEADER_MINOR */
    checkd_text name;      /* what the plugin calls itself: "acme-checks" */
    checkd_text version;   /* its own version: "1.4.0" */
    const checkd_kind *kinds;
    size_t kind_count;
    size_t kind_size; /* sizeof(checkd_kind) */
} checkd_plugin;

/* How the one function is exported, also where symbols are hidden by default. */
#if defined(__GNUC__)
#define CHECKD_EXPORT __attribute__((visibility("default")))
#else
#define CHECKD_EXPORT
#endif

/*
 * The one function that a plugin exports. Called once, before all others; `host` is valid for as long
 * as the process lives. It does nothing but return its table, or NULL when it cannot work here.
 */
CHECKD_EXPORT const checkd_plugin *checkd_plugin_entry_v1(const checkd_host *host);

/* --------------------------------------------------------------------------------- conveniences */

/* Answers a run: a status, a cause, a line for a person, and what was measured (may be NULL, 0). */
static inline void checkd_answer(const checkd_run *run, checkd_status status, checkd_cause cause,
                                 const char *message, const checkd_measurement *measurements,
                                 size_t measurement_count)
{
    checkd_sample sample;
    sample.size = sizeof(sample);
    sample.status = (uint32_t)status;
    sample.cause = (uint32_t)cause;
    sample.message = checkd_text_of(message);
    sample.measurements = measurements;
    sample.measurement_count = measurement_count;
    sample.measurement_size = sizeof(checkd_measurement);
    run->sink(run->user, &sample);
}

/*
 * A measurement that names a process of the member as the one at fault. A group with `signal` in its
 * policy sends it that signal before it restarts the member. `start` is the process's start time,
 * field 22 of /proc/PID/stat, read before it was judged: so no other process is ever meant. At most
 * eight of one sample.
 */
static inline checkd_measurement checkd_blamed(uint32_t pid, uint64_t start)
{
    checkd_measurement blamed;
    blamed.name = checkd_text_of("blamed");
    blamed.value = (double)pid;
    blamed.unit = checkd_text_of("pid");
    blamed.limit = (double)start;
    return blamed;
}

#ifdef __cplusplus
}
#endif

#endif
