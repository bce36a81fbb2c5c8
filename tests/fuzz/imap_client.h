/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An IMAP client that believes nothing: it is told which commands are sent and what
 * comes back, and insists on what RFC 3501, RFC 4315, RFC 6851 and RFC 7162 promise.
 * For fuzz_imap_session.c.
 */
#ifndef TESTS_FUZZ_IMAP_CLIENT_H
#define TESTS_FUZZ_IMAP_CLIENT_H

#include <postern/types.h>

enum { CLIENT_MESSAGES = 8192 };

struct imap_client {
	bool in_command;       /* one was sent, and there was no tagged reply yet */
	bool has_tag;          /* it began with something that is a tag */
	struct pn_slice tag;   /* in the line that was sent */
	struct pn_slice verb;
	bool is_uid;
	bool is_over;          /* BYE was said */
	bool was_told_of_expunge;
	uint32_t exists;
	uint32_t uids[CLIENT_MESSAGES]; /* by sequence number; 0: not known */
};

/* The first line of a command; it must live until the reply. */
void client_sends(struct imap_client *client, struct pn_slice line);

/* Whole responses, as they were read. */
void client_reads(struct imap_client *client, struct pn_slice bytes);

#endif
