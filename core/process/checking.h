/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `postern check` and `postern sign` share: checks of modules, run without a gateway on messages from
 * files. DNS is a zone file, a resolver that is named, or the system's. One thread, one loop.
 */
#ifndef CORE_PROCESS_CHECKING_H
#define CORE_PROCESS_CHECKING_H

#include "process/command.h"

#include <postern/buffer.h>
#include <postern/check.h>

#include "module/loader.h"

#include <stdio.h>

struct pn_checking_message {
	struct pn_buffer raw;
	struct pn_buffer text; /* with CRLF at its line ends */
	struct pn_header header;
	struct pn_slice body;
};

/* An option that is a value of the input, under a name of its own. */
struct pn_checking_name {
	const char *option;
	const char *key;
};

/* NULL: it was not given. */
const char *pn_checking_option(const struct pn_arguments *arguments, const char *name);
/* Says why, and returns the exit status. */
int pn_checking_fail(const struct pn_error *error);

/* Those options that were given; returns how many. */
size_t pn_checking_values(const struct pn_arguments *arguments, const struct pn_checking_name *names,
			  size_t name_count, struct pn_check_value *values);

PN_MUST_CHECK enum pn_status pn_checking_read_all(FILE *file, struct pn_buffer *out);
/* "-" is standard input. Freed whatever it returns. */
PN_MUST_CHECK enum pn_status pn_checking_read(const char *path, struct pn_arena *arena,
					      struct pn_checking_message *message,
					      struct pn_error *error);
void pn_checking_free(struct pn_checking_message *message);
void pn_checking_digest(const struct pn_checking_message *message, struct pn_check_digest *digests,
			size_t count);

/* The module of that name, which is a check. */
PN_MUST_CHECK enum pn_status pn_checking_load(const struct pn_arguments *arguments, const char *name,
					      const struct pn_loaded_module **module_out,
					      struct pn_error *error);
/* --time, or now. */
PN_MUST_CHECK enum pn_status pn_checking_moment(const struct pn_arguments *arguments,
						int64_t *wall_ms_out, struct pn_error *error);
/* An entry that came later than the interface that the module was built with is not there. */
static inline bool pn_checking_has(const struct pn_check *check, size_t end)
{
	return check->struct_size >= end;
}

/* Runs the check of that name with its options as they are where nobody sets them. The output is in the arena.
 * `message` may be NULL. */
PN_MUST_CHECK enum pn_status pn_checking_ask(const struct pn_arguments *arguments, const char *name,
					     struct pn_check_input *input,
					     const struct pn_checking_message *message,
					     struct pn_arena *arena,
					     struct pn_check_output *output_out,
					     struct pn_error *error);

/* A fact of an output, or "". */
struct pn_slice pn_checking_fact(const struct pn_check_output *output, const char *key);

/* ---- check_print.c ---- */

/* What a check said, for people or (--json) for programs. */
void pn_checking_print(const struct pn_arguments *arguments, const char *name,
		       const struct pn_check_output *output);
/* The same as members of a JSON object, without its braces. */
void pn_checking_put_members(struct pn_buffer *out, const char *name,
			     const struct pn_check_output *output);
/* One member, behind others. */
void pn_checking_put(struct pn_buffer *out, const char *key, struct pn_slice value, bool or_null);

/* ---- check_auth.c ---- */

/* `postern check auth FILE` */
int pn_checking_all(const struct pn_arguments *arguments);

#endif
