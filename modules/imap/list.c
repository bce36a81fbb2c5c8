/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIST and LSUB (RFC 3501 sections 6.3.8 and 6.3.9), with LIST-EXTENDED (RFC 5258),
 * LIST-STATUS (RFC 5819), CHILDREN (RFC 3348) and SPECIAL-USE (RFC 6154). Special uses
 * and children are told in every form of the command.
 *
 * All mailboxes are asked for once; names are matched and written a few at a time.
 */
#include "imap.h"

#include <postern/text.h>

enum list_option {
	LIST_SUBSCRIBED = 1u << 0,
	LIST_REMOTE = 1u << 1,
	LIST_RECURSIVE = 1u << 2,
	LIST_SPECIAL_USE = 1u << 3,
	LIST_CHILDREN = 1u << 4,
	LIST_STATUS_ITEMS = 1u << 5,
};

enum {
	LIST_PATTERNS = 64,
	LIST_PATTERN_MAX = 1000,
	LIST_PATTERNS_SUM = 4000,    /* bytes of all patterns: a name is matched in one turn */
	LIST_STEPS_A_TURN = 2000000, /* of matching, before the others have a turn */
};

struct list_row {
	struct pn_mailbox_info info;
	uint32_t recent_uid;
	bool is_level; /* LSUB: only to be shown as a level */
	bool has_childinfo;
};

struct list_work {
	bool is_lsub;
	bool is_extended;
	uint32_t select;
	uint32_t want;
	uint32_t status_items;
	struct pn_slice patterns[LIST_PATTERNS];
	size_t pattern_count;
	size_t pattern_bytes;
	struct list_row *rows;
	size_t count;
	size_t at;
	size_t steps;
	struct pn_slice last_hidden; /* the last name whose levels were told for its sake */
};

/* ------------------------------------------------------------------- matching */

/* Levels above a name that a pattern matches too, as how many bytes of the name they are. */
struct list_levels {
	size_t ends[PN_MAILBOX_NAME_MAX];
	size_t count;
};

/* Bytes of a name that are the same in any case: INBOX, alone or with mailboxes below it. */
static size_t caseless_size(struct pn_slice name)
{
	struct pn_slice level = pn_slice_make(name.data, pn_slice_find(name, '/'));

	return imap_is_inbox(level) ? level.size : 0;
}

/* Which places of the pattern can be reached; '*' and '%' stay where they are for ever. */
static bool matches_pattern(struct list_work *work, struct pn_slice pattern, struct pn_slice name,
                            struct list_levels *levels)
{
	bool places[LIST_PATTERN_MAX + 1] = {true};
	size_t caseless = caseless_size(name);

	for (size_t i = 0; i < pattern.size && (pattern.data[i] == '*' || pattern.data[i] == '%');
	     i++)
		places[i + 1] = true;
	for (size_t n = 0; n < name.size; n++) {
		struct pn_slice byte = pn_slice_make(name.data + n, 1);

		if (levels != NULL && n > 0 && name.data[n] == '/' && places[pattern.size] &&
		    levels->count < PN_MAILBOX_NAME_MAX)
			levels->ends[levels->count++] = n;
		work->steps += pattern.size + 1;
		for (size_t i = pattern.size + 1; i-- > 0;) {
			bool stays = i < pattern.size && places[i] &&
			             (pattern.data[i] == '*' ||
			              (pattern.data[i] == '%' && name.data[n] != '/'));
			bool comes = i > 0 && places[i - 1] && pattern.data[i - 1] != '*' &&
			             pattern.data[i - 1] != '%' &&
			             (n < caseless ? pn_slice_equal_ignore_case(
							     byte,
							     pn_slice_make(pattern.data + i - 1, 1))
			                           : pattern.data[i - 1] == name.data[n]);

			places[i] = stays || comes;
		}
		/* A wildcard may also stand for nothing. */
		for (size_t i = 0; i < pattern.size; i++)
			if (places[i] && (pattern.data[i] == '*' || pattern.data[i] == '%'))
				places[i + 1] = true;
	}
	return places[pattern.size];
}

