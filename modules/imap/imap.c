/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imap: mail that stays on the server, for many devices at once (RFC 3501).
 *
 * Read it from the bottom: the module, its options, the table of commands, and then
 * how a command finds its function.
 */
#include "imap.h"

#include <postern/module.h>
#include <postern/text.h>

#include <stdio.h>

enum imap_when {
	IMAP_ALWAYS = IMAP_NOT_AUTHENTICATED | IMAP_AUTHENTICATED | IMAP_SELECTED,
	IMAP_LOGGED_IN = IMAP_AUTHENTICATED | IMAP_SELECTED,
};

struct imap_verb {
	const char *word;
	uint32_t when;
	imap_handler *handle;
	bool may_be_uid; /* "UID FETCH" */
	bool only_uid;
};

static const struct imap_verb imap_verbs[] = {
	{"CAPABILITY", IMAP_ALWAYS, imap_capability, false, false},
	{"NOOP", IMAP_ALWAYS, imap_noop, false, false},
	{"LOGOUT", IMAP_ALWAYS, imap_logout, false, false},
	{"ID", IMAP_ALWAYS, imap_id, false, false},
	{"STARTTLS", IMAP_NOT_AUTHENTICATED, imap_starttls, false, false},
	{"AUTHENTICATE", IMAP_NOT_AUTHENTICATED, imap_authenticate, false, false},
	{"LOGIN", IMAP_NOT_AUTHENTICATED, imap_login, false, false},
	{"ENABLE", IMAP_LOGGED_IN, imap_enable_command, false, false},
	{"SELECT", IMAP_LOGGED_IN, imap_select, false, false},
	{"EXAMINE", IMAP_LOGGED_IN, imap_examine, false, false},
	{"CREATE", IMAP_LOGGED_IN, imap_create, false, false},
	{"DELETE", IMAP_LOGGED_IN, imap_delete, false, false},
	{"RENAME", IMAP_LOGGED_IN, imap_rename, false, false},
	{"SUBSCRIBE", IMAP_LOGGED_IN, imap_subscribe, false, false},
	{"UNSUBSCRIBE", IMAP_LOGGED_IN, imap_unsubscribe, false, false},
	{"LIST", IMAP_LOGGED_IN, imap_list, false, false},
	{"LSUB", IMAP_LOGGED_IN, imap_lsub, false, false},
	{"STATUS", IMAP_LOGGED_IN, imap_status, false, false},
	{"NAMESPACE", IMAP_LOGGED_IN, imap_namespace, false, false},
	{"APPEND", IMAP_LOGGED_IN, imap_append, false, false},
	{"IDLE", IMAP_LOGGED_IN, imap_idle, false, false},
	{"CHECK", IMAP_SELECTED, imap_noop, false, false},
	{"CLOSE", IMAP_SELECTED, imap_close, false, false},
	{"UNSELECT", IMAP_SELECTED, imap_unselect, false, false},
	{"EXPUNGE", IMAP_SELECTED, imap_expunge, true, false},
	{"SEARCH", IMAP_SELECTED, imap_search, true, false},
	{"FETCH", IMAP_SELECTED, imap_fetch, true, false},
	{"STORE", IMAP_SELECTED, imap_store, true, false},
	{"COPY", IMAP_SELECTED, imap_copy, true, false},
	{"MOVE", IMAP_SELECTED, imap_move, true, false},
	{NULL, IMAP_ALWAYS, NULL, false, false},
};

static const struct imap_verb *find_verb(struct pn_slice word)
{
	for (const struct imap_verb *verb = imap_verbs; verb->word != NULL; verb++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(verb->word)))
			return verb;
	}
	return NULL;
}

/* Parses "tag [UID] NAME" and calls the command. */
enum pn_next imap_run(struct pn_session *session, struct imap_session *imap)
{
	struct imap_parser *parser = PN_ARENA_NEW(imap->arena, struct imap_parser);
	const struct imap_verb *verb;
	struct pn_slice tag;
	struct pn_slice word;

