/* SPDX-License-Identifier: Apache-2.0 */
/* Lua patterns with a count of steps. See pattern.h. */
#include "policy/pattern.h"

enum { STEPS_UNTOLD = 4096 };

enum item_kind {
	ITEM_END = 0, /* the pattern ends here: a match */
	ITEM_BYTE,
	ITEM_ANY,
	ITEM_SET,
	ITEM_SUBJECT_END,
	ITEM_OPEN,
	ITEM_CLOSE,
	ITEM_POSITION,
	ITEM_BACK,
	ITEM_BALANCE,
	ITEM_FRONTIER,
};

enum item_repeat {
	REPEAT_ONCE = 0,
	REPEAT_MAYBE,
	REPEAT_STAR,
	REPEAT_PLUS,
	REPEAT_SHORTEST,
};

/* ---- sets ---- */

static void set_add(uint32_t *set, unsigned char byte)
{
	set[byte / 32] |= 1u << (byte % 32);
}

static bool set_has(const uint32_t *set, unsigned char byte)
{
	return (set[byte / 32] >> (byte % 32)) & 1u;
}

static void set_add_range(uint32_t *set, unsigned first, unsigned last)
{
	for (unsigned byte = first; byte <= last; byte++)
		set_add(set, (unsigned char)byte);
}

/* The ASCII classes as pairs of first and last byte; NULL where the letter names none. */
static const char *class_ranges(char letter)
{
	switch (letter | 0x20) {
	case 'a':
		return "azAZ";
	case 'c':
		return "\x01\x1f\x7f\x7f";
	case 'd':
		return "09";
	case 'g':
		return "!~";
	case 'l':
		return "az";
	case 'p':
		return "!/:@[`{~";
	case 's':
		return "\t\r  ";
	case 'u':
		return "AZ";
	case 'w':
		return "azAZ09";
	case 'x':
		return "afAF09";
	default:
		return NULL;
	}
}

