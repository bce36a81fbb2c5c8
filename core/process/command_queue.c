/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern queue …`: what waits for delivery, and what an operator does about it.
 * Works beside the running gateway, which hears of every change, and without one.
 * Main thread.
 */
#include "process/command.h"
#include "process/queue_tool.h"

#include <postern/clock.h>
#include <postern/log.h>

#include "io/log.h"

#include <string.h>
#include <unistd.h>

static const char queue_usage[] =
	"usage: postern queue list [WHICH] [--limit N] [--json]\n"
	"       postern queue show ID [--body] [--json]\n"
	"       postern queue hold|release|retry|bounce|delete WHICH [--dry-run] [--yes]\n"
	"       postern queue requeue WHICH --route ROUTE [--dry-run] [--yes]\n"
	"       postern queue suspend [--destination NAME|--tenant NAME] [--for DURATION]\n"
	"       postern queue resume [--destination NAME|--tenant NAME] [--yes]\n"
	"\n"
	"  list     what waits; without more words a summary by destination, with --all every row\n"
	"  show     one row with its details, and the header of its message (--body: all of it)\n"
	"  hold     is not tried any more, until it is released\n"
	"  release  is tried again, beginning now\n"
	"  retry    is tried now\n"
	"  requeue  is tried now, another way: --route mx, mx:example.net, account or\n"
	"           hosts:a.example:25,b.example:25; @INSTANCE behind it names a transport\n"
	"  bounce   is given up, and its sender is told\n"
	"  delete   is given up, and nobody is told\n"
	"  suspend  nothing is delivered to a destination, or for a tenant; without a name: the "
	"list\n"
	"  resume   ends that\n"
	"\n"
	"WHICH is any of these, and what fits all that are given is meant:\n"
	"  --sender ADDRESS      \"<>\" is the empty one\n"
	"  --recipient ADDRESS   --domain NAME (of the recipient)\n"
	"  --destination NAME    --tenant NAME\n"
	"  --state due|held      --attempts N, or N+ for N or more\n"
	"  --older DURATION      --younger DURATION: since it arrived, 30m, 2h, 3d\n"
	"  --reason TEXT         part of the last reason\n"
	"  --transaction ID      --id N\n"
	"\n"
	"hold, bounce and suspend take --because TEXT for a reason. All of it works while the "
	"gateway\n"
	"runs, and while it does not.\n";

static int wrong_usage(void)
{
	fputs(queue_usage, stderr);
	return 2;
}

struct pn_event *pn_queue_event(const char *action, uid_t caller)
{
	struct pn_event *event = pn_event_new(PN_LOG_NOTICE, "queue");

	pn_event_text(event, "action", pn_slice_of(action));
	pn_event_text(event, "by", PN_SLICE("an operator"));
	pn_event_number(event, "uid", (int64_t)caller);
	return event;
}

bool pn_queue_confirm(const struct pn_arguments *arguments, const char *question)
{
	char answer[16] = "";

	if (arguments->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		fprintf(stderr,
		        "postern: %s Say so with --yes, or say which: see postern queue --help\n",
		        question);
		return false;
	}
	printf("%s [y/N] ", question);
	fflush(stdout);
	return fgets(answer, sizeof(answer), stdin) != NULL &&
	       (answer[0] == 'y' || answer[0] == 'Y');
}

/* The store that keeps the queue; or that of --store. */
static struct pn_account *find_queue(struct pn_tool *tool)
{
	struct pn_instance *home = tool->assembly->generation->home;

	if (tool->store_name != NULL)
		return pn_tool_store(tool, 0);
	return home == NULL ? NULL : pn_account_new(tool->arena, PN_SLICE(""), home);
}

/* What operators do is part of the history, and no business of the terminal. */
static enum pn_status start_history(const struct pn_tool *tool, struct pn_error *error)
{
	char directory[4096];
	const struct pn_log_settings settings = {
		.history_directory = directory,
		.log_file = "",
		.level = PN_LOG_ERROR + 1,
		.worker = "operator",
	};

	snprintf(directory, sizeof(directory), "%s/history",
	         tool->assembly->generation->data_directory);
	return pn_log_start(&settings, error);
}

/* ---- list ---- */

static bool print_row(void *user, const struct pn_queue_row *row)
{
	pn_queue_table_row(user, row);
	return !ferror(stdout);
}

/* The rows that are there are shown while others are looked for. */
static void show_now(void *user)
{
	(void)user;
	fflush(stdout);
}

static int list(struct pn_tool *tool, const struct pn_account *queue,
                const struct pn_queue_selection *selection, const struct pn_arguments *arguments)
{
	struct pn_queue_table table;
	const struct pn_queue_walk walk = {.take = print_row, .rest = show_now, .user = &table};
	struct pn_error error;

	if (pn_queue_selects_all(selection) && selection->limit == UINT64_MAX && !arguments->all) {
		if (pn_queue_summary(tool, queue, selection, arguments->json, &error) != PN_OK)
			return pn_tool_fail(&error);
		return 0;
	}
	pn_queue_table_begin(&table, arguments->json);
	if (pn_queue_walk_rows(queue, selection, &walk, &error) != PN_OK)
		return pn_tool_fail(&error);
	if (table.count == 0 && !arguments->json)
		puts("nothing of that kind waits");
	return 0;
}

/* ---- all of it ---- */

static bool is_word(const struct pn_arguments *arguments, const char *word)
{
	return strcmp(arguments->words[0], word) == 0;
}

static int run(struct pn_tool *tool, const struct pn_arguments *arguments,
               const struct pn_queue_selection *selection, uid_t caller)
{
	struct pn_account *queue = find_queue(tool);
	struct pn_error error;

	if (queue == NULL) {
		(void)pn_fail(&error, "the configuration has no such store that keeps a queue");
		return pn_tool_fail(&error);
	}
	if (is_word(arguments, "list"))
		return list(tool, queue, selection, arguments);
	if (is_word(arguments, "show"))
		return pn_queue_show(queue, arguments, &error) == PN_OK ? 0 : pn_tool_fail(&error);
	if (pn_queue_is_action(arguments->words[0]))
		return pn_queue_act(tool, queue, selection, arguments, caller);
	return pn_queue_suspend(tool, selection, arguments, caller);
}

/* What each verb takes. An option that it would pass over might have been what spares other mail.
 */
static const struct verb {
	const char *word;
	int word_count;
	bool takes_which;       /* all that select rows */
	const char *options[5]; /* besides */
} verbs[] = {
	{"list", 1, true, {"--limit"}},
	{"show", 2, false, {"--body"}},
	{"hold", 1, true, {"--limit", "--dry-run", "--because"}},
	{"release", 1, true, {"--limit", "--dry-run"}},
	{"retry", 1, true, {"--limit", "--dry-run"}},
	{"requeue", 1, true, {"--limit", "--dry-run", "--route"}},
	{"bounce", 1, true, {"--limit", "--dry-run", "--because"}},
	{"delete", 1, true, {"--limit", "--dry-run"}},
	{"suspend", 1, false, {"--destination", "--tenant", "--for", "--because", "--dry-run"}},
	{"resume", 1, false, {"--destination", "--tenant", "--dry-run"}},
};

static const char *const which_options[] = {"--sender", "--recipient", "--domain", "--destination",
                                            "--tenant", "--state",     "--older",  "--younger",
                                            "--reason", "--attempts",  "--id",     "--transaction"};

static const struct verb *find_verb(const struct pn_arguments *arguments)
{
	for (size_t i = 0; arguments->word_count > 0 && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (is_word(arguments, verbs[i].word))
			return verbs[i].word_count == arguments->word_count ? &verbs[i] : NULL;
	}
	return NULL;
}

static bool is_among(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count && names[i] != NULL; i++) {
		if (strcmp(names[i], name) == 0)
			return true;
	}
	return false;
}

/* False, having said so: an option that does nothing here. */
static bool takes_options(const struct verb *verb, const struct pn_arguments *arguments)
{
	for (int i = 0; i < arguments->option_count; i++) {
		const char *name = arguments->options[i].name;

		if ((verb->takes_which &&
		     is_among(which_options, sizeof(which_options) / sizeof(which_options[0]),
		              name)) ||
		    is_among(verb->options, sizeof(verb->options) / sizeof(verb->options[0]), name))
			continue;
		fprintf(stderr,
		        "postern: queue %s takes no %s, and nothing was done: see postern queue "
		        "--help\n",
		        verb->word, name);
		return false;
	}
	return true;
}

int pn_command_queue(const struct pn_arguments *arguments)
{
	const uid_t caller = getuid();
	const struct verb *verb;
	struct pn_queue_selection selection;
	struct pn_error error;
	struct pn_tool tool;
	int status;

	if (arguments->help) {
		fputs(queue_usage, stdout);
		return 0;
	}
	verb = find_verb(arguments);
	if (verb == NULL)
		return wrong_usage();
	if (!takes_options(verb, arguments))
		return 2;
	status = pn_queue_selection_read(arguments, pn_clock_wall_ms(), &selection);
	if (status != 0)
		return status;
	if (pn_tool_open(arguments, PN_TOOL_AS_WORKER, &tool, &error) != PN_OK)
		return pn_tool_fail(&error);
	if (!is_word(arguments, "list") && !is_word(arguments, "show") &&
	    start_history(&tool, &error) != PN_OK) {
		pn_tool_close(&tool);
		return pn_tool_fail(&error);
	}
	status = run(&tool, arguments, &selection, caller);
	if (!is_word(arguments, "list") && !is_word(arguments, "show"))
		pn_log_stop();
	pn_tool_close(&tool);
	return fflush(stdout) == 0 ? status : 1;
}
