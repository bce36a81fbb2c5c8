/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfer encodings of bodies (RFC 2045 section 6) decoded as they come, whatever
 * they are: what is no base64 is skipped, a "=" that encodes nothing stays.
 */
#ifndef CORE_MAIL_TRANSFER_H
#define CORE_MAIL_TRANSFER_H

#include "mail/mime.h"

struct pn_transfer {
	enum pn_mime_encoding_code encoding;
	uint32_t bits;     /* base64: of a group that is not whole */
	unsigned digits;
	char held[3];      /* quoted-printable: "=" and what came behind it */
	unsigned held_size;
};

void pn_transfer_begin(struct pn_transfer *transfer, enum pn_mime_encoding_code encoding);
/* Whether bytes are themselves: nothing to decode. */
bool pn_transfer_is_identity(const struct pn_transfer *transfer);
/* Appends what is decoded: never more than comes in, and three bytes that were held. */
PN_MUST_CHECK enum pn_status pn_transfer_decode(struct pn_transfer *transfer,
						struct pn_buffer *out, struct pn_slice bytes);
PN_MUST_CHECK enum pn_status pn_transfer_end(struct pn_transfer *transfer, struct pn_buffer *out);

#endif
