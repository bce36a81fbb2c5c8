/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is common to all formats of export: which accounts and mailboxes, where each
 * is put, and the bodies, many at once.
 */
#include "process/export.h"

#include <postern/text.h>

#include <postern/mailbox_name.h>
#include "process/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	PIECE_SIZE = 256 * 1024,
	BODIES_SIZE = 4 * 1024 * 1024,
	ROWS_AT_ONCE = 1000,
	ACCOUNTS_AT_ONCE = 100,
	PATH_SIZE = 3000,
	LONGEST_NAME = 240, /* bytes that a file system takes for one name */
};

struct exporting {
	struct pn_tool *tool;
	const struct pn_export_request *request;
	const struct pn_export_writer *writer;
	struct pn_export_result *result;
	struct pn_error *error;
	const struct pn_account *account;
	const struct pn_mailbox_info *mailbox;
	void *state; /* the writer's */
	FILE *table;
};

static enum pn_status make_directory(const char *path, struct pn_error *error)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return pn_fail_errno(error, errno, "cannot make %s", path);
	return PN_OK;
}

/* Bytes that mean something to a file system, or to Maildir++ (the dot), become %XX. */
static void append_safe(struct pn_buffer *out, struct pn_slice name, bool without_dots)
{
	for (size_t i = 0; i < name.size; i++) {
		unsigned char byte = (unsigned char)name.data[i];

		if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '%' ||
		    (byte == '.' && (without_dots || i == 0)))
			(void)!pn_buffer_print(out, "%%%02X", byte);
		else
			(void)!pn_buffer_append(out, pn_slice_make(name.data + i, 1));
	}
}

/* Where the mailbox goes, below the directory of the account: "" or ".Level.Name" for a Maildir,
 * "Level/Name.mbox" for an mbox. Names that no file system takes are replaced by digests. */
static void place_of(const struct exporting *exporting, const struct pn_mailbox_info *mailbox,
                     struct pn_buffer *out)
{
	bool is_maildir = exporting->request->format == PN_EXPORT_MAILDIR;
	struct pn_slice rest = mailbox->name;
	struct pn_buffer level;
	size_t longest = 0;

	if (is_maildir && pn_slice_equal(mailbox->name, PN_SLICE("INBOX")))
		return;
	pn_buffer_init(&level, (size_t)8 * PN_MAILBOX_NAME_MAX);
	while (rest.size > 0) {
		struct pn_slice word = pn_slice_cut(&rest, '/');
		size_t before = out->size;

		level.size = 0;
		if (!is_maildir)
			(void)!pn_buffer_append(&level, word);
		else if (pn_utf7_encode(&level, word) != PN_OK)
			break;
		(void)!pn_buffer_append(out, is_maildir    ? PN_SLICE(".")
		                             : before == 0 ? PN_SLICE("")
		                                           : PN_SLICE("/"));
		append_safe(out, pn_buffer_slice(&level), is_maildir);
		longest = out->size - before > longest ? out->size - before : longest;
	}
	pn_buffer_clear(&level);
	if ((is_maildir && out->size > LONGEST_NAME) || longest > LONGEST_NAME) {
		out->size = 0;
		(void)!pn_buffer_print(
			out, "%smailbox-%016llx", is_maildir ? "." : "",
			(unsigned long long)pn_import_key_of(&mailbox->name, 1).halves[0]);
	}
	if (!is_maildir)
		(void)!pn_buffer_append(out, PN_SLICE(".mbox"));
}

/* ---- messages ---- */

/* A body in pieces: what is too large to come with others. */
static enum pn_status copy_pieces(struct exporting *exporting, const struct pn_row *row,
                                  bool *is_damaged)
{
	struct pn_body_request request = {
		.struct_size = sizeof(request), .body = row->body, .max_size = PIECE_SIZE};
	enum pn_status status = PN_OK;

	while (status == PN_OK && !*is_damaged && request.offset < row->size) {
		struct pn_tool_answer answer;
		const struct pn_body_piece *piece;

		pn_store_body(exporting->account, &request, pn_tool_ticket(&answer));
		status = pn_tool_wait(&answer);
		piece = answer.result;
		*is_damaged = status != PN_OK || piece->bytes.size == 0;
		if (!*is_damaged) {
			status = exporting->writer->bytes(exporting->state, piece->bytes,
			                                  exporting->error);
			request.offset += piece->bytes.size;
		} else {
			status = PN_OK;
		}
		pn_tool_release(&answer);
	}
	return status;
}

