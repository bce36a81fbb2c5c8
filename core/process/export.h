/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Export: accounts as Maildirs (Maildir++ with the lists that Dovecot keeps: UIDs,
 * keywords, subscriptions) or as mbox files, each in a directory of its name. What
 * goes out can be imported again.
 */
#ifndef CORE_PROCESS_EXPORT_H
#define CORE_PROCESS_EXPORT_H

#include "process/tool.h"

/* A line for each mailbox of an account: its file or directory, name, UIDVALIDITY and attributes
 * (enum pn_mailbox_attribute as a number), separated by tabs. */
#define PN_EXPORT_TABLE "postern-mailboxes"

/* What dovecot-keywords has no letters for: "UID keyword keyword …" in each folder. */
#define PN_EXPORT_KEYWORDS "postern-keywords"

enum pn_export_format { PN_EXPORT_MAILDIR = 0, PN_EXPORT_MBOX };

struct pn_export_request {
	enum pn_export_format format;
	const struct pn_account *account; /* or NULL: all of all stores */
	const char *mailbox;              /* of it; or NULL: all */
	const char *directory;            /* is made */
};

struct pn_export_result {
	uint64_t messages;
	uint64_t damaged;   /* told, and left out */
	uint64_t mailboxes;
	uint64_t accounts;
};

/* PN_OK, also where messages are damaged. A directory of an account that is there already is
 * PN_FAILED: nothing is mixed. */
PN_MUST_CHECK enum pn_status pn_export(struct pn_tool *tool, const struct pn_export_request *request,
				       struct pn_export_result *result_out, struct pn_error *error);

/* One mailbox, written by export_maildir.c or export_mbox.c. */
struct pn_export_writer {
	/* Bytes of the header, for those who put something at its beginning. */
	enum pn_status (*begin)(void *state, const char *path,
				const struct pn_mailbox_info *mailbox, const char *hostname,
				struct pn_error *error);
	enum pn_status (*begin_message)(void *state, const struct pn_row *row,
					struct pn_error *error);
	enum pn_status (*bytes)(void *state, struct pn_slice bytes, struct pn_error *error);
	/* is_damaged: what was written of it has to go. */
	enum pn_status (*end_message)(void *state, bool is_damaged, struct pn_error *error);
	enum pn_status (*end)(void *state, struct pn_error *error);
	size_t state_size;
};

extern const struct pn_export_writer pn_export_maildir;
extern const struct pn_export_writer pn_export_mbox;

#endif
