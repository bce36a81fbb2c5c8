/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The banner and the hello: EHLO, HELO and LHLO (RFC 5321 section 4.1.1.1, RFC 2033
 * section 4.1), and the capabilities, which are those that hold now. RFC 2034
 * section 4: no enhanced codes here.
 */
#include "smtp.h"

#include <postern/clock.h>
#include <postern/network.h>
#include <postern/sasl.h>
#include <postern/text.h>

#include <stdio.h>

enum { HELLO_MAX = 255, LINE_SIZE = 512 };

static void write_banner(struct pn_session *session, const struct smtp_session *smtp)
{
	const struct smtp_config *config = smtp->config;
	const char *greeting = config->greeting;
	char worker[32] = "";
	char text[LINE_SIZE];

	if (greeting[0] == '\0')
		greeting = smtp_is_lmtp(smtp) ? "LMTP Postern" : "ESMTP Postern";
	if (config->banner_worker)
		snprintf(worker, sizeof(worker), " worker %u", pn_session_worker(session));
	snprintf(text, sizeof(text), "%s %s%s", pn_session_hostname(session), greeting, worker);
	smtp_reply(session, 220, "", text);
}

enum pn_next smtp_welcome(struct pn_session *session, struct smtp_session *smtp,
                          const struct pn_stage_result *result, uint64_t delay_ms)
{
	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		break;
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		return smtp_turn_away(session, result, false);
	default:
		return PN_NEXT_CLOSE;
	}
	if (delay_ms > 0) {
		smtp->waiting = SMTP_WAIT_BANNER;
		(void)pn_session_ticket(session, delay_ms);
		return PN_NEXT_ANSWER;
	}
	write_banner(session, smtp);
	return PN_NEXT_LINE;
}

/* RFC 5321 section 4.3.1: the client waits for it. Many that send spam do not. */
enum pn_next smtp_banner_due(struct pn_session *session, struct smtp_session *smtp)
{
	if (pn_session_has_input(session))
		pn_session_set_early_talker(session);
	write_banner(session, smtp);
	return PN_NEXT_LINE;
}

enum pn_next smtp_open(struct pn_session *session, void *state, const struct pn_answer *answer)
{
	struct smtp_session *smtp = state;
	const char *peer = pn_session_peer(session);
	struct pn_sasl_terms terms = {.struct_size = sizeof(terms)};

	smtp->config = pn_session_config(session);
	terms.clear = (enum pn_sasl_clear)smtp->config->plaintext_login;
	terms.mechanisms = &smtp->config->mechanisms;
	pn_sasl_set_terms(session, &terms);
	smtp->may_xclient = pn_networks_have(&smtp->config->xclient_networks, peer);
	smtp->may_xforward = pn_networks_have(&smtp->config->xforward_networks, peer);
	smtp->may_etrn =
		!smtp_is_lmtp(smtp) && pn_networks_have(&smtp->config->etrn_networks, peer);
	pn_session_set_deadline(session, smtp->config->command_timeout);
	/* The lines of AUTH are the longest; those of other verbs are measured when they are there.
	 */
	pn_session_set_line_limit(session, SMTP_AUTH_LINE_MAX - 2);
	if (pn_session_has_input(session))
		pn_session_set_early_talker(session);
	return smtp_welcome(session, smtp, answer->result, smtp->config->banner_delay);
}

/* Lenient: what clients call themselves is often no domain, and policy may judge it. */
static bool is_hello_name(struct pn_slice name)
{
	for (size_t i = 0; i < name.size; i++) {
		if (name.data[i] <= ' ' || name.data[i] > '~')
			return false;
	}
	return name.size > 0 && name.size <= HELLO_MAX;
}

static enum pn_next hello(struct pn_session *session, struct smtp_session *smtp,
                          struct pn_slice name, bool is_extended)
{
	if (!is_hello_name(name))
		return smtp_error(session, smtp, 501, "", "a hello names its client");
	/* RFC 5321 section 4.1.4: a hello in the middle is also a RSET. */
	smtp_reset(session, smtp);
	smtp->pending_extended = is_extended;
	smtp->waiting = SMTP_WAIT_HELLO;
	if (!smtp->has_hello_of_other)
		pn_session_set_hello(session, name);
	return pn_stage_ask(session, PN_STAGE_CLIENT_HELLO);
}

