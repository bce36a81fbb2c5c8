/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of SEARCH (RFC 3501 section 6.4.4, RFC 5032, RFC 7162 section 3.1.5). */
#include "search.h"

#include <postern/clock.h>
#include <postern/text.h>

enum key_argument {
	TAKES_NOTHING = 0,
	TAKES_DATE,
	TAKES_NUMBER,
	TAKES_SECONDS,
	TAKES_KEYWORD,
	TAKES_TEXT,
	TAKES_HEADER,
	TAKES_UIDS,
	TAKES_MODSEQ,
	TAKES_KEY,
	TAKES_TWO_KEYS,
};

static const struct key_row {
	const char *word;
	enum imap_key_kind kind;
	enum key_argument argument;
	uint32_t flag;
	bool is_negated;
	const char *field; /* of a header text; NULL: body or text */
} key_rows[] = {
	{"ALL", IMAP_KEY_ALL, TAKES_NOTHING, 0, false, NULL},
	{"ANSWERED", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_ANSWERED, false, NULL},
	{"DELETED", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_DELETED, false, NULL},
	{"DRAFT", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_DRAFT, false, NULL},
	{"FLAGGED", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_FLAGGED, false, NULL},
	{"SEEN", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_SEEN, false, NULL},
	{"UNANSWERED", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_ANSWERED, true, NULL},
	{"UNDELETED", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_DELETED, true, NULL},
	{"UNDRAFT", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_DRAFT, true, NULL},
	{"UNFLAGGED", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_FLAGGED, true, NULL},
	{"UNSEEN", IMAP_KEY_FLAG, TAKES_NOTHING, PN_FLAG_SEEN, true, NULL},
	{"RECENT", IMAP_KEY_RECENT, TAKES_NOTHING, 0, false, NULL},
	{"OLD", IMAP_KEY_RECENT, TAKES_NOTHING, 0, true, NULL},
	{"KEYWORD", IMAP_KEY_KEYWORD, TAKES_KEYWORD, 0, false, NULL},
	{"UNKEYWORD", IMAP_KEY_KEYWORD, TAKES_KEYWORD, 0, true, NULL},
	{"BEFORE", IMAP_KEY_BEFORE, TAKES_DATE, 0, false, NULL},
	{"ON", IMAP_KEY_ON, TAKES_DATE, 0, false, NULL},
	{"SINCE", IMAP_KEY_SINCE, TAKES_DATE, 0, false, NULL},
	{"SENTBEFORE", IMAP_KEY_SENT_BEFORE, TAKES_DATE, 0, false, NULL},
	{"SENTON", IMAP_KEY_SENT_ON, TAKES_DATE, 0, false, NULL},
	{"SENTSINCE", IMAP_KEY_SENT_SINCE, TAKES_DATE, 0, false, NULL},
	{"OLDER", IMAP_KEY_OLDER, TAKES_SECONDS, 0, false, NULL},
	{"YOUNGER", IMAP_KEY_YOUNGER, TAKES_SECONDS, 0, false, NULL},
	{"LARGER", IMAP_KEY_LARGER, TAKES_NUMBER, 0, false, NULL},
	{"SMALLER", IMAP_KEY_SMALLER, TAKES_NUMBER, 0, false, NULL},
	{"UID", IMAP_KEY_SET, TAKES_UIDS, 0, false, NULL},
	{"MODSEQ", IMAP_KEY_MODSEQ, TAKES_MODSEQ, 0, false, NULL},
	{"FROM", IMAP_KEY_TEXT, TAKES_TEXT, 0, false, "From"},
	{"TO", IMAP_KEY_TEXT, TAKES_TEXT, 0, false, "To"},
	{"CC", IMAP_KEY_TEXT, TAKES_TEXT, 0, false, "Cc"},
	{"BCC", IMAP_KEY_TEXT, TAKES_TEXT, 0, false, "Bcc"},
	{"SUBJECT", IMAP_KEY_TEXT, TAKES_TEXT, 0, false, "Subject"},
	{"BODY", IMAP_KEY_TEXT, TAKES_TEXT, 0, false, NULL},
	{"TEXT", IMAP_KEY_TEXT, TAKES_TEXT, 1, false, NULL},
	{"HEADER", IMAP_KEY_TEXT, TAKES_HEADER, 0, false, NULL},
	{"NOT", IMAP_KEY_NOT, TAKES_KEY, 0, false, NULL},
	{"OR", IMAP_KEY_OR, TAKES_TWO_KEYS, 0, false, NULL},
};

