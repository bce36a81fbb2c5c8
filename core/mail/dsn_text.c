/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a delivery report that people read: what happened to whom, why, and
 * what they can do. Plain words first, the other server's own words behind them.
 * Pure, any thread.
 */
#include "mail/dsn_writer.h"

#include <postern/clock.h>

#include <stdio.h>

enum { COLUMNS = 76 };

static const enum pn_dsn_kind kinds[] = {PN_DSN_FAILED, PN_DSN_DELAYED, PN_DSN_DELIVERED,
                                         PN_DSN_RELAYED, PN_DSN_EXPANDED};

/* Words of `text`, wrapped; the first line stands behind `column` columns, the others are indented.
 */
static void wrap(struct pn_dsn_writer *writer, struct pn_slice text, size_t column, size_t indent)
{
	bool is_first = true;

	while (text.size > 0) {
		size_t size = 0;

		while (size < text.size && text.data[size] != ' ')
			size++;
		if (!is_first && column + 1 + size > COLUMNS) {
			pn_dsn_print(writer, "\r\n%*s", (int)indent, "");
			column = indent;
		} else if (!is_first) {
			pn_dsn_put(writer, PN_SLICE(" "));
			column++;
		}
		pn_dsn_put(writer, pn_slice_make(text.data, size));
		column += size;
		is_first = false;
		text = pn_slice_behind(text, size);
		while (text.size > 0 && text.data[0] == ' ')
			text = pn_slice_behind(text, 1);
	}
	pn_dsn_put(writer, PN_SLICE("\r\n"));
}

static void sentence(struct pn_dsn_writer *writer, const char *text)
{
	wrap(writer, pn_slice_of(text), 0, 0);
}

static void paragraph(struct pn_dsn_writer *writer, const char *text)
{
	pn_dsn_put(writer, PN_SLICE("\r\n"));
	sentence(writer, text);
}

static bool has_kind(const struct pn_dsn *dsn, enum pn_dsn_kind kind)
{
	for (size_t i = 0; i < dsn->recipient_count; i++) {
		if (dsn->recipients[i].kind == kind)
			return true;
	}
	return false;
}

/* What became of it, as the beginning of a list. */
static void write_heading(struct pn_dsn_writer *writer, enum pn_dsn_kind kind)
{
	static const char *const headings[] = {
		[PN_DSN_FAILED] = "could not be delivered to",
		[PN_DSN_DELAYED] = "has not been delivered yet to",
		[PN_DSN_DELIVERED] = "was delivered to",
		[PN_DSN_RELAYED] = "was handed to the next server, for",
		[PN_DSN_EXPANDED] = "was passed on to everybody behind",
	};
	char date[PN_DATE_SIZE];
	char text[200];

	if (writer->dsn->arrived_ms > 0)
		snprintf(text, sizeof(text),
		         "Your message of %s %s:", pn_date_rfc5322(writer->dsn->arrived_ms, date),
		         headings[kind]);
	else
		snprintf(text, sizeof(text), "Your message %s:", headings[kind]);
	paragraph(writer, text);
}

static void write_recipient(struct pn_dsn_writer *writer, const struct pn_dsn_recipient *recipient)
{
	struct pn_slice address = pn_dsn_clean(writer, recipient->address, PN_DSN_ADDRESS_LIMIT);
	struct pn_slice reason = pn_dsn_clean(writer, recipient->reason, PN_DSN_WORDS_LIMIT);
	struct pn_slice remote = pn_dsn_clean(writer, recipient->remote, PN_DSN_NAME_LIMIT);
	struct pn_slice words = pn_dsn_clean(writer, recipient->diagnostic, PN_DSN_WORDS_LIMIT);

	pn_dsn_print(writer, "\r\n  %.*s\r\n", PN_SLICE_ARGS(address));
	if (reason.size > 0) {
		pn_dsn_put(writer, PN_SLICE("    "));
		wrap(writer, reason, 4, 4);
	}
	if (words.size == 0 || !recipient->diagnostic_is_remote)
		return;
	if (remote.size > 0)
		pn_dsn_print(writer, "    The server %.*s said:\r\n      ", PN_SLICE_ARGS(remote));
	else
		pn_dsn_put(writer, PN_SLICE("    The other server said:\r\n      "));
	wrap(writer, words, 6, 6);
}

