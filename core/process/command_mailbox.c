/* SPDX-License-Identifier: Apache-2.0 */
/* `postern mailbox list|create|delete|rename ACCOUNT …`. */
#include "process/command.h"
#include "process/tool.h"

#include <postern/text.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { JSON_MAX = 256 * 1024 * 1024 };

static const char mailbox_usage[] =
	"usage: postern mailbox list ACCOUNT [--json]\n"
	"       postern mailbox create ACCOUNT MAILBOX\n"
	"       postern mailbox rename ACCOUNT MAILBOX NEW_NAME\n"
	"       postern mailbox delete ACCOUNT MAILBOX [--yes]\n"
	"\n"
	"  list    the mailboxes of an account: messages, unseen ones, bytes\n"
	"  create  makes a mailbox, and those above it: Archive/2026\n"
	"  rename  what is below it goes with it\n"
	"  delete  removes a mailbox; --yes where there are messages in it\n"
	"\n"
	"Names are UTF-8, with / between levels. --store NAME says in which store, where the\n"
	"directory does not know the account. All of it works while the gateway runs.\n";

static const struct {
	uint32_t attribute;
	const char *word;
} attribute_words[] = {
	{PN_MAILBOX_ALL, "all"},
	{PN_MAILBOX_ARCHIVE, "archive"},
	{PN_MAILBOX_DRAFTS, "drafts"},
	{PN_MAILBOX_FLAGGED, "flagged"},
	{PN_MAILBOX_JUNK, "junk"},
	{PN_MAILBOX_SENT, "sent"},
	{PN_MAILBOX_TRASH, "trash"},
	{PN_MAILBOX_IMPORTANT, "important"},
	{PN_MAILBOX_SUBSCRIBED, "subscribed"},
	{PN_MAILBOX_NO_SELECT, "no_select"},
	{PN_MAILBOX_NONEXISTENT, "nonexistent"},
};

/* Asks for all mailboxes; the answer is released by the caller, whatever the status. */
static enum pn_status ask_all(const struct pn_account *account, struct pn_tool_answer *answer,
                              struct pn_error *error)
{
	const struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	enum pn_status status;

	pn_store_mailboxes(account, &request, pn_tool_ticket(answer));
	status = pn_tool_wait(answer);
	if (status == PN_NOT_FOUND)
		(void)pn_fail_with(status, error,
		                   "the store %s has no account %.*s: it begins with its first "
		                   "message, or with postern account create",
		                   account->store->name, PN_SLICE_ARGS(account->name));
	else if (status != PN_OK)
		*error = answer->error;
	return status;
}

enum pn_status pn_mailbox_print(const struct pn_account *account, struct pn_error *error)
{
	struct pn_tool_answer answer;
	enum pn_status status = ask_all(account, &answer, error);
	const struct pn_mailboxes *mailboxes = answer.result;

	if (status == PN_OK)
		printf("%-40s %10s %10s %15s  %s\n", "mailbox", "messages", "unseen", "bytes",
		       "attributes");
	for (size_t i = 0; status == PN_OK && i < mailboxes->count; i++) {
		const struct pn_mailbox_info *mailbox = &mailboxes->mailboxes[i];

		printf("%-40.*s %10u %10u %15" PRIu64 " ", PN_SLICE_ARGS(mailbox->name),
		       mailbox->message_count, mailbox->unseen_count, mailbox->size_bytes);
		for (size_t word = 0; word < sizeof(attribute_words) / sizeof(attribute_words[0]);
		     word++) {
			if ((mailbox->attributes & attribute_words[word].attribute) != 0)
				printf(" %s", attribute_words[word].word);
		}
		putchar('\n');
	}
	pn_tool_release(&answer);
	return status;
}

static void put_mailbox(struct pn_buffer *out, const struct pn_mailbox_info *mailbox)
{
	bool is_first = true;

	(void)!pn_buffer_append(out, PN_SLICE("{\"mailbox\":"));
	(void)!pn_json_append_string(out, mailbox->name);
	(void)!pn_buffer_print(out,
	                       ",\"messages\":%u,\"unseen\":%u,\"deleted\":%u,\"bytes\":%" PRIu64
	                       ",\"uid_validity\":%u,\"uid_next\":%u,\"highest_modseq\":%" PRIu64
	                       ",\"attributes\":[",
	                       mailbox->message_count, mailbox->unseen_count,
	                       mailbox->deleted_count, mailbox->size_bytes, mailbox->uid_validity,
	                       mailbox->uid_next, mailbox->highest_modseq);
	for (size_t i = 0; i < sizeof(attribute_words) / sizeof(attribute_words[0]); i++) {
		if ((mailbox->attributes & attribute_words[i].attribute) == 0)
			continue;
		(void)!pn_buffer_print(out, "%s\"%s\"", is_first ? "" : ",",
		                       attribute_words[i].word);
		is_first = false;
	}
	(void)!pn_buffer_append(out, PN_SLICE("]}"));
}