static const struct {
	const char *name;
	enum imap_summary_field field;
} summary_fields[] = {
	{"From", IMAP_FIELD_FROM},
	{"To", IMAP_FIELD_TO},
	{"Cc", IMAP_FIELD_CC},
	{"Bcc", IMAP_FIELD_BCC},
	{"Subject", IMAP_FIELD_SUBJECT},
	{"Message-ID", IMAP_FIELD_MESSAGE_ID},
	{"In-Reply-To", IMAP_FIELD_IN_REPLY_TO},
	{"References", IMAP_FIELD_REFERENCES},
};

struct parsing {
	struct imap_session *imap;
	struct imap_parser *parser;
	struct imap_program *program;
	unsigned depth;
};

static struct imap_key *new_key(struct parsing *parsing, enum imap_key_kind kind)
{
	struct imap_key *key = PN_ARENA_NEW(parsing->parser->arena, struct imap_key);

	key->kind = kind;
	key->made_before = parsing->program->last_made;
	parsing->program->last_made = key;
	parsing->program->key_count++;
	return key;
}

static bool complain(struct parsing *parsing, const char *expected)
{
	parsing->parser->expected = expected;
	return false;
}

/* ------------------------------------------------------------------- arguments */

static bool take_date(struct parsing *parsing, struct imap_key *key)
{
	struct pn_slice text;

	if (!imap_parse_astring(parsing->parser, &text))
		return false;
	parsing->program->fields |= PN_ROW_DATES;
	return imap_parse_date(text, &key->day) || complain(parsing, "a date like 1-Feb-1994");
}

/* The text of a key in UTF-8, whatever its charset. */
static bool take_text(struct parsing *parsing, struct pn_slice *text_out)
{
	struct imap_program *program = parsing->program;
	struct pn_buffer utf8;
	struct pn_slice text;

	if (!imap_parse_astring(parsing->parser, &text))
		return false;
	*text_out = text;
	if (program->charset.size == 0 || program->charset_is_unknown)
		return true;
	pn_buffer_init(&utf8, 4 * 1024 * 1024);
	(void)!pn_charset_decode(&utf8, program->charset, text);
	*text_out = pn_arena_keep(parsing->parser->arena, pn_buffer_slice(&utf8));
	pn_buffer_clear(&utf8);
	return true;
}

static bool add_text(struct parsing *parsing, struct imap_key *key, enum pn_search_scope scope,
                     struct pn_slice field, struct pn_slice text)
{
	struct imap_program *program = parsing->program;
	struct pn_buffer folded;

	/* Every message has a body, and every body has an empty text in it. */
	if (scope != PN_SEARCH_HEADER && text.size == 0) {
		key->kind = IMAP_KEY_ALL;
		return true;
	}
	if (program->text_count == IMAP_SEARCH_TEXTS)
		return complain(parsing, "at most 100 texts to search for");
	key->index = program->text_count++;
	program->texts[key->index] = (struct pn_search_key){scope, field, text};
	program->fields |= PN_ROW_SIZES | PN_ROW_BODY_ID;
	pn_buffer_init(&folded, 8 * 1024 * 1024);
	(void)!pn_text_fold(&folded, text);
	program->folded[key->index] =
		pn_arena_keep(parsing->parser->arena, pn_buffer_slice(&folded));
	pn_buffer_clear(&folded);
	for (size_t i = 0;
	     scope == PN_SEARCH_HEADER && i < sizeof(summary_fields) / sizeof(summary_fields[0]);
	     i++) {
		if (!pn_slice_equal_ignore_case(field, pn_slice_of(summary_fields[i].name)))
			continue;
		key->field = summary_fields[i].field;
		program->fields |= PN_ROW_SUMMARY;
	}
	return true;
}

