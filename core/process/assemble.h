/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a configuration file to a generation: modules loaded, options checked,
 * chains built, domains and certificates resolved. The same code serves the
 * workers, `postern config check`, and the tools. Main or loop thread.
 */
#ifndef CORE_PROCESS_ASSEMBLE_H
#define CORE_PROCESS_ASSEMBLE_H

#include "config/config.h"
#include "module/loader.h"
#include "process/confine.h"
#include "session/generation.h"

/* A listener of the configuration with the instance it leads to. */
struct pn_bound_listener {
	const char *address;
	struct pn_instance *instance;
	enum pn_listen_tls tls;
	struct pn_tls_service *tls_service; /* NULL: no TLS */
	const struct pn_network *proxies;
	size_t proxy_count;
};

struct pn_assembly {
	struct pn_config *config;      /* the generation owns it */
	struct pn_generation *generation;
	const struct pn_bound_listener *listeners;
	size_t listener_count;
	bool needs_new_workers;        /* instances came or went, or an option needs it */
	const char *why;               /* then: a sentence */
};

/* How much is done. */
struct pn_assemble_settings {
	uint32_t number;               /* of the generation */
	bool skip_keys;                /* certificates are not read (the check before workers run) */
	/* A private key as the master opened it; -1: open the path. May be NULL. */
	int (*key_descriptor)(const char *path);
};

/*
 * PN_OK, or PN_FAILED with "FILE:LINE: what". Instances that this process has already are used
 * again. On success *assembly_out lives in the generation's arena.
 */
PN_MUST_CHECK enum pn_status pn_assemble(const char *config_path,
					 const struct pn_assemble_settings *settings,
					 struct pn_assembly **assembly_out, struct pn_error *error);

/* Adds the paths that its workers must reach: those of the options, of the gateway and its modules. */
void pn_assembly_reach(const struct pn_assembly *assembly, struct pn_reach *reach);

/* Starts every instance of the assembly that has not been started. */
PN_MUST_CHECK enum pn_status pn_instances_start(const struct pn_assembly *assembly,
						enum pn_worker_kind kind, unsigned worker_number,
						struct pn_error *error);

/* A reload: asks every instance whether it could live with its new configuration; then all adopt
 * it, or all abandon it. */
PN_MUST_CHECK enum pn_status pn_instances_prepare(const struct pn_assembly *assembly,
						  struct pn_error *error);
void pn_instances_adopt(const struct pn_assembly *assembly);
void pn_instances_abandon(const struct pn_assembly *assembly);

/* At the end: in the reverse order of their start. */
void pn_instances_stop(void);

/* The loader of this process (made by the first pn_assemble); for the tools. */
PN_MUST_CHECK enum pn_status pn_process_loader(const struct pn_gateway_settings *settings,
					       struct pn_loader **loader_out,
					       struct pn_error *error);

#endif
