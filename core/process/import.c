/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of imports: see import.h. */
#include "process/import.h"

#include <postern/clock.h>
#include <postern/mime.h>
#include <postern/text.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BATCH_MESSAGES = 200,
	BATCH_BYTES = 4 * 1024 * 1024,
	IN_MEMORY = 1024 * 1024, /* a larger message goes to the store as it is read */
	PIECE_SIZE = 256 * 1024,
	PROGRESS_MS = 2000,
};

/* A message on its way. */
struct item {
	struct pn_import_key key;
	char once_key[64];
	struct pn_slice name; /* its key in the source, for complaints */
	uint32_t uid;
	struct pn_flags flags;
	int64_t internal_date_ms;
	struct pn_buffer bytes;
	struct pn_body_writer *writer;
	uint64_t size;
	uint32_t header_size;
	struct pn_slice summary;
};

struct import {
	struct pn_tool *tool;
	const struct pn_import_request *request;
	struct pn_import_result *result;
	struct pn_import_journal *journal;
	struct pn_error *error;
	int64_t salt; /* of --again; or 0 */

	/* The mailbox at hand. */
	struct pn_arena *mailbox_arena;
	struct pn_source_mailbox mailbox;
	struct pn_slice target; /* its name here */
	bool keeps_uids;
	bool is_past_uids; /* messages without UIDs of their own are coming */
	uint32_t last_uid;
	uint64_t seen; /* messages of it */
	uint64_t imported;
	uint64_t were_there;
	uint64_t failed;

	/* The messages that will be committed together. */
	struct pn_arena *batch_arena;
	struct item items[BATCH_MESSAGES];
	size_t item_count;
	uint64_t batch_bytes;
	uint64_t told_ms;
	bool ends_with_cr; /* the bytes that were read so far */
	enum { LINES_UNKNOWN = 0, LINES_UNIX, LINES_CRLF } lines; /* of the message at hand */
};

/* ---- telling ---- */

static void tell_progress(struct import *import, bool is_end)
{
	uint64_t now = pn_clock_monotonic_ms();

	if (!is_end && now - import->told_ms < PROGRESS_MS)
		return;
	import->told_ms = now;
	fprintf(stderr, "import: %.*s: %" PRIu64, PN_SLICE_ARGS(import->target), import->seen);
	if (import->mailbox.message_count > 0)
		fprintf(stderr, " of %" PRIu64, import->mailbox.message_count);
	fprintf(stderr, " messages%s, %.1f MB imported\n", is_end ? ", done" : "",
	        (double)import->result->bytes / 1e6);
}

static void complain(struct import *import, struct pn_slice name, const char *why)
{
	import->failed++;
	fprintf(stderr, "import: %.*s: message %.*s was left out: %s\n",
	        PN_SLICE_ARGS(import->target), PN_SLICE_ARGS(name), why);
}

/* ---- a group of messages ---- */

static void forget_items(struct import *import)
{
	const struct pn_account *account = import->request->account;

	for (size_t i = 0; i < import->item_count; i++) {
		pn_buffer_clear(&import->items[i].bytes);
		if (import->items[i].writer != NULL)
			account->entries->body_discard(account->state, import->items[i].writer);
	}
	import->item_count = 0;
	import->batch_bytes = 0;
	pn_arena_reset(import->batch_arena);
}

static void drop_item(struct import *import, size_t index)
{
	const struct pn_account *account = import->request->account;
	struct item *item = &import->items[index];

	pn_buffer_clear(&item->bytes);
	if (item->writer != NULL)
		account->entries->body_discard(account->state, item->writer);
	import->item_count--;
	memmove(item, item + 1, (import->item_count - index) * sizeof(*item));
}

static struct pn_commit *make_commit(struct import *import)
{
	struct pn_commit *commit = pn_commit_new(import->item_count, import->item_count);