static enum pn_status export_row(struct exporting *exporting, const struct pn_row *row,
                                 const struct pn_body_entry *entry)
{
	const struct pn_export_writer *writer = exporting->writer;
	bool is_damaged = entry->status != PN_OK && entry->status != PN_LIMIT;
	enum pn_status status = writer->begin_message(exporting->state, row, exporting->error);

	if (status != PN_OK)
		return status;
	if (entry->status == PN_OK)
		status = writer->bytes(exporting->state, entry->bytes, exporting->error);
	else if (entry->status == PN_LIMIT)
		status = copy_pieces(exporting, row, &is_damaged);
	if (status != PN_OK)
		return status;
	/* A damaged body must not keep the others from being exported. */
	if (is_damaged)
		printf("DAMAGE: %.*s, %.*s, UID %u was left out\n",
		       PN_SLICE_ARGS(exporting->account->name),
		       PN_SLICE_ARGS(exporting->mailbox->name), row->uid);
	exporting->result->damaged += is_damaged ? 1 : 0;
	exporting->result->messages += is_damaged ? 0 : 1;
	return writer->end_message(exporting->state, is_damaged, exporting->error);
}

static enum pn_status export_rows(struct exporting *exporting, const struct pn_rows *rows)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_body_id *bodies = PN_ARENA_ARRAY(arena, rows->count, struct pn_body_id);
	enum pn_status status = PN_OK;
	size_t done = 0;

	for (size_t i = 0; i < rows->count; i++)
		bodies[i] = rows->rows[i].body;
	while (status == PN_OK && done < rows->count) {
		const struct pn_bodies_request request = {.struct_size = sizeof(request),
		                                          .bodies = bodies + done,
		                                          .count = rows->count - done,
		                                          .max_size = BODIES_SIZE};
		struct pn_tool_answer answer;
		const struct pn_bodies *found;

		pn_store_bodies(exporting->account, &request, pn_tool_ticket(&answer));
		status = pn_tool_wait(&answer);
		found = answer.result;
		if (status != PN_OK)
			*exporting->error = answer.error;
		for (size_t i = 0; status == PN_OK && i < found->count; i++)
			status = export_row(exporting, &rows->rows[done + i], &found->entries[i]);
		done += status == PN_OK ? found->count : 0;
		pn_tool_release(&answer);
	}
	pn_arena_free(&arena);
	return status;
}

static enum pn_status export_messages(struct exporting *exporting)
{
	struct pn_uid_range rest = {1, UINT32_MAX};
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .mailbox = exporting->mailbox->id,
	                                  .uids = {&rest, 1},
	                                  .fields = PN_ROW_FLAGS | PN_ROW_DATES | PN_ROW_SIZES |
	                                            PN_ROW_BODY_ID,
	                                  .max_rows = ROWS_AT_ONCE};
	enum pn_status status = PN_OK;

	while (status == PN_OK && rest.first != 0) {
		struct pn_tool_answer answer;

		pn_store_rows(exporting->account, &request, pn_tool_ticket(&answer));
		status = pn_tool_wait(&answer);
		if (status == PN_OK) {
			const struct pn_rows *rows = answer.result;

			status = export_rows(exporting, rows);
			rest.first = rows->next_uid;
		} else {
			*exporting->error = answer.error;
		}
		pn_tool_release(&answer);
	}
	return status;
}

/* ---- mailboxes and accounts ---- */

/* The levels above a file, as directories. */
static enum pn_status make_levels(char *path, size_t base, struct pn_error *error)
{
	enum pn_status status = PN_OK;

