/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching messages while they go by: the parser says what is a header and what is a
 * body; text is decoded, folded into a window, and the keys are looked for there.
 * Mail is mostly plain ASCII: for that, folding is the only copy. Everything is kept
 * from message to message, so that a search through a mailbox allocates once.
 */
#include "mail/charset.h"
#include "mail/mime.h"
#include "mail/transfer.h"

#include <postern/text.h>

#include "base/assert.h"

#include <stdlib.h>

enum {
	WINDOW_SIZE = 32 * 1024, /* folded text that is looked through at once */
	PIECE_SIZE = 8 * 1024,   /* of a body that is decoded at once */
	MOST_GROWN = 64,         /* folding and decoding make of a byte no more than that */
};

struct key {
	enum pn_search_scope scope;
	struct pn_slice field;
	struct pn_slice needle; /* folded */
	bool is_found;
};

struct pn_search {
	struct pn_mime_parser *parser;
	struct pn_mime_listener listener;
	struct key *keys;
	size_t key_count;
	size_t longest;     /* needle of a key that is looked for in running text */
	bool has_body_keys; /* any; so below */
	bool has_text_keys;
	bool has_field_keys;
	bool header_is_over; /* the outermost */
	size_t left;         /* keys not found */
	size_t body_left;    /* of which those in bodies */

	/* The body at hand. */
	bool is_searched;
	struct pn_transfer transfer;
	struct pn_charset *charset; /* NULL: the bytes are UTF-8, or taken for it */
	struct pn_buffer window;
	struct pn_buffer decoded;
	struct pn_buffer converted;
	char cut[4]; /* a character or a CR that may go on in the next piece */
	size_t cut_size;

	struct pn_buffer line; /* a field, unfolded */
	struct pn_buffer text; /* and decoded */
	struct pn_charset_cache charsets;
};

/* Appending to buffers whose bounds are known from what is put into them. */
static void must(enum pn_status status)
{
	if (status != PN_OK)
		pn_assert_failed(__FILE__, __LINE__, "a search has room for its pieces");
}

/* ---- the window ---- */

static bool has_needle(struct pn_slice text, struct pn_slice needle)
{
	return needle.size == 0 || (needle.size <= text.size &&
	                            memmem(text.data, text.size, needle.data, needle.size) != NULL);
}

static void found(struct pn_search *search, struct key *key)
{
	key->is_found = true;
	search->left--;
	if (key->scope != PN_SEARCH_HEADER)
		search->body_left--;
}

static void look(struct pn_search *search, bool in_header)
{
	struct pn_slice text = pn_buffer_slice(&search->window);

	for (size_t index = 0; index < search->key_count; index++) {
		struct key *key = &search->keys[index];

		if (key->is_found || key->scope == PN_SEARCH_HEADER ||
		    (in_header && key->scope == PN_SEARCH_BODY))
			continue;
		if (has_needle(text, key->needle))
			found(search, key);
	}
}

/* Not before there is as much that is new as there is that was kept: whatever the size of what is
 * looked for, and of the pieces that come, every byte is looked at a few times. */
static bool is_full(const struct pn_search *search)
{
	return search->window.size >= WINDOW_SIZE + 2 * search->longest;
}

/* The window is full: it is looked through, and its end kept, where a needle may begin. */
static void slide(struct pn_search *search, bool in_header)
{
	size_t kept = search->longest > 0 ? search->longest - 1 : 0;

	look(search, in_header);
	if (search->window.size > kept)
		pn_buffer_consume(&search->window, search->window.size - kept);
}

/* ---- text into the window ---- */

/* Text without line ends, in whole characters. */
static void put_folded(struct pn_search *search, struct pn_slice text)
{
	char *room;
	size_t size;

	must(pn_buffer_reserve(&search->window, text.size, &room));
	size = pn_fold_ascii(room, text);
	search->window.size += size;
	if (size < text.size)
		must(pn_text_fold(&search->window, pn_slice_behind(text, size)));
}

