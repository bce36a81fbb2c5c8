/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The original in a delivery report: whole, or its header, as it is or quoted-printable
 * where it would not travel as it is. Pure, any thread.
 */
#include "mail/dsn_writer.h"

#include <postern/header.h>

#include "base/utf8.h"

#include <string.h>

enum {
	LINE_LIMIT = 998,    /* RFC 5322 section 2.1.1, without CRLF */
	QUOTED_COLUMNS = 76, /* RFC 2045 section 6.7 */
};

bool pn_dsn_is_utf8(struct pn_slice text)
{
	bool has_more = false;

	while (text.size > 0) {
		size_t size = pn_utf8_next(text, NULL);

		if (size == 0)
			return false;
		has_more = has_more || size > 1;
		text = pn_slice_behind(text, size);
	}
	return has_more;
}

/* What a text needs to travel. */
struct form {
	bool has_8bit;
	bool is_utf8; /* all of it */
	bool has_odd; /* NUL, a bare CR or LF, or a line that is too long */
};

static struct form look_at(struct pn_slice text)
{
	struct form form = {.is_utf8 = pn_dsn_is_utf8(text)};
	size_t column = 0;

	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];

		if (byte == '\r' && i + 1 < text.size && text.data[i + 1] == '\n') {
			i++;
			column = 0;
			continue;
		}
		form.has_8bit = form.has_8bit || byte >= 0x80;
		form.has_odd = form.has_odd || byte == '\0' || byte == '\r' || byte == '\n' ||
		               ++column > LINE_LIMIT;
	}
	return form;
}

/* Quoted-printable of lines (RFC 2045 section 6.7). */
static void put_quoted(struct pn_dsn_writer *writer, struct pn_slice text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.size; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		bool at_end = i + 1 == text.size || text.data[i + 1] == '\r';
		bool is_plain =
			byte >= ' ' && byte < 0x7f && byte != '=' && !(byte == ' ' && at_end);

		if (byte == '\r' && i + 1 < text.size && text.data[i + 1] == '\n') {
			pn_dsn_put(writer, PN_SLICE("\r\n"));
			column = 0;
			i++;
			continue;
		}
		if (column + (is_plain ? 1 : 3) > QUOTED_COLUMNS - 1) {
			pn_dsn_put(writer, PN_SLICE("=\r\n"));
			column = 0;
		}
		if (is_plain)
			pn_dsn_put(writer, pn_slice_make(text.data + i, 1));
		else
			pn_dsn_print(writer, "=%02X", byte);
		column += is_plain ? 1 : 3;
	}
}

/* How the original is enclosed: whole, where lines are lines; else its header, quoted where it
 * would not travel as it is (RFC 6522 section 4). */
struct pn_dsn_enclosure pn_dsn_choose_enclosure(const struct pn_dsn *dsn, bool report_is_utf8)
{
	struct pn_dsn_enclosure enclosure = {.bytes = dsn->original, .encoding = "7bit"};
	struct form form = look_at(dsn->original);
	size_t header = pn_header_end(dsn->original, 0);

	if (dsn->original.size == 0) {
		enclosure.encoding = NULL;
		return enclosure;
	}
	header = header == 0 ? dsn->original.size : header;
	if (dsn->original_is_whole && !form.has_odd) {
		enclosure.is_8bit = form.has_8bit;
		enclosure.encoding = form.has_8bit ? "8bit" : "7bit";
		enclosure.type =
			report_is_utf8 && pn_dsn_is_utf8(pn_slice_make(dsn->original.data, header))
				? "message/global"
				: "message/rfc822";
		return enclosure;
	}
	enclosure.bytes.size = header;
	form = look_at(enclosure.bytes);
	enclosure.type = "text/rfc822-headers";
	if (form.has_8bit && form.is_utf8 && report_is_utf8 && !form.has_odd) {
		enclosure.type = "message/global-headers";
		enclosure.encoding = "8bit";
		enclosure.is_8bit = true;
	} else if (form.has_8bit || form.has_odd) {
		enclosure.encoding = "quoted-printable";
	}
	return enclosure;
}

void pn_dsn_write_original(struct pn_dsn_writer *writer, const struct pn_dsn_enclosure *enclosure)
{
	pn_dsn_field(writer, "Content-Description", PN_SLICE("The message"));
	pn_dsn_field(writer, "Content-Type", pn_slice_of(enclosure->type));
	pn_dsn_field(writer, "Content-Transfer-Encoding", pn_slice_of(enclosure->encoding));
	pn_dsn_put(writer, PN_SLICE("\r\n"));
	if (strcmp(enclosure->encoding, "quoted-printable") == 0)
		put_quoted(writer, enclosure->bytes);
	else
		pn_dsn_put(writer, enclosure->bytes);
}