static bool matches(struct list_work *work, struct pn_slice name)
{
	for (size_t i = 0; i < work->pattern_count; i++) {
		if (matches_pattern(work, work->patterns[i], name, NULL))
			return true;
	}
	return false;
}

/* Reference and pattern, in UTF-8; a run of wildcards is one. */
static bool add_pattern(struct imap_session *imap, struct list_work *work,
                        struct pn_slice reference, struct pn_slice text)
{
	struct pn_buffer raw;
	struct pn_buffer pattern;
	char *kept;
	size_t size = 0;
	bool is_good;

	if (reference.size + text.size > 16 * LIST_PATTERN_MAX)
		return true;
	pn_buffer_init(&raw, 64 * 1024);
	pn_buffer_init(&pattern, 64 * 1024);
	imap_put_slice(&raw, reference);
	imap_put_slice(&raw, text);
	is_good = imap_name_from_utf7(&pattern, pn_buffer_slice(&raw));
	kept = pn_arena_allocate(imap->arena, pattern.size + 1);
	for (size_t i = 0; is_good && i < pattern.size; i++) {
		char byte = pattern.data[i];

		if ((byte == '*' || byte == '%') && size > 0 &&
		    (kept[size - 1] == '*' || kept[size - 1] == '%')) {
			if (byte == '*')
				kept[size - 1] = '*';
			continue;
		}
		kept[size++] = byte;
	}
	pn_buffer_clear(&raw);
	pn_buffer_clear(&pattern);
	/* What cannot be a name matches none. */
	if (!is_good || size > LIST_PATTERN_MAX)
		return true;
	work->pattern_bytes += size;
	work->patterns[work->pattern_count++] = pn_slice_make(kept, size);
	return work->pattern_bytes <= LIST_PATTERNS_SUM;
}

/* -------------------------------------------------------------------- writing */

static void put_attributes(const struct list_work *work, struct pn_buffer *out,
                           const struct list_row *row)
{
	uint32_t attributes = row->info.attributes;
	struct pn_buffer words;

	pn_buffer_init(&words, 1024);
	if (row->is_level || ((attributes & PN_MAILBOX_NO_SELECT) != 0 && !work->is_extended))
		imap_put(&words, " \\Noselect");
	else if ((attributes & (PN_MAILBOX_NONEXISTENT | PN_MAILBOX_NO_SELECT)) != 0 &&
	         !work->is_lsub)
		imap_put(&words, (attributes & PN_MAILBOX_NONEXISTENT) != 0 ? " \\NonExistent"
		                                                            : " \\Noselect");
	if ((attributes & PN_MAILBOX_HAS_CHILDREN) != 0 || row->is_level)
		imap_put(&words, " \\HasChildren");
	else if ((attributes & PN_MAILBOX_NONEXISTENT) == 0)
		imap_put(&words, " \\HasNoChildren");
	if (!work->is_lsub && ((work->select | work->want) & LIST_SUBSCRIBED) != 0 &&
	    (attributes & PN_MAILBOX_SUBSCRIBED) != 0)
		imap_put(&words, " \\Subscribed");
	imap_put_special_uses(&words, attributes);
	if (words.size > 0)
		imap_put_slice(out, pn_slice_behind(pn_buffer_slice(&words), 1));
	pn_buffer_clear(&words);
}

/* RFC 5258 section 3.5: which of the selection options something below fits. */
static void put_childinfo(const struct list_work *work, struct pn_buffer *out)
{
	bool by_subscription = (work->select & LIST_SUBSCRIBED) != 0;

	imap_put(out, " (\"CHILDINFO\" (");
	if (by_subscription)
		imap_put(out, "\"SUBSCRIBED\"");
	if ((work->select & LIST_SPECIAL_USE) != 0)
		imap_put(out, by_subscription ? " \"SPECIAL-USE\"" : "\"SPECIAL-USE\"");
	imap_put(out, "))");
}