/* Lines; a line end is a space. */
static void put_lines(struct pn_search *search, struct pn_slice text)
{
	while (text.size > 0) {
		const char *end = memchr(text.data, '\n', text.size);
		size_t size = end == NULL ? text.size : (size_t)(end - text.data);
		size_t taken = end == NULL ? size : size + 1;

		if (end != NULL && size > 0 && text.data[size - 1] == '\r')
			size--;
		put_folded(search, pn_slice_make(text.data, size));
		if (end != NULL)
			must(pn_buffer_append(&search->window, PN_SLICE(" ")));
		text = pn_slice_behind(text, taken);
	}
}

/* Bytes at the end that may be the beginning of a character or of a line end. */
static size_t cut_at_end(struct pn_slice text)
{
	size_t back = 1;

	if (text.size == 0)
		return 0;
	if (text.data[text.size - 1] == '\r')
		return 1;
	while (back < 4 && back < text.size &&
	       ((uint8_t)text.data[text.size - back] & 0xc0) == 0x80)
		back++;
	/* The first byte of a character says how many there are. */
	if (back < 4) {
		uint8_t first = (uint8_t)text.data[text.size - back];
		size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;

		if (length > back)
			return back;
	}
	return 0;
}

/* UTF-8, cut anywhere. */
static void put_text(struct pn_search *search, struct pn_slice text)
{
	size_t cut;

	while (search->cut_size > 0 && text.size > 0) {
		struct pn_slice whole;

		search->cut[search->cut_size++] = text.data[0];
		text = pn_slice_behind(text, 1);
		whole = pn_slice_make(search->cut, search->cut_size);
		if (search->cut_size < sizeof(search->cut) && cut_at_end(whole) == whole.size)
			continue;
		cut = cut_at_end(whole);
		if (cut == whole.size)
			cut = 0;
		put_lines(search, pn_slice_make(whole.data, whole.size - cut));
		memmove(search->cut, search->cut + whole.size - cut, cut);
		search->cut_size = cut;
	}
	if (text.size == 0)
		return;
	cut = cut_at_end(text);
	put_lines(search, pn_slice_make(text.data, text.size - cut));
	memcpy(search->cut, text.data + text.size - cut, cut);
	search->cut_size = cut;
}

static void put_converted(struct pn_search *search, struct pn_slice bytes)
{
	if (search->charset == NULL) {
		put_text(search, bytes);
		return;
	}
	search->converted.size = 0;
	must(pn_charset_feed(search->charset, &search->converted, bytes));
	put_text(search, pn_buffer_slice(&search->converted));
}

static void put_body(struct pn_search *search, struct pn_slice bytes)
{
	if (pn_transfer_is_identity(&search->transfer)) {
		put_converted(search, bytes);
	} else {
		search->decoded.size = 0;
		must(pn_transfer_decode(&search->transfer, &search->decoded, bytes));
		put_converted(search, pn_buffer_slice(&search->decoded));
	}
	if (is_full(search))
		slide(search, false);
}

/* ---- what the parser tells ---- */

static bool is_in_field(struct pn_search *search, const struct key *key, struct pn_slice name)
{
	return !key->is_found && key->scope == PN_SEARCH_HEADER && !search->header_is_over &&
	       pn_slice_equal_ignore_case(key->field, name);
}

static bool wants_field(struct pn_search *search, struct pn_slice name)
{
	if (search->has_text_keys)
		return true;
	for (size_t index = 0; index < search->key_count; index++) {
		if (is_in_field(search, &search->keys[index], name))
			return true;
	}
	return false;
}

/* The value of a field on one line, decoded where something in it is encoded. */
static struct pn_slice field_text(struct pn_search *search, struct pn_slice value)
{
	struct pn_slice line = pn_mime_unfold(&search->line, value);
	bool is_plain = memmem(line.data, line.size, "=?", 2) == NULL;

	for (size_t index = 0; is_plain && index < line.size; index++)
		is_plain = (uint8_t)line.data[index] < 0x80;
	if (is_plain)
		return line;
	search->text.size = 0;
	must(pn_mime_decode_field(&search->text, line));
	return pn_buffer_slice(&search->text);
}

/* Fields stand in the window one behind the other, with a line end in front, which no needle
 * holds. */