	parser->text = pn_buffer_slice(&imap->input);
	parser->arena = imap->arena;
	if (!imap_parse_tag(parser, &tag) || tag.size > IMAP_TAG_MAX ||
	    !imap_skip_char(parser, ' '))
		return imap_bad(session, imap, "a command begins with a tag");
	imap->tag = tag;
	if (!imap_parse_atom(parser, &word))
		return imap_bad(session, imap, "there is no command");
	imap->is_uid = pn_slice_equal_ignore_case(word, PN_SLICE("UID"));
	if (imap->is_uid && (!imap_parse_space(parser) || !imap_parse_atom(parser, &word)))
		return imap_syntax(session, imap, parser);
	verb = find_verb(word);
	if (verb == NULL || (imap->is_uid && !verb->may_be_uid)) {
		imap->is_uid = false;
		return imap_bad(session, imap, "there is no such command");
	}
	if ((verb->when & imap->state) == 0)
		return imap_bad(session, imap,
		                imap->state == IMAP_NOT_AUTHENTICATED  ? "log in first"
		                : verb->when == IMAP_NOT_AUTHENTICATED ? "you are logged in"
		                                                       : "select a mailbox first");
	return verb->handle(session, imap, parser);
}

static enum pn_next imap_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	return imap_read_line(session, state, line);
}

static enum pn_next imap_data(struct pn_session *session, void *state, const struct pn_data *data)
{
	return imap_read_data(session, state, data);
}

static enum pn_next imap_open(struct pn_session *session, void *state,
                              const struct pn_answer *answer)
{
	struct imap_session *imap = state;
	const struct pn_stage_result *result = answer->result;
	struct pn_buffer words;
	char worker[32] = "";
	struct pn_sasl_terms terms = {.struct_size = sizeof(terms)};

	imap->config = pn_session_config(session);
	terms.clear = (enum pn_sasl_clear)imap->config->plaintext_login;
	terms.mechanisms = &imap->config->mechanisms;
	pn_sasl_set_terms(session, &terms);
	imap->state = IMAP_NOT_AUTHENTICATED;
	pn_buffer_init(&imap->input, 1024 * 1024);
	pn_session_set_deadline(session, imap->config->login_timeout);
	pn_session_set_line_limit(session, IMAP_AUTH_LINE_MAX);
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		break;
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		return imap_bye(session, result->reply.text);
	default:
		return PN_NEXT_CLOSE;
	}
	if (imap->config->banner_worker)
		snprintf(worker, sizeof(worker), " worker %u", pn_session_worker(session));
	pn_buffer_init(&words, 4096);
	imap_put_capabilities(session, imap, &words);
	imap_untagged(session, "OK [CAPABILITY %.*s] %s %s%s",
	              PN_SLICE_ARGS(pn_buffer_slice(&words)), pn_session_hostname(session),
	              imap->config->greeting, worker);
	pn_buffer_clear(&words);
	return PN_NEXT_LINE;
}

static enum pn_next imap_got_answer(struct pn_session *session, void *state,
                                    const struct pn_answer *answer)
{
	struct imap_session *imap = state;
	imap_answered *answered = imap->on_answer;

	imap->on_answer = NULL;
	return answered != NULL ? answered(session, imap, answer) : PN_NEXT_CLOSE;
}

static enum pn_next imap_drained(struct pn_session *session, void *state)
{
	struct imap_session *imap = state;
	imap_resumed *resumed = imap->on_drained;

	imap->on_drained = NULL;
	return resumed != NULL ? resumed(session, imap) : PN_NEXT_CLOSE;
}

static enum pn_next imap_event(struct pn_session *session, void *state,
                               const struct pn_session_event_info *event)
{
	struct imap_session *imap = state;

	switch (event->kind) {
	case PN_EVENT_DEADLINE:
		return imap_bye(session, "you were silent for too long");
	case PN_EVENT_STOPPING:
		return imap_bye(session, "the service is stopping, come again");
	case PN_EVENT_MAILBOX_CHANGED:
		imap->is_stale = true;
		imap_idle_changed(session, imap);
		return PN_NEXT_LINE;
	default:
		return PN_NEXT_LINE;
	}
}

static void imap_closed(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	struct imap_session *imap = state;

	(void)reason;
	imap_forget_command(imap);
	imap_unselect_mailbox(session, imap);
	imap_uids_clear(&imap->saved);
}

static const char *const tls_names[] = {"imap", NULL};

