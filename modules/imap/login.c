/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LOGIN and AUTHENTICATE (RFC 3501 sections 6.2.2 and 6.2.3, RFC 4959). Whether a name
 * exists is not told. An account begins with its first login or its first message,
 * so that there always is an INBOX.
 */
#include "imap.h"

#include <postern/address.h>
#include <postern/text.h>

static const char no_passwords[] = "NO [PRIVACYREQUIRED] no passwords without TLS";

static enum pn_next refuse_passwords(struct pn_session *session, struct imap_session *imap)
{
	return imap_reply(session, imap, "%s",
	                  pn_session_is_encrypted(session)
	                          ? "NO [CANNOT] passwords are not taken here"
	                          : no_passwords);
}

static enum pn_next welcome(struct pn_session *session, struct imap_session *imap)
{
	struct pn_buffer words;
	enum pn_next next;

	imap->state = IMAP_AUTHENTICATED;
	/* A line that is somewhat too long is refused; of one that is much too long the end is not
	 * seen, and it is the end. */
	pn_session_set_line_limit(session, (size_t)imap->config->max_command_size + 64 * 1024);
	pn_store_watch(session, pn_session_account(session));
	pn_buffer_init(&words, 4096);
	imap_put_capabilities(session, imap, &words);
	next = imap_reply(session, imap, "OK [CAPABILITY %.*s] welcome",
	                  PN_SLICE_ARGS(pn_buffer_slice(&words)));
	pn_buffer_clear(&words);
	return next;
}

static enum pn_next account_made(struct pn_session *session, struct imap_session *imap,
                                 const struct pn_answer *answer)
{
	if (answer->status != PN_OK)
		return imap_store_refused(session, imap, answer, "the account");
	return welcome(session, imap);
}

static enum pn_next account_looked_up(struct pn_session *session, struct imap_session *imap,
                                      const struct pn_answer *answer)
{
	struct pn_mutation *mutation;

	if (answer->status == PN_OK)
		return welcome(session, imap);
	if (answer->status != PN_NOT_FOUND)
		return imap_store_refused(session, imap, answer, "the account");
	return imap_commit(session, imap,
	                   imap_commit_new(session, PN_MUTATION_ACCOUNT_CREATE, 0, &mutation),
	                   account_made);
}

static enum pn_next look_up_account(struct pn_session *session, struct imap_session *imap)
{
	const struct pn_mailboxes_request request = {
		.struct_size = sizeof(request),
		.name = PN_SLICE("INBOX"),
	};

	pn_store_mailboxes(pn_session_account(session), &request,
	                   imap_wait(session, imap, account_looked_up));
	return PN_NEXT_ANSWER;
}

static enum pn_next wrong(struct pn_session *session, struct imap_session *imap,
                          const struct pn_reply *reply)
{
	enum pn_next next =
		imap_reply(session, imap, "NO [AUTHENTICATIONFAILED] %s",
	                   reply->code != 0 ? reply->text : "name or password is wrong");

	if (++imap->login_failures > imap->config->max_login_failures)
		return imap_bye(session, "too many failed logins");
	return next;
}

static enum pn_next login_answered(struct pn_session *session, struct imap_session *imap,
                                   const struct pn_answer *answer)
{
	const struct pn_sasl_step *step = answer->result;

	switch (step->outcome) {
	case PN_SASL_CHALLENGE:
		pn_session_write(session, PN_SLICE("+ "));
		pn_session_write(session, step->challenge);
		pn_session_write(session, PN_SLICE("\r\n"));
		imap->reading = IMAP_READING_SASL;
		return PN_NEXT_LINE;
	case PN_SASL_PROVEN:
		return look_up_account(session, imap);
	case PN_SASL_WRONG:
		return wrong(session, imap, &step->reply);
	case PN_SASL_TEMPORARY:
		return imap_reply(session, imap, "NO [UNAVAILABLE] %s",
		                  step->reply.code != 0 ? step->reply.text
		                                        : "this cannot be checked now");
	case PN_SASL_CANCELLED:
		return imap_bad(session, imap, "authentication was cancelled");
	case PN_SASL_UNKNOWN_MECHANISM:
		return imap_reply(session, imap, "NO [CANNOT] this mechanism is not offered");
	case PN_SASL_NEEDS_TLS:
		return imap_reply(session, imap, "%s", no_passwords);
	case PN_SASL_MALFORMED:
		return imap_bad(session, imap, "this is not what the mechanism expects");
	case PN_SASL_DROP:
		break;
	}
	return PN_NEXT_CLOSE;
}

enum pn_next imap_sasl_line(struct pn_session *session, struct imap_session *imap,
                            const struct pn_line *line)
{
	imap->reading = IMAP_READING_COMMAND;
	imap->on_answer = login_answered;
	return pn_sasl_respond(session,
	                       line->problem == PN_LINE_TOO_LONG ? PN_SLICE("*") : line->text);
}

enum pn_next imap_authenticate(struct pn_session *session, struct imap_session *imap,
                               struct imap_parser *parser)
{
	struct pn_slice mechanism;
	struct pn_slice initial = PN_SLICE_NONE;
	bool has_initial = false;

	if (!imap_parse_space(parser) || !imap_parse_atom(parser, &mechanism))
		return imap_syntax(session, imap, parser);
	if (imap_skip_char(parser, ' ')) {
		has_initial = true;
		initial = pn_slice_behind(parser->text, parser->at);
	}
	imap->on_answer = login_answered;
	return pn_sasl_begin(session, mechanism, has_initial, initial);
}

enum pn_next imap_login(struct pn_session *session, struct imap_session *imap,
                        struct imap_parser *parser)
{
	struct pn_slice name;
	struct pn_slice password;

	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &name) ||
	    !imap_parse_space(parser) || !imap_parse_astring(parser, &password) ||
	    !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (!pn_sasl_takes_passwords(session))
		return refuse_passwords(session, imap);
	if (name.size == 0 || name.size > PN_PATH_MAX)
		return imap_reply(session, imap,
		                  "NO [AUTHENTICATIONFAILED] name or password is wrong");
	imap->on_answer = login_answered;
	return pn_password_login(session, name, password);
}
