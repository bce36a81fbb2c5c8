/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Export as Maildir++: INBOX is the account's directory, other mailboxes are
 * ".Level.Name" in it. Names are made safe for a file system; dates become file
 * times, flags become the letters of Maildir.
 */
#include "process/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE_SIZE = 256 * 1024, ROWS_AT_ONCE = 1000, ACCOUNTS_AT_ONCE = 100, PATH_SIZE = 3000 };

struct exporting {
	const struct pn_store *store;
	void *state;
	const char *directory;
	struct pn_error *error;
	uint64_t messages;
	uint64_t damaged;
};

static enum pn_status make_directory(const char *path, struct pn_error *error)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return pn_fail_errno(error, errno, "cannot make %s", path);
	return PN_OK;
}

/* Bytes that mean something to a file system or to Maildir++ become %XX. */
static void append_safe(char *room, size_t room_size, struct pn_slice name, bool has_levels)
{
	size_t size = strlen(room);

	for (size_t i = 0; i < name.size && size + 4 < room_size; i++) {
		unsigned char byte = (unsigned char)name.data[i];

		if (has_levels && byte == '/')
			room[size++] = '.';
		else if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '%' ||
		         (byte == '.' && (has_levels || i == 0)))
			size += (size_t)snprintf(room + size, room_size - size, "%%%02X", byte);
		else
			room[size++] = (char)byte;
	}
	room[size] = '\0';
}

static enum pn_status write_body(struct exporting *exporting, struct pn_slice account,
                                 const struct pn_row *row, int descriptor, const char *path)
{
	struct pn_body_request request = {.struct_size = sizeof(request),
	                                  .account = account,
	                                  .body = row->body,
	                                  .max_size = PIECE_SIZE};
	enum pn_status status = PN_OK;

	while (status == PN_OK && request.offset < row->size) {
		struct pn_store_call call = {.struct_size = sizeof(call), .arena = pn_arena_new()};
		struct pn_body_piece piece = {.struct_size = sizeof(piece)};

		status = exporting->store->body_read(exporting->state, &call, &request, &piece);
		if (status == PN_OK && piece.bytes.size == 0)
			status = pn_fail(&call.error, "the body is shorter than its row says");
		if (status == PN_OK && write(descriptor, piece.bytes.data, piece.bytes.size) !=
		                               (ssize_t)piece.bytes.size)
			status = pn_fail_errno(&call.error, errno, "cannot write %s", path);
		request.offset += piece.bytes.size;
		if (status != PN_OK)
			*exporting->error = call.error;
		pn_arena_free(&call.arena);
	}
	return status;
}

static void flag_letters(uint32_t flags, char *room)
{
	/* In the order that Maildir wants: alphabetical. */
	if (flags & PN_FLAG_DRAFT)
		*room++ = 'D';
	if (flags & PN_FLAG_FLAGGED)
		*room++ = 'F';
	if (flags & PN_FLAG_ANSWERED)
		*room++ = 'R';
	if (flags & PN_FLAG_SEEN)
		*room++ = 'S';
	if (flags & PN_FLAG_DELETED)
		*room++ = 'T';
	*room = '\0';
}

static enum pn_status export_row(struct exporting *exporting, struct pn_slice account,
                                 const char *directory, const struct pn_row *row)
{
	char path[PATH_SIZE + 200];
	char letters[8];
	struct timespec times[2];
	enum pn_status status;
	int descriptor;

	flag_letters(row->flags.system, letters);
	snprintf(path, sizeof(path), "%s/cur/%lld.U%u.postern,S=%llu:2,%s", directory,
	         (long long)(row->internal_date_ms / 1000), row->uid, (unsigned long long)row->size,
	         letters);
	descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (descriptor < 0)
		return pn_fail_errno(exporting->error, errno, "cannot write %s", path);
	status = write_body(exporting, account, row, descriptor, path);
	times[0].tv_sec = times[1].tv_sec = (time_t)(row->internal_date_ms / 1000);
	times[0].tv_nsec = times[1].tv_nsec = 0;
	futimens(descriptor, times);
	if (close(descriptor) != 0 && status == PN_OK)
		status = pn_fail_errno(exporting->error, errno, "cannot write %s", path);
	exporting->messages++;
	if (status == PN_OK || exporting->error->system_error != 0)
		return status;
	/* A damaged body must not keep the others from being exported. */
	unlink(path);
	exporting->messages--;
	exporting->damaged++;
	printf("DAMAGE: %.*s, UID %u: %s\n", PN_SLICE_ARGS(account), row->uid,
	       exporting->error->text);
	return PN_OK;
}

