/* SPDX-License-Identifier: Apache-2.0 */
/* Flags, as they are written and read (RFC 3501 section 2.3.2). */
#include "imap.h"

#include <postern/text.h>

static const struct {
	const char *name;
	uint32_t flag;
} system_flags[] = {
	{"\\Answered", PN_FLAG_ANSWERED}, {"\\Flagged", PN_FLAG_FLAGGED},
	{"\\Deleted", PN_FLAG_DELETED},   {"\\Seen", PN_FLAG_SEEN},
	{"\\Draft", PN_FLAG_DRAFT},
};

enum { SYSTEM_FLAGS = sizeof(system_flags) / sizeof(system_flags[0]) };

void imap_put_flags(struct pn_buffer *out, const struct pn_flags *flags, bool is_recent)
{
	const char *space = "";

	for (size_t i = 0; i < SYSTEM_FLAGS; i++) {
		if ((flags->system & system_flags[i].flag) == 0)
			continue;
		imap_put(out, space);
		imap_put(out, system_flags[i].name);
		space = " ";
	}
	if (is_recent) {
		imap_put(out, space);
		imap_put(out, "\\Recent");
		space = " ";
	}
	for (size_t i = 0; i < flags->keyword_count; i++) {
		imap_put(out, space);
		imap_put_slice(out, flags->keywords[i]);
		space = " ";
	}
}

static bool take_flag(struct imap_parser *parser, struct pn_slice *keywords, struct pn_flags *flags)
{
	bool is_system = imap_skip_char(parser, '\\');
	struct pn_slice word;

	if (!imap_parse_atom(parser, &word))
		return false;
	if (!is_system) {
		if (word.size > PN_KEYWORD_MAX) {
			parser->expected = "a keyword of at most 64 bytes";
			return false;
		}
		for (size_t i = 0; i < flags->keyword_count; i++) {
			if (pn_slice_equal_ignore_case(keywords[i], word))
				return true;
		}
		if (flags->keyword_count == IMAP_KEYWORDS_MAX) {
			parser->expected = "at most 1000 keywords";
			return false;
		}
		keywords[flags->keyword_count++] = word;
		return true;
	}
	for (size_t i = 0; i < SYSTEM_FLAGS; i++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(system_flags[i].name + 1))) {
			flags->system |= system_flags[i].flag;
			return true;
		}
	}
	/* Not \Recent: it is the server's (RFC 3501 section 9, flag). */
	parser->expected = "a system flag that can be set";
	return false;
}

bool imap_parse_flags(struct imap_parser *parser, struct pn_arena *arena, bool needs_parentheses,
                      struct pn_flags *flags_out)
{
	size_t most = 1;
	struct pn_slice *keywords;
	bool has_parentheses = imap_peek(parser) == '(';

	for (size_t i = parser->at; i < parser->text.size && parser->text.data[i] != ')'; i++)
		most += parser->text.data[i] == ' ';
	*flags_out = (struct pn_flags){0};
	if (needs_parentheses && !has_parentheses)
		return imap_parse_char(parser, '(');
	keywords = PN_ARENA_ARRAY(arena, most, struct pn_slice);
	flags_out->keywords = keywords;
	if (has_parentheses) {
		parser->at++;
		if (imap_skip_char(parser, ')'))
			return true;
	}
	do {
		if (!take_flag(parser, keywords, flags_out))
			return false;
	} while (imap_skip_char(parser, ' '));
	return !has_parentheses || imap_parse_char(parser, ')');
}

static bool are_known(const struct imap_view *view, const struct pn_flags *flags)
{
	for (size_t i = 0; i < flags->keyword_count; i++) {
		if (!imap_has_keyword(view, flags->keywords[i]))
			return false;
	}
	return true;
}

void imap_learn_keywords(struct pn_session *session, struct imap_session *imap,
                         struct pn_buffer *out, const struct pn_flags *flags)
{
	if (are_known(imap->view, flags))
		return;
	for (size_t i = 0; i < flags->keyword_count; i++)
		imap_add_keyword(imap->view, flags->keywords[i]);
	imap_send(session, out);
	imap_tell_flags(session, imap->view);
}

void imap_put_flags_line(const struct imap_session *imap, struct pn_buffer *out, uint32_t sequence,
                         const struct pn_row *row, bool with_uid, bool with_flags)
{
	const char *space = "";

	imap_put(out, "* ");
	imap_put_number(out, sequence);
	imap_put(out, " FETCH (");
	if (with_uid) {
		imap_put(out, "UID ");
		imap_put_number(out, row->uid);
		space = " ";
	}
	if (with_flags) {
		imap_put(out, space);
		imap_put(out, "FLAGS (");
		imap_put_flags(out, &row->flags, row->uid >= imap->view->recent_uid);
		imap_put(out, ")");
		space = " ";
	}
	if ((imap->enabled & IMAP_CONDSTORE) != 0 || !with_flags) {
		imap_put(out, space);
		imap_put(out, "MODSEQ (");
		imap_put_number(out, row->modseq);
		imap_put(out, ")");
	}
	imap_put(out, ")\r\n");
}
