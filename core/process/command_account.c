/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern account list|show|create|delete`: accounts as the stores have them. That
 * somebody can log in, or is sent mail, is the business of the directory.
 */
#include "process/command.h"
#include "process/import.h"
#include "process/tool.h"

#include <postern/text.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACCOUNTS_AT_ONCE = 500, JSON_MAX = 256 * 1024 * 1024 };

static const char account_usage[] =
	"usage: postern account list [--store NAME] [--json]\n"
	"       postern account show ACCOUNT [--json]\n"
	"       postern account create ACCOUNT\n"
	"       postern account delete ACCOUNT --yes\n"
	"\n"
	"  list    every account that has mail, with messages, bytes and quota\n"
	"  show    one account and its mailboxes\n"
	"  create  makes an account that has no mail yet (else its first message does)\n"
	"  delete  removes an account with all its mail, for good; its login and address stay in\n"
	"          the directory, and its next message makes it anew\n"
	"\n"
	"An account is named as its directory names it: alice@example.org. --store NAME says in\n"
	"which store, where the directory does not know the account (any more).\n"
	"All of it works while the gateway runs.\n";

static void put_string(struct pn_buffer *out, const char *key, struct pn_slice value)
{
	(void)!pn_buffer_print(out, "\"%s\":", key);
	(void)!pn_json_append_string(out, value);
}

static void print_json(struct pn_buffer *out)
{
	(void)!pn_buffer_append(out, PN_SLICE("\n"));
	fwrite(out->data, 1, out->size, stdout);
	pn_buffer_clear(out);
}

/* Quota as people read it; 0 is the default of the store. */
static const char *quota_text(uint64_t bytes, char *room, size_t size)
{
	if (bytes == 0)
		snprintf(room, size, "-");
	else
		snprintf(room, size, "%" PRIu64, bytes);
	return room;
}

/* ---- list ---- */

static void put_account(struct pn_buffer *out, const char *store,
                        const struct pn_account_info *account)
{
	(void)!pn_buffer_append(out, PN_SLICE("{"));
	put_string(out, "account", account->name);
	(void)!pn_buffer_append(out, PN_SLICE(","));
	put_string(out, "store", pn_slice_of(store));
	(void)!pn_buffer_print(
		out,
		",\"messages\":%u,\"bytes\":%" PRIu64 ",\"quota\":%" PRIu64 ",\"modseq\":%" PRIu64,
		account->message_count, account->size_bytes, account->quota_bytes, account->modseq);
	(void)!pn_buffer_append(out, PN_SLICE("}"));
}

static void print_account(const struct pn_account_info *account)
{
	char quota[32];

	printf("%-40.*s %10u %15" PRIu64 " %15s\n", PN_SLICE_ARGS(account->name),
	       account->message_count, account->size_bytes,
	       quota_text(account->quota_bytes, quota, sizeof(quota)));
}

/* All accounts of one store. */
static enum pn_status list_store(const struct pn_account *store, struct pn_buffer *json,
                                 bool *is_first, struct pn_error *error)
{
	struct pn_accounts_request request = {.struct_size = sizeof(request),
	                                      .max_accounts = ACCOUNTS_AT_ONCE};
	struct pn_arena *arena = pn_arena_new();
	bool is_complete = false;
	enum pn_status status = PN_OK;

	while (status == PN_OK && !is_complete) {
		struct pn_tool_answer answer;
		const struct pn_accounts *accounts;

		pn_store_accounts(store, &request, pn_tool_ticket(&answer));
		status = pn_tool_wait(&answer);
		accounts = answer.result;
		for (size_t i = 0; status == PN_OK && i < accounts->count; i++) {
			const struct pn_account_info *account = &accounts->accounts[i];

			if (json == NULL) {
				print_account(account);
				continue;
			}
			(void)!pn_buffer_append(json, *is_first ? PN_SLICE("") : PN_SLICE(",\n"));
			put_account(json, store->store->name, account);
			*is_first = false;
		}
		if (status == PN_OK) {
			is_complete = accounts->is_complete || accounts->count == 0;
			pn_arena_reset(arena);
			if (!is_complete)
				request.after = pn_arena_keep(
					arena, accounts->accounts[accounts->count - 1].name);
		} else {
			*error = answer.error;
		}
		pn_tool_release(&answer);
	}
	pn_arena_free(&arena);
	return status;
}

static enum pn_status list(struct pn_tool *tool, const struct pn_arguments *arguments,
                           struct pn_error *error)
{
	struct pn_account *store;
	struct pn_buffer json;
	bool is_first = true;
	enum pn_status status = PN_OK;

	pn_buffer_init(&json, JSON_MAX);
	if (arguments->json)
		(void)!pn_buffer_append(&json, PN_SLICE("["));
	else
		printf("%-40s %10s %15s %15s\n", "account", "messages", "bytes", "quota");
	for (size_t i = 0; status == PN_OK && (store = pn_tool_store(tool, i)) != NULL; i++)
		status = list_store(store, arguments->json ? &json : NULL, &is_first, error);
	if (status == PN_OK && arguments->json) {
		(void)!pn_buffer_append(&json, PN_SLICE("]"));
		print_json(&json);
	}
	pn_buffer_clear(&json);
	return status;
}

/* ---- show ---- */

/* What the store says of this account as a whole. */
static enum pn_status find_info(const struct pn_account *account, struct pn_account_info *info,
                                struct pn_error *error)
{
	struct pn_accounts_request request = {.struct_size = sizeof(request), .max_accounts = 1};
	struct pn_arena *arena = pn_arena_new();
	struct pn_tool_answer answer;
	char *before = pn_arena_keep_text(arena, account->name);
	enum pn_status status;

	/* "After" what sorts directly before it: the name with its last byte one lower. */
	if (account->name.size > 0)
		before[account->name.size - 1]--;
	request.after = pn_slice_make(before, account->name.size);
	request.max_accounts = ACCOUNTS_AT_ONCE;
	pn_store_accounts(account, &request, pn_tool_ticket(&answer));
	status = pn_tool_wait(&answer);
	if (status == PN_OK) {
		const struct pn_accounts *accounts = answer.result;

		status = PN_NOT_FOUND;
		for (size_t i = 0; i < accounts->count; i++) {
			if (pn_slice_equal(accounts->accounts[i].name, account->name)) {
				*info = accounts->accounts[i];
				status = PN_OK;
			}
		}
		if (status != PN_OK)
			(void)pn_fail_with(status, error,
			                   "the store %s has no account %.*s: it begins with its "
			                   "first message, or with postern account create",
			                   account->store->name, PN_SLICE_ARGS(account->name));
	} else {
		*error = answer.error;
	}
	info->name = account->name;
	pn_tool_release(&answer);
	pn_arena_free(&arena);
	return status;
}

static enum pn_status show(struct pn_tool *tool, const struct pn_arguments *arguments,
                           struct pn_error *error)
{
	struct pn_account *account;
	struct pn_account_info info = {0};
	struct pn_buffer json;
	char quota[32];
	enum pn_status status = pn_tool_account(tool, arguments->words[1], false, &account, error);

	if (status == PN_OK)
		status = find_info(account, &info, error);
	if (status != PN_OK)
		return status;
	if (!arguments->json) {
		printf("account   %.*s\nstore     %s\nmessages  %u\nbytes     %" PRIu64
		       "\nquota     %s\nmodseq    %" PRIu64 "\n\n",
		       PN_SLICE_ARGS(info.name), account->store->name, info.message_count,
		       info.size_bytes, quota_text(info.quota_bytes, quota, sizeof(quota)),
		       info.modseq);
		return pn_mailbox_print(account, error);
	}
	pn_buffer_init(&json, JSON_MAX);
	put_account(&json, account->store->name, &info);
	json.size--; /* the brace: there is more to come */
	(void)!pn_buffer_append(&json, PN_SLICE(",\"mailboxes\":"));
	status = pn_mailbox_json(account, &json, error);
	(void)!pn_buffer_append(&json, PN_SLICE("}"));
	if (status == PN_OK)
		print_json(&json);
	pn_buffer_clear(&json);
	return status;
}

/* ---- create and delete ---- */

static enum pn_status change(struct pn_tool *tool, const char *name, enum pn_mutation_kind kind,
                             bool *was_there, struct pn_error *error)
{
	struct pn_account *account;
	struct pn_commit *commit;
	struct pn_tool_answer answer;
	enum pn_status status =
		pn_tool_account(tool, name, kind == PN_MUTATION_ACCOUNT_CREATE, &account, error);

	if (status != PN_OK)
		return status;
	commit = pn_commit_new(0, 1);
	pn_commit_add(commit, kind)->account = account->name;
	status = pn_tool_commit(tool, account, commit, &answer);
	if (status == PN_OK)
		*was_there = commit->results[0].was_there;
	else
		*error = answer.error;
	if (status == PN_OK && kind == PN_MUTATION_ACCOUNT_DELETE)
		pn_import_journal_forget(tool->assembly->config->settings.data_directory,
		                         account->name);
	pn_tool_release(&answer);
	return status;
}

static enum pn_status create(struct pn_tool *tool, const struct pn_arguments *arguments,
                             struct pn_error *error)
{
	bool was_there = false;
	enum pn_status status =
		change(tool, arguments->words[1], PN_MUTATION_ACCOUNT_CREATE, &was_there, error);

	if (status == PN_OK && was_there)
		return pn_fail_with(PN_CONFLICT, error, "there is an account %s already",
		                    arguments->words[1]);
	return status;
}

static enum pn_status delete_account(struct pn_tool *tool, const struct pn_arguments *arguments,
                                     struct pn_error *error)
{
	bool was_there;

	if (!arguments->yes)
		return pn_fail(error, "all mail of %s would be gone: say so with --yes",
		               arguments->words[1]);
	return change(tool, arguments->words[1], PN_MUTATION_ACCOUNT_DELETE, &was_there, error);
}

int pn_command_account(const struct pn_arguments *arguments)
{
	static const struct {
		const char *word;
		int count;
		enum pn_status (*run)(struct pn_tool *tool, const struct pn_arguments *arguments,
		                      struct pn_error *error);
	} verbs[] = {{"list", 1, list},
	             {"show", 2, show},
	             {"create", 2, create},
	             {"delete", 2, delete_account}};
	struct pn_tool tool;
	struct pn_error error;
	enum pn_status status;

	if (arguments->help) {
		fputs(account_usage, stdout);
		return 0;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (arguments->word_count != verbs[i].count ||
		    strcmp(arguments->words[0], verbs[i].word) != 0)
			continue;
		if (pn_tool_open(arguments, PN_TOOL_AS_WORKER, &tool, &error) != PN_OK)
			return pn_tool_fail(&error);
		status = verbs[i].run(&tool, arguments, &error);
		pn_tool_close(&tool);
		return status == PN_OK ? 0 : pn_tool_fail(&error);
	}
	fputs(account_usage, stderr);
	return 2;
}