static const struct pn_protocol imap_protocol = {
	.struct_size = sizeof(struct pn_protocol),
	.name = "imap",
	.state_size = sizeof(struct imap_session),
	.open = imap_open,
	.line = imap_line,
	.data = imap_data,
	.answered = imap_got_answer,
	.drained = imap_drained,
	.event = imap_event,
	.close = imap_closed,
	.tls_names = tls_names,
	.turn_away = "* BYE ",
};

static enum pn_status check_config(const void *pointer, struct pn_error *error)
{
	const struct imap_config *config = pointer;

	for (const char *byte = config->greeting; *byte != '\0'; byte++) {
		if (*byte < ' ' || *byte > '~')
			return pn_fail(error, "greeting has a byte that is not printable ASCII");
	}
	if (strlen(config->greeting) > 200)
		return pn_fail(error, "greeting is longer than 200 bytes");
	return pn_sasl_check_mechanisms(&config->mechanisms, error);
}

static const char *const plaintexts[] = {"never", "loopback", "always", NULL};
static const char *const literal_kinds[] = {"plus", "minus", NULL};

static const struct pn_option imap_options[] = {
	PN_OPTION_CHOICE(
		struct imap_config, plaintext_login, "never", .choices = plaintexts,
		.flags = PN_OPTION_RELOADABLE,
		.summary = "Where passwords and tokens are taken without TLS. Mechanisms that give "
			   "no secret away (SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5) need "
			   "none, and are offered everywhere."),
	PN_OPTION_LIST(struct imap_config, mechanisms, PN_SASL_USUAL_MECHANISMS,
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Mechanisms that are offered, where the authentication modules "
                                  "can serve them. SCRAM-SHA-1, SCRAM-SHA-1-PLUS and CRAM-MD5 are "
                                  "old, and offered only if they are named; so is EXTERNAL, which "
                                  "takes a certificate that the listener's client_authorities "
                                  "vouch for. Without PLAIN and LOGIN no command takes a "
                                  "password."),
	PN_OPTION_CHOICE(struct imap_config, literals, "plus", .choices = literal_kinds,
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "LITERAL+, or LITERAL-, which ends at 4096 bytes (RFC 7888)."),
	PN_OPTION_STRING(struct imap_config, greeting, "IMAP Postern",
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "Text behind the name of the gateway in the greeting."),
	PN_OPTION_BOOL(struct imap_config, banner_worker, "no", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Put the number of the worker into the greeting, for tests."),
	PN_OPTION_LIST(struct imap_config, hidden_capabilities, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "Capabilities that are not announced and cannot be enabled."),
	PN_OPTION_SIZE(struct imap_config, max_message_size, "500M", .minimum_text = "1k",
                       .maximum_text = "4000M", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Largest message that APPEND takes; announced as APPENDLIMIT."),
	PN_OPTION_SIZE(struct imap_config, max_command_size, "256k", .minimum_text = "8k",
                       .maximum_text = "768k", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Longest command with its literals, the message of an APPEND "
                                  "apart; 8 kB before the login."),
	PN_OPTION_COUNT(struct imap_config, max_errors, "50", .minimum_text = "0",
                        .maximum_text = "100000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Mistakes that a session is given; one more is the end."),
	PN_OPTION_COUNT(struct imap_config, max_login_failures, "3", .minimum_text = "0",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Failed logins that a session is given; one more is the end."),
	PN_OPTION_DURATION(struct imap_config, login_timeout, "1m", .minimum_text = "100ms",
                           .maximum_text = "1h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "How long a client may take for each command before it "
                                      "is logged in."),
	PN_OPTION_DURATION(struct imap_config, command_timeout, "31m", .minimum_text = "100ms",
                           .maximum_text = "1d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "How long a client may be silent after the login; RFC 3501 "
                                      "section 5.4 wants at least 30 minutes."),
	PN_OPTION_DURATION(struct imap_config, idle_interval, "2m", .minimum_text = "100ms",
                           .maximum_text = "1d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "How often an idling client hears that the gateway is "
                                      "still here."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(imap, .version = "1.0",
          .summary = "Lets clients work with the mail of their accounts by IMAP.",
          .options = imap_options, .config_size = sizeof(struct imap_config),
          .protocol = &imap_protocol, .check_config = check_config, );