static void take_field(void *user, const struct pn_mime_node *node, struct pn_slice field)
{
	struct pn_search *search = user;
	struct pn_slice name, value, text;
	size_t begin;

	(void)node;
	if (search->left == 0 || !pn_mime_field_split(field, &name, &value) ||
	    !wants_field(search, name))
		return;
	if (is_full(search))
		slide(search, true);
	must(pn_buffer_append(&search->window, PN_SLICE("\n")));
	put_folded(search, name);
	must(pn_buffer_append(&search->window, PN_SLICE(": ")));
	begin = search->window.size;
	put_folded(search, field_text(search, value));
	text = pn_slice_behind(pn_buffer_slice(&search->window), begin);
	for (size_t index = 0; search->has_field_keys && index < search->key_count; index++) {
		struct key *key = &search->keys[index];

		if (is_in_field(search, key, name) && has_needle(text, key->needle))
			found(search, key);
	}
	if (!search->has_text_keys)
		search->window.size = 0;
}

static struct pn_slice span_text(const struct pn_search *search, struct pn_mime_span span)
{
	return span.size == 0 ? PN_SLICE("") : pn_mime_text_of(search->parser, span);
}

static bool is_text(const struct pn_search *search, const struct pn_mime_node *node)
{
	struct pn_slice type;

	if (node->kind != PN_MIME_LEAF)
		return false;
	if (node->type != PN_TYPE_OTHER)
		return pn_slice_equal(pn_mime_type_text(node->type), PN_SLICE("text"));
	/* As it is kept: its size in a byte, as it is short, and the text. */
	type = span_text(search, node->fields[PN_PART_TYPE]);
	return pn_slice_starts_with_ignore_case(type, PN_SLICE("\4text")) ||
	       pn_slice_starts_with_ignore_case(type, PN_SLICE("\7message"));
}

static void take_header_end(void *user, const struct pn_mime_node *node)
{
	struct pn_search *search = user;

	if (search->has_text_keys)
		look(search, true);
	search->window.size = 0;
	search->header_is_over = true;
	search->is_searched = search->has_body_keys && is_text(search, node);
	if (!search->is_searched)
		return;
	pn_transfer_begin(&search->transfer, node->encoding);
	search->charset = pn_charset_cached(&search->charsets, span_text(search, node->charset));
	search->cut_size = 0;
}

static void take_body(void *user, const struct pn_mime_node *node, struct pn_slice bytes)
{
	struct pn_search *search = user;

	/* Only of the part that began last: a multipart has nothing to say. */
	if (!search->is_searched || node->kind != PN_MIME_LEAF)
		return;
	while (bytes.size > 0 && search->body_left > 0) {
		size_t size = bytes.size < PIECE_SIZE ? bytes.size : PIECE_SIZE;

		put_body(search, pn_slice_make(bytes.data, size));
		bytes = pn_slice_behind(bytes, size);
	}
}

static void take_body_end(void *user, const struct pn_mime_node *node)
{
	struct pn_search *search = user;

	if (!search->is_searched || node->kind != PN_MIME_LEAF)
		return;
	search->is_searched = false;
	if (search->body_left > 0) {
		search->decoded.size = 0;
		search->converted.size = 0;
		must(pn_transfer_end(&search->transfer, &search->decoded));
		put_converted(search, pn_buffer_slice(&search->decoded));
		search->converted.size = 0;
		if (search->charset != NULL)
			must(pn_charset_end(search->charset, &search->converted));
		put_text(search, pn_buffer_slice(&search->converted));
		put_lines(search, pn_slice_make(search->cut, search->cut_size));
		look(search, false);
	}
	search->cut_size = 0;
	search->window.size = 0;
}

/* ---- a search ---- */

static void begin(struct pn_search *search)
{
	search->left = 0;
	search->body_left = 0;
	search->header_is_over = false;
	search->is_searched = false;
	search->window.size = 0;
	search->cut_size = 0;
	for (size_t index = 0; index < search->key_count; index++) {
		struct key *key = &search->keys[index];
		bool in_body = key->scope != PN_SEARCH_HEADER;

		/* Nothing is in every message. */
		key->is_found = in_body && key->needle.size == 0;
		search->left += key->is_found ? 0 : 1;
		search->body_left += in_body && !key->is_found ? 1 : 0;
	}
}