	for (size_t i = 0; i < import->item_count; i++) {
		struct item *item = &import->items[i];
		struct pn_body_source *body = &commit->bodies[commit->body_count++];
		struct pn_mutation *append = pn_commit_add(commit, PN_MUTATION_APPEND);
		struct pn_slice *piece = PN_ARENA_NEW(commit->arena, struct pn_slice);

		*piece = pn_buffer_slice(&item->bytes);
		body->pieces = piece;
		body->piece_count = piece->size > 0 ? 1 : 0;
		body->writer = item->writer;
		body->header_size = item->header_size;
		body->summary = item->summary;
		append->account = import->request->account->name;
		append->name = import->target;
		append->create_missing = true;
		append->body = (struct pn_body_reference){.is_new = true, .index = i};
		append->flags = item->flags;
		append->internal_date_ms = item->internal_date_ms;
		append->max_account_bytes = UINT64_MAX; /* what an operator moves is not refused */
		append->once_key = pn_slice_of(item->once_key);
		append->uid = import->keeps_uids ? item->uid : 0;
	}
	return commit;
}

static enum pn_status write_down(struct import *import, const struct pn_commit *commit)
{
	struct pn_import_key keys[BATCH_MESSAGES];

	for (size_t i = 0; i < import->item_count; i++) {
		keys[i] = import->items[i].key;
		import->items[i].writer = NULL; /* the store's now */
		if (commit->results[i].was_there) {
			import->were_there++;
			continue;
		}
		import->imported++;
		import->result->bytes += import->items[i].size;
	}
	return pn_import_journal_add(import->journal, keys, import->item_count, import->error);
}

static void give_up_uids(struct import *import, const char *why)
{
	import->keeps_uids = false;
	fprintf(stderr, "import: %.*s: messages get new UIDs: %s\n", PN_SLICE_ARGS(import->target),
	        why);
}

/* One message kept the others from being taken: it goes without what it cannot have, or is left
 * out. */
static void judge_item(struct import *import, size_t index, enum pn_status status, const char *why)
{
	struct item *item = &import->items[index];

	if (status == PN_CONFLICT && import->keeps_uids && item->uid != 0) {
		give_up_uids(import, why);
		return;
	}
	if (status == PN_LIMIT && item->flags.keyword_count > 0) {
		fprintf(stderr, "import: %.*s: message %.*s goes without its keywords: %s\n",
		        PN_SLICE_ARGS(import->target), PN_SLICE_ARGS(item->name), why);
		item->flags.keyword_count = 0;
		return;
	}
	complain(import, item->name, why);
	drop_item(import, index);
}

static enum pn_status flush(struct import *import)
{
	enum pn_status status = PN_OK;

	while (import->item_count > 0) {
		struct pn_commit *commit = make_commit(import);
		struct pn_tool_answer answer;
		size_t failed_index;

		status = pn_tool_commit(import->tool, import->request->account, commit, &answer);
		for (size_t i = 0; i < import->item_count && status != PN_OK; i++) {
			import->items[i].writer =
				answer.result == NULL ? NULL : commit->bodies[i].writer;
			if (answer.result != NULL)
				commit->bodies[i].writer = NULL;
		}
		failed_index = answer.result == NULL ? 0 : commit->failed_index;
		if (status == PN_OK)
			status = write_down(import, commit);
		else if (status != PN_LIMIT && status != PN_CONFLICT && status != PN_NOT_FOUND)
			*import->error = answer.error;
		pn_tool_release(&answer);
		if (status == PN_OK ||
		    (status != PN_LIMIT && status != PN_CONFLICT && status != PN_NOT_FOUND))
			break;
		judge_item(import, failed_index < import->item_count ? failed_index : 0, status,
		           answer.error.text);
		status = PN_OK;
	}
	forget_items(import);
	tell_progress(import, false);
	return status;
}

/* ---- a message ---- */

/* Lines that end with LF alone end with CRLF; but a message whose first line ends with CRLF is left
 * as it is. */
