/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's own settings: one option table like those of the modules, from
 * which checking and reference come. The one place where limits of the core live.
 */
#ifndef CORE_CONFIG_SETTINGS_H
#define CORE_CONFIG_SETTINGS_H

#include <postern/option.h>

struct pn_gateway_settings {
	const char *hostname; /* default: the machine's name */
	const char *data_directory;
	const char *user; /* whom workers run as when started by root */
	const char *group;
	struct pn_text_list module_directories; /* "": the installed one */
	const char *control;                    /* "127.0.0.1:2080": /health, /metrics; "": none */
	const char *control_socket;             /* path; default: control.sock in data_directory */
	uint32_t confinement;                   /* enum pn_confinement */
	uint32_t edge_workers;                  /* 1..64; default: one for each processor */
	uint32_t queue_workers;
	uint32_t max_sessions;                  /* of each worker */
	uint32_t max_sessions_per_address;      /* over all workers */
	uint32_t max_sessions_per_account;
	uint32_t max_sessions_per_tenant;
	uint32_t max_new_sessions_per_address;  /* in a minute */
	uint32_t max_commands_per_address;
	struct pn_text_list networks_without_rates;
	uint64_t overload_turn;    /* see process/overload.h */
	uint64_t overload_memory;
	uint64_t hurried_deadline;
	uint64_t watchdog;                      /* a worker silent for so long is ended */
	uint64_t stop_grace;                    /* time sessions get when the gateway stops */
	uint64_t reload_deadline;
	uint64_t hook_wall_budget; /* default for hooks that name none */
	uint64_t policy_cpu;       /* defaults for policy { } */
	uint64_t policy_memory;
	uint64_t memory_per_message;
	uint64_t max_header_size;
	uint32_t max_header_fields;
	uint32_t max_mime_depth;
	uint32_t max_mime_parts;
	uint32_t max_hops;
	uint32_t max_own_hops;
	uint64_t store_deadline;
	uint64_t auth_deadline;
	uint32_t max_failed_logins; /* in a minute; see store/throttle.h */
	uint32_t max_failed_logins_of_account;
	uint32_t max_failed_logins_of_address;
	bool counts_failed_logins_of_loopback;
	uint64_t dns_deadline;
	uint64_t proxy_header_deadline;
	uint64_t tls_handshake_deadline;
	uint32_t max_tls_handshakes; /* of one worker */
	uint64_t min_output_rate; /* bytes a second */
	uint64_t output_rate_window;
	uint64_t tls_session_lifetime;
	struct pn_text_list resolvers; /* addresses; empty: those of /etc/resolv.conf */
	uint32_t dnssec;       /* choice: auto off required */
	const char *trust_anchor;
	const char *zone_file; /* answers from this file and nowhere else; for tests. "": none */
	uint32_t log_level;    /* choice: debug info notice warning error */
	const char *log_file;  /* "": standard error */
	uint64_t history_age;  /* kept for so long */
	uint64_t history_size; /* and up to this size */
	const char *welcome;   /* printed once it serves */

	/* The queue. */
	const char *queue_store;  /* instance that keeps it; "": that of the first domain */
	const char *relay;       /* "": by MX */
	uint64_t queue_lifetime;
	uint64_t bounce_lifetime;
	uint64_t delay_warning;
	uint64_t delivery_deadline;
	uint64_t idle_connections;
	uint32_t queue_connections;
	uint32_t queue_memory;
	uint32_t recipients_per_delivery;
	uint32_t suspend_after;
	struct pn_text_list retry_schedule;
	uint32_t destination_connections;
	uint32_t destination_messages_per_connection;
	uint32_t destination_messages_per_minute;
};

extern const struct pn_option pn_gateway_options[];

/* What destination { "example.net", … } may say. */
struct pn_destination_settings {
	uint32_t connections;
	uint32_t messages_per_connection;
	uint32_t messages_per_minute;
};

extern const struct pn_option pn_destination_options[];

#endif