static void put_row(const struct imap_session *imap, const struct list_work *work,
                    struct pn_buffer *out, const struct list_row *row)
{
	imap_put(out, work->is_lsub ? "* LSUB (" : "* LIST (");
	put_attributes(work, out, row);
	imap_put(out, ") \"/\" ");
	imap_write_mailbox(out, row->info.name);
	if (row->has_childinfo)
		put_childinfo(work, out);
	imap_put(out, "\r\n");
	if ((work->want & LIST_STATUS_ITEMS) != 0 && row->info.id != 0)
		imap_put_status(imap, out, &row->info, row->recent_uid, work->status_items);
}

/* ------------------------------------------------------------------- selecting */

static bool is_below(struct pn_slice name, struct pn_slice level)
{
	return name.size > level.size && name.data[level.size] == '/' &&
	       memcmp(name.data, level.data, level.size) == 0;
}

/* What is asked for apart from the name. */
static bool fits(const struct list_work *work, uint32_t attributes)
{
	if ((work->select & LIST_SUBSCRIBED) != 0 && (attributes & PN_MAILBOX_SUBSCRIBED) == 0)
		return false;
	return (work->select & LIST_SPECIAL_USE) == 0 || (attributes & 0xffffu) != 0;
}

/* Whether something below fits; rows are sorted by name, those below are not always next to it
 * ("a", "a b", "a/b"). */
static bool has_fitting_below(const struct list_work *work, size_t index)
{
	struct pn_slice level = work->rows[index].info.name;

	for (size_t i = index + 1; i < work->count; i++) {
		struct pn_slice name = work->rows[i].info.name;

		if (is_below(name, level) && fits(work, work->rows[i].info.attributes))
			return true;
		if (name.size < level.size || memcmp(name.data, level.data, level.size) != 0)
			break;
	}
	return false;
}

static bool is_selected(struct list_work *work, size_t index)
{
	struct list_row *row = &work->rows[index];
	uint32_t attributes = row->info.attributes;

	if (!matches(work, row->info.name))
		return false;
	if ((work->select & LIST_RECURSIVE) != 0)
		row->has_childinfo = has_fitting_below(work, index);
	/* A name without a mailbox is told for the sake of its subscription, or of what is below.
	 */
	if ((work->select & LIST_SUBSCRIBED) == 0 && (attributes & PN_MAILBOX_NONEXISTENT) != 0)
		return row->has_childinfo;
	return row->has_childinfo || fits(work, attributes);
}

