/* SPDX-License-Identifier: Apache-2.0 */
/* Short ways to say common things, for the cases. */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/text.h>

static char commit_error[PN_ERROR_TEXT_SIZE];
static size_t failed_index;

struct pn_slice message(const char *words, size_t size)
{
	char *bytes = pn_arena_allocate(harness_arena(), size + 256 + strlen(words) * 2);
	size_t used = (size_t)sprintf(bytes, "Subject: %s\r\n\r\n%s\r\n", words, words);
	uint32_t state = 2166136261u;

	for (const char *at = words; *at != '\0'; at++)
		state = (state ^ (unsigned char)*at) * 16777619u;
	while (used < size) {
		state = state * 1664525u + 1013904223u;
		bytes[used++] = (char)('a' + (state >> 24) % 26);
	}
	return pn_slice_make(bytes, used);
}

const char *last_commit_error(void)
{
	return commit_error;
}

size_t last_failed_index(void)
{
	return failed_index;
}

static struct pn_uid_set keep_set(struct pn_uid_set set)
{
	struct pn_uid_range *ranges =
		PN_ARENA_ARRAY(harness_arena(), set.count, struct pn_uid_range);

	if (set.count != 0)
		memcpy(ranges, set.ranges, set.count * sizeof(*ranges));
	return (struct pn_uid_set){ranges, set.count};
}

enum pn_status try_commit(struct commit *commit)
{
	enum pn_status status;

	commit_submit(commit);
	status = commit_wait(commit);
	memcpy(commit_error, commit->pn.error.text, sizeof(commit_error));
	failed_index = commit->pn.failed_index;
	commit_free(commit);
	return status;
}

struct pn_mutation_result must(struct commit *commit)
{
	struct pn_mutation_result result;
	enum pn_status status;

	commit_submit(commit);
	status = commit_wait(commit);
	if (status != PN_OK) {
		fprintf(stderr, "# commit: %s: %s\n", pn_status_name(status),
		        commit->pn.error.text);
		commit_free(commit);
		case_failed(__FILE__, __LINE__, "a commit that must succeed");
	}
	result = commit->pn.results[commit->pn.mutation_count - 1];
	result.uids = keep_set(result.uids);
	result.modified = keep_set(result.modified);
	commit_free(commit);
	return result;
}

void make_account(const char *account)
{
	struct commit *commit = commit_new();

	commit_add(commit, PN_MUTATION_ACCOUNT_CREATE, account);
	must(commit);
}

struct pn_mutation_result append_flags(const char *account, const char *name, const char *words,
                                       uint32_t system, const char *keyword)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_APPEND, account);
	struct pn_slice *word = PN_ARENA_NEW(commit->pn.arena, struct pn_slice);

	mutation->name = pn_slice_of(name);
	mutation->create_missing = true;
	mutation->body.is_new = true;
	mutation->body.index = commit_body(commit, message(words, 0));
	mutation->flags.system = system;
	*word = pn_slice_of(keyword);
	mutation->flags.keywords = word;
	mutation->flags.keyword_count = keyword != NULL;
	return must(commit);
}

struct pn_mutation_result append(const char *account, const char *name, const char *words)
{
	return append_flags(account, name, words, 0, NULL);
}

uint64_t make_mailbox(const char *account, const char *name)
{
	struct commit *commit = commit_new();

	commit_add(commit, PN_MUTATION_MAILBOX_CREATE, account)->name = pn_slice_of(name);
	return must(commit).mailbox;
}

static enum pn_status find(const char *account, const char *name, struct pn_mailboxes *result)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = pn_slice_of(account),
	                                       .name = pn_slice_of(name)};

	return ask_mailboxes(&request, result);
}

bool has_mailbox(const char *account, const char *name)
{
	struct pn_mailboxes result;

	return find(account, name, &result) == PN_OK && result.count == 1 &&
	       result.mailboxes[0].id != 0;
}

struct pn_mailbox_info mailbox(const char *account, const char *name)
{
	struct pn_mailboxes result;

