/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ID (RFC 2971): the client's name becomes the hello of the session, and client.hello
 * is asked, as for any other protocol's greeting. All fields are the session's note
 * "imap.id" for policies, as "name=value" lines.
 */
#include "imap.h"

#include <postern/text.h>

enum { ID_FIELDS = 30, ID_FIELD_MAX = 30, ID_VALUE_MAX = 1024 };

/* What a log and a script get is printable. */
static void put_clean(struct pn_buffer *out, struct pn_slice text)
{
	char room[ID_VALUE_MAX + 1];

	imap_put(out, pn_text_printable(room, sizeof(room), text));
}

static bool parse_fields(struct imap_parser *parser, struct pn_buffer *note,
                         struct pn_slice *name_out)
{
	size_t fields = 0;

	if (imap_skip_word(parser, "NIL"))
		return true;
	if (!imap_parse_char(parser, '('))
		return false;
	while (!imap_skip_char(parser, ')')) {
		struct pn_slice field;
		struct pn_slice value;

		if ((fields > 0 && !imap_parse_space(parser)) ||
		    !imap_parse_string(parser, &field) || !imap_parse_space(parser) ||
		    !imap_parse_nstring(parser, &value))
			return false;
		if (++fields > ID_FIELDS || field.size > ID_FIELD_MAX ||
		    value.size > ID_VALUE_MAX) {
			parser->expected = "at most 30 fields of 30 bytes with values of 1024";
			return false;
		}
		if (pn_slice_equal_ignore_case(field, PN_SLICE("name")))
			*name_out = value;
		put_clean(note, field);
		imap_put(note, "=");
		put_clean(note, value);
		imap_put(note, "\n");
	}
	return true;
}

static enum pn_next judged(struct pn_session *session, struct imap_session *imap,
                           const struct pn_answer *answer)
{
	const struct pn_stage_result *result = answer->result;

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		imap_untagged(session, "ID (\"name\" \"Postern\")");
		return imap_finish(session, imap, "OK pleased to meet you");
	case PN_VERDICT_REJECT:
	case PN_VERDICT_DEFER:
		return imap_reply(session, imap, "NO %s", result->reply.text);
	default:
		return PN_NEXT_CLOSE;
	}
}

enum pn_next imap_id(struct pn_session *session, struct imap_session *imap,
                     struct imap_parser *parser)
{
	struct pn_buffer note;
	struct pn_slice name = PN_SLICE_NONE;
	char room[201];
	bool is_good;

	pn_buffer_init(&note, 64 * 1024);
	is_good = imap_parse_space(parser) && parse_fields(parser, &note, &name) &&
	          imap_parse_end(parser);
	if (is_good && note.size > 0)
		pn_session_set_note(session, PN_SLICE("imap.id"), pn_buffer_slice(&note));
	pn_buffer_clear(&note);
	if (!is_good)
		return imap_syntax(session, imap, parser);
	if (name.size > 0)
		pn_session_set_hello(session,
		                     pn_slice_of(pn_text_printable(room, sizeof(room), name)));
	imap->on_answer = judged;
	return pn_stage_ask(session, PN_STAGE_CLIENT_HELLO);
}