static const struct list_row *find_row(const struct list_work *work, struct pn_slice name)
{
	size_t low = 0;
	size_t high = work->count;

	/* By name, but for INBOX, which comes first. */
	if (work->count > 0 && pn_slice_equal(work->rows[0].info.name, name))
		return &work->rows[0];
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct pn_mailbox_info *info = &work->rows[middle].info;
		size_t size = info->name.size < name.size ? info->name.size : name.size;
		int order = middle == 0 ? -1 : memcmp(info->name.data, name.data, size);

		if (order == 0 && info->name.size == name.size)
			return &work->rows[middle];
		if (order < 0 || (order == 0 && info->name.size < name.size))
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool is_subscribed(const struct list_work *work, struct pn_slice name)
{
	const struct list_row *row = find_row(work, name);

	return row != NULL && (row->info.attributes & PN_MAILBOX_SUBSCRIBED) != 0;
}

/* RFC 5258 section 3.1: a level of a name without a mailbox is told for the sake of what is below
 * it, though nothing is there. Levels of mailboxes have rows of their own. */
static void put_missing_levels(const struct imap_session *imap, struct list_work *work,
                               struct pn_buffer *out, const struct list_row *row)
{
	struct pn_slice name = row->info.name;

	if ((row->info.attributes & PN_MAILBOX_NONEXISTENT) == 0 ||
	    !fits(work, row->info.attributes))
		return;
	for (size_t i = 1; i < name.size; i++) {
		struct list_row level = {
			.info.name = pn_slice_make(name.data, i),
			.info.attributes = PN_MAILBOX_NONEXISTENT | PN_MAILBOX_HAS_CHILDREN,
			.has_childinfo = true,
		};

		if (name.data[i] == '/' && !is_below(work->last_hidden, level.info.name) &&
		    find_row(work, level.info.name) == NULL && matches(work, level.info.name))
			put_row(imap, work, out, &level);
	}
	work->last_hidden = name;
}

/* RFC 3501 section 6.3.9: with "%" the level above a subscribed name is shown, if that is not. */
static void put_levels(const struct imap_session *imap, struct list_work *work,
                       struct pn_buffer *out, const struct list_row *row)
{
	struct pn_slice name = row->info.name;
	struct list_levels levels;

	levels.count = 0;
	if ((row->info.attributes & PN_MAILBOX_SUBSCRIBED) == 0 || work->pattern_count == 0 ||
	    matches_pattern(work, work->patterns[0], name, &levels))
		return;
	for (size_t i = 0; i < levels.count; i++) {
		struct list_row level = {.info.name = pn_slice_make(name.data, levels.ends[i]),
		                         .is_level = true};

		/* What is below one level stands together, and the first told of it. */
		if (!is_below(work->last_hidden, level.info.name) &&
		    !is_subscribed(work, level.info.name))
			put_row(imap, work, out, &level);
	}
	work->last_hidden = name;
}

static enum pn_next list_more(struct pn_session *session, struct imap_session *imap)
{
	struct list_work *work = imap->work;
	struct pn_buffer out;

	pn_buffer_init(&out, 4 * 1024 * 1024);
	work->steps = 0;
	while (work->at < work->count) {
		if (work->is_lsub)
			put_levels(imap, work, &out, &work->rows[work->at]);
		if ((work->select & LIST_RECURSIVE) != 0)
			put_missing_levels(imap, work, &out, &work->rows[work->at]);
		if (is_selected(work, work->at))
			put_row(imap, work, &out, &work->rows[work->at]);
		work->at++;
		if (out.size > 64 * 1024)
			imap_send(session, &out);
		if (imap_must_drain(session, imap, list_more)) {
			imap_send(session, &out);
			return PN_NEXT_DRAIN;
		}
		if (work->steps > LIST_STEPS_A_TURN) {
			imap_send(session, &out);
			imap->on_drained = list_more;
			return PN_NEXT_AGAIN;
		}
	}
	imap_send(session, &out);
	return imap_finish(session, imap, "OK that is all");
}

static void keep_rows(struct imap_session *imap, struct list_work *work,
                      const struct pn_mailboxes *mailboxes)
{
	work->rows = PN_ARENA_ARRAY(imap->arena, mailboxes->count, struct list_row);
	for (size_t i = 0; i < mailboxes->count; i++) {
		const char *place =
			(const char *)mailboxes->mailboxes + i * mailboxes->mailbox_size;
		struct list_row *row = &work->rows[work->count++];

		row->info = *(const struct pn_mailbox_info *)(const void *)place;
		row->info.name = pn_arena_keep(imap->arena, row->info.name);
		if (mailboxes->recent_uids != NULL)
			row->recent_uid = mailboxes->recent_uids[i];
	}
}

static enum pn_next mailboxes_came(struct pn_session *session, struct imap_session *imap,
                                   const struct pn_answer *answer)
{
	struct list_work *work = imap->work;

	if (answer->status != PN_OK || answer->result == NULL)
		return imap_store_refused(session, imap, answer, "the account");
	keep_rows(imap, work, answer->result);
	return list_more(session, imap);
}

/* -------------------------------------------------------------------- parsing */

static bool parse_options(struct imap_parser *parser, bool is_return, uint32_t *options,
                          uint32_t *status_items)
{
	static const struct {
		const char *word;
		uint32_t option;
		bool is_selection;
	} known[] = {
		{"SUBSCRIBED", LIST_SUBSCRIBED, true},    {"REMOTE", LIST_REMOTE, true},
		{"RECURSIVEMATCH", LIST_RECURSIVE, true}, {"SPECIAL-USE", LIST_SPECIAL_USE, true},
		{"SUBSCRIBED", LIST_SUBSCRIBED, false},   {"CHILDREN", LIST_CHILDREN, false},
		{"SPECIAL-USE", LIST_SPECIAL_USE, false}, {"STATUS", LIST_STATUS_ITEMS, false},
	};

	if (!imap_parse_char(parser, '('))
		return false;
	if (imap_skip_char(parser, ')'))
		return true;
	do {
		size_t i = 0;

		while (i < sizeof(known) / sizeof(known[0]) &&
		       (known[i].is_selection == is_return ||
		        !imap_skip_word(parser, known[i].word)))
			i++;
		if (i == sizeof(known) / sizeof(known[0])) {
			parser->expected = "an option of LIST";
			return false;
		}
		*options |= known[i].option;
		if (known[i].option == LIST_STATUS_ITEMS &&
		    (!imap_parse_space(parser) || !imap_parse_status_items(parser, status_items)))
			return false;
	} while (imap_skip_char(parser, ' '));
	return imap_parse_char(parser, ')');
}

static bool parse_patterns(struct imap_session *imap, struct imap_parser *parser,
                           struct list_work *work, bool *asks_for_root)
{
	struct pn_slice reference;
	struct pn_slice pattern;

	if (!imap_parse_astring(parser, &reference) || !imap_parse_space(parser))
		return false;
	if (work->is_lsub || imap_peek(parser) != '(') {
		if (!imap_parse_pattern(parser, &pattern))
			return false;
		*asks_for_root = pattern.size == 0 && !work->is_lsub;
		return add_pattern(imap, work, reference, pattern);
	}
	parser->at++;
	work->is_extended = true;
	do {
		if (!imap_parse_pattern(parser, &pattern))
			return false;
		if (work->pattern_count == LIST_PATTERNS) {
			parser->expected = "at most 64 patterns";
			return false;
		}
		if (!add_pattern(imap, work, reference, pattern)) {
			parser->expected = "patterns of at most 4000 bytes together";
			return false;
		}
	} while (imap_skip_char(parser, ' '));
	return imap_parse_char(parser, ')');
}

static bool parse_list(struct imap_session *imap, struct imap_parser *parser,
                       struct list_work *work, bool *asks_for_root)
{
	if (!imap_parse_space(parser))
		return false;
	if (!work->is_lsub && imap_peek(parser) == '(') {
		work->is_extended = true;
		if (!parse_options(parser, false, &work->select, NULL) || !imap_parse_space(parser))
			return false;
	}
	if (!parse_patterns(imap, parser, work, asks_for_root))
		return false;
	if (!work->is_lsub && imap_skip_char(parser, ' ')) {
		work->is_extended = true;
		if (!imap_skip_word(parser, "RETURN")) {
			parser->expected = "RETURN";
			return false;
		}
		if (!imap_parse_space(parser) ||
		    !parse_options(parser, true, &work->want, &work->status_items))
			return false;
	}
	/* RFC 5258 section 3.1: it qualifies another option. */
	if ((work->select & LIST_RECURSIVE) != 0 &&
	    (work->select & (LIST_SUBSCRIBED | LIST_SPECIAL_USE)) == 0) {
		parser->expected = "SUBSCRIBED or SPECIAL-USE with RECURSIVEMATCH";
		return false;
	}
	return imap_parse_end(parser);
}

static enum pn_next list(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser, bool is_lsub)
{
	const struct pn_mailboxes_request all = {.struct_size = sizeof(all)};
	struct list_work *work = PN_ARENA_NEW(imap->arena, struct list_work);
	bool asks_for_root = false;

	work->is_lsub = is_lsub;
	if (is_lsub)
		work->select = LIST_SUBSCRIBED;
	if (!parse_list(imap, parser, work, &asks_for_root))
		return imap_syntax(session, imap, parser);
	if (asks_for_root && !work->is_extended) {
		imap_untagged(session, "LIST (\\Noselect) \"/\" \"\"");
		return imap_finish(session, imap, "OK that is all");
	}
	imap->work = work;
	pn_store_mailboxes(pn_session_account(session), &all,
	                   imap_wait(session, imap, mailboxes_came));
	return PN_NEXT_ANSWER;
}

enum pn_next imap_list(struct pn_session *session, struct imap_session *imap,
                       struct imap_parser *parser)
{
	return list(session, imap, parser, false);
}

enum pn_next imap_lsub(struct pn_session *session, struct imap_session *imap,
                       struct imap_parser *parser)
{
	return list(session, imap, parser, true);
}