static bool is_letter(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/* Adds what "%letter" stands for: a class, its complement, or the byte itself. */
static void set_add_escape(uint32_t *set, char letter)
{
	const char *ranges = is_letter(letter) ? class_ranges(letter) : NULL;
	uint32_t members[8] = {0};

	if (ranges == NULL) {
		set_add(set, (unsigned char)letter);
		return;
	}
	if ((letter | 0x20) == 'c')
		set_add(members, 0);
	for (; ranges[0] != '\0'; ranges += 2)
		set_add_range(members, (unsigned char)ranges[0], (unsigned char)ranges[1]);
	for (size_t index = 0; index < 8; index++)
		set[index] |= letter >= 'a' ? members[index] : ~members[index];
}

/* ---- compiling ---- */

struct compiler {
	struct pn_pattern *pattern;
	const char *at;
	const char *end;
	uint8_t open[PN_PATTERN_CAPTURES_MAX]; /* captures that are not closed yet */
	size_t open_count;
	bool is_closed[PN_PATTERN_CAPTURES_MAX];
};

static uint32_t *new_set(struct compiler *compiler, struct pn_pattern_item *item)
{
	uint32_t *set = compiler->pattern->sets[compiler->pattern->set_count];

	memset(set, 0, sizeof(compiler->pattern->sets[0]));
	item->set = (uint16_t)compiler->pattern->set_count++;
	return set;
}

/* "[…]", at the byte behind the opening bracket. */
static const char *compile_set(struct compiler *compiler, struct pn_pattern_item *item)
{
	uint32_t *set = new_set(compiler, item);
	bool is_negated = compiler->at < compiler->end && *compiler->at == '^';
	bool is_first = true;

	compiler->at += is_negated;
	for (;; is_first = false) {
		size_t left = (size_t)(compiler->end - compiler->at);
		const char *at = compiler->at;

		if (left == 0 || (*at == '%' && left == 1))
			return "malformed pattern (missing ']')";
		if (*at == ']' && !is_first)
			break;
		if (*at == '%') {
			set_add_escape(set, at[1]);
			compiler->at += 2;
		} else if (left > 2 && at[1] == '-' && at[2] != ']' && at[2] != '%') {
			set_add_range(set, (unsigned char)at[0], (unsigned char)at[2]);
			compiler->at += 3;
		} else {
			set_add(set, (unsigned char)*at);
			compiler->at++;
		}
	}
	compiler->at++;
	for (size_t index = 0; is_negated && index < 8; index++)
		set[index] = ~set[index];
	return NULL;
}

static const char *compile_open(struct compiler *compiler, struct pn_pattern_item *item)
{
	struct pn_pattern *pattern = compiler->pattern;

	if (pattern->capture_count == PN_PATTERN_CAPTURES_MAX)
		return "too many captures";
	item->first = (uint8_t)pattern->capture_count++;
	if (compiler->at < compiler->end && *compiler->at == ')') {
		compiler->at++;
		item->kind = ITEM_POSITION;
		compiler->is_closed[item->first] = true;
		return NULL;
	}
	item->kind = ITEM_OPEN;
	compiler->open[compiler->open_count++] = item->first;
	return NULL;
}

static const char *compile_close(struct compiler *compiler, struct pn_pattern_item *item)
{
	if (compiler->open_count == 0)
		return "invalid pattern capture";
	item->kind = ITEM_CLOSE;
	item->first = compiler->open[--compiler->open_count];
	compiler->is_closed[item->first] = true;
	return NULL;
}

/* "%1" … "%9". */
static const char *compile_back(struct compiler *compiler, struct pn_pattern_item *item, char digit)
{
	item->kind = ITEM_BACK;
	item->first = (uint8_t)(digit - '1');
	if (digit == '0' || item->first >= compiler->pattern->capture_count ||
	    !compiler->is_closed[item->first])
		return "invalid capture index";
	return NULL;
}

/* What follows a '%' outside of sets; `at` is behind the letter. Sets *is_single where the item
 * may be repeated. */
static const char *compile_escape(struct compiler *compiler, struct pn_pattern_item *item,
                                  bool *is_single)
{
	char letter = *compiler->at++;

	if (letter >= '0' && letter <= '9')
		return compile_back(compiler, item, letter);
	if (letter == 'b') {
		if (compiler->end - compiler->at < 2)
			return "malformed pattern (missing arguments to '%b')";
		item->kind = ITEM_BALANCE;
		item->first = (uint8_t)*compiler->at++;
		item->second = (uint8_t)*compiler->at++;
		return NULL;
	}
	if (letter == 'f') {
		if (compiler->at == compiler->end || *compiler->at != '[')
			return "missing '[' after '%f' in pattern";
		compiler->at++;
		item->kind = ITEM_FRONTIER;
		return compile_set(compiler, item);
	}
	*is_single = true;
	if (is_letter(letter) && class_ranges(letter) != NULL) {
		item->kind = ITEM_SET;
		set_add_escape(new_set(compiler, item), letter);
	} else {
		item->kind = ITEM_BYTE;
		item->first = (uint8_t)letter;
	}
	return NULL;
}

static void compile_repeat(struct compiler *compiler, struct pn_pattern_item *item)
{
	static const char signs[] = "?*+-";
	const char *sign;

	if (compiler->at == compiler->end || *compiler->at == '\0')
		return;
	sign = strchr(signs, *compiler->at);
	if (sign == NULL)
		return;
	item->repeat = (uint8_t)(REPEAT_MAYBE + (sign - signs));
	compiler->at++;
}

static const char *compile_item(struct compiler *compiler, struct pn_pattern_item *item)
{
	const char *problem = NULL;
	bool is_single = false;
	char byte = *compiler->at++;

	if (byte == '(') {
		problem = compile_open(compiler, item);
	} else if (byte == ')') {
		problem = compile_close(compiler, item);
	} else if (byte == '$' && compiler->at == compiler->end) {
		item->kind = ITEM_SUBJECT_END;
	} else if (byte == '%') {
		if (compiler->at == compiler->end)
			return "malformed pattern (ends with '%')";
		problem = compile_escape(compiler, item, &is_single);
	} else if (byte == '[') {
		item->kind = ITEM_SET;
		problem = compile_set(compiler, item);
		is_single = true;
	} else {
		item->kind = byte == '.' ? ITEM_ANY : ITEM_BYTE;
		item->first = (uint8_t)byte;
		is_single = true;
	}
	if (is_single && problem == NULL)
		compile_repeat(compiler, item);
	return problem;
}

static size_t item_limit(struct pn_slice text)
{
	return text.size < PN_PATTERN_ITEMS_MAX ? text.size : PN_PATTERN_ITEMS_MAX;
}

size_t pn_pattern_size(struct pn_slice text)
{
	size_t limit = item_limit(text);

	return sizeof(struct pn_pattern) + (limit + 1) * sizeof(struct pn_pattern_item) +
	       limit * sizeof(uint32_t[8]);
}

const char *pn_pattern_compile(struct pn_pattern *pattern, struct pn_slice text, bool may_anchor)
{
	const char *begin = text.size > 0 ? text.data : "";
	struct compiler compiler = {.pattern = pattern, .at = begin, .end = begin + text.size};

	memset(pattern, 0, sizeof(*pattern));
	pattern->item_limit = item_limit(text);
	pattern->sets = (void *)(pattern + 1);
	pattern->items = (void *)(pattern->sets + pattern->item_limit);
	pattern->is_anchored = may_anchor && text.size > 0 && text.data[0] == '^';
	compiler.at += pattern->is_anchored;
	while (compiler.at < compiler.end) {
		struct pn_pattern_item *item = &pattern->items[pattern->item_count];
		const char *problem;

		if (pattern->item_count == pattern->item_limit)
			return "the pattern has more than 256 items";
		memset(item, 0, sizeof(*item));
		problem = compile_item(&compiler, item);
		if (problem != NULL)
			return problem;
		pattern->item_count++;
	}
	memset(&pattern->items[pattern->item_count], 0, sizeof(pattern->items[0]));
	return compiler.open_count != 0 ? "unfinished capture" : NULL;
}

/* ---- matching ---- */

static void take_steps(struct pn_pattern_match *match, uint64_t steps)
{
	match->steps += steps;
	if (match->steps < STEPS_UNTOLD)
		return;
	steps = match->steps;
	match->steps = 0;
	match->spend(match->user, steps);
}

static const char *subject_end(const struct pn_pattern_match *match)
{
	return match->subject.data + match->subject.size;
}

/* Whether the byte at `at` fits an item that stands for one byte. */
static bool fits(struct pn_pattern_match *match, const struct pn_pattern_item *item, const char *at)
{
	take_steps(match, 1);
	if (at >= subject_end(match))
		return false;
	switch (item->kind) {
	case ITEM_BYTE:
		return (uint8_t)*at == item->first;
	case ITEM_ANY:
		return true;
	default:
		return set_has(match->pattern->sets[item->set], (unsigned char)*at);
	}
}

/* "%bxy": the end of the balanced piece that begins here, or NULL. */
static const char *match_balance(struct pn_pattern_match *match, const struct pn_pattern_item *item,
                                 const char *at)
{
	size_t depth = 1;

	if (at >= subject_end(match) || (uint8_t)*at != item->first)
		return NULL;
	for (at++; at < subject_end(match); at++) {
		take_steps(match, 1);
		if ((uint8_t)*at == item->second) {
			if (--depth == 0)
				return at + 1;
		} else if ((uint8_t)*at == item->first) {
			depth++;
		}
	}
	return NULL;
}

static const char *match_back(struct pn_pattern_match *match, const struct pn_pattern_item *item,
                              const char *at)
{
	const struct pn_pattern_capture *capture = &match->captures[item->first];

	if (capture->is_position || (size_t)(subject_end(match) - at) < capture->size)
		return NULL;
	take_steps(match, capture->size);
	if (capture->size != 0 && memcmp(capture->start, at, capture->size) != 0)
		return NULL;
	return at + capture->size;
}

/* "%f[set]": the byte before is not in the set, the one here is; beyond both ends stands a NUL. */
static bool match_frontier(struct pn_pattern_match *match, const struct pn_pattern_item *item,
                           const char *at)
{
	const uint32_t *set = match->pattern->sets[item->set];
	unsigned char before = at == match->subject.data ? 0 : (unsigned char)at[-1];
	unsigned char here = at == subject_end(match) ? 0 : (unsigned char)*at;

	return !set_has(set, before) && set_has(set, here);
}

/* Items that stand for a place or a piece, and do not repeat. Where they end, or NULL. */
static const char *match_piece(struct pn_pattern_match *match, const struct pn_pattern_item *item,
                               const char *at)
{
	struct pn_pattern_capture *captures = match->captures;

	switch (item->kind) {
	case ITEM_SUBJECT_END:
		return at == subject_end(match) ? at : NULL;
	case ITEM_OPEN:
		captures[item->first] = (struct pn_pattern_capture){.start = at};
		return at;
	case ITEM_CLOSE:
		captures[item->first].size = (size_t)(at - captures[item->first].start);
		return at;
	case ITEM_POSITION:
		captures[item->first] =
			(struct pn_pattern_capture){.start = at, .is_position = true};
		return at;
	case ITEM_BACK:
		return match_back(match, item, at);
	case ITEM_BALANCE:
		return match_balance(match, item, at);
	default:
		return match_frontier(match, item, at) ? at : NULL;
	}
}

static const char *match_items(struct pn_pattern_match *match, size_t index, const char *at);

/* As many as fit, and then fewer and fewer until the rest matches. */
static const char *match_longest(struct pn_pattern_match *match, size_t index, const char *at,
                                 size_t least)
{
	const struct pn_pattern_item *item = &match->pattern->items[index];
	size_t count = 0;

	while (fits(match, item, at + count))
		count++;
	for (;; count--) {
		const char *end;

		if (count < least)
			return NULL;
		end = match_items(match, index + 1, at + count);
		if (end != NULL || count == 0)
			return end;
	}
}

static const char *match_shortest(struct pn_pattern_match *match, size_t index, const char *at)
{
	for (;; at++) {
		const char *end = match_items(match, index + 1, at);

		if (end != NULL)
			return end;
		if (!fits(match, &match->pattern->items[index], at))
			return NULL;
	}
}

/*
 * Items from `index` on, at this place. Where the match ends, or NULL. Captures need no undoing
 * when it backs up: each way through the items passes all that stand before, and sets them again.
 */
static const char *match_items(struct pn_pattern_match *match, size_t index, const char *at)
{
	for (;; index++) {
		const struct pn_pattern_item *item = &match->pattern->items[index];
		const char *end;

		take_steps(match, 1);
		if (item->kind == ITEM_END)
			return at;
		if (item->kind > ITEM_SET) {
			at = match_piece(match, item, at);
			if (at == NULL)
				return NULL;
			continue;
		}
		switch (item->repeat) {
		case REPEAT_STAR:
			return match_longest(match, index, at, 0);
		case REPEAT_PLUS:
			return match_longest(match, index, at, 1);
		case REPEAT_SHORTEST:
			return match_shortest(match, index, at);
		case REPEAT_MAYBE:
			if (!fits(match, item, at))
				continue;
			end = match_items(match, index + 1, at + 1);
			if (end != NULL)
				return end;
			continue;
		default:
			if (!fits(match, item, at))
				return NULL;
			at++;
		}
	}
}

bool pn_pattern_at(struct pn_pattern_match *match, const char *place)
{
	match->start = place;
	match->end = match_items(match, 0, place);
	return match->end != NULL;
}

bool pn_pattern_search(struct pn_pattern_match *match, const char *place)
{
	for (;; place++) {
		if (pn_pattern_at(match, place))
			return true;
		if (match->pattern->is_anchored || place >= subject_end(match))
			return false;
	}
}
