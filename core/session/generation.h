/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generation: everything a session needs to know of one configuration. It is
 * built whole (process/assemble.c), never changed, and counted: a session keeps
 * the one it began with, several can be alive. Loop thread.
 *
 * The chain of a stage is a plain table of functions; what fills it in (modules
 * or policies) stands below this folder in the house.
 */
#ifndef CORE_SESSION_GENERATION_H
#define CORE_SESSION_GENERATION_H

#include <postern/module.h>
#include <postern/stage.h>

#include "io/listener.h"
#include "io/tls.h"
#include "session/limits.h"

struct pn_policy_set;

/* One instance of a module in this worker. Lives until the worker ends; `config` is replaced. */
struct pn_instance {
	const struct pn_module *module; /* the core's own copy, rows included */
	const char *name;               /* "mx" */
	const void *config;             /* of the newest generation */
	void *state;                    /* what start() made */
	bool is_started;
	struct pn_start start;
	struct pn_instance *next;
};

/* How an instance is configured in one generation. */
struct pn_instance_use {
	struct pn_instance *instance;
	const void *config;
};

/* A hook in a chain, C and Lua alike. */
struct pn_chain_hook {
	const char *label;   /* "hello" or "hello:name"; "antispam.lua:12": unique enough for people */
	const char *summary;
	const char *module;  /* for the what-is-running slot: module or policy file */
	int order;
	enum pn_hook_mode mode;
	enum pn_on_error on_error;
	uint32_t wall_budget_ms; /* never 0 */

	/* Runs it. `user` is below; call->config and ->instance are set from `use`. */
	enum pn_verdict (*run)(void *user, const struct pn_stage_call *call);
	void *user;
	struct pn_instance_use use; /* of modules */
};

struct pn_chain {
	const struct pn_chain_hook *hooks; /* in the order they run */
	size_t count;
};

/* A domain of ours. */
struct pn_domain {
	const char *name;               /* lower case */
	struct pn_slice ascii_name;     /* as DNS knows it */
	struct pn_instance *store;      /* home store of its accounts */
	struct pn_instance *directory;  /* knows its addresses */
};

/* Limits of a destination that the configuration names: `destination "example.net" { … }`. */
struct pn_destination_limits {
	const char *name;             /* a domain, an MX site or a host, lower case; "" for all others */
	uint32_t connections;         /* at a time, of one queue worker */
	uint32_t messages_per_connection;
	uint32_t messages_per_minute;
};

enum { PN_RETRY_STEPS_MAX = 32 };

/* How the queue is worked on. */
struct pn_queue_limits {
	uint32_t connections;         /* of one queue worker */
	uint32_t memory_rows;         /* that one queue worker holds */
	uint64_t lifetime_ms;
	uint64_t bounce_lifetime_ms;
	uint64_t delay_warning_ms;    /* at least as long as the lifetime: never */
	uint64_t delivery_deadline_ms; /* of one attempt, the connection included */
	uint64_t idle_ms;             /* an unused connection is kept for so long */
	uint64_t retries_ms[PN_RETRY_STEPS_MAX]; /* after the first, second, … failure; the last again */
	size_t retry_count;
	uint32_t suspend_after;       /* failures to connect in a row */
	const struct pn_destination_limits *destinations; /* the first is the default, "" */
	size_t destination_count;
	uint32_t max_recipients;      /* in one delivery */
};

/* Failed logins in any minute, over all workers; each at least 2. */
struct pn_login_limits {
	uint32_t per_login;         /* to one account from one address */
	uint32_t per_account;       /* to one account from addresses that it is not known from */
	uint32_t per_address;       /* from one address */
	bool counts_loopback;       /* addresses of this machine too */
};

struct pn_generation {
	uint32_t number;
	uint32_t references;
	struct pn_arena *arena; /* all of it lives here */

	const char *hostname;
	const char *data_directory;

	struct pn_chain chains[PN_STAGE_COUNT];

	const struct pn_instance_use *instances;
	size_t instance_count;
	const struct pn_domain *domains;
	size_t domain_count;
	const struct pn_instance_use *authentications; /* in the order of the file */
	size_t authentication_count;

	struct pn_tls_server *tls; /* certificates; or NULL */
	uint64_t tls_handshake_deadline_ms;
	uint32_t max_handshakes;   /* under way at a time, in one worker */
	uint32_t min_output_rate;  /* bytes a second that clients must take */
	uint64_t output_window_ms; /* over which that is judged */
	struct pn_instance *home;  /* the store that has the queue; NULL: there is no store */
	struct pn_queue_limits queue;
	const char *relay;         /* host for mail to other domains; "": by MX */

	/* Limits of the core, one place (config/settings.c has the option rows). */
	uint64_t memory_per_message;    /* a larger one is written to the store as it comes in */
	uint64_t max_header_size;
	uint32_t max_header_fields;
	uint32_t max_hops;
	uint32_t max_mime_depth;
	uint32_t max_mime_parts;
	uint64_t proxy_header_ms;
	uint32_t max_own_hops;
	uint64_t store_deadline_ms;
	uint64_t auth_deadline_ms;
	struct pn_login_limits login_limits;
	struct pn_session_limits session_limits;

	void *origin;                   /* what its texts live in; freed with the generation */
	void (*free_origin)(void *origin);
	struct pn_policy_set *policies; /* freed with the generation */
	void (*free_policies)(struct pn_policy_set *policies);
};

/* The one in use: new sessions begin with it. Set by the process layer. */
extern struct pn_generation *pn_generation_current;

/* Counting. The last drop frees it. */
struct pn_generation *pn_generation_keep(struct pn_generation *generation);
void pn_generation_drop(struct pn_generation **generation);

/* The configuration of an instance in this generation; NULL where it is not part of it. */
const void *pn_generation_config(const struct pn_generation *generation,
				 const struct pn_instance *instance);

/* The transport of that name; and the first that takes routes by MX. Or NULL. */
const struct pn_instance_use *pn_generation_transport(const struct pn_generation *generation,
						      struct pn_slice name);
const struct pn_instance_use *pn_generation_mx_transport(const struct pn_generation *generation);

/* The domain of that name (any case), or NULL. */
const struct pn_domain *pn_generation_domain(const struct pn_generation *generation,
					     struct pn_slice name);

#endif
