/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp: receives mail by SMTP (RFC 5321), as a submission server (RFC 6409) or by
 * LMTP (RFC 2033), by option `profile`; configured once for each.
 *
 * Read it from the bottom: the module, its options, the table of verbs, and then
 * how a line finds its verb.
 */
#include "smtp.h"

#include <postern/address.h>
#include <postern/module.h>
#include <postern/network.h>
#include <postern/sasl.h>
#include <postern/text.h>

/* When a verb is welcome. */
enum smtp_when {
	SMTP_ALWAYS = 0,
	SMTP_GREETED,
	SMTP_HAS_SENDER,
};

enum smtp_where {
	SMTP_IN_SMTP = 1u << 0,
	SMTP_IN_LMTP = 1u << 1,
	SMTP_IN_BOTH = SMTP_IN_SMTP | SMTP_IN_LMTP,
	SMTP_UNTOLD = 1u << 2, /* not in HELP */
	SMTP_LAST = 1u << 3,   /* the client waits for its answer (RFC 2920 section 3.1) */
};

struct smtp_verb {
	const char *word;
	enum smtp_when when;
	unsigned where;
	smtp_handler *handle;
};

/* The table is at the bottom. */
static const struct smtp_verb *first_verb(void);

void smtp_reset(struct pn_session *session, struct smtp_session *smtp)
{
	pn_transaction_end(session);
	smtp->has_sender = false;
	smtp->data_is_complete = false;
	smtp->in_auth = false;
	smtp->is_utf8 = false;
	smtp->is_binary = false;
	smtp->is_prdr = false;
	smtp->in_chunks = false;
	smtp->waiting = SMTP_WAIT_NONE;
	smtp_forwarded_forget(session, smtp);
}

static bool knows(const struct smtp_session *smtp, const struct smtp_verb *verb)
{
	return (verb->where & (smtp_is_lmtp(smtp) ? SMTP_IN_LMTP : SMTP_IN_SMTP)) != 0;
}

static const struct smtp_verb *find_verb(const struct smtp_session *smtp, struct pn_slice word)
{
	for (const struct smtp_verb *verb = first_verb(); verb->word != NULL; verb++) {
		if (knows(smtp, verb) && pn_slice_equal_ignore_case(word, pn_slice_of(verb->word)))
			return verb;
	}
	return NULL;
}

const char *smtp_verb_name(const struct smtp_session *smtp, size_t index)
{
	for (const struct smtp_verb *verb = first_verb(); verb->word != NULL; verb++) {
		if (knows(smtp, verb) && (verb->where & SMTP_UNTOLD) == 0 && index-- == 0)
			return verb->word;
	}
	return NULL;
}

/* The reply where the verb comes at the wrong time, or NULL. */
static const char *out_of_order(const struct smtp_session *smtp, const struct smtp_verb *verb)
{
	if (verb->when >= SMTP_GREETED && !smtp->is_greeted)
		return smtp_is_lmtp(smtp) ? "LHLO comes first" : "EHLO comes first";
	if (verb->when >= SMTP_HAS_SENDER && !smtp->has_sender)
		return "MAIL comes first";
	return NULL;
}

/* RFC 2920 section 3.1: some commands are the last of their group, and without EHLO each is. */
static void look_at_pipelining(struct pn_session *session, const struct smtp_session *smtp,
                               const struct smtp_verb *verb)
{
	bool must_wait = !smtp->is_extended || (verb != NULL && (verb->where & SMTP_LAST) != 0);

	if (must_wait && pn_session_has_more(session))
		pn_session_count_pipelining(session);
}

static enum pn_next take_command(struct pn_session *session, struct smtp_session *smtp,
                                 struct pn_slice text)
{
	struct pn_slice argument = text;
	struct pn_slice word = pn_slice_cut(&argument, ' ');
	const struct smtp_verb *verb = find_verb(smtp, word);
	const char *complaint;