enum pn_status pn_mailbox_json(const struct pn_account *account, struct pn_buffer *out,
                               struct pn_error *error)
{
	struct pn_tool_answer answer;
	enum pn_status status = ask_all(account, &answer, error);
	const struct pn_mailboxes *mailboxes = answer.result;

	(void)!pn_buffer_append(out, PN_SLICE("["));
	for (size_t i = 0; status == PN_OK && i < mailboxes->count; i++) {
		(void)!pn_buffer_append(out, i == 0 ? PN_SLICE("") : PN_SLICE(",\n"));
		put_mailbox(out, &mailboxes->mailboxes[i]);
	}
	(void)!pn_buffer_append(out, PN_SLICE("]"));
	pn_tool_release(&answer);
	return status;
}

static enum pn_status list(struct pn_tool *tool, const struct pn_account *account,
                           const struct pn_arguments *arguments, struct pn_error *error)
{
	struct pn_buffer json;
	enum pn_status status;

	(void)tool;
	if (!arguments->json)
		return pn_mailbox_print(account, error);
	pn_buffer_init(&json, JSON_MAX);
	status = pn_mailbox_json(account, &json, error);
	if (status == PN_OK)
		printf("%.*s\n", PN_SLICE_ARGS(pn_buffer_slice(&json)));
	pn_buffer_clear(&json);
	return status;
}

static enum pn_status commit(struct pn_tool *tool, const struct pn_account *account,
                             const struct pn_mutation *mutation, struct pn_error *error)
{
	struct pn_commit *change = pn_commit_new(0, 1);
	struct pn_mutation *added = pn_commit_add(change, mutation->kind);
	struct pn_tool_answer answer;
	enum pn_status status;

	*added = *mutation;
	added->account = account->name;
	status = pn_tool_commit(tool, account, change, &answer);
	if (status != PN_OK)
		*error = answer.error;
	pn_tool_release(&answer);
	return status;
}

static enum pn_status create(struct pn_tool *tool, const struct pn_account *account,
                             const struct pn_arguments *arguments, struct pn_error *error)
{
	return commit(tool, account,
	              &(struct pn_mutation){.kind = PN_MUTATION_MAILBOX_CREATE,
	                                    .name = pn_slice_of(arguments->words[2])},
	              error);
}

static enum pn_status rename_mailbox(struct pn_tool *tool, const struct pn_account *account,
                                     const struct pn_arguments *arguments, struct pn_error *error)
{
	struct pn_mailbox_info mailbox;
	enum pn_status status = pn_tool_mailbox(account, pn_slice_of(arguments->words[2]), &mailbox,
	                                        tool->arena, error);

	if (status != PN_OK)
		return status;
	return commit(tool, account,
	              &(struct pn_mutation){.kind = PN_MUTATION_MAILBOX_RENAME,
	                                    .mailbox = mailbox.id,
	                                    .name = pn_slice_of(arguments->words[3])},
	              error);
}

static enum pn_status delete_mailbox(struct pn_tool *tool, const struct pn_account *account,
                                     const struct pn_arguments *arguments, struct pn_error *error)
{
	struct pn_mailbox_info mailbox;
	enum pn_status status = pn_tool_mailbox(account, pn_slice_of(arguments->words[2]), &mailbox,
	                                        tool->arena, error);

	if (status != PN_OK)
		return status;
	if (mailbox.message_count > 0 && !arguments->yes)
		return pn_fail(error, "%u messages in \"%s\" would be gone: say so with --yes",
		               mailbox.message_count, arguments->words[2]);
	return commit(
		tool, account,
		&(struct pn_mutation){.kind = PN_MUTATION_MAILBOX_DELETE, .mailbox = mailbox.id},
		error);
}

int pn_command_mailbox(const struct pn_arguments *arguments)
{
	static const struct {
		const char *word;
		int count;
		enum pn_status (*run)(struct pn_tool *tool, const struct pn_account *account,
		                      const struct pn_arguments *arguments, struct pn_error *error);
	} verbs[] = {{"list", 2, list},
	             {"create", 3, create},
	             {"rename", 4, rename_mailbox},
	             {"delete", 3, delete_mailbox}};
	struct pn_account *account;
	struct pn_tool tool;
	struct pn_error error;
	enum pn_status status;

	if (arguments->help) {
		fputs(mailbox_usage, stdout);
		return 0;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (arguments->word_count != verbs[i].count ||
		    strcmp(arguments->words[0], verbs[i].word) != 0)
			continue;
		if (pn_tool_open(arguments, PN_TOOL_AS_WORKER, &tool, &error) != PN_OK)
			return pn_tool_fail(&error);
		status = pn_tool_account(&tool, arguments->words[1], false, &account, &error);
		if (status == PN_OK)
			status = verbs[i].run(&tool, account, arguments, &error);
		pn_tool_close(&tool);
		return status == PN_OK ? 0 : pn_tool_fail(&error);
	}
	fputs(mailbox_usage, stderr);
	return 2;
}
