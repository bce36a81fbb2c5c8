/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivery status notifications: a multipart/report (RFC 6522) of a text for people,
 * the status for programs (RFC 3464, RFC 6533 where an address is UTF-8), and the
 * original. Every text may be a stranger's: it is made one clean line before it
 * goes anywhere, and header fields are written by pn_header_write alone. Written
 * for the worker that bounces; pure, any thread.
 */
#include "mail/dsn.h"

#include <postern/address.h>
#include <postern/arena.h>
#include <postern/clock.h>
#include <postern/header.h>
#include <postern/text.h>

#include "base/utf8.h"
#include "mail/dsn_writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	SUBJECT_ADDRESS_LIMIT = 60,
	HEADER_FIELDS = 1000, /* of the original, looked at for its Message-ID */
	MESSAGE_ID_LIMIT = 250,
	BOUNDARY_ROOM = 96,
};

static const struct {
	const char *action;
	const char *status;
	const char *subject; /* behind "Your message", and "to …" follows */
} kinds[] = {
	[PN_DSN_FAILED] = {"failed", "5.0.0", "was not delivered"},
	[PN_DSN_DELAYED] = {"delayed", "4.0.0", "is delayed"},
	[PN_DSN_DELIVERED] = {"delivered", "2.0.0", "was delivered"},
	[PN_DSN_RELAYED] = {"relayed", "2.0.0", "was passed on"},
	[PN_DSN_EXPANDED] = {"expanded", "2.0.0", "was passed on to a list"},
};

/* ---- writing ---- */

void pn_dsn_put(struct pn_dsn_writer *writer, struct pn_slice text)
{
	if (writer->status == PN_OK)
		writer->status = pn_buffer_append(writer->out, text);
}

void pn_dsn_print(struct pn_dsn_writer *writer, const char *format, ...)
{
	char text[2048];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (size < 0 || (size_t)size >= sizeof(text))
		writer->status = PN_LIMIT;
	else
		pn_dsn_put(writer, pn_slice_make(text, (size_t)size));
}

/* The next character, or what stands in for it. Returns the bytes it took. */
static size_t clean_next(bool keep_utf8, struct pn_slice text, struct pn_slice *out)
{
	unsigned char byte = (unsigned char)text.data[0];
	uint32_t code_point;
	size_t size = pn_utf8_next(text, &code_point);

	*out = PN_SLICE("?");
	if (byte < ' ' || byte == 0x7f)
		*out = PN_SLICE(" ");
	else if (byte < 0x80 || (size > 0 && keep_utf8 && !pn_utf8_is_control(code_point)))
		*out = pn_slice_make(text.data, size);
	return size == 0 ? 1 : size;
}

struct pn_slice pn_dsn_clean(struct pn_dsn_writer *writer, struct pn_slice text, size_t limit)
{
	char *clean = pn_arena_allocate(writer->arena, (limit < text.size ? limit : text.size) + 4);
	const bool keep_utf8 = writer->is_utf8 && pn_dsn_is_utf8(text);
	size_t size = 0;

	while (text.size > 0) {
		struct pn_slice next;
		size_t taken = clean_next(keep_utf8, text, &next);

		text = pn_slice_behind(text, taken);
		if (next.data[0] == ' ' && (size == 0 || clean[size - 1] == ' '))
			continue;
		if (size + next.size > limit) {
			memcpy(clean + size, "...", 3);
			return pn_slice_make(clean, size + 3);
		}
		memcpy(clean + size, next.data, next.size);
		size += next.size;
	}
	return pn_slice_trim(pn_slice_make(clean, size));
}

void pn_dsn_field(struct pn_dsn_writer *writer, const char *name, struct pn_slice value)
{
	if (writer->status == PN_OK)
		writer->status = pn_header_write(writer->out, pn_slice_of(name), value);
}

static void print_field(struct pn_dsn_writer *writer, const char *name, const char *format, ...)
	PN_PRINTF(3, 4);

static void print_field(struct pn_dsn_writer *writer, const char *name, const char *format, ...)
{
	char text[2048];
	va_list arguments;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (size < 0 || (size_t)size >= sizeof(text))
		writer->status = PN_LIMIT;
	else
		pn_dsn_field(writer, name, pn_slice_make(text, (size_t)size));
}

static void put_date(struct pn_dsn_writer *writer, const char *name, int64_t wall_ms)
{
	char date[PN_DATE_SIZE];

	pn_dsn_field(writer, name, pn_slice_of(pn_date_rfc5322(wall_ms, date)));
}

/* ---- the header ---- */

