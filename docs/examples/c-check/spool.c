/* A check in C: files in a directory are work to be done, and too many mean that nobody does it. */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkd_plugin.h"

/* One configured use of the check. */
struct spool {
    char *directory;
    int64_t max_depth;
};

static void *configure(void *user, const checkd_host *host, const checkd_options *options,
                       checkd_problems *problems)
{
    checkd_text directory = checkd_text_of("");
    int64_t max_depth = 0;
    int wrong = 0;
    struct spool *spool;
    (void)user;

    host->option_text(options, checkd_text_of("directory"), &directory);
    host->option_integer(options, checkd_text_of("max_depth"), &max_depth);
    if (directory.length == 0) {
        host->problem(problems, checkd_text_of("directory"),
                      checkd_text_of("is empty: write where the files wait"));
        wrong = 1;
    }
    if (max_depth < 1) {
        host->problem(problems, checkd_text_of("max_depth"),
                      checkd_text_of("must be at least 1: a single file would be too much"));
        wrong = 1;
    }
    if (wrong)
        return NULL;

    spool = malloc(sizeof(*spool));
    if (spool == NULL)
        return NULL;
    /* The text is checkd's and ends with this call: it is copied. */
    spool->directory = malloc(directory.length + 1);
    if (spool->directory == NULL) {
        free(spool);
        return NULL;
    }
    memcpy(spool->directory, directory.data, directory.length);
    spool->directory[directory.length] = '\0';
    spool->max_depth = max_depth;
    return spool;
}

static void run(void *instance, const checkd_run *run)
{
    const struct spool *spool = instance;
    checkd_measurement depth = { CHECKD_TEXT("depth"), 0, CHECKD_TEXT(""), 0 };
    struct dirent *entry;
    long files = 0;
    char message[128];
    DIR *directory = opendir(spool->directory);

    if (directory == NULL) {
        /* No reason to restart anything: nobody could look. */
        checkd_cause cause =
            errno == EACCES ? CHECKD_CAUSE_NO_PERMISSION : CHECKD_CAUSE_MISCONFIGURED;
        checkd_answer(run, CHECKD_UNKNOWN, cause, strerror(errno), NULL, 0);
        return;
    }
    while ((entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            files++;
    closedir(directory);

    depth.value = (double)files;
    depth.limit = (double)spool->max_depth;
    if (files > spool->max_depth) {
        snprintf(message, sizeof(message), "%ld waiting, over %lld", files,
                 (long long)spool->max_depth);
        checkd_answer(run, CHECKD_FAIL, CHECKD_CAUSE_WRONG, message, &depth, 1);
    } else {
        snprintf(message, sizeof(message), "%ld waiting", files);
        checkd_answer(run, CHECKD_PASS, CHECKD_CAUSE_NONE, message, &depth, 1);
    }
}

static void destroy(void *instance)
{
    struct spool *spool = instance;
    free(spool->directory);
    free(spool);
}

static const checkd_option options[] = {
    { CHECKD_TEXT("directory"), CHECKD_TEXT("The directory whose files are work to be done."),
      CHECKD_FORM_TEXT, 1, CHECKD_TEXT("") },
    { CHECKD_TEXT("max_depth"), CHECKD_TEXT("Most files that may wait."), CHECKD_FORM_INTEGER, 0,
      CHECKD_TEXT("100") },
};

static const checkd_kind kinds[] = {
    { CHECKD_TEXT("c_spool"), CHECKD_TEXT("counts the files that wait"),
      CHECKD_TEXT("directory = \"/var/spool/orders-{index}\"\n"), options,
      sizeof(options) / sizeof(options[0]), sizeof(options[0]), CHECKD_SCOPE_PROCESS, 0, NULL,
      configure, run, destroy },
};

static const checkd_plugin plugin = {
    sizeof(plugin), CHECKD_HEADER_MAJOR, CHECKD_HEADER_MINOR, CHECKD_TEXT("c-check"),
    CHECKD_TEXT("0.1.0"), kinds, sizeof(kinds) / sizeof(kinds[0]), sizeof(kinds[0]),
};

const checkd_plugin *checkd_plugin_entry_v1(const checkd_host *host)
{
    (void)host;
    return &plugin;
}
