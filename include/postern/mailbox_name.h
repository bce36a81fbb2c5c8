/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Modified UTF-7 (RFC 3501 section 5.1.3): how names of mailboxes are written where
 * names must be ASCII, on the wire and as folders of Maildir++. Pure functions.
 */
#ifndef POSTERN_MAILBOX_NAME_H
#define POSTERN_MAILBOX_NAME_H

#include <postern/buffer.h>
#include <postern/types.h>

PN_DECLARATIONS_BEGIN

/* Appends the name as UTF-8. PN_OK, PN_FAILED: it is no modified UTF-7; PN_LIMIT. */
PN_MUST_CHECK enum pn_status pn_utf7_decode(struct pn_buffer *out, struct pn_slice name);

/* Appends a name of valid UTF-8. Bytes that are not UTF-8 are written as they are. PN_OK, PN_LIMIT. */
PN_MUST_CHECK enum pn_status pn_utf7_encode(struct pn_buffer *out, struct pn_slice name);

PN_DECLARATIONS_END

#endif
