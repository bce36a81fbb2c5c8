/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module, whole: one constant struct at the bottom of its file. Loading a
 * module runs none of its code until its options were read and checked.
 *
 *	PN_MODULE(hello,
 *		.version = "1.0",
 *		.summary = "Says hello in the log.",
 *		.options = hello_options,
 *		.config_size = sizeof(struct hello_config),
 *		.hooks = hello_hooks,
 *	);
 *
 * Designated initialisers only; what is absent is NULL or 0 and means no. A
 * module holds no globals that change: it is configured as one or several
 * instances, each with its own config struct and its own `instance`.
 *
 * An instance lives as long as its worker. At a reload a new generation replaces
 * only its configuration: prepare() is asked whether it could live with it,
 * then adopt() or abandon() follows. Sessions keep the configuration that they
 * began with. Everything here runs on the loop thread.
 */
#ifndef POSTERN_MODULE_H
#define POSTERN_MODULE_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/option.h>
#include <postern/stage.h>
#include <postern/types.h>

struct pn_protocol;       /* protocol.h       */
struct pn_store;          /* store.h          */
struct pn_directory;      /* directory.h      */
struct pn_authentication; /* authentication.h */
struct pn_transport;      /* transport.h      */
struct pn_check;          /* check.h          */
struct pn_cache;          /* cache.h          */
struct pn_lua_library;    /* lualib.h         */
struct pn_source;         /* source.h         */

enum pn_worker_kind {
	PN_WORKER_EDGE = 0, /* runs sessions                                   */
	PN_WORKER_QUEUE,    /* delivers                                        */
	PN_WORKER_CONTROL,  /* housekeeping; one                               */
	PN_WORKER_TOOL,     /* not a worker: `postern store verify` and the like */
};

/* What start() learns. Lives as long as the instance, but for config. */
struct pn_start {
	uint32_t struct_size;
	struct pn_instance *self;   /* for pn_connect() and pn_log */
	const char *instance_name;  /* "mx" */
	const void *config;         /* of the first generation; may be replaced later */
	const char *data_directory; /* absolute; exists, and the worker may write there */
	const char *hostname;
	enum pn_worker_kind worker_kind;
	unsigned worker_number;
};

struct pn_module {
	/* Filled in by PN_MODULE(); checked before any other field is read. */
	uint32_t abi_major;
	uint32_t abi_minor;
	uint32_t struct_size;
	uint32_t option_size; /* step from row to row of the tables below, as */
	uint32_t hook_size;   /* compiled: rows may grow in a later interface */

	const char *name;
	const char *version;
	const char *summary; /* one sentence; mandatory */

	const struct pn_option *options; /* or NULL */
	size_t config_size;
	const struct pn_hook *hooks;     /* or NULL */

	/* What it provides. Each is constant and begins with its struct_size. */
	const struct pn_protocol *protocol;
	const struct pn_store *store;
	const struct pn_directory *directory;
	const struct pn_authentication *authentication;
	const struct pn_transport *transport;
	const struct pn_check *check;
	const struct pn_cache *cache;
	const struct pn_lua_library *lua_library;

	/*
	 * Checks what the table cannot: options that exclude each other, files that must be
	 * readable. Runs in `postern config check` too: changes nothing. May be NULL.
	 */
	enum pn_status (*check_config)(const void *config, struct pn_error *error);

	/* Makes the instance (in `instance_out`, may stay NULL) of one worker. PN_OK or PN_FAILED:
	 * then the worker does not serve. All of these may be NULL. */
	enum pn_status (*start)(const struct pn_start *start, void **instance_out,
				struct pn_error *error);
	enum pn_status (*prepare)(void *instance, const void *new_config, struct pn_error *error);
	void (*adopt)(void *instance, const void *new_config);
	void (*abandon)(void *instance, const void *new_config);
	void (*stop)(void *instance);

	const struct pn_source *source; /* provided as well; see source.h */
};

/*
 * libltdl finds "pn_module" as <name>_LTX_pn_module, so several modules can also be
 * linked into one program. The note lets the gateway check the file before it loads it.
 */
#define PN_MODULE(module_name, ...)                                                                \
	_Static_assert(sizeof(#module_name) <= PN_NOTE_NAME_SIZE, "module name too long");         \
	__attribute__((section(".note.postern"), used, aligned(4)))                                \
	static const struct pn_note module_name##_note = {                                         \
		.owner_size = sizeof(PN_NOTE_OWNER),                                               \
		.description_size = 3 * sizeof(uint32_t) + PN_NOTE_NAME_SIZE,                      \
		.type = PN_NOTE_TYPE,                                                              \
		.owner = PN_NOTE_OWNER,                                                            \
		.abi_major = PN_ABI_MAJOR,                                                         \
		.abi_minor = PN_ABI_MINOR,                                                         \
		.struct_size = sizeof(struct pn_module),                                           \
		.name = #module_name,                                                              \
	};                                                                                         \
	extern PN_EXPORT const struct pn_module module_name##_LTX_pn_module;                       \
	PN_EXPORT const struct pn_module module_name##_LTX_pn_module = {                           \
		.abi_major = PN_ABI_MAJOR,                                                         \
		.abi_minor = PN_ABI_MINOR,                                                         \
		.struct_size = sizeof(struct pn_module),                                           \
		.option_size = sizeof(struct pn_option),                                           \
		.hook_size = sizeof(struct pn_hook),                                               \
		.name = #module_name,                                                              \
		__VA_ARGS__                                                                        \
	}

#endif