	look_at_pipelining(session, smtp, verb);
	if (verb == NULL)
		return smtp_error(session, smtp, 500, "5.5.1", "unknown command");
	if (text.size + 2 > smtp->config->max_command_length && verb->handle != smtp_auth)
		return smtp_error(session, smtp, 500, "5.5.2", "the line is too long");
	complaint = out_of_order(smtp, verb);
	if (complaint != NULL)
		return smtp_error(session, smtp, 503, "5.5.1", complaint);
	return verb->handle(session, smtp, pn_slice_trim(argument));
}

static enum pn_next bad_line(struct pn_session *session, struct smtp_session *smtp,
                             const struct pn_line *line)
{
	switch (line->problem) {
	case PN_LINE_TOO_LONG:
		return smtp_error(session, smtp, 500, "5.5.2", "the line is too long");
	case PN_LINE_BARE_LF:
		return smtp_farewell(session, 500, "5.5.2", "bare LF: lines end with CRLF");
	case PN_LINE_BARE_CR:
		return smtp_farewell(session, 500, "5.5.2", "bare CR: lines end with CRLF");
	case PN_LINE_NUL:
	case PN_LINE_GOOD:
		break;
	}
	return smtp_farewell(session, 500, "5.5.2", "NUL in a command");
}

static enum pn_next smtp_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	struct smtp_session *smtp = state;

	if (line->problem != PN_LINE_GOOD && line->problem != PN_LINE_TOO_LONG)
		return bad_line(session, smtp, line);
	if (++smtp->commands > smtp->config->max_commands)
		return smtp_farewell(session, 421, "4.7.0", "too many commands");
	if (smtp->in_auth)
		return smtp_auth_line(session, smtp, line);
	if (line->problem != PN_LINE_GOOD)
		return bad_line(session, smtp, line);
	return take_command(session, smtp, line->text);
}

static enum pn_next smtp_answered(struct pn_session *session, void *state,
                                  const struct pn_answer *answer)
{
	struct smtp_session *smtp = state;
	enum smtp_wait waiting = smtp->waiting;

	smtp->waiting = SMTP_WAIT_NONE;
	switch (waiting) {
	case SMTP_WAIT_BANNER:
		return smtp_banner_due(session, smtp);
	case SMTP_WAIT_HELLO:
		return smtp_hello_judged(session, smtp, answer->result);
	case SMTP_WAIT_SENDER:
		return smtp_sender_judged(session, smtp, answer->result);
	case SMTP_WAIT_RECIPIENT:
		return smtp_recipient_judged(session, smtp, answer->result);
	case SMTP_WAIT_BODY:
		return smtp_body_answered(session, smtp);
	case SMTP_WAIT_ACCEPTED:
		return smtp_message_answered(session, smtp, answer->result);
	case SMTP_WAIT_AUTH:
		return smtp_auth_answered(session, smtp, answer->result);
	case SMTP_WAIT_SECURED:
		return smtp_secured(session, smtp, answer->result);
	case SMTP_WAIT_PEER:
		return smtp_welcome(session, smtp, answer->result, 0);
	case SMTP_WAIT_REQUEST:
		return smtp_request_judged(session, smtp, answer->result);
	case SMTP_WAIT_ADDRESS:
		return smtp_address_known(session, smtp, answer->result);
	case SMTP_WAIT_QUEUE:
		return smtp_queue_summoned(session, smtp,
		                           answer->status == PN_OK ? answer->result : NULL);
	case SMTP_WAIT_NONE:
		break;
	}
	return PN_NEXT_CLOSE;
}

static enum pn_next smtp_event(struct pn_session *session, void *state,
                               const struct pn_session_event_info *event)
{
	(void)state;
	switch (event->kind) {
	case PN_EVENT_DEADLINE:
		return smtp_farewell(session, 421, "4.4.2", "timeout");
	case PN_EVENT_STOPPING:
		return smtp_farewell(session, 421, "4.3.2", "the service is stopping");
	default:
		return PN_NEXT_LINE;
	}
}

static void smtp_close(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	(void)session;
	(void)reason;
	smtp_request_forget(state);
}

static const char *const tls_names[] = {"smtp", "esmtp", "lmtp", NULL};

static const struct pn_protocol smtp_protocol = {
	.struct_size = sizeof(struct pn_protocol),
	.name = "smtp",
	.state_size = sizeof(struct smtp_session),
	.open = smtp_open,
	.line = smtp_line,
	.data = smtp_data_piece,
	.answered = smtp_answered,
	.event = smtp_event,
	.close = smtp_close,
	.tls_names = tls_names,
	.turn_away = "421 ",
};