/* The kind that the reader must know of: the first in the order of the enumeration. */
static enum pn_dsn_kind worst_kind(const struct pn_dsn *dsn)
{
	enum pn_dsn_kind worst = PN_DSN_EXPANDED;

	for (size_t i = 0; i < dsn->recipient_count; i++) {
		if (dsn->recipients[i].kind < worst)
			worst = dsn->recipients[i].kind;
	}
	return dsn->recipient_count == 0 ? PN_DSN_FAILED : worst;
}

static bool is_ascii(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if ((unsigned char)text.data[i] >= 0x80)
			return false;
	}
	return true;
}

static void put_subject(struct pn_dsn_writer *writer)
{
	const struct pn_dsn *dsn = writer->dsn;
	enum pn_dsn_kind kind = worst_kind(dsn);
	struct pn_slice address = PN_SLICE_NONE;

	if (dsn->recipient_count == 1)
		address = pn_dsn_clean(writer, dsn->recipients[0].address, SUBJECT_ADDRESS_LIMIT);
	if (address.size > 0 && is_ascii(address))
		print_field(writer, "Subject", "Your message to %.*s %s", PN_SLICE_ARGS(address),
		            kinds[kind].subject);
	else
		print_field(writer, "Subject", "Your message %s", kinds[kind].subject);
}

/* <left@right> of printable ASCII without blanks: only that is repeated. */
static bool is_message_id(struct pn_slice text)
{
	if (text.size < 5 || text.size > MESSAGE_ID_LIMIT || text.data[0] != '<' ||
	    text.data[text.size - 1] != '>')
		return false;
	for (size_t i = 1; i < text.size - 1; i++) {
		char byte = text.data[i];

		if (byte <= ' ' || byte >= 0x7f || byte == '<' || byte == '>')
			return false;
	}
	return pn_slice_find(text, '@') < text.size;
}

/* The report belongs to the conversation of its original (RFC 3834 section 3.1.5). */
static void put_references(struct pn_dsn_writer *writer)
{
	const struct pn_header_field *field;
	struct pn_header header;
	struct pn_slice id;

	if (pn_header_parse(writer->dsn->original, HEADER_FIELDS, writer->arena, &header) != PN_OK)
		return;
	field = pn_header_find(&header, PN_SLICE("Message-ID"), 0);
	if (field == NULL)
		return;
	id = pn_header_unfold(writer->arena, field->value);
	if (!is_message_id(id))
		return;
	pn_dsn_field(writer, "In-Reply-To", id);
	pn_dsn_field(writer, "References", id);
}

static void put_header(struct pn_dsn_writer *writer, const char *boundary, bool is_8bit)
{
	const struct pn_dsn *dsn = writer->dsn;
	struct pn_slice from = pn_dsn_clean(writer, dsn->from, PN_DSN_ADDRESS_LIMIT);
	struct pn_address to;
	struct pn_slice id = pn_dsn_clean(writer, dsn->id, PN_DSN_NAME_LIMIT);
	struct pn_slice hostname = pn_dsn_clean(writer, dsn->hostname, PN_DSN_NAME_LIMIT);

	print_field(writer, "From", "Mail Delivery System <%.*s>", PN_SLICE_ARGS(from));
	if (pn_address_parse(dsn->to, true, writer->arena, &to) == PN_OK && to.text.size > 0)
		print_field(writer, "To", "<%.*s>", PN_SLICE_ARGS(to.text));
	else
		pn_dsn_field(writer, "To", PN_SLICE("undisclosed-recipients:;"));
	put_subject(writer);
	put_date(writer, "Date", dsn->now_ms);
	print_field(writer, "Message-ID", "<%.*s@%.*s>", PN_SLICE_ARGS(id),
	            PN_SLICE_ARGS(hostname));
	put_references(writer);
	pn_dsn_field(writer, "Auto-Submitted", PN_SLICE("auto-replied"));
	if (writer->dsn->tls_is_optional)
		pn_dsn_field(writer, "TLS-Required", PN_SLICE("No"));
	pn_dsn_field(writer, "MIME-Version", PN_SLICE("1.0"));
	print_field(writer, "Content-Type",
	            "multipart/report; report-type=%sdelivery-status; boundary=\"%s\"",
	            writer->is_utf8 ? "global-" : "", boundary);
	pn_dsn_field(writer, "Content-Transfer-Encoding",
	             is_8bit ? PN_SLICE("8bit") : PN_SLICE("7bit"));
	pn_dsn_put(writer, PN_SLICE("\r\nThis is a report for mail programs that know MIME.\r\n"));
}

