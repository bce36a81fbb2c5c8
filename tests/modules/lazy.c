/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lazy: a module that does not start before a file is gone, for tests of workers
 * that take long to start. What it blocks is its own worker.
 */
#include <postern/module.h>
#include <postern/option.h>

#include <time.h>
#include <unistd.h>

enum { LOOK_NS = 5 * 1000 * 1000 };

struct lazy_config {
	const char *waits_for;
};

static const struct pn_option lazy_options[] = {
	PN_OPTION_PATH(struct lazy_config, waits_for, NULL,
                       .summary = "A file; the module starts when it is not there."),
	PN_OPTION_TABLE_END,
};

static enum pn_status start(const struct pn_start *start, void **state_out, struct pn_error *error)
{
	const struct lazy_config *config = start->config;
	const struct timespec pause = {0, LOOK_NS};

	(void)error;
	*state_out = NULL;
	while (config->waits_for != NULL && access(config->waits_for, F_OK) == 0)
		nanosleep(&pause, NULL);
	return PN_OK;
}

PN_MODULE(lazy, .version = "1.0", .summary = "Starts when a file is gone.", .options = lazy_options,
          .config_size = sizeof(struct lazy_config), .start = start, );
