/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pop3: lets clients read and delete the messages of INBOX (RFC 1939).
 *
 * Read it from the bottom: the module, its options, the table of commands, and then
 * how a line finds its command.
 */
#include "pop3.h"

#include <postern/module.h>
#include <postern/text.h>

#include <stdio.h>

/* When a command is welcome (RFC 1939 section 3). */
enum pop3_when {
	POP3_AUTHORIZATION = 1u << 0,
	POP3_TRANSACTION = 1u << 1,
	POP3_ALWAYS = POP3_AUTHORIZATION | POP3_TRANSACTION,
};

struct pop3_command {
	const char *word;
	enum pop3_when when;
	pop3_handler *handle;
};

static const struct pop3_command pop3_commands[] = {
	{"USER", POP3_AUTHORIZATION, pop3_user},
	{"PASS", POP3_AUTHORIZATION, pop3_pass},
	{"AUTH", POP3_AUTHORIZATION, pop3_auth},
	{"STLS", POP3_AUTHORIZATION, pop3_stls},
	{"CAPA", POP3_ALWAYS, pop3_capa},
	{"QUIT", POP3_ALWAYS, pop3_quit},
	{"STAT", POP3_TRANSACTION, pop3_stat},
	{"LIST", POP3_TRANSACTION, pop3_list},
	{"UIDL", POP3_TRANSACTION, pop3_uidl},
	{"RETR", POP3_TRANSACTION, pop3_retr},
	{"TOP", POP3_TRANSACTION, pop3_top},
	{"DELE", POP3_TRANSACTION, pop3_dele},
	{"RSET", POP3_TRANSACTION, pop3_rset},
	{"NOOP", POP3_TRANSACTION, pop3_noop},
	{NULL, POP3_ALWAYS, NULL},
};

static const struct pop3_command *find_command(struct pn_slice word)
{
	for (const struct pop3_command *command = pop3_commands; command->word != NULL; command++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(command->word)))
			return command;
	}
	return NULL;
}

static enum pn_next take_command(struct pn_session *session, struct pop3_session *pop3,
                                 struct pn_slice text)
{
	struct pn_slice argument = text;
	const struct pop3_command *command = find_command(pn_slice_cut(&argument, ' '));
	unsigned state = pop3->is_open ? POP3_TRANSACTION : POP3_AUTHORIZATION;

	if (command == NULL)
		return pop3_error(session, pop3, "unknown command");
	if (text.size + 2 > pop3->config->max_command_length && command->handle != pop3_auth)
		return pop3_error(session, pop3, "the line is too long");
	if ((command->when & state) == 0)
		return pop3_error(session, pop3,
		                  pop3->is_open ? "not after the login" : "log in first");
	/* RFC 1939 section 7: spaces are part of a password. */
	if (command->handle != pop3_pass)
		argument = pn_slice_trim(argument);
	return command->handle(session, pop3, argument);
}

static enum pn_next pop3_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	struct pop3_session *pop3 = state;

	if (line->problem != PN_LINE_GOOD && line->problem != PN_LINE_TOO_LONG)
		return pop3_farewell(
			session, "",
			line->problem == PN_LINE_BARE_LF   ? "bare LF: lines end with CRLF"
			: line->problem == PN_LINE_BARE_CR ? "bare CR: lines end with CRLF"
							   : "NUL in a command");
	if (++pop3->commands > pop3->config->max_commands)
		return pop3_farewell(session, "", "too many commands");
	if (pop3->in_auth)
		return pop3_auth_line(session, pop3, line);
	if (line->problem == PN_LINE_TOO_LONG)
		return pop3_error(session, pop3, "the line is too long");
	return take_command(session, pop3, line->text);
}

static enum pn_next pop3_open(struct pn_session *session, void *state,
                              const struct pn_answer *answer)
{
	struct pop3_session *pop3 = state;
	const struct pn_stage_result *result = answer->result;
	char worker[32] = "";
	struct pn_sasl_terms terms = {.struct_size = sizeof(terms)};

	pop3->config = pn_session_config(session);
	terms.clear = (enum pn_sasl_clear)pop3->config->plaintext_login;
	terms.mechanisms = &pop3->config->mechanisms;
	pn_sasl_set_terms(session, &terms);
	pn_session_set_deadline(session, pop3->config->command_timeout);
	pn_session_set_line_limit(session, POP3_AUTH_LINE_MAX - 2);
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		break;
	case PN_VERDICT_REJECT:
		return pop3_farewell(session, "SYS/PERM", result->reply.text);
	case PN_VERDICT_DEFER:
		return pop3_farewell(session, "SYS/TEMP", result->reply.text);
	default:
		return PN_NEXT_CLOSE;
	}
	if (pop3->config->banner_worker)
		snprintf(worker, sizeof(worker), " worker %u", pn_session_worker(session));
	pop3_ok(session, "%s %s%s", pn_session_hostname(session), pop3->config->greeting, worker);
	return PN_NEXT_LINE;
}

