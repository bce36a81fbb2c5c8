/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mailbox as a Maildir: flags in the names of the files, keywords as letters that
 * dovecot-keywords explains, UIDs in dovecot-uidlist, dates as file times. Bytes are
 * those of the message, CRLF line ends included.
 */
#include "process/export.h"

#include <postern/text.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LETTERS = 26, PATH_SIZE = 6000, HOST_SIZE = 100 };

struct maildir_state {
	char path[PATH_SIZE];
	char host[HOST_SIZE];
	FILE *uids;
	FILE *more_keywords;
	char keywords[PN_KEYWORDS_PER_MAILBOX][PN_KEYWORD_MAX + 1];
	size_t keyword_count;

	/* The message at hand. */
	char file[PATH_SIZE + 400];
	int descriptor;
	int64_t date_ms;
	struct pn_row row; /* numbers only */
	char base[300];
};

static enum pn_status make(const char *path, struct pn_error *error)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return pn_fail_errno(error, errno, "cannot make %s", path);
	return PN_OK;
}

static enum pn_status maildir_begin(void *pointer, const char *path,
                                    const struct pn_mailbox_info *mailbox, const char *hostname,
                                    struct pn_error *error)
{
	static const char *const parts[] = {"", "/cur", "/new", "/tmp"};
	struct maildir_state *state = pointer;
	char part[PATH_SIZE + 20];

	snprintf(state->path, sizeof(state->path), "%s", path);
	snprintf(state->host, sizeof(state->host), "%s", hostname);
	for (char *byte = state->host; *byte != '\0'; byte++)
		*byte = *byte == '/' || *byte == ':' || *byte == ',' ? '_' : *byte;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(part, sizeof(part), "%s%s", path, parts[i]);
		if (make(part, error) != PN_OK)
			return PN_FAILED;
	}
	snprintf(part, sizeof(part), "%s/dovecot-uidlist", path);
	state->uids = fopen(part, "we");
	if (state->uids == NULL)
		return pn_fail_errno(error, errno, "cannot write %s", part);
	fprintf(state->uids, "3 V%u N%u\n", mailbox->uid_validity, mailbox->uid_next);
	return PN_OK;
}

/* The index of the word, entered where it is new. */
static size_t keyword_index(struct maildir_state *state, struct pn_slice word)
{
	size_t index = 0;

	while (index < state->keyword_count &&
	       !pn_slice_equal_ignore_case(pn_slice_of(state->keywords[index]), word))
		index++;
	if (index == state->keyword_count && index < PN_KEYWORDS_PER_MAILBOX) {
		snprintf(state->keywords[index], sizeof(state->keywords[index]), "%.*s",
		         PN_SLICE_ARGS(word));
		state->keyword_count++;
	}
	return index;
}

/* In the order that Maildir wants: alphabetical, capitals first. */
static void flag_letters(struct maildir_state *state, const struct pn_flags *flags, char *room)
{
	bool has_letter[LETTERS] = {false};
	bool has_more = false;

	for (size_t i = 0; i < flags->keyword_count; i++) {
		size_t index = keyword_index(state, flags->keywords[i]);

		if (index < LETTERS)
			has_letter[index] = true;
		else
			has_more = true;
	}
	if (flags->system & PN_FLAG_DRAFT)
		*room++ = 'D';
	if (flags->system & PN_FLAG_FLAGGED)
		*room++ = 'F';
	if (flags->system & PN_FLAG_ANSWERED)
		*room++ = 'R';
	if (flags->system & PN_FLAG_SEEN)
		*room++ = 'S';
	if (flags->system & PN_FLAG_DELETED)
		*room++ = 'T';
	for (size_t i = 0; i < LETTERS; i++) {
		if (has_letter[i])
			*room++ = (char)('a' + i);
	}
	*room = '\0';
	if (!has_more)
		return;
	if (state->more_keywords == NULL) {
		char path[PATH_SIZE + 40];

		snprintf(path, sizeof(path), "%s/%s", state->path, PN_EXPORT_KEYWORDS);
		state->more_keywords = fopen(path, "we");
	}
	if (state->more_keywords == NULL)
		return;
	fprintf(state->more_keywords, "%u", state->row.uid);
	for (size_t i = 0; i < flags->keyword_count; i++) {
		if (keyword_index(state, flags->keywords[i]) >= LETTERS)
			fprintf(state->more_keywords, " %.*s", PN_SLICE_ARGS(flags->keywords[i]));
	}
	fputc('\n', state->more_keywords);
}

