/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mailbox as an mbox file (RFC 4155, "mboxrd"): LF line ends, lines of the body
 * that look like a From_ line get a '>' more, flags, keywords and UID in the fields
 * that mail programs know.
 */
#include "process/export.h"

#include <postern/text.h>

#include "mail/mbox_fields.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BEGIN = 64 };

struct mbox_state {
	FILE *file;
	const char *path;
	uint32_t uid_validity;
	uint32_t uid_next;
	bool has_first;

	/* The message at hand. */
	long start;
	uint64_t header_left;
	char begin[LINE_BEGIN]; /* of a line, until it is known whether it is a From_ line */
	size_t begin_size;
	bool at_line_start;
	bool held_cr;
};

static enum pn_status cannot(const struct mbox_state *state, struct pn_error *error)
{
	return pn_fail_errno(error, errno, "cannot write %s", state->path);
}

static enum pn_status mbox_begin(void *pointer, const char *path,
                                 const struct pn_mailbox_info *mailbox, const char *hostname,
                                 struct pn_error *error)
{
	struct mbox_state *state = pointer;

	(void)hostname;
	state->path = path;
	state->file = fopen(path, "wxe");
	state->uid_validity = mailbox->uid_validity;
	state->uid_next = mailbox->uid_next;
	return state->file == NULL ? cannot(state, error) : PN_OK;
}

static enum pn_status mbox_begin_message(void *pointer, const struct pn_row *row,
                                         struct pn_error *error)
{
	struct mbox_state *state = pointer;
	const uint32_t flags = row->flags.system;
	time_t seconds = (time_t)(row->internal_date_ms / 1000);
	struct tm date;
	char text[64];

	state->start = ftell(state->file);
	state->at_line_start = row->header_size == 0;
	state->begin_size = 0;
	state->held_cr = false;
	state->header_left = row->header_size;
	if (gmtime_r(&seconds, &date) == NULL)
		memset(&date, 0, sizeof(date));
	strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &date);
	fprintf(state->file, "From MAILER-DAEMON %s\n", text);
	if (!state->has_first)
		fprintf(state->file, PN_MBOX_BASE_NAME ": %u %u\n", state->uid_validity,
		        state->uid_next - 1);
	state->has_first = true;
	fprintf(state->file, "X-UID: %u\nStatus: %sO\n", row->uid,
	        (flags & PN_FLAG_SEEN) != 0 ? "R" : "");
	if ((flags & ~(uint32_t)PN_FLAG_SEEN) != 0)
		fprintf(state->file, "X-Status: %s%s%s%s\n", flags & PN_FLAG_ANSWERED ? "A" : "",
		        flags & PN_FLAG_FLAGGED ? "F" : "", flags & PN_FLAG_DRAFT ? "T" : "",
		        flags & PN_FLAG_DELETED ? "D" : "");
	if (row->flags.keyword_count > 0)
		fputs("X-Keywords:", state->file);
	for (size_t i = 0; i < row->flags.keyword_count; i++)
		fprintf(state->file, " %.*s", PN_SLICE_ARGS(row->flags.keywords[i]));
	if (row->flags.keyword_count > 0)
		fputc('\n', state->file);
	return ferror(state->file) ? cannot(state, error) : PN_OK;
}

/* What may still become ">>From ": false as soon as it cannot, or does. */
static bool is_undecided(const char *text, size_t size, bool *is_from)
{
	static const char word[] = "From ";
	size_t quotes = 0;

	*is_from = false;
	while (quotes < size && text[quotes] == '>')
		quotes++;
	for (size_t i = quotes; i < size; i++) {
		if (text[i] != word[i - quotes])
			return false;
		if (i - quotes == sizeof(word) - 2) {
			*is_from = true;
			return false;
		}
	}
	return size < LINE_BEGIN - 1;
}

static void release_begin(struct mbox_state *state, bool is_from)
{
	if (is_from)
		fputc('>', state->file);
	fwrite(state->begin, 1, state->begin_size, state->file);
	state->begin_size = 0;
	state->at_line_start = false;
}

static void put_byte(struct mbox_state *state, char byte)
{
	bool is_from;

	if (byte == '\n') {
		release_begin(state, false);
		fputc('\n', state->file);
		state->at_line_start = true;
		return;
	}
	if (!state->at_line_start) {
		fputc(byte, state->file);
		return;
	}
	state->begin[state->begin_size++] = byte;
	if (!is_undecided(state->begin, state->begin_size, &is_from))
		release_begin(state, is_from);
}

static enum pn_status mbox_bytes(void *pointer, struct pn_slice bytes, struct pn_error *error)
{
	struct mbox_state *state = pointer;

	for (size_t i = 0; i < bytes.size; i++) {
		char byte = bytes.data[i];

		if (state->held_cr && byte != '\n')
			put_byte(state, '\r');
		state->held_cr = byte == '\r';
		if (state->header_left > 0) {
			/* The header as it is: its lines are no From_ lines. */
			state->header_left--;
			state->at_line_start = state->header_left == 0 && byte == '\n';
			if (!state->held_cr)
				fputc(byte, state->file);
			continue;
		}
		if (!state->held_cr)
			put_byte(state, byte);
	}
	return ferror(state->file) ? cannot(state, error) : PN_OK;
}

static enum pn_status mbox_end_message(void *pointer, bool is_damaged, struct pn_error *error)
{
	struct mbox_state *state = pointer;

	if (state->held_cr)
		put_byte(state, '\r');
	if (state->begin_size > 0)
		release_begin(state, false);
	if (!state->at_line_start)
		fputc('\n', state->file);
	fputc('\n', state->file);
	if (is_damaged && (fflush(state->file) != 0 || fseek(state->file, state->start, SEEK_SET) ||
	                   ftruncate(fileno(state->file), state->start) != 0))
		return cannot(state, error);
	return ferror(state->file) ? cannot(state, error) : PN_OK;
}

static enum pn_status mbox_end(void *pointer, struct pn_error *error)
{
	struct mbox_state *state = pointer;

	return fclose(state->file) != 0 ? cannot(state, error) : PN_OK;
}

const struct pn_export_writer pn_export_mbox = {
	.begin = mbox_begin,
	.begin_message = mbox_begin_message,
	.bytes = mbox_bytes,
	.end_message = mbox_end_message,
	.end = mbox_end,
	.state_size = sizeof(struct mbox_state),
};
