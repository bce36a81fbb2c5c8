/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies (RFC 5321 section 4.2), the one place where they are written. Text goes
 * out in printable ASCII whatever it was made of, with the enhanced code of
 * RFC 2034 where there is one: "" in greetings and in answers to a hello.
 */
#include "smtp.h"

#include <postern/text.h>

#include <stdio.h>

/* RFC 5321 section 4.5.3.1.5: 512 bytes with code and CRLF. */
enum { TEXT_MAX = 480 };

/* RFC 5321 sections 4.3.2 and 3.8, RFC 7504: who does not serve a client greets it with one of
 * these. */
enum { SMTP_CLOSING = 421, SMTP_TAKES_NONE = 521, SMTP_NO_SERVICE = 554 };

static void write_line(struct pn_session *session, unsigned code, char separator,
                       const char *enhanced, const char *text)
{
	char clean[TEXT_MAX];
	bool has_enhanced = enhanced != NULL && enhanced[0] != '\0';

	pn_text_printable(clean, sizeof(clean), pn_slice_of(text));
	pn_session_print(session, "%03u%c%s%s%s\r\n", code, separator, has_enhanced ? enhanced : "",
	                 has_enhanced ? " " : "", clean);
}

void smtp_reply(struct pn_session *session, unsigned code, const char *enhanced, const char *text)
{
	write_line(session, code, ' ', enhanced, text);
}

void smtp_reply_more(struct pn_session *session, unsigned code, const char *enhanced,
                     const char *text)
{
	write_line(session, code, '-', enhanced, text);
}

enum pn_next smtp_farewell(struct pn_session *session, unsigned code, const char *enhanced,
                           const char *text)
{
	smtp_reply(session, code, enhanced, text);
	return PN_NEXT_CLOSE;
}

enum pn_next smtp_turn_away(struct pn_session *session, const struct pn_stage_result *result,
                            bool has_enhanced)
{
	const struct pn_reply *reply = &result->reply;
	unsigned code = result->verdict == PN_VERDICT_REJECT ? SMTP_NO_SERVICE : SMTP_CLOSING;
	const char *enhanced = reply->enhanced;

	if (result->verdict == PN_VERDICT_REJECT &&
	    (reply->code == SMTP_CLOSING || reply->code == SMTP_TAKES_NONE))
		code = reply->code;
	if (code == SMTP_CLOSING && enhanced[0] != '4')
		enhanced = "4.3.2";
	return smtp_farewell(session, code, has_enhanced ? enhanced : "", reply->text);
}

enum pn_next smtp_error(struct pn_session *session, struct smtp_session *smtp, unsigned code,
                        const char *enhanced, const char *text)
{
	if (++smtp->errors > smtp->config->max_errors)
		return smtp_farewell(session, 421, "4.7.0", "too many errors");
	if (smtp->errors > smtp->config->soft_errors)
		pn_session_delay(session, smtp->config->error_delay);
	smtp_reply(session, code, enhanced, text);
	return PN_NEXT_LINE;
}

enum pn_next smtp_refuse(struct pn_session *session, struct smtp_session *smtp,
                         const struct pn_stage_result *result)
{
	const struct pn_reply *reply = &result->reply;

	if (result->verdict == PN_VERDICT_DROP)
		return PN_NEXT_CLOSE;
	/* RFC 5321 section 3.8: whoever says 421 closes. */
	if (reply->code == 421)
		return smtp_farewell(session, 421, reply->enhanced, reply->text);
	if (result->verdict == PN_VERDICT_REJECT && reply->code >= 500 && reply->code <= 599)
		return smtp_error(session, smtp, reply->code, reply->enhanced, reply->text);
	if (reply->code >= 400 && reply->code <= 499)
		smtp_reply(session, reply->code, reply->enhanced, reply->text);
	else
		smtp_reply(session, 451, "4.3.0", "not now");
	return PN_NEXT_LINE;
}