static enum pn_status maildir_begin_message(void *pointer, const struct pn_row *row,
                                            struct pn_error *error)
{
	struct maildir_state *state = pointer;
	char letters[40];
	char id[2 * PN_BODY_ID_SIZE + 1];

	for (size_t i = 0; i < PN_BODY_ID_SIZE; i++)
		snprintf(id + 2 * i, 3, "%02x", row->body.bytes[i]);
	state->row.uid = row->uid;
	state->date_ms = row->internal_date_ms;
	flag_letters(state, &row->flags, letters);
	/* Unique wherever it is copied to: the body, and the UID of this copy of it. */
	snprintf(state->base, sizeof(state->base), "%lld.%sU%u.%s,S=%llu",
	         (long long)(row->internal_date_ms / 1000), id, row->uid, state->host,
	         (unsigned long long)row->size);
	snprintf(state->file, sizeof(state->file), "%s/cur/%s:2,%s", state->path, state->base,
	         letters);
	state->descriptor = open(state->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (state->descriptor < 0)
		return pn_fail_errno(error, errno, "cannot write %s", state->file);
	return PN_OK;
}

static enum pn_status maildir_bytes(void *pointer, struct pn_slice bytes, struct pn_error *error)
{
	struct maildir_state *state = pointer;

	while (bytes.size > 0) {
		ssize_t written = write(state->descriptor, bytes.data, bytes.size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return pn_fail_errno(error, errno, "cannot write %s", state->file);
		bytes = pn_slice_behind(bytes, (size_t)written);
	}
	return PN_OK;
}

static enum pn_status maildir_end_message(void *pointer, bool is_damaged, struct pn_error *error)
{
	struct maildir_state *state = pointer;
	struct timespec times[2] = {
		{.tv_sec = (time_t)(state->date_ms / 1000),
	         .tv_nsec = (state->date_ms % 1000) * 1000000},
	};

	if (times[0].tv_nsec < 0)
		times[0].tv_nsec = 0;
	times[1] = times[0];
	futimens(state->descriptor, times);
	if (close(state->descriptor) != 0)
		return pn_fail_errno(error, errno, "cannot write %s", state->file);
	if (is_damaged)
		unlink(state->file);
	else
		fprintf(state->uids, "%u :%s\n", state->row.uid, state->base);
	return PN_OK;
}

static enum pn_status maildir_end(void *pointer, struct pn_error *error)
{
	struct maildir_state *state = pointer;
	char path[PATH_SIZE + 40];
	FILE *file = NULL;
	bool is_good = fclose(state->uids) == 0;

	if (state->more_keywords != NULL)
		is_good &= fclose(state->more_keywords) == 0;
	snprintf(path, sizeof(path), "%s/dovecot-keywords", state->path);
	if (state->keyword_count > 0)
		file = fopen(path, "we");
	is_good &= state->keyword_count == 0 || file != NULL;
	for (size_t i = 0; file != NULL && i < state->keyword_count && i < LETTERS; i++)
		fprintf(file, "%zu %s\n", i, state->keywords[i]);
	if (file != NULL)
		is_good &= fclose(file) == 0;
	return is_good ? PN_OK
	               : pn_fail_errno(error, errno, "cannot write the lists of %s", state->path);
}

const struct pn_export_writer pn_export_maildir = {
	.begin = maildir_begin,
	.begin_message = maildir_begin_message,
	.bytes = maildir_bytes,
	.end_message = maildir_end_message,
	.end = maildir_end,
	.state_size = sizeof(struct maildir_state),
};