	for (size_t i = base + 1; path[i] != '\0' && status == PN_OK; i++) {
		if (path[i] != '/')
			continue;
		path[i] = '\0';
		status = make_directory(path, error);
		path[i] = '/';
	}
	return status;
}

static enum pn_status export_mailbox(struct exporting *exporting, const char *directory,
                                     const struct pn_mailbox_info *mailbox)
{
	const struct pn_export_writer *writer = exporting->writer;
	const char *hostname = exporting->tool->assembly->generation->hostname;
	struct pn_buffer place;
	char path[2 * PATH_SIZE];
	enum pn_status status;

	pn_buffer_init(&place, PATH_SIZE);
	place_of(exporting, mailbox, &place);
	snprintf(path, sizeof(path), place.size == 0 ? "%s%.*s" : "%s/%.*s", directory,
	         PN_SLICE_ARGS(pn_buffer_slice(&place)));
	fprintf(exporting->table, "%.*s\t%.*s\t%u\t%u\n", PN_SLICE_ARGS(pn_buffer_slice(&place)),
	        PN_SLICE_ARGS(mailbox->name), mailbox->uid_validity, mailbox->attributes);
	pn_buffer_clear(&place);
	exporting->mailbox = mailbox;
	exporting->state = calloc(1, writer->state_size);
	if (exporting->state == NULL)
		abort();
	status = make_levels(path, strlen(directory), exporting->error);
	if (status == PN_OK)
		status = writer->begin(exporting->state, path, mailbox, hostname, exporting->error);
	if (status == PN_OK) {
		struct pn_error trouble;
		enum pn_status ended;

		status = export_messages(exporting);
		ended = writer->end(exporting->state, &trouble);
		if (status == PN_OK && ended != PN_OK) {
			*exporting->error = trouble;
			status = ended;
		}
	}
	free(exporting->state);
	exporting->result->mailboxes++;
	return status;
}

static bool is_wanted(const struct exporting *exporting, const struct pn_mailbox_info *mailbox)
{
	const char *wanted = exporting->request->mailbox;

	if (mailbox->id == 0)
		return false;
	return wanted == NULL || pn_slice_equal(mailbox->name, pn_slice_of(wanted)) ||
	       (pn_slice_equal_ignore_case(pn_slice_of(wanted), PN_SLICE("INBOX")) &&
	        pn_slice_equal(mailbox->name, PN_SLICE("INBOX")));
}

/* For Dovecot: a name in a line, levels separated by dots. */
static void write_subscriptions(const char *directory, const struct pn_mailboxes *mailboxes)
{
	char path[2 * PATH_SIZE];
	FILE *file;

	snprintf(path, sizeof(path), "%s/subscriptions", directory);
	file = fopen(path, "we");
	for (size_t i = 0; file != NULL && i < mailboxes->count; i++) {
		struct pn_buffer name;

		if ((mailboxes->mailboxes[i].attributes & PN_MAILBOX_SUBSCRIBED) == 0)
			continue;
		pn_buffer_init(&name, (size_t)8 * PN_MAILBOX_NAME_MAX);
		if (pn_utf7_encode(&name, mailboxes->mailboxes[i].name) == PN_OK) {
			for (size_t at = 0; at < name.size; at++)
				name.data[at] = name.data[at] == '/' ? '.' : name.data[at];
			fprintf(file, "%.*s\n", PN_SLICE_ARGS(pn_buffer_slice(&name)));
		}
		pn_buffer_clear(&name);
	}
	if (file != NULL)
		fclose(file);
}

