/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of mailboxes: modified UTF-7 on the wire (RFC 3501 section 5.1.3), UTF-8 in the
 * store, levels separated by '/'; and the words of special uses (RFC 6154).
 */
#include "imap.h"

#include <postern/text.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

bool imap_is_inbox(struct pn_slice name)
{
	return pn_slice_equal_ignore_case(name, PN_SLICE("INBOX"));
}

static void put_utf8(struct pn_buffer *out, uint32_t code)
{
	char bytes[4];
	size_t size = 0;

	if (code < 0x80) {
		bytes[size++] = (char)code;
	} else if (code < 0x800) {
		bytes[size++] = (char)(0xc0 | code >> 6);
		bytes[size++] = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		bytes[size++] = (char)(0xe0 | code >> 12);
		bytes[size++] = (char)(0x80 | (code >> 6 & 0x3f));
		bytes[size++] = (char)(0x80 | (code & 0x3f));
	} else {
		bytes[size++] = (char)(0xf0 | code >> 18);
		bytes[size++] = (char)(0x80 | (code >> 12 & 0x3f));
		bytes[size++] = (char)(0x80 | (code >> 6 & 0x3f));
		bytes[size++] = (char)(0x80 | (code & 0x3f));
	}
	imap_put_slice(out, pn_slice_make(bytes, size));
}

/* UTF-16 units as they come out of the base64. */
struct units {
	struct pn_buffer *out;
	uint32_t high; /* half of a pair that waits for the other */
};

static bool take_unit(struct units *units, uint32_t unit)
{
	if (units->high != 0) {
		if (unit < 0xdc00 || unit > 0xdfff)
			return false;
		put_utf8(units->out, 0x10000 + ((units->high - 0xd800) << 10) + (unit - 0xdc00));
		units->high = 0;
		return true;
	}
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return false;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		units->high = unit;
		return true;
	}
	/* What can be written as itself must not be encoded; nor may controls get in this way. */
	if (unit >= 0x20 && unit < 0x7f)
		return false;
	if (unit < 0x20 || unit == 0x7f)
		return false;
	put_utf8(units->out, unit);
	return true;
}

/* What stands between '&' and '-'. */
static bool decode_shifted(struct pn_buffer *out, struct pn_slice text)
{
	struct units units = {.out = out};
	uint32_t bits = 0;
	unsigned count = 0;

	for (size_t i = 0; i < text.size; i++) {
		const char *place = text.data[i] == '\0' ? NULL : strchr(alphabet, text.data[i]);

		if (place == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(place - alphabet);
		count += 6;
		if (count >= 16) {
			count -= 16;
			if (!take_unit(&units, bits >> count & 0xffff))
				return false;
		}
	}
	return units.high == 0 && count < 6 && (bits & ((1u << count) - 1)) == 0;
}

bool imap_name_from_utf7(struct pn_buffer *out, struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		size_t end;

		if (text.data[i] < 0x20 || text.data[i] >= 0x7f)
			return false;
		if (text.data[i] != '&') {
			imap_put_slice(out, pn_slice_make(text.data + i, 1));
			continue;
		}
		end = i + 1 + pn_slice_find(pn_slice_behind(text, i + 1), '-');
		if (end >= text.size)
			return false;
		if (end == i + 1)
			imap_put(out, "&");
		else if (!decode_shifted(out, pn_slice_make(text.data + i + 1, end - i - 1)))
			return false;
		i = end;
	}
	return true;
}

/* One code point of text that the store keeps as UTF-8; what is not becomes U+FFFD. */
static uint32_t next_code(struct pn_slice text, size_t *at)
{
	unsigned char first = (unsigned char)text.data[(*at)++];
	unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
	uint32_t code = more == 3   ? first & 0x07u
	                : more == 2 ? first & 0x0fu
	                : more == 1 ? first & 0x1fu
	                            : first;

	if (first < 0x80)
		return first;
	if (more == 0)
		return 0xfffd;
	for (; more > 0; more--) {
		if (*at >= text.size || (text.data[*at] & 0xc0) != 0x80)
			return 0xfffd;
		code = code << 6 | ((unsigned char)text.data[(*at)++] & 0x3fu);
	}
	return code > 0x10ffff ? 0xfffd : code;
}

struct shifting {
	struct pn_buffer *out;
	uint32_t bits;
	unsigned count;
	bool is_open;
};