static bool take_search_text(struct parsing *parsing, const struct key_row *row,
                             struct imap_key *key)
{
	struct pn_slice field = PN_SLICE_NONE;
	struct pn_slice text;

	if (row->argument == TAKES_HEADER) {
		if (!imap_parse_astring(parsing->parser, &field) ||
		    !imap_parse_space(parsing->parser) || !take_text(parsing, &text))
			return false;
		key->is_header = true;
		return add_text(parsing, key, PN_SEARCH_HEADER, field, text);
	}
	if (!take_text(parsing, &text))
		return false;
	if (row->field != NULL)
		return add_text(parsing, key, PN_SEARCH_HEADER, pn_slice_of(row->field), text);
	return add_text(parsing, key, row->flag == 1 ? PN_SEARCH_TEXT : PN_SEARCH_BODY,
	                PN_SLICE_NONE, text);
}

static bool take_set(struct parsing *parsing, struct imap_key *key, bool is_uid)
{
	struct imap_set set;

	if (!imap_parse_set(parsing->parser, &set))
		return false;
	if (set.is_saved) {
		key->kind = IMAP_KEY_SAVED;
		return true;
	}
	imap_view_ranges(parsing->imap->view, &set, is_uid, parsing->parser->arena, &key->uids);
	return true;
}

/* MODSEQ ["/flags/\\draft" all] 12345: whose flag it was is not kept. */
static bool take_modseq(struct parsing *parsing, struct imap_key *key)
{
	struct imap_parser *parser = parsing->parser;
	struct pn_slice name;

	if (imap_peek(parser) == '"') {
		if (!imap_parse_string(parser, &name) || !imap_parse_space(parser))
			return false;
		if (!imap_skip_word(parser, "priv") && !imap_skip_word(parser, "shared") &&
		    !imap_skip_word(parser, "all"))
			return complain(parsing, "priv, shared or all");
		if (!imap_parse_space(parser))
			return false;
	}
	parsing->program->uses_modseq = true;
	return imap_parse_number64(parser, &key->number);
}

static struct imap_key *parse_key(struct parsing *parsing);

static bool take_keys(struct parsing *parsing, struct imap_key *key, size_t count)
{
	struct imap_key **place = &key->first;

	for (size_t i = 0; i < count; i++) {
		if (i > 0 && !imap_parse_space(parsing->parser))
			return false;
		*place = parse_key(parsing);
		if (*place == NULL)
			return false;
		place = &(*place)->next;
	}
	return true;
}

static bool take_argument(struct parsing *parsing, const struct key_row *row, struct imap_key *key)
{
	struct imap_program *program = parsing->program;
	uint32_t number;

	if (row->argument != TAKES_NOTHING && !imap_parse_space(parsing->parser))
		return false;
	switch (row->argument) {
	case TAKES_NOTHING:
		key->number = row->flag;
		if (row->kind == IMAP_KEY_FLAG)
			program->fields |= PN_ROW_FLAGS;
		return true;
	case TAKES_DATE:
		if (row->kind >= IMAP_KEY_SENT_BEFORE && row->kind <= IMAP_KEY_SENT_SINCE) {
			program->needs_envelope = true;
			program->fields |= PN_ROW_SUMMARY | PN_ROW_SIZES | PN_ROW_BODY_ID;
		}
		return take_date(parsing, key);
	case TAKES_NUMBER:
		program->fields |= PN_ROW_SIZES;
		return imap_parse_number64(parsing->parser, &key->number);
	case TAKES_SECONDS:
		program->fields |= PN_ROW_DATES;
		if (!imap_parse_number(parsing->parser, &number))
			return false;
		if (number == 0)
			return complain(parsing, "a number above 0");
		key->number = (uint64_t)number * 1000;
		return true;
	case TAKES_KEYWORD:
		program->fields |= PN_ROW_FLAGS;
		return imap_parse_atom(parsing->parser, &key->word);
	case TAKES_TEXT:
	case TAKES_HEADER:
		return take_search_text(parsing, row, key);
	case TAKES_UIDS:
		return take_set(parsing, key, true);
	case TAKES_MODSEQ:
		return take_modseq(parsing, key);
	case TAKES_KEY:
		return take_keys(parsing, key, 1);
	case TAKES_TWO_KEYS:
		return take_keys(parsing, key, 2);
	}
	return false;
}