/* ---- the status ---- */

/* "5.1.1" (RFC 3463 section 2). */
static bool is_status(struct pn_slice text)
{
	size_t dots = 0;
	size_t digits = 0;

	if (text.size < 5 || text.data[1] != '.' || strchr("245", text.data[0]) == NULL)
		return false;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '.') {
			dots++;
			if (digits == 0)
				return false;
			digits = 0;
		} else if (text.data[i] < '0' || text.data[i] > '9' || ++digits > 3) {
			return false;
		}
	}
	return dots == 2 && digits > 0;
}

static bool consists_of(struct pn_slice text, const char *bytes)
{
	for (size_t i = 0; i < text.size; i++) {
		if (strchr(bytes, text.data[i]) == NULL)
			return false;
	}
	return text.size > 0;
}

/* A host by its name, or by its address as a literal (RFC 3464 section 2.1.2). */
static void put_name(struct pn_dsn_writer *writer, const char *field, struct pn_slice name)
{
	struct pn_slice clean = pn_dsn_clean(writer, name, PN_DSN_NAME_LIMIT);

	if (clean.size == 0)
		return;
	if (consists_of(clean, "0123456789."))
		print_field(writer, field, "dns; [%.*s]", PN_SLICE_ARGS(clean));
	else if (consists_of(clean, "0123456789abcdefABCDEF:."))
		print_field(writer, field, "dns; [IPv6:%.*s]", PN_SLICE_ARGS(clean));
	else
		print_field(writer, field, "dns; %.*s", PN_SLICE_ARGS(clean));
}

static void put_recipient_field(struct pn_dsn_writer *writer, const char *name, const char *type,
                                struct pn_slice address)
{
	print_field(writer, name, "%s; %.*s", type, PN_SLICE_ARGS(address));
}

/* ORCPT as it was given: its type is an atom, or it is left out. */
static void put_original_recipient(struct pn_dsn_writer *writer, struct pn_slice original)
{
	struct pn_slice clean = pn_dsn_clean(writer, original, PN_DSN_ADDRESS_LIMIT);
	size_t type = pn_slice_find(clean, ';');
	struct pn_slice address;
	char room[40];

	if (type == 0 || type >= sizeof(room) || type == clean.size ||
	    !pn_header_name_is_valid(pn_slice_make(clean.data, type)))
		return;
	address = pn_slice_trim(pn_slice_behind(clean, type + 1));
	if (address.size == 0 || !is_ascii(pn_slice_make(clean.data, type)))
		return;
	snprintf(room, sizeof(room), "%.*s", (int)type, clean.data);
	put_recipient_field(writer, "Original-Recipient", room, address);
}

static void put_recipient(struct pn_dsn_writer *writer, const struct pn_dsn_recipient *recipient)
{
	struct pn_slice address = pn_dsn_clean(writer, recipient->address, PN_DSN_ADDRESS_LIMIT);
	struct pn_slice words = pn_dsn_clean(writer, recipient->diagnostic, PN_DSN_WORDS_LIMIT);

	pn_dsn_put(writer, PN_SLICE("\r\n"));
	put_original_recipient(writer, recipient->original);
	put_recipient_field(writer, "Final-Recipient", is_ascii(address) ? "rfc822" : "utf-8",
	                    address);
	pn_dsn_field(writer, "Action", pn_slice_of(kinds[recipient->kind].action));
	pn_dsn_field(writer, "Status",
	             is_status(recipient->status) ? recipient->status
	                                          : pn_slice_of(kinds[recipient->kind].status));
	put_name(writer, "Remote-MTA", recipient->remote);
	if (words.size > 0)
		print_field(writer, "Diagnostic-Code", "%s; %.*s",
		            recipient->diagnostic_is_remote ? "smtp" : "x-postern",
		            PN_SLICE_ARGS(words));
	if (recipient->last_attempt_ms > 0)
		put_date(writer, "Last-Attempt-Date", recipient->last_attempt_ms);
	if (recipient->kind == PN_DSN_DELAYED && recipient->retry_until_ms > 0)
		put_date(writer, "Will-Retry-Until", recipient->retry_until_ms);
}

