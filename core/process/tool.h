/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tool: a process that works with a store beside the running gateway, for the
 * commands of `postern` that an operator uses on accounts, mailboxes and mail. It
 * asks one thing at a time and waits for the answer. The gateway hears of what
 * changed through its control socket. Main thread, which is the loop's.
 */
#ifndef CORE_PROCESS_TOOL_H
#define CORE_PROCESS_TOOL_H

#include <postern/buffer.h>
#include <postern/store.h>

#include "process/assemble.h"
#include "process/command.h"
#include "store/account.h"

struct pn_tool {
	struct pn_assembly *assembly;
	struct pn_arena *arena;    /* for accounts, and what else lives as long as the tool */
	const char *store_name;    /* --store; or NULL */
	uint64_t told_ms;          /* when the gateway was told of changes */
	struct pn_slice changed;   /* the account that changed since then; "" none */
};

/* What a question was answered with. */
struct pn_tool_answer {
	enum pn_status status;
	void *result;              /* of that kind of question; lives until pn_tool_release */
	struct pn_error error;     /* with a status that is not PN_OK */
	void (*release)(void *result);
	bool is_there;
};

/* Whom the process works as where root started it. */
enum pn_tool_user {
	PN_TOOL_AS_WORKER = 0, /* the user of the workers, who owns what it writes; may read all files */
	PN_TOOL_AS_CALLER,     /* whoever called: it reads the store, and writes elsewhere */
};

/* Reads the configuration and starts its instances. On failure everything is gone again. */
PN_MUST_CHECK enum pn_status pn_tool_open(const struct pn_arguments *arguments,
					  enum pn_tool_user user, struct pn_tool *tool_out,
					  struct pn_error *error);
void pn_tool_close(struct pn_tool *tool);

/*
 * The account of that name ("alice" is alice in the first domain; aliases are followed), in its
 * store or that of --store. With `must_be_known` its directory must have it, unless --store is
 * given. PN_NOT_FOUND with a sentence.
 */
PN_MUST_CHECK enum pn_status pn_tool_account(struct pn_tool *tool, const char *name,
					     bool must_be_known, struct pn_account **account_out,
					     struct pn_error *error);

/* An account without a name, for questions about a store: each store of the configuration, or that
 * of --store; by index from 0. NULL past the end. */
struct pn_account *pn_tool_store(struct pn_tool *tool, size_t index);

/*
 * Asking:
 *	pn_store_mailboxes(account, &request, pn_tool_ticket(&answer));
 *	status = pn_tool_wait(&answer);
 *	… answer.result …
 *	pn_tool_release(&answer);
 */
struct pn_ticket pn_tool_ticket(struct pn_tool_answer *answer);
PN_MUST_CHECK enum pn_status pn_tool_wait(struct pn_tool_answer *answer);
void pn_tool_release(struct pn_tool_answer *answer);

/* The mailbox of that name. PN_NOT_FOUND with a sentence. */
PN_MUST_CHECK enum pn_status pn_tool_mailbox(const struct pn_account *account, struct pn_slice name,
					     struct pn_mailbox_info *mailbox_out,
					     struct pn_arena *arena, struct pn_error *error);

/* Commits and tells the gateway, now or soon. The answer's result is the commit. */
PN_MUST_CHECK enum pn_status pn_tool_commit(struct pn_tool *tool, const struct pn_account *account,
					    struct pn_commit *commit,
					    struct pn_tool_answer *answer);

/* The queue or its suspensions were changed: the gateway, where it runs, looks at it again. */
void pn_tool_edited(struct pn_tool *tool);

/* A piece of a body too large for memory; *writer is made where it is NULL. */
PN_MUST_CHECK enum pn_status pn_tool_write(const struct pn_account *account,
					   struct pn_body_writer **writer, struct pn_slice bytes,
					   struct pn_error *error);

/* command_mailbox.c: the mailboxes of an account as a table, and as JSON */
PN_MUST_CHECK enum pn_status pn_mailbox_print(const struct pn_account *account,
					      struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_mailbox_json(const struct pn_account *account,
					     struct pn_buffer *out, struct pn_error *error);

/* "postern: the sentence", on standard error. Returns 1, the exit status. */
int pn_tool_fail(const struct pn_error *error);

#endif
