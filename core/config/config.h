/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: Lua that is run in an empty environment with nothing
 * but the words of the configuration, under a budget, and is data afterwards.
 * Every error names file and line, and the nearest known word. Main thread.
 *
 * Words: hostname = …, and the other settings of the gateway (settings.h);
 * listen { "address:port", …, to = "instance", tls = "implicit", proxies = { "192.0.2.9" },
 * client_certificates = "requested", client_authorities = "clients.pem" };
 * certificate { "chain.pem", key = "key.pem" }; domain "name" { store = …,
 * directory = … }; module "name" { as = "instance", … }; policy "file.lua" or
 * policy { "file.lua", allow = {…}, cpu = "20ms", memory = "16M" };
 * destination { "example.net", …, connections = 2, messages_per_minute = 60 };
 * environment("POSTERN_X", default): an environment variable whose name begins
 * with POSTERN_, as a number where the default is one.
 */
#ifndef CORE_CONFIG_CONFIG_H
#define CORE_CONFIG_CONFIG_H

#include <postern/arena.h>
#include <postern/error.h>

#include "base/network.h"
#include "config/settings.h"
#include "io/tls.h"
#include "module/options.h"
#include "policy/policy.h"

enum pn_listen_tls {
	PN_LISTEN_STARTTLS = 0, /* plain; the protocol may offer TLS where there is a certificate */
	PN_LISTEN_IMPLICIT,     /* TLS from the first byte */
	PN_LISTEN_PLAIN,        /* never TLS */
};

struct pn_config_listener {
	const char *address; /* "0.0.0.0:25", "[::]:25", "unix:/run/postern/lmtp" */
	const char *to;      /* instance */
	enum pn_listen_tls tls;
	enum pn_tls_client_certificates client_certificates;
	const char *client_authorities; /* absolute; or NULL */
	const struct pn_network *proxies; /* whose connections begin with a PROXY header */
	size_t proxy_count;
	int line;
};

struct pn_config_certificate {
	const char *chain_path; /* absolute */
	const char *key_path;
	int line;
};

struct pn_config_domain {
	const char *name;      /* lower case */
	const char *store;     /* instance; NULL: the only store there is */
	const char *directory; /* instance; NULL: the only directory there is */
	int line;
};

struct pn_config_module {
	const char *name; /* "smtp" */
	const char *as;   /* "mx"; the module's name where it was not given */
	struct pn_settings settings;
};

/* Limits of a destination; see pn_destination_options. */
struct pn_config_destination {
	const char *name; /* lower case */
	struct pn_settings settings;
	struct pn_destination_settings values; /* once the file was checked */
};

struct pn_config {
	struct pn_arena *arena; /* all of it lives here */
	const char *file;       /* absolute */
	const char *digest;     /* SHA-256 of its bytes, hex */

	struct pn_gateway_settings settings;

	const struct pn_config_listener *listeners;
	size_t listener_count;
	const struct pn_config_certificate *certificates;
	size_t certificate_count;
	const struct pn_config_domain *domains;
	size_t domain_count;
	const struct pn_config_module *modules;
	size_t module_count;
	const struct pn_policy_file *policies;
	size_t policy_count;
	const struct pn_config_destination *destinations;
	size_t destination_count;
	const uint64_t *retries_ms; /* retry_schedule, or its default */
	size_t retry_count;
};

/* Reads and runs the file. PN_OK, or PN_FAILED with "FILE:LINE: …". Free with pn_config_free. */
PN_MUST_CHECK enum pn_status pn_config_read(const char *path, struct pn_config **config_out,
                                            struct pn_error *error);

/* The same for the text of a file that is in memory. `path` is absolute. */
PN_MUST_CHECK enum pn_status pn_config_parse(const char *path, struct pn_slice text,
                                             struct pn_config **config_out, struct pn_error *error);

void pn_config_free(struct pn_config **config);

#endif