static void shift_unit(struct shifting *shifting, uint32_t unit)
{
	if (!shifting->is_open)
		imap_put(shifting->out, "&");
	shifting->is_open = true;
	shifting->bits = shifting->bits << 16 | unit;
	shifting->count += 16;
	while (shifting->count >= 6) {
		shifting->count -= 6;
		imap_put_slice(
			shifting->out,
			pn_slice_make(&alphabet[shifting->bits >> shifting->count & 0x3f], 1));
	}
}

static void shift_back(struct shifting *shifting)
{
	if (!shifting->is_open)
		return;
	if (shifting->count > 0)
		imap_put_slice(
			shifting->out,
			pn_slice_make(&alphabet[shifting->bits << (6 - shifting->count) & 0x3f],
		                      1));
	imap_put(shifting->out, "-");
	shifting->bits = 0;
	shifting->count = 0;
	shifting->is_open = false;
}

void imap_name_to_utf7(struct pn_buffer *out, struct pn_slice name)
{
	struct shifting shifting = {.out = out};
	size_t at = 0;

	while (at < name.size) {
		uint32_t code = next_code(name, &at);

		if (code >= 0x20 && code < 0x7f) {
			char byte = (char)code;

			shift_back(&shifting);
			imap_put_slice(out, pn_slice_make(&byte, 1));
			if (code == '&')
				imap_put(out, "-");
		} else if (code < 0x10000) {
			shift_unit(&shifting, code);
		} else {
			shift_unit(&shifting, 0xd800 + ((code - 0x10000) >> 10));
			shift_unit(&shifting, 0xdc00 + ((code - 0x10000) & 0x3ff));
		}
	}
	shift_back(&shifting);
}

/* INBOX is INBOX in any case (RFC 3501 section 5.1), and what is below it is below it. */
static struct pn_slice keep_name(struct pn_arena *arena, struct pn_slice name)
{
	static const char inbox[] = "INBOX";
	struct pn_slice level = pn_slice_make(name.data, pn_slice_find(name, '/'));

	if (!imap_is_inbox(level))
		return pn_arena_keep(arena, name);
	return pn_slice_of(pn_arena_print(arena, "%s%.*s", inbox,
	                                  PN_SLICE_ARGS(pn_slice_behind(name, level.size))));
}

bool imap_mailbox_name(struct pn_arena *arena, struct pn_slice text, struct pn_slice *name_out,
                       const char **reason_out)
{
	struct pn_buffer name;
	bool is_good = false;

	pn_buffer_init(&name, 4 * PN_MAILBOX_NAME_MAX);
	if (text.size == 0)
		*reason_out = "the name is empty";
	else if (text.size > 4 * PN_MAILBOX_NAME_MAX || !imap_name_from_utf7(&name, text))
		*reason_out = "the name is not modified UTF-7";
	else if (name.size > PN_MAILBOX_NAME_MAX)
		*reason_out = "the name is longer than 1000 bytes";
	else if (name.data[0] == '/' || name.data[name.size - 1] == '/' ||
	         memmem(name.data, name.size, "//", 2) != NULL)
		*reason_out = "a level of the name is empty";
	else
		is_good = true;
	if (is_good)
		*name_out = keep_name(arena, pn_buffer_slice(&name));
	pn_buffer_clear(&name);
	return is_good;
}

static const struct {
	const char *word;
	uint32_t attribute;
} special_uses[] = {
	{"\\All", PN_MAILBOX_ALL},       {"\\Archive", PN_MAILBOX_ARCHIVE},
	{"\\Drafts", PN_MAILBOX_DRAFTS}, {"\\Flagged", PN_MAILBOX_FLAGGED},
	{"\\Junk", PN_MAILBOX_JUNK},     {"\\Sent", PN_MAILBOX_SENT},
	{"\\Trash", PN_MAILBOX_TRASH},   {"\\Important", PN_MAILBOX_IMPORTANT},
};

enum { SPECIAL_USES = sizeof(special_uses) / sizeof(special_uses[0]) };

uint32_t imap_special_use(struct pn_slice word)
{
	for (size_t i = 0; i < SPECIAL_USES; i++) {
		if (pn_slice_equal_ignore_case(word, pn_slice_of(special_uses[i].word)))
			return special_uses[i].attribute;
	}
	return 0;
}

void imap_put_special_uses(struct pn_buffer *out, uint32_t attributes)
{
	for (size_t i = 0; i < SPECIAL_USES; i++) {
		if ((attributes & special_uses[i].attribute) == 0)
			continue;
		imap_put(out, " ");
		imap_put(out, special_uses[i].word);
	}
}