static void put_lines(struct import *import, struct pn_slice bytes, struct pn_buffer *out)
{
	size_t first = pn_slice_find(bytes, '\n');

	if (import->lines == LINES_UNKNOWN && first < bytes.size)
		import->lines = (first > 0 ? bytes.data[first - 1] == '\r' : import->ends_with_cr)
		                        ? LINES_CRLF
		                        : LINES_UNIX;
	if (import->lines == LINES_CRLF) {
		(void)!pn_buffer_append(out, bytes);
		return;
	}
	while (bytes.size > 0) {
		size_t line = pn_slice_find(bytes, '\n');
		bool is_bare = line < bytes.size &&
		               !(line > 0 ? bytes.data[line - 1] == '\r' : import->ends_with_cr);

		(void)!pn_buffer_append(out, pn_slice_make(bytes.data, line));
		if (line == bytes.size)
			break;
		(void)!pn_buffer_append(out, is_bare ? PN_SLICE("\r\n") : PN_SLICE("\n"));
		import->ends_with_cr = false;
		bytes = pn_slice_behind(bytes, line + 1);
	}
	if (bytes.size > 0)
		import->ends_with_cr = bytes.data[bytes.size - 1] == '\r';
}

/* Some bytes of a message: they stay in memory, or everything so far goes to the store. */
static enum pn_status take_piece(struct import *import, struct item *item, struct pn_slice piece,
                                 bool is_last)
{
	enum pn_status status = PN_OK;

	item->size += piece.size;
	(void)!pn_buffer_append(&item->bytes, piece);
	if (item->bytes.size >= IN_MEMORY ||
	    (is_last && item->writer != NULL && item->bytes.size > 0)) {
		status = pn_tool_write(import->request->account, &item->writer,
		                       pn_buffer_slice(&item->bytes), import->error);
		item->bytes.size = 0;
	}
	return status;
}

/* PN_OK; PN_DENIED: the source cannot give it; PN_FAILED: the end. */
static enum pn_status read_body(struct import *import, struct item *item,
                                struct pn_mime_parser *parser)
{
	const struct pn_source *source = import->request->source;
	struct pn_buffer raw, lines;
	bool is_last = false;
	enum pn_status status = PN_OK;

	pn_buffer_init(&raw, PIECE_SIZE);
	pn_buffer_init(&lines, (size_t)2 * PIECE_SIZE);
	import->ends_with_cr = false;
	import->lines = LINES_UNKNOWN;
	while (status == PN_OK && !is_last) {
		struct pn_buffer *piece = &raw;

		raw.size = 0;
		lines.size = 0;
		status = source->read(import->request->handle, &raw, &is_last, import->error);
		if (status != PN_OK)
			break;
		if (source->has_unix_lines) {
			put_lines(import, pn_buffer_slice(&raw), &lines);
			piece = &lines;
		}
		pn_mime_feed(parser, pn_buffer_slice(piece));
		status = take_piece(import, item, pn_buffer_slice(piece), is_last);
	}
	pn_buffer_clear(&raw);
	pn_buffer_clear(&lines);
	return status;
}

static void summarize(struct import *import, struct item *item, struct pn_mime_parser *parser)
{
	struct pn_buffer summary;
	uint64_t header_size;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	if (pn_mime_finish(parser, &summary) == PN_OK)
		item->summary = pn_arena_keep(import->batch_arena, pn_buffer_slice(&summary));
	pn_buffer_clear(&summary);
	header_size = pn_mime_header_size(parser);
	item->header_size = header_size < UINT32_MAX ? (uint32_t)header_size : UINT32_MAX;
}

static struct pn_flags keep_flags(struct pn_arena *arena, const struct pn_flags *flags)
{
	struct pn_slice *keywords = PN_ARENA_ARRAY(arena, flags->keyword_count, struct pn_slice);

	for (size_t i = 0; i < flags->keyword_count; i++)
		keywords[i] = pn_arena_keep(arena, flags->keywords[i]);
	return (struct pn_flags){flags->system, keywords, flags->keyword_count};
}

/* Ascending ones are kept; the first message without one comes behind all that the source ever
 * gave. */
static uint32_t choose_uid(struct import *import, const struct pn_source_message *message)
{
	uint32_t uid = message->uid;

	if (uid == 0 && !import->is_past_uids) {
		uid = import->mailbox.uid_next;
		import->is_past_uids = true;
	}
	if (uid <= import->last_uid)
		return 0;
	import->last_uid = uid;
	return uid;
}

static enum pn_status take_message(struct import *import, const struct pn_source_message *message,
                                   struct pn_import_key key)
{
	struct item *item = &import->items[import->item_count];
	struct pn_mime_parser *parser = pn_mime_new();
	enum pn_status status;