static enum pn_status export_mailbox(struct exporting *exporting, struct pn_slice account,
                                     const char *account_directory,
                                     const struct pn_mailbox_info *mailbox)
{
	char path[PATH_SIZE + 8];
	char directory[PATH_SIZE];
	const struct pn_uid_range everything = {1, UINT32_MAX};
	struct pn_uid_range rest = everything;
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = account,
	                                  .mailbox = mailbox->id,
	                                  .uids = {&rest, 1},
	                                  .fields = PN_ROW_FLAGS | PN_ROW_DATES | PN_ROW_SIZES |
	                                            PN_ROW_BODY_ID,
	                                  .max_rows = ROWS_AT_ONCE};
	static const char *const parts[] = {"", "/cur", "/new", "/tmp"};
	enum pn_status status = PN_OK;

	snprintf(directory, sizeof(directory), "%s", account_directory);
	if (mailbox->name.size != 5 || memcmp(mailbox->name.data, "INBOX", 5) != 0) {
		strcat(directory, "/.");
		append_safe(directory, sizeof(directory), mailbox->name, true);
	}
	for (size_t i = 0; status == PN_OK && i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", directory, parts[i]);
		status = make_directory(path, exporting->error);
	}
	while (status == PN_OK && rest.first != 0) {
		struct pn_store_call call = {.struct_size = sizeof(call), .arena = pn_arena_new()};
		struct pn_rows rows = {.struct_size = sizeof(rows)};

		status = exporting->store->rows(exporting->state, &call, &request, &rows);
		if (status != PN_OK)
			*exporting->error = call.error;
		for (size_t i = 0; status == PN_OK && i < rows.count; i++)
			status = export_row(exporting, account, directory, &rows.rows[i]);
		rest.first = rows.next_uid;
		pn_arena_free(&call.arena);
	}
	return status;
}

static enum pn_status export_account(struct exporting *exporting, struct pn_slice account)
{
	struct pn_store_call call = {.struct_size = sizeof(call), .arena = pn_arena_new()};
	const struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                             .account = account};
	struct pn_mailboxes mailboxes = {.struct_size = sizeof(mailboxes)};
	char directory[PATH_SIZE];
	enum pn_status status =
		exporting->store->mailboxes(exporting->state, &call, &request, &mailboxes);

	if (status != PN_OK)
		*exporting->error = call.error;
	snprintf(directory, sizeof(directory), "%s/", exporting->directory);
	append_safe(directory, sizeof(directory), account, false);
	if (status == PN_OK)
		status = make_directory(directory, exporting->error);
	for (size_t i = 0; status == PN_OK && i < mailboxes.count; i++) {
		if (mailboxes.mailboxes[i].id != 0)
			status = export_mailbox(exporting, account, directory,
			                        &mailboxes.mailboxes[i]);
	}
	pn_arena_free(&call.arena);
	return status;
}

enum pn_status pn_export_maildir(const struct pn_store *store, void *state, const char *directory,
                                 struct pn_error *error)
{
	struct exporting exporting = {
		.store = store, .state = state, .directory = directory, .error = error};
	struct pn_arena *names = pn_arena_new();
	struct pn_accounts_request request = {.struct_size = sizeof(request),
	                                      .max_accounts = ACCOUNTS_AT_ONCE};
	bool is_complete = false;
	enum pn_status status = make_directory(directory, error);

	while (status == PN_OK && !is_complete) {
		struct pn_store_call call = {.struct_size = sizeof(call), .arena = pn_arena_new()};
		struct pn_accounts accounts = {.struct_size = sizeof(accounts)};

		status = store->accounts(state, &call, &request, &accounts);
		if (status != PN_OK)
			*error = call.error;
		for (size_t i = 0; status == PN_OK && i < accounts.count; i++) {
			status = export_account(&exporting, accounts.accounts[i].name);
			request.after = pn_arena_keep(names, accounts.accounts[i].name);
		}
		is_complete = accounts.is_complete || accounts.count == 0;
		pn_arena_free(&call.arena);
	}
	pn_arena_free(&names);
	printf("%llu messages were exported to %s\n", (unsigned long long)exporting.messages,
	       directory);
	if (status == PN_OK && exporting.damaged > 0)
		return pn_fail(error, "%llu messages are damaged and were left out",
		               (unsigned long long)exporting.damaged);
	return status;
}
