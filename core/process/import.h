/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Import: from a source into an account, in groups of messages that are committed
 * together. What was taken is written down (imports/ in the data directory), so that
 * a second run takes the rest only; a message between its commit and that line is
 * known to the store by its once_key.
 */
#ifndef CORE_PROCESS_IMPORT_H
#define CORE_PROCESS_IMPORT_H

#include <postern/source.h>

#include "process/tool.h"

struct pn_import_request {
	const struct pn_source *source;
	void *handle;           /* what source->open made */
	struct pn_account *account;
	const char *mailbox;    /* INBOX of the source goes there, others below it; or NULL */
	bool again;             /* also what was imported before */
};

struct pn_import_result {
	uint64_t imported;
	uint64_t were_there;    /* imported before */
	uint64_t failed;        /* could not be read, or were refused; each was told */
	uint64_t bytes;
	uint64_t mailboxes;
};

/* PN_OK, also where single messages failed. Tells its progress on standard error. */
PN_MUST_CHECK enum pn_status pn_import(struct pn_tool *tool,
				       const struct pn_import_request *request,
				       struct pn_import_result *result_out,
				       struct pn_error *error);

/* journal of an import: import_journal.c */
struct pn_import_key {
	uint64_t halves[2];
};

struct pn_import_journal;

/* Reads what is written down for the account; the file is made with the first line. */
PN_MUST_CHECK enum pn_status pn_import_journal_open(const char *data_directory,
						    struct pn_slice account,
						    struct pn_import_journal **journal_out,
						    struct pn_error *error);
bool pn_import_journal_has(const struct pn_import_journal *journal, struct pn_import_key key);
PN_MUST_CHECK enum pn_status pn_import_journal_add(struct pn_import_journal *journal,
						   const struct pn_import_key *keys, size_t count,
						   struct pn_error *error);
/* The account is gone, and what was imported into it. */
void pn_import_journal_forget(const char *data_directory, struct pn_slice account);
void pn_import_journal_close(struct pn_import_journal **journal);

/* A digest of all of these, in this order. */
struct pn_import_key pn_import_key_of(const struct pn_slice *parts, size_t count);

/* The sources that are part of the gateway. */
extern const struct pn_source pn_source_maildir;
extern const struct pn_source pn_source_mbox;

#endif