	memset(item, 0, sizeof(*item));
	pn_buffer_init(&item->bytes, (size_t)IN_MEMORY + (size_t)2 * PIECE_SIZE);
	item->key = key;
	snprintf(item->once_key, sizeof(item->once_key),
	         "import:%016" PRIx64 "%016" PRIx64 ":%" PRIx64, key.halves[0], key.halves[1],
	         (uint64_t)import->salt);
	item->name = pn_arena_keep(import->batch_arena, message->key);
	item->uid = choose_uid(import, message);
	item->flags = keep_flags(import->batch_arena, &message->flags);
	item->internal_date_ms = message->internal_date_ms;
	import->item_count++;
	status = read_body(import, item, parser);
	if (status == PN_OK) {
		summarize(import, item, parser);
		import->batch_bytes += item->bytes.size;
	} else if (status == PN_DENIED) {
		complain(import, item->name, import->error->text);
		drop_item(import, import->item_count - 1);
		status = PN_OK;
	}
	pn_mime_free(&parser);
	if (status == PN_OK &&
	    (import->item_count == BATCH_MESSAGES || import->batch_bytes >= BATCH_BYTES ||
	     (import->item_count > 0 && item->writer != NULL)))
		status = flush(import);
	return status;
}

static enum pn_status import_messages(struct import *import)
{
	const struct pn_source *source = import->request->source;
	struct pn_arena *arena = pn_arena_new();
	enum pn_status status = PN_OK;

	while (status == PN_OK) {
		struct pn_source_message message = {.struct_size = sizeof(message)};
		struct pn_slice parts[4];
		struct pn_import_key key;

		pn_arena_reset(arena);
		status = source->next_message(import->request->handle, arena, &message,
		                              import->error);
		if (status == PN_DENIED) {
			complain(import, message.key, import->error->text);
			status = PN_OK;
			continue;
		}
		if (status != PN_OK)
			break;
		import->seen++;
		parts[0] = pn_slice_of(source->name);
		parts[1] = import->mailbox.name;
		parts[2] = import->target;
		parts[3] = message.key;
		key = pn_import_key_of(parts, sizeof(parts) / sizeof(parts[0]));
		if (import->salt == 0 && pn_import_journal_has(import->journal, key)) {
			import->were_there++;
			tell_progress(import, false);
			continue;
		}
		status = take_message(import, &message, key);
	}
	pn_arena_free(&arena);
	if (status == PN_NOT_FOUND)
		status = flush(import);
	else
		forget_items(import);
	return status;
}

/* ---- mailboxes ---- */

static struct pn_slice target_of(struct import *import)
{
	const char *root = import->request->mailbox;
	struct pn_slice name = import->mailbox.name;
	bool is_inbox = pn_slice_equal_ignore_case(name, PN_SLICE("INBOX"));

	if (root == NULL)
		return is_inbox ? PN_SLICE("INBOX") : name;
	if (is_inbox)
		return pn_slice_of(root);
	return pn_slice_of(
		pn_arena_print(import->mailbox_arena, "%s/%.*s", root, PN_SLICE_ARGS(name)));
}

/* One mutation; what is there already is fine. */
static enum pn_status change(struct import *import, const struct pn_mutation *mutation)
{
	struct pn_commit *commit = pn_commit_new(0, 1);
	struct pn_mutation *added = pn_commit_add(commit, mutation->kind);
	struct pn_tool_answer answer;
	enum pn_status status;

	*added = *mutation;
	added->account = import->request->account->name;
	status = pn_tool_commit(import->tool, import->request->account, commit, &answer);
	if (status != PN_OK)
		*import->error = answer.error;
	pn_tool_release(&answer);
	return status;
}

static enum pn_status make_mailbox(struct import *import)
{
	const uint32_t special = 0xffff & import->mailbox.attributes;
	struct pn_mailbox_info mailbox;
	enum pn_status status = pn_tool_mailbox(import->request->account, import->target, &mailbox,
	                                        import->mailbox_arena, import->error);