	CHECK_OK(find(account, name, &result));
	CHECK(result.count == 1);
	return result.mailboxes[0];
}

uint64_t mailbox_id(const char *account, const char *name)
{
	return mailbox(account, name).id;
}

struct pn_uid_set uids(uint32_t first, uint32_t last)
{
	struct pn_uid_range *range = PN_ARENA_NEW(harness_arena(), struct pn_uid_range);

	*range = (struct pn_uid_range){first, last};
	return (struct pn_uid_set){range, 1};
}

struct pn_rows rows_of(const char *account, uint64_t id, bool with_expunged)
{
	struct pn_rows_request request = {.struct_size = sizeof(request),
	                                  .account = pn_slice_of(account),
	                                  .mailbox = id,
	                                  .uids = uids(1, UINT32_MAX),
	                                  .fields = 0xffffffffu,
	                                  .with_expunged = with_expunged,
	                                  .max_rows = 1000000};
	struct pn_rows result;

	CHECK_OK(ask_rows(&request, &result));
	CHECK(result.next_uid == 0);
	return result;
}

struct pn_row row_of(const char *account, uint64_t id, uint32_t uid)
{
	struct pn_rows rows = rows_of(account, id, true);

	for (size_t i = 0; i < rows.count; i++)
		if (rows.rows[i].uid == uid)
			return rows.rows[i];
	case_failed(__FILE__, __LINE__, "a row that must be there");
}

struct pn_slice body_of(const char *account, struct pn_body_id body)
{
	struct pn_body_request request = {.struct_size = sizeof(request),
	                                  .account = pn_slice_of(account),
	                                  .body = body,
	                                  .max_size = 1 << 20};
	struct pn_body_piece piece;

	CHECK_OK(ask_body(&request, &piece));
	CHECK(piece.bytes.size == piece.total_size);
	return piece.bytes;
}

bool has_keyword(struct pn_flags flags, const char *word)
{
	for (size_t i = 0; i < flags.keyword_count; i++)
		if (pn_slice_equal(flags.keywords[i], pn_slice_of(word)))
			return true;
	return false;
}

struct pn_changes changes_since(const char *account, uint64_t id, uint64_t since)
{
	struct pn_changes_request request = {.struct_size = sizeof(request),
	                                     .account = pn_slice_of(account),
	                                     .mailbox = id,
	                                     .since = since,
	                                     .max_rows = 100000};
	struct pn_changes result;

	CHECK_OK(ask_changes(&request, &result));
	CHECK(result.is_complete);
	return result;
}

struct pn_mutation_result flag(const char *account, uint64_t id, uint32_t first, uint32_t last,
                               enum pn_flags_how how, uint32_t system, const char *keyword)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_FLAGS, account);
	struct pn_slice *word = PN_ARENA_NEW(commit->pn.arena, struct pn_slice);

	mutation->mailbox = id;
	mutation->uids = uids(first, last);
	mutation->how = how;
	mutation->flags.system = system;
	*word = pn_slice_of(keyword);
	mutation->flags.keywords = word;
	mutation->flags.keyword_count = keyword != NULL;
	return must(commit);
}

struct pn_mutation_result expunge(const char *account, uint64_t id, uint32_t first, uint32_t last)
{
	struct commit *commit = commit_new();
	struct pn_mutation *mutation = commit_add(commit, PN_MUTATION_EXPUNGE, account);

	mutation->mailbox = id;
	mutation->uids = uids(first, last);
	return must(commit);
}

struct pn_account_info account_info(const char *account)
{
	struct pn_accounts_request request = {.struct_size = sizeof(request),
	                                      .max_accounts = 100000};
	struct pn_accounts result;

	CHECK_OK(ask_accounts(&request, &result));
	for (size_t i = 0; i < result.count; i++)
		if (pn_slice_equal(result.accounts[i].name, pn_slice_of(account)))
			return result.accounts[i];
	case_failed(__FILE__, __LINE__, "an account that must be there");
}

/* ---------------------------------------------------------------------- the dump */

