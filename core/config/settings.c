/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's own settings: the rows. Defaults are for a machine that serves
 * mail and nothing else. 0 never means unlimited.
 */
#include "config/settings.h"

static const char *const log_levels[] = {"debug", "info", "notice", "warning", "error", NULL};

const struct pn_option pn_gateway_options[] = {
	PN_OPTION_STRING(struct pn_gateway_settings, hostname, "",
                         .summary = "Name of the gateway in banners, greetings and trace fields; "
                                    "the machine's name where it is not given."),
	PN_OPTION_PATH(struct pn_gateway_settings, data_directory, "/var/lib/postern",
                       .summary = "Directory of everything the gateway keeps."),
	PN_OPTION_STRING(struct pn_gateway_settings, user, "postern",
                         .summary = "User that the workers run as when the gateway is started by "
                                    "root; empty to stay root, which is for tests."),
	PN_OPTION_STRING(struct pn_gateway_settings, group, "",
                         .summary = "Group that the workers run as when the gateway is started by "
                                    "root; that of the user where it is not given."),
	PN_OPTION_LIST(struct pn_gateway_settings, module_directories, NULL,
                       .summary = "Directories that modules are loaded from; the installed one "
                                  "where none is given."),
	PN_OPTION_STRING(struct pn_gateway_settings, control, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Address for /health and /metrics, for example "
                                    "\"127.0.0.1:2080\"; empty for none."),
	PN_OPTION_PATH(struct pn_gateway_settings, control_socket, NULL,
                       .summary = "Socket of the commands status, reload and stop; control.sock in "
                                  "the data directory where it is not given."),
	PN_OPTION_COUNT(struct pn_gateway_settings, edge_workers, "0", .minimum_text = "0",
                        .maximum_text = "64", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Number of edge workers; 0 for one on each processor."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_sessions, "10000", .minimum_text = "1",
                        .maximum_text = "1000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most sessions of one worker at a time."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_sessions_per_address, "100",
                        .minimum_text = "1", .maximum_text = "1000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most sessions of one client address at a time, over all "
                                   "workers."),
	PN_OPTION_DURATION(struct pn_gateway_settings, watchdog, "20s", .minimum_text = "100ms",
                           .maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
                           .summary =
                                   "A worker that gives no sign of life for so long is ended and "
                                   "replaced."),
	PN_OPTION_DURATION(struct pn_gateway_settings, stop_grace, "30s", .minimum_text = "10ms",
                           .maximum_text = "1h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Time that open sessions get to end when the gateway stops."),
	PN_OPTION_DURATION(
		struct pn_gateway_settings, reload_deadline, "30s", .minimum_text = "100ms",
		.maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
		.summary = "A reload that not all workers are ready for by then is given "
			   "up."),
	PN_OPTION_DURATION(
		struct pn_gateway_settings, hook_wall_budget, "30s", .minimum_text = "1ms",
		.maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
		.summary = "Longest time that a hook may take, waiting included, where it "
			   "names no budget of its own."),
	PN_OPTION_DURATION(struct pn_gateway_settings, policy_cpu, "50ms", .minimum_text = "1ms",
                           .maximum_text = "10s", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Processor time that one run of a policy's hook may take, "
                                      "where the policy names none."),
	PN_OPTION_SIZE(struct pn_gateway_settings, policy_memory, "16M", .minimum_text = "1M",
                       .maximum_text = "1G", .flags = PN_OPTION_RELOADABLE,
                       .summary =
                               "Memory of one policy in one worker, where the policy names none."),
	PN_OPTION_SIZE(struct pn_gateway_settings, memory_per_message, "256k", .minimum_text = "4k",
                       .maximum_text = "64M", .flags = PN_OPTION_RELOADABLE,
                       .summary = "A message larger than this is written to the store while it "
                                  "comes in."),
	PN_OPTION_SIZE(struct pn_gateway_settings, max_header_size, "256k", .minimum_text = "1k",
                       .maximum_text = "16M", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Largest header of a message."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_header_fields, "1000", .minimum_text = "10",
                        .maximum_text = "100000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most fields in the header of a message."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_hops, "50", .minimum_text = "1",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "A message that went through more servers than this is refused "
                                   "as looping."),
	PN_OPTION_DURATION(
		struct pn_gateway_settings, store_deadline, "30s", .minimum_text = "10ms",
		.maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
		.summary = "A store or a directory that does not answer by then counts as "
			   "failed."),
	PN_OPTION_DURATION(struct pn_gateway_settings, auth_deadline, "30s", .minimum_text = "10ms",
                           .maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
                           .summary = "A login that cannot be checked by then is refused for now."),
	PN_OPTION_DURATION(struct pn_gateway_settings, dns_deadline, "10s", .minimum_text = "10ms",
                           .maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
                           .summary = "A question to DNS without an answer by then counts as "
                                      "temporary trouble."),
	PN_OPTION_LIST(struct pn_gateway_settings, resolvers, NULL,
                       .summary = "IP addresses of resolvers; those of /etc/resolv.conf where none "
                                  "is given."),
	PN_OPTION_PATH(struct pn_gateway_settings, zone_file, NULL,
                       .summary = "DNS answers come from this file and from nowhere else; for "
                                  "tests."),
	PN_OPTION_CHOICE(struct pn_gateway_settings, log_level, "info", .choices = log_levels,
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "Least important events that are logged."),
	PN_OPTION_PATH(struct pn_gateway_settings, log_file, NULL,
                       .summary =
                               "File that the log is appended to; standard error where it is not "
                               "given."),
	PN_OPTION_DURATION(struct pn_gateway_settings, history_age, "30d", .minimum_text = "1h",
                           .maximum_text = "3650d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "The history is kept for so long."),
	PN_OPTION_SIZE(struct pn_gateway_settings, history_size, "1G", .minimum_text = "1M",
                       .maximum_text = "1024G", .flags = PN_OPTION_RELOADABLE,
                       .summary = "The history is kept up to this size; the oldest goes first."),
	PN_OPTION_STRING(struct pn_gateway_settings, welcome, "",
                         .summary = "Lines printed to standard output after \"postern: ready\", "
                                    "when the gateway serves."),
	PN_OPTION_TABLE_END,
};