	if (status == PN_NOT_FOUND) {
		status = change(import, &(struct pn_mutation){.kind = PN_MUTATION_ACCOUNT_CREATE});
		if (status == PN_OK && !pn_slice_equal(import->target, PN_SLICE("INBOX")))
			status = change(import,
			                &(struct pn_mutation){.kind = PN_MUTATION_MAILBOX_CREATE,
			                                      .name = import->target,
			                                      .attributes = special});
		/* Another mailbox may have that special use here. */
		if (status == PN_CONFLICT && special != 0)
			status = change(import,
			                &(struct pn_mutation){.kind = PN_MUTATION_MAILBOX_CREATE,
			                                      .name = import->target});
	}
	if (status == PN_OK && (import->mailbox.attributes & PN_MAILBOX_SUBSCRIBED) != 0)
		status = change(import, &(struct pn_mutation){.kind = PN_MUTATION_SUBSCRIBE,
		                                              .name = import->target,
		                                              .on = true});
	return status;
}

/* Those who have read this mail elsewhere find it under the same UIDs, where this mailbox is new.
 */
static enum pn_status take_over_uids(struct import *import)
{
	enum pn_status status;

	import->last_uid = 0;
	import->is_past_uids = false;
	import->keeps_uids = import->mailbox.uid_validity != 0;
	if (!import->keeps_uids)
		return PN_OK;
	status =
		change(import, &(struct pn_mutation){.kind = PN_MUTATION_UIDS,
	                                             .name = import->target,
	                                             .uid_validity = import->mailbox.uid_validity});
	if (status == PN_CONFLICT) {
		give_up_uids(import, import->error->text);
		return PN_OK;
	}
	return status;
}

static enum pn_status import_mailbox(struct import *import)
{
	struct pn_import_result *result = import->result;
	enum pn_status status;

	import->target = target_of(import);
	import->seen = import->imported = import->were_there = import->failed = 0;
	import->told_ms = pn_clock_monotonic_ms();
	status = make_mailbox(import);
	if (status != PN_OK) {
		/* A name that cannot be here: its messages are not lost from sight. */
		if (status == PN_FAILED)
			return status;
		fprintf(stderr, "import: the mailbox \"%.*s\" was left out: %s\n",
		        PN_SLICE_ARGS(import->target), import->error->text);
		result->failed++;
		return PN_OK;
	}
	status = take_over_uids(import);
	if (status == PN_OK)
		status = import_messages(import);
	if (status == PN_OK && import->keeps_uids && import->mailbox.uid_next != 0)
		status = change(import, &(struct pn_mutation){.kind = PN_MUTATION_UIDS,
		                                              .name = import->target,
		                                              .uid = import->mailbox.uid_next});
	tell_progress(import, true);
	printf("%.*s: %" PRIu64 " imported, %" PRIu64 " were there, %" PRIu64 " failed\n",
	       PN_SLICE_ARGS(import->target), import->imported, import->were_there, import->failed);
	fflush(stdout);
	result->imported += import->imported;
	result->were_there += import->were_there;
	result->failed += import->failed;
	result->mailboxes++;
	return status;
}

enum pn_status pn_import(struct pn_tool *tool, const struct pn_import_request *request,
                         struct pn_import_result *result_out, struct pn_error *error)
{
	struct import *import = calloc(1, sizeof(*import));
	enum pn_status status;

	if (import == NULL)
		abort();
	memset(result_out, 0, sizeof(*result_out));
	import->tool = tool;
	import->request = request;
	import->result = result_out;
	import->error = error;
	import->salt = request->again ? pn_clock_wall_ms() : 0;
	import->mailbox_arena = pn_arena_new();
	import->batch_arena = pn_arena_new();
	status = pn_import_journal_open(tool->assembly->config->settings.data_directory,
	                                request->account->name, &import->journal, error);
	while (status == PN_OK) {
		pn_arena_reset(import->mailbox_arena);
		memset(&import->mailbox, 0, sizeof(import->mailbox));
		import->mailbox.struct_size = sizeof(import->mailbox);
		status = request->source->next_mailbox(request->handle, import->mailbox_arena,
		                                       &import->mailbox, error);
		if (status == PN_OK)
			status = import_mailbox(import);
	}
	pn_import_journal_close(&import->journal);
	pn_arena_free(&import->mailbox_arena);
	pn_arena_free(&import->batch_arena);
	free(import);
	return status == PN_NOT_FOUND ? PN_OK : PN_FAILED;
}
