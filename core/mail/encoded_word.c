/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a field as UTF-8: encoded words (RFC 2047) decoded. Takes what people
 * send: words that are too long, have blanks in them, or cut a character in two.
 * Linear. For searching, sorting and whoever shows a field.
 */
#include "mail/charset.h"
#include "mail/transfer.h"

#include <postern/text.h>

#include "base/utf8.h"

struct word {
	struct pn_slice charset;
	enum pn_mime_encoding_code encoding;
	struct pn_slice text;
	size_t size; /* all of it, from "=?" to "?=" */
};

/* Other charsets that one field may have opened; what comes behind stays as it is. */
enum { MOST_CHARSETS = 50 };

struct decoding {
	struct pn_buffer *out;
	struct pn_buffer bytes; /* of words that are not yet converted */
	struct pn_slice name;   /* of the charset that is open */
	struct pn_charset charset;
	size_t opened;
	const char *next_end; /* the first "?=" at or behind where it was asked for last */
	bool has_no_end;
};

static bool is_blank(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* The first "?=" from there on, found once for all words that begin in front of it. */
static const char *find_end(struct decoding *decoding, const char *from, const char *end)
{
	if (decoding->has_no_end)
		return NULL;
	if (decoding->next_end == NULL || decoding->next_end < from)
		decoding->next_end = memmem(from, (size_t)(end - from), "?=", 2);
	decoding->has_no_end = decoding->next_end == NULL;
	return decoding->next_end;
}

/* A word at the beginning of `text`: "=?charset?B?text?=". */
static bool read_word(struct decoding *decoding, struct pn_slice text, struct word *word)
{
	const char *end = text.data + text.size;
	size_t longest = text.size < PN_CHARSET_NAME_SIZE ? text.size : PN_CHARSET_NAME_SIZE;
	struct pn_slice rest = pn_slice_make(text.data + 2, longest - 2);
	const char *start, *found;

	word->charset = pn_slice_cut(&rest, '?');
	/* RFC 2231 section 5: a language may follow the charset. */
	word->charset.size = pn_slice_find(word->charset, '*');
	start = rest.data;
	if (rest.size == 0 || end - start < 4 || start[1] != '?')
		return false;
	if (start[0] == 'B' || start[0] == 'b')
		word->encoding = PN_ENCODING_BASE64;
	else if (start[0] == 'Q' || start[0] == 'q')
		word->encoding = PN_ENCODING_QUOTED_PRINTABLE;
	else
		return false;
	start += 2;
	found = find_end(decoding, start, end);
	if (found == NULL)
		return false;
	word->text = pn_slice_make(start, (size_t)(found - start));
	word->size = (size_t)(found + 2 - text.data);
	return true;
}

/* Words of one charset are converted together: they may share a character. */
static enum pn_status flush(struct decoding *decoding)
{
	const size_t from = decoding->out->size;
	enum pn_status status = PN_OK;

	if (decoding->bytes.size > 0) {
		pn_charset_restart(&decoding->charset);
		status = pn_charset_feed(&decoding->charset, decoding->out,
		                         pn_buffer_slice(&decoding->bytes));
		if (status == PN_OK)
			status = pn_charset_end(&decoding->charset, decoding->out);
	}
	decoding->bytes.size = 0;
	/* A field is one line, whatever somebody encoded. */
	for (size_t index = from; index < decoding->out->size; index++) {
		if (is_blank(decoding->out->data[index]) || decoding->out->data[index] == '\0')
			decoding->out->data[index] = ' ';
	}
	return status;
}

/* The charset of the words to come. False where nobody knows it. */
static bool use_charset(struct decoding *decoding, struct pn_slice name, enum pn_status *status)
{
	struct pn_charset charset;

	if (pn_slice_equal_ignore_case(name, decoding->name))
		return true;
	if (decoding->opened++ >= MOST_CHARSETS || pn_charset_open(&charset, name) != PN_OK)
		return false;
	*status = flush(decoding);
	pn_charset_close(&decoding->charset);
	decoding->charset = charset;
	decoding->name = name;
	return true;
}

static enum pn_status put_word(struct decoding *decoding, const struct word *word)
{
	struct pn_transfer transfer;
	struct pn_slice rest = word->text;
	enum pn_status status = PN_OK;

	pn_transfer_begin(&transfer, word->encoding);
	while (rest.size > 0 && status == PN_OK) {
		size_t size = rest.size;

		/* RFC 2047 section 4.2: an underscore is a space. */
		if (word->encoding == PN_ENCODING_QUOTED_PRINTABLE)
			size = pn_slice_find(rest, '_');
		status = pn_transfer_decode(&transfer, &decoding->bytes,
		                            pn_slice_make(rest.data, size));
		if (status == PN_OK && size < rest.size)
			status = pn_transfer_decode(&transfer, &decoding->bytes, PN_SLICE(" "));
		rest = pn_slice_behind(rest, size < rest.size ? size + 1 : size);
	}
	return status == PN_OK ? pn_transfer_end(&transfer, &decoding->bytes) : status;
}

/* Text that is no word. Bytes that are not UTF-8 are somebody's Latin-1. */
static enum pn_status put_raw(struct pn_buffer *out, struct pn_slice text)
{
	enum pn_status status = PN_OK;

	while (text.size > 0 && status == PN_OK) {
		size_t size = 0;
		uint8_t byte = (uint8_t)text.data[0];
		char pair[2] = {(char)(0xc0 | byte >> 6), (char)(0x80 | (byte & 0x3f))};

		while (size < text.size && (uint8_t)text.data[size] < 0x80)
			size++;
		if (size == 0)
			size = pn_utf8_next(text, NULL);
		status = pn_buffer_append(out, size > 0 ? pn_slice_make(text.data, size)
		                                        : pn_slice_make(pair, 2));
		text = pn_slice_behind(text, size > 0 ? size : 1);
	}
	return status;
}

static size_t blanks_at(struct pn_slice text)
{
	size_t size = 0;

	while (size < text.size && is_blank(text.data[size]))
		size++;
	return size;
}

/* The words at the beginning of `text` and what is blank between them (RFC 2047 section 6.2);
 * returns how much they are. */
static size_t put_words(struct decoding *decoding, struct pn_slice text, enum pn_status *status)
{
	size_t at = 0, blanks = 0;
	struct word word;

	while (*status == PN_OK && text.size - at - blanks >= 2) {
		struct pn_slice rest = pn_slice_behind(text, at + blanks);

		if (rest.data[0] != '=' || rest.data[1] != '?' ||
		    !read_word(decoding, rest, &word) ||
		    !use_charset(decoding, word.charset, status))
			break;
		if (*status == PN_OK)
			*status = put_word(decoding, &word);
		at += blanks + word.size;
		blanks = blanks_at(pn_slice_behind(text, at));
	}
	if (*status == PN_OK)
		*status = flush(decoding);
	return at;
}

enum pn_status pn_mime_decode_field(struct pn_buffer *out, struct pn_slice text)
{
	struct decoding decoding = {.out = out, .name = PN_SLICE("utf-8")};
	const size_t before = out->size;
	enum pn_status status = PN_OK;

	pn_buffer_init(&decoding.bytes, text.size + 16);
	while (text.size > 0 && status == PN_OK) {
		const char *found = memmem(text.data, text.size, "=?", 2);
		size_t size = found == NULL ? text.size : (size_t)(found - text.data);

		status = put_raw(out, pn_slice_make(text.data, size));
		text = pn_slice_behind(text, size);
		if (text.size == 0 || status != PN_OK)
			break;
		size = put_words(&decoding, text, &status);
		if (size == 0 && status == PN_OK) {
			/* Not a word, or of a charset nobody knows. */
			size = 2;
			status = pn_buffer_append(out, pn_slice_make(text.data, size));
		}
		text = pn_slice_behind(text, size);
	}
	pn_charset_close(&decoding.charset);
	pn_buffer_clear(&decoding.bytes);
	if (status != PN_OK)
		out->size = before;
	return status;
}
