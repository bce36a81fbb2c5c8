/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: where mail is imported from. `postern import NAME ACCOUNT ARGUMENT …` opens
 * the source of that name (one of the gateway's own, or that of a module called
 * source_NAME) and takes from it mailbox by mailbox, and message by message:
 *
 *	open
 *	next_mailbox      until PN_NOT_FOUND
 *	  next_message    until PN_NOT_FOUND
 *	    read          until *is_last, unless the message is not wanted
 *	close
 *
 * An import can be broken off at any point and begun again: a message that was taken
 * before is known by its key and is not asked for again.
 *
 * Sources run in a process of their own, on its main thread, and may block. What they
 * return lives in the arena that they are given. A module that is only a source needs
 * no mention in the configuration.
 */
#ifndef POSTERN_SOURCE_H
#define POSTERN_SOURCE_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/error.h>
#include <postern/store.h>
#include <postern/types.h>

struct pn_source_request {
	uint32_t struct_size;
	const char *const *arguments; /* what stands behind the account */
	size_t argument_count;
	const char *password_file;    /* --password-file; or NULL */
	void (*say)(const char *text); /* a line for the operator; nothing is wrong */
};

struct pn_source_mailbox {
	uint32_t struct_size;
	struct pn_slice name;         /* UTF-8, levels separated by '/'; "INBOX" */
	uint32_t attributes;          /* special uses, PN_MAILBOX_SUBSCRIBED */
	uint32_t uid_validity;        /* 0: not known */
	uint32_t uid_next;            /* 0: not known */
	uint64_t message_count;       /* for the progress; 0: not known */
};

struct pn_source_message {
	uint32_t struct_size;
	struct pn_slice key;          /* the same in every run, and of no other message of the source */
	uint32_t uid;                 /* ascending in a mailbox; 0: not known */
	struct pn_flags flags;
	int64_t internal_date_ms;     /* 0: not known */
	uint64_t size;                /* about; 0: not known */
};

struct pn_source {
	uint32_t struct_size;
	const char *name;             /* "maildir" */
	const char *usage;            /* "PATH": its arguments */
	const char *summary;          /* one sentence */
	bool has_unix_lines;          /* lines may end with LF alone; they will end with CRLF */

	/* PN_OK or PN_FAILED, with a sentence. */
	enum pn_status (*open)(const struct pn_source_request *request, void **source_out,
			       struct pn_error *error);

	/* PN_OK; PN_NOT_FOUND: there are no more; PN_FAILED: the import ends. */
	enum pn_status (*next_mailbox)(void *source, struct pn_arena *arena,
				       struct pn_source_mailbox *mailbox_out,
				       struct pn_error *error);

	/* The same; PN_DENIED with a sentence: this one cannot be had, there may be more. */
	enum pn_status (*next_message)(void *source, struct pn_arena *arena,
				       struct pn_source_message *message_out,
				       struct pn_error *error);

	/* Appends some of the message (what fits; `bytes` has room for 64 KiB at least). PN_DENIED:
	 * it cannot be had, there may be more; PN_FAILED: the import ends. */
	enum pn_status (*read)(void *source, struct pn_buffer *bytes, bool *is_last,
			       struct pn_error *error);

	void (*close)(void *source);
};

#endif
