/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern import SOURCE ACCOUNT …` and `postern export …`. A source that is not the
 * gateway's own is that of a module called source_NAME, which is loaded for it.
 */
#include "process/command.h"
#include "process/export.h"
#include "process/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char import_usage[] =
	"usage: postern import SOURCE ACCOUNT ARGUMENT … [--mailbox NAME] [--again]\n"
	"       postern import maildir ACCOUNT PATH\n"
	"       postern import mbox ACCOUNT FILE|DIRECTORY\n"
	"\n"
	"Takes mail with its mailboxes, flags and dates into an account, while the gateway runs.\n"
	"A second run takes what has come since then: what was imported once is not imported "
	"again,\n"
	"also where the first run was broken off. UIDs are kept where the source has them and the\n"
	"mailbox here is new. Quotas do not count. Messages that cannot be read are told and left "
	"out;\n"
	"then the exit status is 1.\n"
	"\n"
	"  --mailbox NAME        INBOX of the source goes there, its other mailboxes below it\n"
	"  --again               also what was imported before\n"
	"  --password-file FILE  the password of a source that has one, in the first line\n"
	"  --store NAME          the store, where the directory does not know the account\n"
	"\n"
	"The progress is told on standard error. Another SOURCE is found as the module "
	"source_NAME.\n";

static const char export_usage[] =
	"usage: postern export [ACCOUNT] DIRECTORY [--mailbox NAME] [--format maildir|mbox]\n"
	"\n"
	"Writes one account, or all of them, with all mailboxes, flags, dates and UIDs into\n"
	"DIRECTORY/ACCOUNT, which must not exist yet. Works while the gateway runs.\n"
	"\n"
	"  --format maildir  Maildir++ with dovecot-uidlist and dovecot-keywords; the default\n"
	"  --format mbox     a file for each mailbox\n"
	"  --mailbox NAME    of ACCOUNT, this mailbox alone\n"
	"  --store NAME      of all stores this one alone\n"
	"\n"
	"postern import takes back what was written, byte by byte (from an mbox with CRLF line "
	"ends).\n";

/* ---- import ---- */

static const struct pn_source *own_source(const char *name)
{
	static const struct pn_source *const sources[] = {&pn_source_maildir, &pn_source_mbox};

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		if (strcmp(sources[i]->name, name) == 0)
			return sources[i];
	}
	return NULL;
}

static enum pn_status find_source(struct pn_tool *tool, const char *name,
                                  const struct pn_source **source_out, struct pn_error *error)
{
	const struct pn_loaded_module *loaded;
	struct pn_loader *loader;
	char module[64];

	*source_out = own_source(name);
	if (*source_out != NULL)
		return PN_OK;
	if ((size_t)snprintf(module, sizeof(module), "source_%s", name) >= sizeof(module) ||
	    strchr(name, '/') != NULL)
		return pn_fail(error, "there is no source of that name");
	if (pn_process_loader(&tool->assembly->config->settings, &loader, error) != PN_OK)
		return PN_FAILED;
	if (pn_loader_module(loader, module, &loaded, error) != PN_OK) {
		pn_error_prefix(error, "there is no source \"%s\"", name);
		return PN_FAILED;
	}
	if (loaded->module.source == NULL)
		return pn_fail(error, "the module %s is no source", module);
	*source_out = loaded->module.source;
	return PN_OK;
}

static void say(const char *text)
{
	fprintf(stderr, "import: %s\n", text);
}

static enum pn_status run_import(struct pn_tool *tool, const struct pn_arguments *arguments,
                                 struct pn_import_result *result, struct pn_error *error)
{
	const struct pn_source_request opening = {
		.struct_size = sizeof(opening),
		.arguments = arguments->words + 2,
		.argument_count = (size_t)arguments->word_count - 2,
		.password_file = arguments->password_file,
		.say = say,
	};
	struct pn_import_request request = {.mailbox = arguments->mailbox,
	                                    .again = arguments->again};
	enum pn_status status = find_source(tool, arguments->words[0], &request.source, error);

	if (status == PN_OK)
		status = pn_tool_account(tool, arguments->words[1], true, &request.account, error);
	if (status != PN_OK)
		return status;
	status = request.source->open(&opening, &request.handle, error);
	if (status == PN_OK)
		status = pn_import(tool, &request, result, error);
	if (request.handle != NULL)
		request.source->close(request.handle);
	return status;
}

int pn_command_import(const struct pn_arguments *arguments)
{
	struct pn_import_result result = {0};
	struct pn_tool tool;
	struct pn_error error;
	enum pn_status status;

	if (arguments->help) {
		fputs(import_usage, stdout);
		return 0;
	}
	if (arguments->word_count < 3) {
		fputs(import_usage, stderr);
		return 2;
	}
	if (pn_tool_open(arguments, PN_TOOL_AS_WORKER, &tool, &error) != PN_OK)
		return pn_tool_fail(&error);
	status = run_import(&tool, arguments, &result, &error);
	pn_tool_close(&tool);
	if (status != PN_OK)
		return pn_tool_fail(&error);
	printf("%" PRIu64 " messages imported into %" PRIu64 " mailboxes, %" PRIu64
	       " were there, %" PRIu64 " failed\n",
	       result.imported, result.mailboxes, result.were_there, result.failed);
	return result.failed == 0 ? 0 : 1;
}

/* ---- export ---- */

static bool choose_format(const char *word, enum pn_export_format *format_out)
{
	*format_out =
		word != NULL && strcmp(word, "mbox") == 0 ? PN_EXPORT_MBOX : PN_EXPORT_MAILDIR;
	return word == NULL || strcmp(word, "mbox") == 0 || strcmp(word, "maildir") == 0;
}

int pn_command_export(const struct pn_arguments *arguments)
{
	const bool is_one = arguments->word_count == 2;
	struct pn_export_request request = {.mailbox = arguments->mailbox};
	struct pn_export_result result = {0};
	struct pn_account *account = NULL;
	struct pn_tool tool;
	struct pn_error error;
	enum pn_status status = PN_OK;

	if (arguments->help) {
		fputs(export_usage, stdout);
		return 0;
	}
	if ((arguments->word_count != 1 && !is_one) || (arguments->mailbox != NULL && !is_one) ||
	    !choose_format(arguments->format, &request.format)) {
		fputs(export_usage, stderr);
		return 2;
	}
	request.directory = arguments->words[arguments->word_count - 1];
	if (pn_tool_open(arguments, PN_TOOL_AS_CALLER, &tool, &error) != PN_OK)
		return pn_tool_fail(&error);
	if (is_one)
		status = pn_tool_account(&tool, arguments->words[0], false, &account, &error);
	request.account = account;
	if (status == PN_OK)
		status = pn_export(&tool, &request, &result, &error);
	pn_tool_close(&tool);
	if (status != PN_OK)
		return pn_tool_fail(&error);
	printf("%" PRIu64 " messages of %" PRIu64 " mailboxes of %" PRIu64
	       " accounts were exported to %s\n",
	       result.messages, result.mailboxes, result.accounts, request.directory);
	if (result.damaged == 0)
		return 0;
	fprintf(stderr, "postern: %" PRIu64 " messages are damaged and were left out\n",
	        result.damaged);
	return 1;
}
