/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy: Lua files that attach functions to stages. One Lua state for each
 * worker, policy file and generation; hooks run as coroutines, so that what
 * waits (dns.lookup, sleep) simply waits.
 *
 * A script is text, sees only what is on its list, holds handles instead of
 * pointers, and has a budget of time and memory. Loop thread.
 */
#ifndef CORE_POLICY_POLICY_H
#define CORE_POLICY_POLICY_H

#include <postern/arena.h>
#include <postern/error.h>

#include "session/generation.h"

/* One mention of a policy file in the configuration. */
struct pn_policy_file {
	const char *path;         /* absolute */
	const char *label;        /* as written: "antispam.lua" */
	const char *const *allow; /* libraries it is granted; NULL-terminated */
	uint64_t cpu_ms;          /* of one run of a hook; at least 1 */
	uint64_t wall_ms;      /* of its hooks that name no budget, waiting included; at least 1 */
	uint64_t memory_bytes; /* of the whole state; at least 1 MiB */
	enum pn_hook_mode mode;   /* observe, shadow: what its hooks may do at most */
	const char *file;      /* the configuration file and line that mention it */
	int line;
};

struct pn_policy_set;

/* A hook that a script attached, ready for a chain. */
struct pn_policy_hook {
	enum pn_stage stage;
	struct pn_chain_hook hook;
};

/*
 * Reads and runs the files' main chunks, and collects their hooks. Everything lives until
 * pn_policy_free. PN_OK, or PN_FAILED with "FILE:LINE: what". `libraries` are the instances of modules
 * that offer a Lua library, or a cache.
 */
PN_MUST_CHECK enum pn_status pn_policy_load(const struct pn_policy_file *files, size_t file_count,
                                            const struct pn_instance_use *libraries,
                                            size_t library_count, struct pn_policy_set **set_out,
                                            struct pn_error *error);

/* The hooks of all files, in the order they were attached. */
const struct pn_policy_hook *pn_policy_hooks(const struct pn_policy_set *set, size_t *count_out);

void pn_policy_free(struct pn_policy_set *set);

/* ---- lookup tables (lua_lookup.c): files that other processes must be given ---- */

struct pn_lua_lexer;

/* The path of a table with this name beside the policy, DIRECTORY//NAME (io/file.h); NULL where it
 * would not lie in the policy's directory or below it. */
const char *pn_policy_table_path(struct pn_arena *arena, const char *policy_path,
                                 struct pn_slice name);

/* The paths of the tables that the policies opened, from 0; NULL behind the last. */
const char *pn_policy_table(const struct pn_policy_set *set, size_t index);

/* The next name that a policy's text gives to table.open as a plain text: what is found without
 * running it. False at the end. */
bool pn_policy_table_name(struct pn_lua_lexer *lexer, struct pn_slice *name_out);

#endif