enum pn_next smtp_ehlo(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	return hello(session, smtp, argument, true);
}

enum pn_next smtp_helo(struct pn_session *session, struct smtp_session *smtp,
                       struct pn_slice argument)
{
	return hello(session, smtp, argument, false);
}

static void write_submission_capabilities(struct pn_session *session,
                                          const struct smtp_session *smtp)
{
	int64_t last = pn_clock_wall_ms() + (int64_t)smtp->config->max_hold;
	char date[PN_DATE_SIZE];
	char line[LINE_SIZE];

	smtp_reply_more(session, 250, "", "MT-PRIORITY");
	/* RFC 4865 section 4: the longest time, and the last moment. */
	snprintf(line, sizeof(line), "FUTURERELEASE %llu %s",
	         (unsigned long long)smtp->config->max_hold / 1000, pn_date_rfc3339(last, date));
	smtp_reply_more(session, 250, "", line);
}

static void write_capabilities(struct pn_session *session, const struct smtp_session *smtp)
{
	const char *capability;
	char line[LINE_SIZE];

	smtp_reply_more(session, 250, "", pn_session_hostname(session));
	smtp_reply_more(session, 250, "", "PIPELINING");
	snprintf(line, sizeof(line), "SIZE %llu",
	         (unsigned long long)smtp->config->max_message_size);
	smtp_reply_more(session, 250, "", line);
	if (pn_session_can_start_tls(session) && !smtp_is_authenticated(session))
		smtp_reply_more(session, 250, "", "STARTTLS");
	if (smtp_login_is_possible(session, smtp) && !smtp_is_authenticated(session)) {
		snprintf(line, sizeof(line), "AUTH %s", pn_sasl_mechanisms(session));
		smtp_reply_more(session, 250, "", line);
	}
	smtp_reply_more(session, 250, "", "8BITMIME");
	smtp_reply_more(session, 250, "", "SMTPUTF8");
	smtp_reply_more(session, 250, "", "CHUNKING");
	smtp_reply_more(session, 250, "", "BINARYMIME");
	smtp_reply_more(session, 250, "", "DSN");
	snprintf(line, sizeof(line), "LIMITS MAILMAX=%u RCPTMAX=%u",
	         (unsigned)smtp->config->max_transactions, (unsigned)smtp->config->max_recipients);
	smtp_reply_more(session, 250, "", line);
	if (smtp->config->min_deliver_by == 0)
		snprintf(line, sizeof(line), "DELIVERBY");
	else
		snprintf(line, sizeof(line), "DELIVERBY %llu",
		         (unsigned long long)(smtp->config->min_deliver_by + 999) / 1000);
	smtp_reply_more(session, 250, "", line);
	/* RFC 8689 section 4.1. */
	if (pn_session_is_encrypted(session))
		smtp_reply_more(session, 250, "", "REQUIRETLS");
	if (!smtp_is_lmtp(smtp))
		smtp_reply_more(session, 250, "", "PRDR");
	if (smtp->config->profile == SMTP_PROFILE_SUBMISSION)
		write_submission_capabilities(session, smtp);
	if (smtp->may_etrn)
		smtp_reply_more(session, 250, "", "ETRN");
	for (size_t i = 0; (capability = smtp_proxy_capability(smtp, i)) != NULL; i++)
		smtp_reply_more(session, 250, "", capability);
	smtp_reply(session, 250, "", "ENHANCEDSTATUSCODES");
}

enum pn_next smtp_hello_judged(struct pn_session *session, struct smtp_session *smtp,
                               const struct pn_stage_result *result)
{
	struct pn_stage_result plain = *result;

	if (result->verdict != PN_VERDICT_CONTINUE && result->verdict != PN_VERDICT_ACCEPT) {
		smtp->is_greeted = false;
		smtp->is_extended = false;
		plain.reply.enhanced[0] = '\0';
		return smtp_refuse(session, smtp, &plain);
	}
	smtp->is_greeted = true;
	smtp->is_extended = smtp->pending_extended;
	if (smtp->is_extended)
		write_capabilities(session, smtp);
	else
		smtp_reply(session, 250, "", pn_session_hostname(session));
	return PN_NEXT_LINE;
}