static void put_status(struct pn_dsn_writer *writer)
{
	const struct pn_dsn *dsn = writer->dsn;
	struct pn_slice envelope_id = pn_dsn_clean(writer, dsn->envelope_id, PN_DSN_NAME_LIMIT);
	struct pn_slice transaction = pn_dsn_clean(writer, dsn->transaction, PN_DSN_NAME_LIMIT);
	struct pn_slice hostname = pn_dsn_clean(writer, dsn->hostname, PN_DSN_NAME_LIMIT);

	if (envelope_id.size > 0)
		pn_dsn_field(writer, "Original-Envelope-Id", envelope_id);
	print_field(writer, "Reporting-MTA", "dns; %.*s", PN_SLICE_ARGS(hostname));
	put_name(writer, "Received-From-MTA", dsn->received_from);
	if (dsn->arrived_ms > 0)
		put_date(writer, "Arrival-Date", dsn->arrived_ms);
	if (transaction.size > 0)
		pn_dsn_field(writer, "X-Postern-Transaction", transaction);
	for (size_t i = 0; i < dsn->recipient_count; i++)
		put_recipient(writer, &dsn->recipients[i]);
}

/* ---- all of it ---- */

/* A delimiter that does not stand in the original; the other parts have no line that begins so. */
static void choose_boundary(struct pn_dsn_writer *writer, char *room)
{
	const struct pn_dsn *dsn = writer->dsn;
	struct pn_slice id = pn_dsn_clean(writer, dsn->id, 40);
	unsigned number = 0;
	char clean[41];
	size_t size = 0;

	for (size_t i = 0; i < id.size && size < sizeof(clean) - 1; i++) {
		char byte = id.data[i];

		if ((byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
		    (byte >= 'A' && byte <= 'Z'))
			clean[size++] = byte;
	}
	clean[size] = '\0';
	do
		snprintf(room, BOUNDARY_ROOM, "=_report_%s_%u", clean, number++);
	while (dsn->original.size > 0 &&
	       memmem(dsn->original.data, dsn->original.size, room, strlen(room)) != NULL);
}

static bool any_address_is_utf8(const struct pn_dsn *dsn)
{
	if (pn_dsn_is_utf8(dsn->to) || pn_dsn_is_utf8(dsn->from))
		return true;
	for (size_t i = 0; i < dsn->recipient_count; i++) {
		if (pn_dsn_is_utf8(dsn->recipients[i].address) ||
		    pn_dsn_is_utf8(dsn->recipients[i].original))
			return true;
	}
	return false;
}

static void put_parts(struct pn_dsn_writer *writer, const char *boundary,
                      const struct pn_dsn_enclosure *enclosure)
{
	const char *encoding = writer->is_utf8 ? "8bit" : "7bit";

	pn_dsn_print(writer, "\r\n--%s\r\n", boundary);
	pn_dsn_field(writer, "Content-Description", PN_SLICE("What happened"));
	pn_dsn_field(writer, "Content-Type",
	             writer->is_utf8 ? PN_SLICE("text/plain; charset=utf-8")
	                             : PN_SLICE("text/plain; charset=us-ascii"));
	pn_dsn_field(writer, "Content-Transfer-Encoding", pn_slice_of(encoding));
	pn_dsn_put(writer, PN_SLICE("\r\n"));
	pn_dsn_write_text(writer);
	pn_dsn_print(writer, "\r\n--%s\r\n", boundary);
	pn_dsn_field(writer, "Content-Description", PN_SLICE("The same for programs"));
	pn_dsn_field(writer, "Content-Type",
	             writer->is_utf8 ? PN_SLICE("message/global-delivery-status")
	                             : PN_SLICE("message/delivery-status"));
	pn_dsn_field(writer, "Content-Transfer-Encoding", pn_slice_of(encoding));
	pn_dsn_put(writer, PN_SLICE("\r\n"));
	put_status(writer);
	if (enclosure->encoding != NULL) {
		pn_dsn_print(writer, "\r\n--%s\r\n", boundary);
		pn_dsn_write_original(writer, enclosure);
	}
	pn_dsn_print(writer, "\r\n--%s--\r\n", boundary);
}

enum pn_status pn_dsn_write(const struct pn_dsn *dsn, struct pn_buffer *out)
{
	struct pn_dsn_writer writer = {
		.dsn = dsn,
		.out = out,
		.arena = pn_arena_new(),
		.is_utf8 = any_address_is_utf8(dsn),
		.status = PN_OK,
	};
	struct pn_dsn_enclosure enclosure = pn_dsn_choose_enclosure(dsn, writer.is_utf8);
	char boundary[BOUNDARY_ROOM];

	choose_boundary(&writer, boundary);
	put_header(&writer, boundary, writer.is_utf8 || enclosure.is_8bit);
	put_parts(&writer, boundary, &enclosure);
	pn_arena_free(&writer.arena);
	return writer.status == PN_OK ? PN_OK : PN_LIMIT;
}