static void dump_row(FILE *out, const char *account, const struct pn_row *row, bool with_body)
{
	fprintf(out, "  uid %u%s modseq %llu flags %x date %lld saved %lld size %llu header %u",
	        row->uid, row->is_expunged ? " expunged" : "", (unsigned long long)row->modseq,
	        row->flags.system, (long long)row->internal_date_ms, (long long)row->saved_date_ms,
	        (unsigned long long)row->size, row->header_size);
	for (size_t i = 0; i < row->flags.keyword_count; i++)
		fprintf(out, " %.*s", PN_SLICE_ARGS(row->flags.keywords[i]));
	fprintf(out, " summary %.*s", PN_SLICE_ARGS(row->summary));
	if (with_body && row->size < 100000) {
		struct pn_slice body = body_of(account, row->body);
		uint32_t sum = 0;

		for (size_t i = 0; i < body.size; i++)
			sum = sum * 31 + (unsigned char)body.data[i];
		fprintf(out, " sum %x", sum);
	}
	fputc('\n', out);
}

static void dump_account(FILE *out, const struct pn_account_info *info)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request),
	                                       .account = info->name};
	char *account = pn_arena_keep_text(harness_arena(), info->name);
	struct pn_mailboxes mailboxes;

	fprintf(out, "account %s modseq %llu size %llu count %u quota %llu\n", account,
	        (unsigned long long)info->modseq, (unsigned long long)info->size_bytes,
	        info->message_count, (unsigned long long)info->quota_bytes);
	CHECK_OK(ask_mailboxes(&request, &mailboxes));
	for (size_t i = 0; i < mailboxes.count; i++) {
		const struct pn_mailbox_info *one = &mailboxes.mailboxes[i];
		struct pn_rows rows;

		fprintf(out,
		        " mailbox %llu %.*s %x validity %u next %u count %u %u %u size %llu "
		        "modseq %llu recent %u\n",
		        (unsigned long long)one->id, PN_SLICE_ARGS(one->name), one->attributes,
		        one->uid_validity, one->uid_next, one->message_count, one->unseen_count,
		        one->deleted_count, (unsigned long long)one->size_bytes,
		        (unsigned long long)one->highest_modseq,
		        mailboxes.recent_uids == NULL ? 0 : mailboxes.recent_uids[i]);
		if (one->id == 0)
			continue;
		rows = rows_of(account, one->id, true);
		for (size_t k = 0; k < rows.count; k++)
			dump_row(out, account, &rows.rows[k], rows.count < 5000);
	}
}

static void dump_queue(FILE *out)
{
	/* By id; and what lies under a destination in the order of due. */
	struct pn_queue_request requests[] = {{.struct_size = sizeof(requests[0])},
	                                      {.destination = PN_SLICE("mx.one")}};
	struct pn_queue_rows rows;

	for (size_t k = 0; k < 2; k++) {
		requests[k].max_rows = 100000;
		CHECK_OK(ask_queue(&requests[k], &rows));
		for (size_t i = 0; i < rows.count; i++) {
			const struct pn_queue_row *row = &rows.rows[i];

			fprintf(out,
			        "queue %llu due %lld expires %lld state %d attempts %u %.*s %.*s "
			        "%.*s %.*s %.*s %.*s\n",
			        (unsigned long long)row->id, (long long)row->due_ms,
			        (long long)row->expires_ms, (int)row->state, row->attempts,
			        PN_SLICE_ARGS(row->sender), PN_SLICE_ARGS(row->recipient),
			        PN_SLICE_ARGS(row->destination), PN_SLICE_ARGS(row->tenant),
			        PN_SLICE_ARGS(row->details), PN_SLICE_ARGS(row->reason));
		}
	}
}

char *dump_store(void)
{
	struct pn_accounts_request request = {.struct_size = sizeof(request),
	                                      .max_accounts = 100000};
	struct pn_accounts accounts;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	CHECK_OK(ask_accounts(&request, &accounts));
	for (size_t i = 0; i < accounts.count; i++)
		dump_account(out, &accounts.accounts[i]);
	dump_queue(out);
	fclose(out);
	return text;
}