static enum pn_status check_config(const void *pointer, struct pn_error *error)
{
	const struct smtp_config *config = pointer;

	for (const char *byte = config->greeting; *byte != '\0'; byte++) {
		if (*byte < ' ' || *byte > '~')
			return pn_fail(error, "greeting has a byte that is not printable ASCII");
	}
	if (strlen(config->greeting) > 200)
		return pn_fail(error, "greeting is longer than 200 bytes");
	if (config->profile == SMTP_PROFILE_SUBMISSION &&
	    config->authentication != SMTP_AUTHENTICATION_REQUIRED)
		return pn_fail(error, "profile = \"submission\" takes mail from everybody unless "
		                      "authentication = \"required\" stands beside it");
	if (pn_networks_check(&config->xclient_networks, error) != PN_OK)
		return PN_FAILED;
	if (pn_networks_check(&config->xforward_networks, error) != PN_OK)
		return PN_FAILED;
	for (size_t i = 0; i < config->etrn_domains.count; i++) {
		if (!pn_domain_is_valid(pn_slice_of(config->etrn_domains.items[i]), false))
			return pn_fail(error, "etrn_domains: \"%s\" is no domain",
			               config->etrn_domains.items[i]);
	}
	if (pn_networks_check(&config->etrn_networks, error) != PN_OK)
		return PN_FAILED;
	return pn_sasl_check_mechanisms(&config->mechanisms, error);
}

static const char *const profiles[] = {"mx", "submission", "lmtp", NULL};
static const char *const authentications[] = {"none", "offered", "required", NULL};
static const char *const vrfy_answers[] = {"off", "neutral", "on", NULL};
static const char *const plaintexts[] = {"never", "loopback", "always", NULL};

