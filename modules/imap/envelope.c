/* SPDX-License-Identifier: Apache-2.0 */
/* ENVELOPE (RFC 3501 section 7.4.2). */
#include "fetch.h"

#include <postern/text.h>

static bool has_8bit(struct pn_slice text)
{
	for (size_t i = 0; i < text.size; i++) {
		if ((text.data[i] & 0x80) != 0)
			return true;
	}
	return false;
}

/* Text that stands raw in a header is said in an encoded word (RFC 2047): clients that did not ask
 * for UTF-8 must not get it (RFC 6855 section 3). */
void imap_put_text(struct pn_buffer *out, struct pn_slice text)
{
	struct pn_buffer utf8;
	struct pn_buffer word;

	if (text.data == NULL || !has_8bit(text)) {
		imap_write_string(out, text);
		return;
	}
	pn_buffer_init(&utf8, 256 * 1024);
	pn_buffer_init(&word, 512 * 1024);
	(void)!pn_mime_decode_field(&utf8, text);
	imap_put(&word, "=?UTF-8?B?");
	(void)!pn_base64_encode(&word, pn_buffer_slice(&utf8));
	imap_put(&word, "?=");
	imap_write_string(out, pn_buffer_slice(&word));
	pn_buffer_clear(&utf8);
	pn_buffer_clear(&word);
}

static struct pn_slice or_nil(struct pn_slice text)
{
	return text.size == 0 ? PN_SLICE_NONE : text;
}

static void put_address(struct pn_buffer *out, const struct pn_mime_address *address)
{
	switch (address->kind) {
	case PN_MIME_GROUP_BEGIN:
		imap_put(out, "(NIL NIL ");
		imap_put_text(out, address->mailbox);
		imap_put(out, " NIL)");
		return;
	case PN_MIME_GROUP_END:
		imap_put(out, "(NIL NIL NIL NIL)");
		return;
	case PN_MIME_ADDRESS:
		break;
	}
	imap_put(out, "(");
	imap_put_text(out, or_nil(address->name));
	imap_put(out, " ");
	imap_put_text(out, or_nil(address->route));
	imap_put(out, " ");
	imap_put_text(out, address->mailbox.data == NULL ? PN_SLICE("") : address->mailbox);
	imap_put(out, " ");
	/* NIL would begin a group; an address without a domain has an empty one. */
	imap_put_text(out, address->host.data == NULL ? PN_SLICE("") : address->host);
	imap_put(out, ")");
}

static void put_addresses(struct pn_buffer *out, const struct pn_mime_addresses *addresses)
{
	if (addresses->count == 0) {
		imap_put(out, " NIL");
		return;
	}
	imap_put(out, " (");
	for (size_t i = 0; i < addresses->count; i++)
		put_address(out, &addresses->list[i]);
	imap_put(out, ")");
}

void imap_put_envelope(struct pn_buffer *out, const struct pn_mime_envelope *envelope)
{
	imap_put(out, "(");
	imap_put_text(out, envelope->date);
	imap_put(out, " ");
	imap_put_text(out, envelope->subject);
	put_addresses(out, &envelope->from);
	/* Without them they are what From is. */
	put_addresses(out, envelope->sender.count > 0 ? &envelope->sender : &envelope->from);
	put_addresses(out, envelope->reply_to.count > 0 ? &envelope->reply_to : &envelope->from);
	put_addresses(out, &envelope->to);
	put_addresses(out, &envelope->cc);
	put_addresses(out, &envelope->bcc);
	imap_put(out, " ");
	imap_put_text(out, envelope->in_reply_to);
	imap_put(out, " ");
	imap_put_text(out, envelope->message_id);
	imap_put(out, ")");
}