static enum pn_next pop3_answered(struct pn_session *session, void *state,
                                  const struct pn_answer *answer)
{
	struct pop3_session *pop3 = state;
	enum pop3_wait waiting = pop3->waiting;

	pop3->waiting = POP3_WAIT_NONE;
	switch (waiting) {
	case POP3_WAIT_LOGIN:
		return pop3_login_answered(session, pop3, answer->result);
	case POP3_WAIT_OPEN:
		return pop3_open_judged(session, pop3, answer->result);
	case POP3_WAIT_MAILBOX:
		return pop3_mailbox_answered(session, pop3, answer);
	case POP3_WAIT_ROWS:
		return pop3_rows_answered(session, pop3, answer);
	case POP3_WAIT_BODY:
		return pop3_body_answered(session, pop3, answer);
	case POP3_WAIT_UPDATE:
		return pop3_update_answered(session, pop3, answer);
	case POP3_WAIT_SECURED:
		return pop3_secured(session, pop3, answer->result);
	case POP3_WAIT_NONE:
		break;
	}
	return PN_NEXT_CLOSE;
}

static enum pn_next pop3_drained(struct pn_session *session, void *state)
{
	struct pop3_session *pop3 = state;

	if (pop3->sending == POP3_SENDING_BODY)
		return pop3_retrieve_more(session, pop3);
	return pop3_list_more(session, pop3);
}

static enum pn_next pop3_event(struct pn_session *session, void *state,
                               const struct pn_session_event_info *event)
{
	(void)state;
	switch (event->kind) {
	case PN_EVENT_DEADLINE:
		/* RFC 1939 section 3: without a word, and nothing is deleted. */
		return PN_NEXT_CLOSE;
	case PN_EVENT_STOPPING:
		return pop3_farewell(session, "SYS/TEMP", "the service is stopping");
	default:
		return PN_NEXT_LINE;
	}
}

static void pop3_close(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	struct pop3_session *pop3 = state;

	(void)session;
	(void)reason;
	pop3_maildrop_close(&pop3->drop);
}

static const char *const tls_names[] = {"pop3", NULL};

static const struct pn_protocol pop3_protocol = {
	.struct_size = sizeof(struct pn_protocol),
	.name = "pop3",
	.state_size = sizeof(struct pop3_session),
	.open = pop3_open,
	.line = pop3_line,
	.answered = pop3_answered,
	.drained = pop3_drained,
	.event = pop3_event,
	.close = pop3_close,
	.tls_names = tls_names,
	.turn_away = "-ERR [SYS/TEMP] ",
};

static enum pn_status check_config(const void *pointer, struct pn_error *error)
{
	const struct pop3_config *config = pointer;

	for (const char *byte = config->greeting; *byte != '\0'; byte++) {
		if (*byte < ' ' || *byte > '~')
			return pn_fail(error, "greeting has a byte that is not printable ASCII");
		/* RFC 1939 section 7: a time stamp in brackets there offers APOP. */
		if (*byte == '<')
			return pn_fail(error, "greeting has a '<', which clients take for an offer "
			                      "of APOP: leave it out");
	}
	if (strlen(config->greeting) > 200)
		return pn_fail(error, "greeting is longer than 200 bytes");
	return pn_sasl_check_mechanisms(&config->mechanisms, error);
}

static const char *const plaintexts[] = {"never", "loopback", "always", NULL};

static const struct pn_option pop3_options[] = {
	PN_OPTION_CHOICE(
		struct pop3_config, plaintext_login, "never", .choices = plaintexts,
		.flags = PN_OPTION_RELOADABLE,
		.summary = "Where passwords and tokens are taken without TLS. Mechanisms that give "
			   "no secret away (SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5) need "
			   "none, and are offered everywhere."),
	PN_OPTION_LIST(struct pop3_config, mechanisms, PN_SASL_USUAL_MECHANISMS,
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Mechanisms that are offered, where the authentication modules "
                                  "can serve them. SCRAM-SHA-1, SCRAM-SHA-1-PLUS and CRAM-MD5 are "
                                  "old, and offered only if they are named; so is EXTERNAL, which "
                                  "takes a certificate that the listener's client_authorities "
                                  "vouch for. Without PLAIN and LOGIN no command takes a "
                                  "password."),
	PN_OPTION_STRING(struct pop3_config, greeting, "POP3 Postern",
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "Text behind the name of the gateway in the banner."),
	PN_OPTION_BOOL(struct pop3_config, banner_worker, "no", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Put the number of the worker into the banner, for tests."),
	PN_OPTION_COUNT(struct pop3_config, max_messages, "100000", .minimum_text = "1",
                        .maximum_text = "10000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most messages that a session shows, the oldest first; 40 bytes "
                                   "of memory each."),
	PN_OPTION_COUNT(struct pop3_config, max_errors, "50", .minimum_text = "0",
                        .maximum_text = "100000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Mistakes that a session is given; one more is the end."),
	PN_OPTION_COUNT(struct pop3_config, max_login_failures, "3", .minimum_text = "0",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Failed logins that a session is given; one more is the end."),
	PN_OPTION_COUNT(struct pop3_config, max_commands, "1000000", .minimum_text = "1",
                        .maximum_text = "100000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most commands in one session; one more is the end."),
	PN_OPTION_COUNT(struct pop3_config, max_command_length, "1024", .minimum_text = "255",
                        .maximum_text = "12288", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Longest command line in bytes with its CRLF: 255 by RFC 2449, "
                                   "and room for long passwords; AUTH may have 12,288."),
	PN_OPTION_DURATION(struct pop3_config, command_timeout, "10m", .minimum_text = "100ms",
                           .maximum_text = "24h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest wait for a command; RFC 1939 asks for at least ten "
                                      "minutes."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(pop3, .version = "1.0",
          .summary = "Lets clients read and delete the messages of INBOX by POP3.",
          .options = pop3_options, .config_size = sizeof(struct pop3_config),
          .protocol = &pop3_protocol, .check_config = check_config, );
