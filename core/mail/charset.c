/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of any charset as UTF-8. UTF-8 and Latin-1, which most mail is in, are done
 * here; the C library's iconv does the others. Names come from strangers: only what
 * looks like the name of a charset is asked for.
 */
#include "mail/charset.h"

#include <postern/text.h>

#include "base/utf8.h"

#include <errno.h>
#include <iconv.h>

static const struct pn_slice replacement = {"\xef\xbf\xbd", 3}; /* U+FFFD */

static bool is_one_of(struct pn_slice name, const char *const *names)
{
	while (*names != NULL && !pn_slice_equal_ignore_case(name, pn_slice_of(*names)))
		names++;
	return *names != NULL;
}

/* A slash would be an option of the converter, not a charset; "char" and "wchar_t" are this
 * machine's own. */
static bool is_name(struct pn_slice name)
{
	static const char *const others[] = {"char", "wchar_t", NULL};

	if (name.size == 0 || name.size >= PN_CHARSET_NAME_SIZE || is_one_of(name, others))
		return false;
	for (size_t index = 0; index < name.size; index++) {
		char byte = name.data[index];

		if (!((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		      (byte >= '0' && byte <= '9') ||
		      (index > 0 && byte != '\0' && strchr("-_.:+()", byte) != NULL)))
			return false;
	}
	return true;
}

enum pn_status pn_charset_open(struct pn_charset *charset, struct pn_slice name)
{
	static const char *const utf8[] = {"utf-8", "us-ascii", "utf8", "ascii", NULL};
	static const char *const latin1[] = {"iso-8859-1", "latin1", "iso8859-1", NULL};
	char text[PN_CHARSET_NAME_SIZE];
	iconv_t converter;

	*charset = (struct pn_charset){.kind = PN_CHARSET_UTF8};
	if (is_one_of(name, utf8))
		return PN_OK;
	if (is_one_of(name, latin1)) {
		charset->kind = PN_CHARSET_LATIN1;
		return PN_OK;
	}
	if (!is_name(name))
		return PN_NOT_FOUND;
	memcpy(text, name.data, name.size);
	text[name.size] = '\0';
	converter = iconv_open("UTF-8", text);
	if (converter == (iconv_t)-1)
		return PN_NOT_FOUND;
	charset->kind = PN_CHARSET_OTHER;
	charset->converter = converter;
	return PN_OK;
}

void pn_charset_close(struct pn_charset *charset)
{
	if (charset->converter != NULL)
		iconv_close(charset->converter);
	*charset = (struct pn_charset){.kind = PN_CHARSET_UTF8};
}

void pn_charset_restart(struct pn_charset *charset)
{
	if (charset->converter != NULL)
		iconv(charset->converter, NULL, NULL, NULL, NULL);
	charset->held_size = 0;
}

static size_t ascii_size(struct pn_slice text)
{
	size_t size = 0;

	while (size + 8 <= text.size) {
		uint64_t word;

		memcpy(&word, text.data + size, sizeof(word));
		if ((word & 0x8080808080808080u) != 0)
			break;
		size += 8;
	}
	while (size < text.size && (uint8_t)text.data[size] < 0x80)
		size++;
	return size;
}

static enum pn_status feed_latin1(struct pn_buffer *out, struct pn_slice bytes)
{
	char *to;

	if (pn_buffer_reserve(out, 2 * bytes.size, &to) != PN_OK)
		return PN_LIMIT;
	for (size_t index = 0; index < bytes.size; index++) {
		uint8_t byte = (uint8_t)bytes.data[index];

		if (byte >= 0x80) {
			*to++ = (char)(0xc0 | byte >> 6);
			byte = (uint8_t)(0x80 | (byte & 0x3f));
		}
		*to++ = (char)byte;
	}
	out->size = (size_t)(to - out->data);
	return PN_OK;
}

/* Whether the text may go on to be a character. */
static bool is_cut(struct pn_slice text)
{
	uint8_t first = (uint8_t)text.data[0];
	size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

	if (first < 0xc2 || first > 0xf4 || text.size >= length)
		return false;
	for (size_t index = 1; index < text.size; index++) {
		if (((uint8_t)text.data[index] & 0xc0) != 0x80)
			return false;
	}
	return true;
}

/* How much was taken; the rest is the beginning of a character. */
static enum pn_status feed_utf8(struct pn_buffer *out, struct pn_slice bytes, size_t *taken)
{
	size_t at = 0;
	enum pn_status status = PN_OK;

	while (at < bytes.size && status == PN_OK) {
		struct pn_slice rest = pn_slice_behind(bytes, at);
		size_t size = ascii_size(rest);

		if (size == 0)
			size = pn_utf8_next(rest, NULL);
		if (size == 0 && is_cut(rest))
			break;
		status = pn_buffer_append(out,
		                          size == 0 ? replacement : pn_slice_make(rest.data, size));
		at += size == 0 ? 1 : size;
	}
	*taken = at;
	return status;
}

/* The library writes more than Unicode has, if asked with UCS-4 in one of its disguises: each byte
 * that is no character is replaced, from `from` on. */
static enum pn_status clean(struct pn_buffer *out, size_t from)
{
	struct pn_slice text = pn_slice_make(out->data + from, out->size - from);
	struct pn_buffer copy;
	enum pn_status status;
	size_t size;

	while ((size = ascii_size(text)) > 0 || (size = pn_utf8_next(text, NULL)) > 0)
		text = pn_slice_behind(text, size);
	if (text.size == 0)
		return PN_OK;
	pn_buffer_init(&copy, text.size);
	status = pn_buffer_append(&copy, text);
	out->size -= text.size;
	for (text = pn_buffer_slice(&copy); text.size > 0 && status == PN_OK;) {
		size = pn_utf8_next(text, NULL);
		status = pn_buffer_append(out,
		                          size == 0 ? replacement : pn_slice_make(text.data, size));
		text = pn_slice_behind(text, size == 0 ? 1 : size);
	}
	pn_buffer_clear(&copy);
	return status;
}

static enum pn_status feed_other(struct pn_charset *charset, struct pn_buffer *out,
                                 struct pn_slice bytes, size_t *taken)
{
	char *from = (char *)(uintptr_t)bytes.data;
	size_t left = bytes.size;

	while (left > 0) {
		size_t room = left < 1024 ? 4 * left + 16 : 4096;
		size_t room_left = room, result;
		char *to;
		int error;

		if (pn_buffer_reserve(out, room, &to) != PN_OK)
			return PN_LIMIT;
		result = iconv(charset->converter, &from, &left, &to, &room_left);
		error = result == (size_t)-1 ? errno : 0;
		out->size += room - room_left;
		if (clean(out, out->size - (room - room_left)) != PN_OK)
			return PN_LIMIT;
		if (error == EINVAL && left < PN_CHARSET_HELD)
			break;
		if (error == EILSEQ || error == EINVAL) {
			if (pn_buffer_append(out, replacement) != PN_OK)
				return PN_LIMIT;
			from++;
			left--;
		}
	}
	*taken = bytes.size - left;
	return PN_OK;
}

static enum pn_status feed_once(struct pn_charset *charset, struct pn_buffer *out,
                                struct pn_slice bytes, size_t *taken)
{
	if (charset->kind == PN_CHARSET_UTF8)
		return feed_utf8(out, bytes, taken);
	if (charset->kind == PN_CHARSET_OTHER)
		return feed_other(charset, out, bytes, taken);
	*taken = bytes.size;
	return feed_latin1(out, bytes);
}

enum pn_status pn_charset_feed(struct pn_charset *charset, struct pn_buffer *out,
                               struct pn_slice bytes)
{
	size_t taken = 0;
	enum pn_status status = PN_OK;

	/* A character that was cut is put together byte by byte: it has few. */
	while (charset->held_size > 0 && bytes.size > 0 && status == PN_OK) {
		charset->held[charset->held_size++] = bytes.data[0];
		bytes = pn_slice_behind(bytes, 1);
		status = feed_once(charset, out, pn_slice_make(charset->held, charset->held_size),
		                   &taken);
		charset->held_size -= taken;
		memmove(charset->held, charset->held + taken, charset->held_size);
	}
	if (status == PN_OK && bytes.size > 0) {
		status = feed_once(charset, out, bytes, &taken);
		if (status == PN_OK && taken < bytes.size) {
			charset->held_size = bytes.size - taken;
			memcpy(charset->held, bytes.data + taken, charset->held_size);
		}
	}
	return status;
}

enum pn_status pn_charset_end(struct pn_charset *charset, struct pn_buffer *out)
{
	enum pn_status status = PN_OK;

	for (; charset->held_size > 0 && status == PN_OK; charset->held_size--)
		status = pn_buffer_append(out, replacement);
	return status;
}

bool pn_charset_is_known(struct pn_slice name)
{
	struct pn_charset charset;
	bool is_known = pn_charset_open(&charset, name) == PN_OK;

	if (is_known)
		pn_charset_close(&charset);
	return is_known;
}

enum pn_status pn_charset_decode(struct pn_buffer *out, struct pn_slice name, struct pn_slice bytes)
{
	struct pn_charset charset;
	const size_t before = out->size;
	enum pn_status status = pn_charset_open(&charset, name);

	if (status != PN_OK)
		return status;
	status = pn_charset_feed(&charset, out, bytes);
	if (status == PN_OK)
		status = pn_charset_end(&charset, out);
	pn_charset_close(&charset);
	if (status != PN_OK)
		out->size = before;
	return status;
}