static const struct pn_option smtp_options[] = {
	PN_OPTION_CHOICE(struct smtp_config, profile, "mx", .choices = profiles,
                         .summary = "What the instance is: mx takes mail for the domains of this "
                                    "gateway, submission takes mail from its users, lmtp answers "
                                    "for each recipient."),
	PN_OPTION_CHOICE(struct smtp_config, authentication, "none", .choices = authentications,
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "Whether clients may or must log in before MAIL."),
	PN_OPTION_CHOICE(
		struct smtp_config, plaintext_login, "never", .choices = plaintexts,
		.flags = PN_OPTION_RELOADABLE,
		.summary = "Where passwords and tokens are taken without TLS. Mechanisms that give "
			   "no secret away (SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5) need "
			   "none, and are offered everywhere."),
	PN_OPTION_LIST(struct smtp_config, mechanisms, PN_SASL_USUAL_MECHANISMS,
                       .flags = PN_OPTION_RELOADABLE,
                       .summary = "Mechanisms that are offered, where the authentication modules "
                                  "can serve them. SCRAM-SHA-1, SCRAM-SHA-1-PLUS and CRAM-MD5 are "
                                  "old, and offered only if they are named; so is EXTERNAL, which "
                                  "takes a certificate that the listener's client_authorities "
                                  "vouch for. Without PLAIN and LOGIN no command takes a "
                                  "password."),
	PN_OPTION_STRING(struct smtp_config, greeting, "", .flags = PN_OPTION_RELOADABLE,
                         .summary = "Text behind the name of the gateway in the banner; empty for "
                                    "\"ESMTP Postern\" or \"LMTP Postern\"."),
	PN_OPTION_BOOL(struct smtp_config, banner_worker, "no", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Put the number of the worker into the banner, for tests."),
	PN_OPTION_SIZE(struct smtp_config, max_message_size, "50M", .minimum_text = "1k",
                       .maximum_text = "2G", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Largest message that is taken; said in EHLO."),
	PN_OPTION_COUNT(struct smtp_config, max_recipients, "1000", .minimum_text = "1",
                        .maximum_text = "50000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most recipients of one message; one more is answered 452. "
                                   "RFC 5321 asks for at least 100."),
	PN_OPTION_COUNT(struct smtp_config, max_errors, "20", .minimum_text = "0",
                        .maximum_text = "100000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Replies of class 5 that a session is given; one more is a 421 "
                                   "and the end. A message that is accepted clears the count."),
	PN_OPTION_COUNT(struct smtp_config, soft_errors, "10", .minimum_text = "0",
                        .maximum_text = "100000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Replies of class 5 that come at once; each one more comes "
                                   "error_delay later."),
	PN_OPTION_DURATION(struct smtp_config, error_delay, "1s", .minimum_text = "0s",
                           .maximum_text = "1m", .flags = PN_OPTION_RELOADABLE,
                           .summary = "How long a client that makes many mistakes waits for each "
                                      "reply to another one."),
	PN_OPTION_COUNT(struct smtp_config, max_login_failures, "3", .minimum_text = "0",
                        .maximum_text = "1000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Failed logins that a session is given; one more is a 421 and "
                                   "the end."),
	PN_OPTION_COUNT(struct smtp_config, max_commands, "100000", .minimum_text = "1",
                        .maximum_text = "100000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most commands in one session; one more is a 421 and the end."),
	PN_OPTION_COUNT(struct smtp_config, max_transactions, "10000", .minimum_text = "1",
                        .maximum_text = "100000000", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Most messages in one session; one more is a 421 and the end."),
	PN_OPTION_COUNT(struct smtp_config, max_command_length, "1090", .minimum_text = "512",
                        .maximum_text = "12288", .flags = PN_OPTION_RELOADABLE,
                        .summary = "Longest command line in bytes with its CRLF: 512 by RFC 5321, "
                                   "and room for the parameters that are offered; AUTH may have "
                                   "12,288. Space behind the colon of MAIL FROM: and RCPT TO: is "
                                   "passed over."),
	PN_OPTION_DURATION(struct smtp_config, command_timeout, "5m", .minimum_text = "100ms",
                           .maximum_text = "1h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest wait for a whole command."),
	PN_OPTION_DURATION(struct smtp_config, data_timeout, "5m", .minimum_text = "100ms",
                           .maximum_text = "1h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest wait for the next bytes of a message."),
	PN_OPTION_DURATION(struct smtp_config, message_timeout, "1h", .minimum_text = "100ms",
                           .maximum_text = "24h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest time from DATA to the end of the message."),
	PN_OPTION_SIZE(struct smtp_config, min_data_rate, "100", .minimum_text = "1",
                       .maximum_text = "10M", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Bytes a second that must come, on average over "
                                  "data_rate_window, while a message is received; fewer are "
                                  "answered 421."),
	PN_OPTION_DURATION(struct smtp_config, data_rate_window, "5m", .minimum_text = "100ms",
                           .maximum_text = "1h", .flags = PN_OPTION_RELOADABLE,
                           .summary = "How long bytes are counted before their rate is judged; "
                                      "also the longest silence, where data_timeout is longer."),
	PN_OPTION_DURATION(struct smtp_config, banner_delay, "0s", .minimum_text = "0s",
                           .maximum_text = "1m", .flags = PN_OPTION_RELOADABLE,
                           .summary = "How long clients wait for the banner. Those that do not "
                                      "are known to policy (session.is_early_talker): the longer "
                                      "it is, the more of them; honest ones wait as long."),
	PN_OPTION_LIST(struct smtp_config, xclient_networks, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "Networks (\"192.0.2.0/24\", or \"unix\") whose clients may say "
                                  "with XCLIENT whom they speak for: policy, limits and records "
                                  "then see that other."),
	PN_OPTION_LIST(struct smtp_config, xforward_networks, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "Networks whose clients may say with XFORWARD where they have "
                                  "the next message from: facts, and nothing more."),
	PN_OPTION_CHOICE(struct smtp_config, vrfy, "neutral", .choices = vrfy_answers,
                         .flags = PN_OPTION_RELOADABLE,
                         .summary = "What VRFY answers: 502, 252 whatever the address, or whether "
                                    "it exists. Policy may answer by itself (client.request)."),
	PN_OPTION_BOOL(struct smtp_config, expn, "no", .flags = PN_OPTION_RELOADABLE,
                       .summary = "Whether EXPN says which accounts and addresses an address leads "
                                  "to, or 502. Policy may let some clients ask (client.request)."),
	PN_OPTION_LIST(struct smtp_config, etrn_networks, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "Networks whose clients may have waiting mail tried at once with "
                                  "ETRN; policy may let others (client.request). Not in profile "
                                  "lmtp."),
	PN_OPTION_LIST(struct smtp_config, etrn_domains, NULL, .flags = PN_OPTION_RELOADABLE,
                       .summary = "Domains that they may name; empty: any."),
	PN_OPTION_DURATION(struct smtp_config, min_deliver_by, "0s", .minimum_text = "0s",
                           .maximum_text = "30d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Shortest time in which clients may want a message delivered "
                                      "or returned (DELIVERBY); said in EHLO where it is not 0."),
	PN_OPTION_DURATION(struct smtp_config, max_hold, "30d", .minimum_text = "1s",
                           .maximum_text = "365d", .flags = PN_OPTION_RELOADABLE,
                           .summary = "Longest time that clients may have their mail held "
                                      "(FUTURERELEASE; profile submission)."),
	PN_OPTION_TABLE_END,
};

static const struct pn_hook smtp_hooks[] = {
	{.stage = PN_STAGE_MESSAGE_CHANGE,
         .order = PN_ORDER_EARLY,
         .on_error = PN_ON_ERROR_CONTINUE,
         .name = "complete",
         .run = smtp_complete_message,
         .summary =
                 "With profile submission: add From, Date and Message-ID where they are missing."},
	{.stage = PN_STAGE_NONE},
};

static const struct smtp_verb smtp_verbs[] = {
	{"EHLO", SMTP_ALWAYS, SMTP_IN_SMTP | SMTP_LAST, smtp_ehlo},
	{"HELO", SMTP_ALWAYS, SMTP_IN_SMTP | SMTP_LAST, smtp_helo},
	{"LHLO", SMTP_ALWAYS, SMTP_IN_LMTP | SMTP_LAST, smtp_ehlo},
	{"MAIL", SMTP_GREETED, SMTP_IN_BOTH, smtp_mail},
	{"RCPT", SMTP_HAS_SENDER, SMTP_IN_BOTH, smtp_rcpt},
	{"DATA", SMTP_HAS_SENDER, SMTP_IN_BOTH | SMTP_LAST, smtp_data},
	{"BDAT", SMTP_ALWAYS, SMTP_IN_BOTH, smtp_bdat}, /* its bytes follow at any time */
	{"RSET", SMTP_ALWAYS, SMTP_IN_BOTH, smtp_rset},
	{"NOOP", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_LAST, smtp_noop},
	{"QUIT", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_LAST, smtp_quit},
	{"VRFY", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_LAST, smtp_vrfy},
	{"HELP", SMTP_ALWAYS, SMTP_IN_BOTH, smtp_help},
	{"STARTTLS", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_LAST, smtp_starttls},
	{"AUTH", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_LAST, smtp_auth},
	{"XCLIENT", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_xclient},
	{"XFORWARD", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_xforward},
	{"EXPN", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_LAST, smtp_expn},
	{"ETRN", SMTP_GREETED, SMTP_IN_SMTP | SMTP_LAST, smtp_etrn},
	{"TURN", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD | SMTP_LAST, smtp_not_implemented},
	{"SEND", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_not_implemented},
	{"SOML", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_not_implemented},
	{"SAML", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_not_implemented},
	{"GET", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_wrong_protocol},
	{"POST", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_wrong_protocol},
	{"CONNECT", SMTP_ALWAYS, SMTP_IN_BOTH | SMTP_UNTOLD, smtp_wrong_protocol},
	{NULL, SMTP_ALWAYS, 0, NULL},
};

static const struct smtp_verb *first_verb(void)
{
	return smtp_verbs;
}

PN_MODULE(smtp, .version = "1.0",
          .summary = "Receives mail by SMTP, as a submission server or by LMTP.",
          .options = smtp_options, .config_size = sizeof(struct smtp_config), .hooks = smtp_hooks,
          .protocol = &smtp_protocol, .check_config = check_config, );