/* A copy of its own: keys live as long as the search. */
static struct pn_slice keep(struct pn_slice text)
{
	char *copy = malloc(text.size + 1);

	if (copy == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	if (text.size > 0)
		memcpy(copy, text.data, text.size);
	copy[text.size] = '\0';
	return pn_slice_make(copy, text.size);
}

static void set_key(struct pn_search *search, struct key *key, const struct pn_search_key *from)
{
	struct pn_search folding = {.keys = NULL};

	key->scope = from->scope;
	key->field = keep(from->field);
	/* Folded as the text is: its line ends are spaces, too. */
	pn_buffer_init(&folding.window, SIZE_MAX / 2);
	put_lines(&folding, from->text);
	key->needle = keep(pn_buffer_slice(&folding.window));
	pn_buffer_clear(&folding.window);
	search->has_body_keys = search->has_body_keys || key->scope != PN_SEARCH_HEADER;
	search->has_text_keys = search->has_text_keys || key->scope == PN_SEARCH_TEXT;
	search->has_field_keys = search->has_field_keys || key->scope == PN_SEARCH_HEADER;
	if (key->scope != PN_SEARCH_HEADER && key->needle.size > search->longest)
		search->longest = key->needle.size;
}

struct pn_search *pn_search_new(const struct pn_search_key *keys, size_t count)
{
	struct pn_search *search = calloc(1, sizeof(*search));

	if (search == NULL || (search->keys = calloc(count + 1, sizeof(*search->keys))) == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	search->key_count = count;
	for (size_t index = 0; index < count; index++)
		set_key(search, &search->keys[index], &keys[index]);
	pn_buffer_init(&search->window,
	               2 * search->longest + WINDOW_SIZE + (size_t)MOST_GROWN * PN_MIME_MAX_FIELD);
	pn_buffer_init(&search->decoded, 2 * PIECE_SIZE);
	pn_buffer_init(&search->converted, (size_t)MOST_GROWN * PIECE_SIZE);
	pn_buffer_init(&search->line, 2 * PN_MIME_MAX_FIELD);
	pn_buffer_init(&search->text, (size_t)MOST_GROWN * PN_MIME_MAX_FIELD);
	search->listener = (struct pn_mime_listener){
		.field = take_field,
		.header_end = take_header_end,
		.body = take_body,
		.body_end = take_body_end,
		.user = search,
	};
	search->parser = pn_mime_new_listening(&search->listener);
	begin(search);
	return search;
}

bool pn_search_is_complete(const struct pn_search *search)
{
	/* What is looked for in the header alone is settled when that is over. */
	return search->left == 0 || (search->header_is_over && search->body_left == 0);
}

void pn_search_feed(struct pn_search *search, struct pn_slice bytes)
{
	if (!pn_search_is_complete(search))
		pn_mime_feed(search->parser, bytes);
}

void pn_search_finish(struct pn_search *search, bool *found_out)
{
	if (!pn_search_is_complete(search))
		pn_mime_end(search->parser);
	for (size_t index = 0; index < search->key_count; index++)
		found_out[index] = search->keys[index].is_found;
	pn_mime_reset(search->parser);
	begin(search);
}

void pn_search_free(struct pn_search **search)
{
	struct pn_search *freed = *search;

	*search = NULL;
	if (freed == NULL)
		return;
	pn_mime_free(&freed->parser);
	for (size_t index = 0; index < freed->key_count; index++) {
		free((char *)(uintptr_t)freed->keys[index].field.data);
		free((char *)(uintptr_t)freed->keys[index].needle.data);
	}
	pn_charset_cache_clear(&freed->charsets);
	free(freed->keys);
	pn_buffer_clear(&freed->window);
	pn_buffer_clear(&freed->decoded);
	pn_buffer_clear(&freed->converted);
	pn_buffer_clear(&freed->line);
	pn_buffer_clear(&freed->text);
	free(freed);
}
