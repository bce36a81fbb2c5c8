/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trace fields (RFC 5321 section 4.4): Return-Path and Received, written in front
 * of the message when it is stored. What a stranger said about himself is made
 * harmless before it stands in them.
 */
#include "delivery/transaction.h"

#include <postern/clock.h>

#include <stdio.h>

/* A domain or address literal as a client gave it: what cannot stand there becomes '?'. */
static const char *clean_name(char *room, size_t room_size, struct pn_slice text)
{
	size_t size = 0;

	for (size_t i = 0; i < text.size && size + 1 < room_size; i++) {
		char byte = text.data[i];
		bool fits = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
		            (byte >= '0' && byte <= '9') || strchr(".-_:[]", byte) != NULL;

		room[size++] = fits && byte != '\0' ? byte : '?';
	}
	room[size] = '\0';
	return size == 0 ? "unknown" : room;
}

static const char *literal(char *room, size_t room_size, const char *address)
{
	if (strchr(address, ':') != NULL)
		snprintf(room, room_size, "[IPv6:%s]", address);
	else if (address[0] >= '0' && address[0] <= '9')
		snprintf(room, room_size, "[%s]", address);
	else
		snprintf(room, room_size, "%s", address);
	return room;
}

/* "for" names the recipient only where there is one: no copy tells of the others. */
static enum pn_status write_for(const struct pn_transaction *transaction, struct pn_buffer *out)
{
	const struct pn_address *address;

	if (transaction->recipient_count != 1)
		return PN_OK;
	address = &transaction->recipients->original;
	if (address->is_utf8 || address->text.size == 0)
		return PN_OK;
	return pn_buffer_print(out, "\r\n\tfor <%.*s>", PN_SLICE_ARGS(address->text));
}

enum pn_status pn_trace_write(struct pn_transaction *transaction, struct pn_buffer *out)
{
	const struct pn_session *session = transaction->session;
	char hello[260];
	char peer[140];
	char date[PN_DATE_SIZE];
	enum pn_status status;

	status = pn_buffer_print(out, "Return-Path: <%.*s>\r\n",
	                         PN_SLICE_ARGS(transaction->sender.text));
	transaction->return_path_size = out->size;
	if (status == PN_OK)
		status = pn_buffer_print(
			out, "Received: from %s (%s)\r\n\tby %s (Postern) with %s id %s",
			clean_name(hello, sizeof(hello), pn_session_hello(session)),
			literal(peer, sizeof(peer), session->peer),
			transaction->generation->hostname, transaction->trace_word,
			transaction->id);
	if (status == PN_OK && pn_session_is_encrypted(session))
		status = pn_buffer_print(out, "\r\n\t(using %s with cipher %s)",
		                         pn_session_tls_version(session),
		                         pn_session_tls_cipher(session));
	if (status == PN_OK)
		status = write_for(transaction, out);
	if (status == PN_OK)
		status = pn_buffer_print(out, ";\r\n\t%s\r\n",
		                         pn_date_rfc5322(pn_clock_wall_ms(), date));
	return status;
}