/* The address is at fault where every failure says so. */
static bool all_are_unknown(const struct pn_dsn *dsn)
{
	for (size_t i = 0; i < dsn->recipient_count; i++) {
		const struct pn_dsn_recipient *recipient = &dsn->recipients[i];

		if (recipient->kind == PN_DSN_FAILED &&
		    (recipient->status.size < 4 || memcmp(recipient->status.data, "5.1.", 4) != 0))
			return false;
	}
	return true;
}

static void write_delay_advice(struct pn_dsn_writer *writer)
{
	char date[PN_DATE_SIZE];
	char text[300];
	int64_t until = 0;

	for (size_t i = 0; i < writer->dsn->recipient_count; i++) {
		const struct pn_dsn_recipient *recipient = &writer->dsn->recipients[i];

		if (recipient->kind == PN_DSN_DELAYED && recipient->retry_until_ms > until)
			until = recipient->retry_until_ms;
	}
	if (until == 0) {
		paragraph(writer,
		          "You need not send it again: it is tried further, and you will hear "
		          "if it cannot be delivered.");
		return;
	}
	snprintf(text, sizeof(text),
	         "You need not send it again: it is tried further until %s. If it cannot be "
	         "delivered "
	         "by then, you will hear of it.",
	         pn_date_rfc5322(until, date));
	paragraph(writer, text);
}

static void write_advice(struct pn_dsn_writer *writer, enum pn_dsn_kind kind)
{
	switch (kind) {
	case PN_DSN_FAILED:
		if (all_are_unknown(writer->dsn))
			paragraph(writer, "Please look whether the address is spelled as it should "
			                  "be, and send the message again to the right one. "
			                  "Nothing more is tried with this one.");
		else
			paragraph(writer,
			          "Nothing more is tried. If what is said above can be mended, by "
			          "you "
			          "or by the recipient, please send the message again then; else "
			          "reach the recipient by another way.");
		break;
	case PN_DSN_DELAYED:
		write_delay_advice(writer);
		break;
	case PN_DSN_DELIVERED:
		paragraph(writer,
		          "It lies in the mailbox. This does not mean that it was read. You "
		          "asked for this report; there is nothing to do.");
		break;
	case PN_DSN_RELAYED:
		paragraph(writer, "The next server sends no reports of success, so there may be no "
		                  "further one. There is nothing to do.");
		break;
	case PN_DSN_EXPANDED:
		paragraph(writer,
		          "There will be no report for each of them. There is nothing to do.");
		break;
	}
}

/* Everything of one kind: who, and what can be done. */
static void write_kind(struct pn_dsn_writer *writer, enum pn_dsn_kind kind)
{
	const struct pn_dsn *dsn = writer->dsn;

	if (!has_kind(dsn, kind))
		return;
	write_heading(writer, kind);
	for (size_t i = 0; i < dsn->recipient_count; i++) {
		if (dsn->recipients[i].kind == kind)
			write_recipient(writer, &dsn->recipients[i]);
	}
	write_advice(writer, kind);
}

void pn_dsn_write_text(struct pn_dsn_writer *writer)
{
	const struct pn_dsn *dsn = writer->dsn;
	struct pn_slice hostname = pn_dsn_clean(writer, dsn->hostname, PN_DSN_NAME_LIMIT);
	struct pn_slice transaction = pn_dsn_clean(writer, dsn->transaction, PN_DSN_NAME_LIMIT);

	pn_dsn_print(writer, "This is the mail gateway %.*s.\r\n", PN_SLICE_ARGS(hostname));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		write_kind(writer, kinds[i]);
	if (transaction.size == 0)
		return;
	paragraph(writer, "Should you ask somebody for help, show this message, or give the "
	                  "reference");
	pn_dsn_print(writer, "%.*s.\r\n", PN_SLICE_ARGS(transaction));
}
