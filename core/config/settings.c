/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's own settings: the rows. Defaults are for a machine that serves
 * mail and nothing else. 0 never means unlimited.
 */
#include "config/settings.h"

static const char *const confinement_ways[] = {"auto", "required", "off", NULL};
static const char *const dnssec_ways[] = {"auto", "off", "required", NULL};
static const char *const log_levels[] = {"debug", "info", "notice", "warning", "error", NULL};

const struct pn_option pn_gateway_options[] = {
	PN_OPTION_STRING(struct pn_gateway_settings, hostname, "",
                         .summary = "Name of the gateway in banners, greetings and trace fields; "
                                    "the machine's name where it is not given."),
	PN_OPTION_PATH(struct pn_gateway_settings, data_directory, "/var/lib/postern",
                       .flags = PN_OPTION_WRITES,
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
	PN_OPTION_CHOICE(struct pn_gateway_settings, confinement, "auto",
                         .choices = confinement_ways,
                         .summary = "Whether workers are kept from files that no option names, "
                                    "from other programs and from system calls that mail does not "
                                    "need: auto as far as the kernel can, required or not at all, "
                                    "off never."),
	PN_OPTION_COUNT(struct pn_gateway_settings, edge_workers, "0", .minimum_text = "0",
                        .maximum_text = "64", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Number of edge workers; 0 for one on each processor."),
	PN_OPTION_COUNT(struct pn_gateway_settings, queue_workers, "1", .minimum_text = "1",
                        .maximum_text = "16", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Number of queue workers; destinations are dealt out among "
                                   "them."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_sessions, "10000", .minimum_text = "1",
                        .maximum_text = "1000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most sessions of one worker at a time."),
	PN_OPTION_DURATION(struct pn_gateway_settings, proxy_header_deadline, "5s",
                           .minimum_text = "10ms", .maximum_text = "5m",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest wait for the PROXY header of a connection that must "
                                      "begin with one."),
	PN_OPTION_DURATION(struct pn_gateway_settings, tls_handshake_deadline, "30s",
                           .minimum_text = "10ms", .maximum_text = "10m",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest time that a TLS handshake may take."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_tls_handshakes, "500", .minimum_text = "1",
                        .maximum_text = "100000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "TLS handshakes that are under way in one worker at a time; "
                                   "others wait for their turn, and those that take longer than "
                                   "two seconds make room for them."),
	PN_OPTION_SIZE(struct pn_gateway_settings, min_output_rate, "100", .minimum_text = "1",
                       .maximum_text = "10M", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Bytes a second that a client must take of what it asked for, "
                                  "on average over output_rate_window; one that takes fewer is "
                                  "left."),
	PN_OPTION_DURATION(struct pn_gateway_settings, output_rate_window, "1m",
                           .minimum_text = "100ms", .maximum_text = "1h",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "How long bytes are counted before their rate is judged."),
	PN_OPTION_DURATION(struct pn_gateway_settings, tls_session_lifetime, "2h",
                           .minimum_text = "1s", .maximum_text = "7d",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "A client may resume its TLS session for so long, with any "
                                      "worker; the keys for it are made anew as often."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_sessions_per_address, "100",
                        .minimum_text = "1", .maximum_text = "1000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most sessions of one client address at a time, over all "
                                   "workers; of IPv6 the first 64 bits count. One more is told so "
                                   "(421) and closed."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_sessions_per_account, "100",
                        .minimum_text = "1", .maximum_text = "1000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most sessions that are logged in to one account at a time, "
                                   "over all workers and protocols."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_sessions_per_tenant, "10000",
                        .minimum_text = "1", .maximum_text = "1000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most sessions that are logged in to accounts of one domain at "
                                   "a time, over all workers and protocols."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_new_sessions_per_address, "1000",
                        .minimum_text = "2", .maximum_text = "10000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most new sessions of one client address in a minute, over all "
                                   "workers: half of them at once, the other half spread over the "
                                   "minute."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_commands_per_address, "60000",
                        .minimum_text = "2", .maximum_text = "100000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most command lines of one client address in a minute, over all "
                                   "its sessions, likewise; those that come too fast wait."),
	PN_OPTION_LIST(struct pn_gateway_settings, networks_without_rates, "127.0.0.0/8 ::1 unix",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Networks (\"192.0.2.0/24\", or \"unix\") whose clients are not "
                                  "counted by the minute, for example relays of one's own."),
	PN_OPTION_DURATION(struct pn_gateway_settings, overload_turn, "100ms",
                           .minimum_text = "1ms", .maximum_text = "10s",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "A worker whose every turn takes longer than this has too "
                                      "much to do: new connections are turned away (421) until its "
                                      "turns take half of it."),
	PN_OPTION_SIZE(struct pn_gateway_settings, overload_memory, "4G", .minimum_text = "1M",
                       .maximum_text = "1024G", .flags = PN_OPTION_RELOADABLE,
                       .summary = "So does one that uses more memory than this, files that it has "
                                  "mapped not counted."),
	PN_OPTION_DURATION(struct pn_gateway_settings, hurried_deadline, "30s",
                           .minimum_text = "100ms", .maximum_text = "1h",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "While a worker has too much to do, or 70 % of its sessions "
                                      "are open, clients that have not logged in get no more time "
                                      "than this for a command."),
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
	PN_OPTION_COUNT(struct pn_gateway_settings, max_mime_depth, "50", .minimum_text = "1",
                        .maximum_text = "50", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Levels of multipart and message/rfc822 that are looked into; "
                                   "what is deeper is one part without a type that is known."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_mime_parts, "1000", .minimum_text = "10",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Parts of a message that are told apart; the rest belongs to "
                                   "the last of them."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_hops, "50", .minimum_text = "1",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "A message that went through more servers than this is refused "
                                   "as looping."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_own_hops, "10", .minimum_text = "1",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Messages whose Received fields name this gateway more often "
                                   "are refused: they go in circles."),
	PN_OPTION_DURATION(
		struct pn_gateway_settings, store_deadline, "30s", .minimum_text = "10ms",
		.maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
		.summary = "A store or a directory that does not answer by then counts as "
			   "failed."),
	PN_OPTION_DURATION(struct pn_gateway_settings, auth_deadline, "30s", .minimum_text = "10ms",
                           .maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
                           .summary = "A login that cannot be checked by then is refused for now."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_failed_logins, "6", .minimum_text = "2",
                        .maximum_text = "1000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most failed logins to one account from one address in a "
                                   "minute, over all workers and protocols; who comes again is "
                                   "told to wait, right or wrong."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_failed_logins_of_account, "10",
                        .minimum_text = "2", .maximum_text = "1000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most failed logins to one account in a minute, from all "
                                   "addresses that it has not logged in from in thirty days."),
	PN_OPTION_COUNT(struct pn_gateway_settings, max_failed_logins_of_address, "30",
                        .minimum_text = "2", .maximum_text = "1000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most failed logins from one address in a minute, whatever the "
                                   "account; of IPv6 the first 64 bits count."),
	PN_OPTION_BOOL(struct pn_gateway_settings, counts_failed_logins_of_loopback, "no",
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Count failed logins from this machine too; what runs there for "
                                  "others, as webmail does, counts its own."),
	PN_OPTION_DURATION(struct pn_gateway_settings, dns_deadline, "10s", .minimum_text = "10ms",
                           .maximum_text = "10m", .flags = PN_OPTION_RELOADABLE,
                           .summary = "A question to DNS without an answer by then counts as "
                                      "temporary trouble."),
	PN_OPTION_LIST(struct pn_gateway_settings, resolvers, NULL,
                       .summary = "IP addresses of resolvers, with a port where it is not 53; "
                                  "those of /etc/resolv.conf where none "
                                  "is given."),
	PN_OPTION_CHOICE(struct pn_gateway_settings, dnssec, "auto", .choices = dnssec_ways,
                         .summary = "Whether signatures of DNS answers are validated: auto goes on "
                                    "without, and says so, where the resolvers of this network do "
                                    "not pass them on."),
	PN_OPTION_STRING(struct pn_gateway_settings, trust_anchor, "/usr/share/dns/root.key",
                         .summary =
                                 "File with the keys of the DNS root; nothing is validated where "
                                 "it is not there."),
	PN_OPTION_PATH(struct pn_gateway_settings, zone_file, NULL,
                       .summary = "DNS answers come from this file and from nowhere else; for "
                                  "tests."),
	PN_OPTION_CHOICE(struct pn_gateway_settings, log_level, "info", .choices = log_levels,
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "Least important events that are logged."),
	PN_OPTION_PATH(struct pn_gateway_settings, log_file, NULL, .flags = PN_OPTION_WRITES,
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
	PN_OPTION_STRING(struct pn_gateway_settings, queue_store, "",
                         .summary = "Instance of the store that keeps the queue; that of the first "
                                    "domain, else the first store, where it is not given."),
	PN_OPTION_STRING(struct pn_gateway_settings, relay, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Host that all mail for other domains is handed to, for "
                                    "example \"relay.example.net:587\"; empty for the MX hosts of "
                                    "each domain."),
	PN_OPTION_DURATION(struct pn_gateway_settings, queue_lifetime, "5d", .minimum_text = "1s",
                           .maximum_text = "365d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Mail that could not be delivered for so long is returned to "
                                      "its sender."),
	PN_OPTION_DURATION(struct pn_gateway_settings, bounce_lifetime, "2d", .minimum_text = "1s",
                           .maximum_text = "365d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "A bounce that could not be delivered for so long is given "
                                      "up."),
	PN_OPTION_DURATION(struct pn_gateway_settings, delay_warning, "4h", .minimum_text = "1s",
                           .maximum_text = "365d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Senders who authenticated, or asked for it, are told of "
                                      "mail that waits for so long; at least queue_lifetime for "
                                      "never."),
	PN_OPTION_DURATION(struct pn_gateway_settings, delivery_deadline, "30m",
                           .minimum_text = "100ms", .maximum_text = "1d",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest time that handing over one message may take, "
                                      "whatever the transport allows for its parts."),
	PN_OPTION_DURATION(struct pn_gateway_settings, idle_connections, "5s",
                           .minimum_text = "1ms", .maximum_text = "5m",
                           .flags = PN_OPTION_RELOADABLE,
                           .summary = "A connection to another server is kept for so long after "
                                      "its last message."),
	PN_OPTION_COUNT(struct pn_gateway_settings, queue_connections, "1000", .minimum_text = "1",
                        .maximum_text = "100000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most connections to other servers of one queue worker at a "
                                   "time."),
	PN_OPTION_COUNT(struct pn_gateway_settings, queue_memory, "50000", .minimum_text = "10",
                        .maximum_text = "10000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most recipients that one queue worker holds in memory; the "
                                   "others wait in the store."),
	PN_OPTION_COUNT(struct pn_gateway_settings, recipients_per_delivery, "100",
                        .minimum_text = "1", .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most recipients that are handed over with one copy of a "
                                   "message."),
	PN_OPTION_COUNT(struct pn_gateway_settings, suspend_after, "3", .minimum_text = "1",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "A destination that could not be reached so often in a row is "
                                   "left alone for a while."),
	PN_OPTION_LIST(struct pn_gateway_settings, retry_schedule, NULL,
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Waits after the first, second, … failure, the last one again "
                                  "and again; 1m, 5m, 15m, 30m, 1h, 2h, 4h where none is given."),
	PN_OPTION_COUNT(struct pn_gateway_settings, destination_connections, "20",
                        .minimum_text = "1", .maximum_text = "10000", .flags = PN_OPTION_RELOADABLE,
                        .summary =
                                "Most connections to one destination (the servers of its MX) at a "
                                "time, of all queue workers together."),
	PN_OPTION_COUNT(struct pn_gateway_settings, destination_messages_per_connection, "100",
                        .minimum_text = "1", .maximum_text = "1000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most messages over one connection to a destination."),
	PN_OPTION_COUNT(struct pn_gateway_settings, destination_messages_per_minute, "1000000",
                        .minimum_text = "1", .maximum_text = "1000000000",
                        .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most messages to one destination in a minute, of all queue "
                                   "workers together."),
	PN_OPTION_TABLE_END,
};

const struct pn_option pn_destination_options[] = {
	PN_OPTION_COUNT(struct pn_destination_settings, connections, "20", .minimum_text = "1",
                        .maximum_text = "10000",
                        .summary =
                                "Most connections to it at a time, of all queue workers together."),
	PN_OPTION_COUNT(struct pn_destination_settings, messages_per_connection, "100",
                        .minimum_text = "1", .maximum_text = "1000000",
                        .summary = "Most messages over one connection to it."),
	PN_OPTION_COUNT(struct pn_destination_settings, messages_per_minute, "1000000",
                        .minimum_text = "1", .maximum_text = "1000000000",
                        .summary =
                                "Most messages to it in a minute, of all queue workers together."),
	PN_OPTION_TABLE_END,
};