/* ------------------------------------------------------------------------ keys */

static struct imap_key *negate(struct parsing *parsing, struct imap_key *key)
{
	struct imap_key *not = new_key(parsing, IMAP_KEY_NOT);

	not ->first = key;
	return not ;
}

/* NEW is RECENT UNSEEN. */
static struct imap_key *new_new(struct parsing *parsing)
{
	struct imap_key *and = new_key(parsing, IMAP_KEY_AND);
	struct imap_key *seen = new_key(parsing, IMAP_KEY_FLAG);

	seen->number = PN_FLAG_SEEN;
	parsing->program->fields |= PN_ROW_FLAGS;
	and->first = new_key(parsing, IMAP_KEY_RECENT);
	and->first->next = negate(parsing, seen);
	return and;
}

static struct imap_key *parse_list(struct parsing *parsing, char end)
{
	struct imap_key *and = new_key(parsing, IMAP_KEY_AND);
	struct imap_key **place = &and->first;

	do {
		*place = parse_key(parsing);
		if (*place == NULL)
			return NULL;
		place = &(*place)->next;
	} while (imap_skip_char(parsing->parser, ' '));
	if (end != '\0' && !imap_parse_char(parsing->parser, end))
		return NULL;
	return and;
}

static struct imap_key *parse_word(struct parsing *parsing)
{
	if (imap_skip_word(parsing->parser, "NEW"))
		return new_new(parsing);
	for (size_t i = 0; i < sizeof(key_rows) / sizeof(key_rows[0]); i++) {
		const struct key_row *row = &key_rows[i];
		struct imap_key *key;

		if (!imap_skip_word(parsing->parser, row->word))
			continue;
		key = new_key(parsing, row->kind);
		if (!take_argument(parsing, row, key))
			return NULL;
		return row->is_negated ? negate(parsing, key) : key;
	}
	complain(parsing, "a search key");
	return NULL;
}

static struct imap_key *parse_key(struct parsing *parsing)
{
	char first = imap_peek(parsing->parser);
	struct imap_key *key;

	if (parsing->depth == IMAP_SEARCH_DEPTH) {
		complain(parsing, "a search that is not so deep");
		return NULL;
	}
	if (parsing->program->key_count >= IMAP_SEARCH_KEYS) {
		complain(parsing, "at most 20000 search keys");
		return NULL;
	}
	parsing->depth++;
	if (first == '(') {
		parsing->parser->at++;
		key = parse_list(parsing, ')');
	} else if (first == '*' || first == '$' || (first >= '0' && first <= '9')) {
		key = new_key(parsing, IMAP_KEY_SET);
		if (!take_set(parsing, key, false))
			key = NULL;
	} else {
		key = parse_word(parsing);
	}
	parsing->depth--;
	return key;
}

bool imap_parse_program(struct imap_session *imap, struct imap_parser *parser,
                        struct imap_program *program)
{
	struct parsing parsing = {.imap = imap, .parser = parser, .program = program};

	program->now_ms = pn_clock_wall_ms();
	program->saved = &imap->saved;
	program->root = parse_list(&parsing, '\0');
	return program->root != NULL && imap_parse_end(parser);
}

void imap_program_forget(struct imap_program *program)
{
	for (struct imap_key *key = program->last_made; key != NULL; key = key->made_before)
		imap_uids_clear(&key->uids);
}