static enum pn_status export_mailboxes(struct exporting *exporting, const char *directory,
                                       const struct pn_mailboxes *mailboxes)
{
	char path[2 * PATH_SIZE];
	enum pn_status status = PN_OK;
	size_t count = 0;

	if (mkdir(directory, 0700) != 0)
		return pn_fail_errno(exporting->error, errno,
		                     "cannot make %s: name a directory that has no export in it",
		                     directory);
	snprintf(path, sizeof(path), "%s/%s", directory, PN_EXPORT_TABLE);
	exporting->table = fopen(path, "we");
	if (exporting->table == NULL)
		return pn_fail_errno(exporting->error, errno, "cannot write %s", path);
	for (size_t i = 0; i < mailboxes->count && status == PN_OK; i++) {
		if (!is_wanted(exporting, &mailboxes->mailboxes[i]))
			continue;
		status = export_mailbox(exporting, directory, &mailboxes->mailboxes[i]);
		count++;
	}
	if (fclose(exporting->table) != 0 && status == PN_OK)
		status = pn_fail_errno(exporting->error, errno, "cannot write %s", path);
	if (status == PN_OK && exporting->request->format == PN_EXPORT_MAILDIR)
		write_subscriptions(directory, mailboxes);
	if (status == PN_OK && count == 0 && exporting->request->mailbox != NULL)
		return pn_fail_with(PN_NOT_FOUND, exporting->error, "%.*s has no mailbox \"%s\"",
		                    PN_SLICE_ARGS(exporting->account->name),
		                    exporting->request->mailbox);
	exporting->result->accounts++;
	return status;
}

static enum pn_status export_account(struct exporting *exporting, const struct pn_account *account)
{
	const struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	struct pn_buffer directory;
	struct pn_tool_answer answer;
	enum pn_status status;

	exporting->account = account;
	pn_buffer_init(&directory, PATH_SIZE);
	(void)!pn_buffer_print(&directory, "%s/", exporting->request->directory);
	append_safe(&directory, account->name, false);
	(void)!pn_buffer_append(&directory, pn_slice_make("", 1));
	pn_store_mailboxes(account, &request, pn_tool_ticket(&answer));
	status = pn_tool_wait(&answer);
	if (status == PN_OK)
		status = export_mailboxes(exporting, directory.data, answer.result);
	else if (status == PN_NOT_FOUND)
		(void)pn_fail_with(status, exporting->error, "the store %s has no account %.*s",
		                   account->store->name, PN_SLICE_ARGS(account->name));
	else
		*exporting->error = answer.error;
	pn_tool_release(&answer);
	pn_buffer_clear(&directory);
	return status;
}

static enum pn_status export_store(struct exporting *exporting, const struct pn_account *store)
{
	struct pn_accounts_request request = {.struct_size = sizeof(request),
	                                      .max_accounts = ACCOUNTS_AT_ONCE};
	bool is_complete = false;
	enum pn_status status = PN_OK;

	while (status == PN_OK && !is_complete) {
		struct pn_tool_answer answer;
		const struct pn_accounts *accounts;

		pn_store_accounts(store, &request, pn_tool_ticket(&answer));
		status = pn_tool_wait(&answer);
		accounts = answer.result;
		if (status != PN_OK)
			*exporting->error = answer.error;
		for (size_t i = 0; status == PN_OK && i < accounts->count; i++) {
			struct pn_account *account = pn_account_new(
				exporting->tool->arena, accounts->accounts[i].name, store->store);

			request.after = account->name;
			status = export_account(exporting, account);
		}
		is_complete = status == PN_OK && (accounts->is_complete || accounts->count == 0);
		pn_tool_release(&answer);
	}
	return status;
}

enum pn_status pn_export(struct pn_tool *tool, const struct pn_export_request *request,
                         struct pn_export_result *result_out, struct pn_error *error)
{
	struct exporting exporting = {
		.tool = tool,
		.request = request,
		.writer =
			request->format == PN_EXPORT_MAILDIR ? &pn_export_maildir : &pn_export_mbox,
		.result = result_out,
		.error = error,
	};
	const struct pn_account *store;
	enum pn_status status = make_directory(request->directory, error);

	memset(result_out, 0, sizeof(*result_out));
	if (status == PN_OK && request->account != NULL)
		return export_account(&exporting, request->account);
	for (size_t i = 0; status == PN_OK && (store = pn_tool_store(tool, i)) != NULL; i++)
		status = export_store(&exporting, store);
	return status;
}
