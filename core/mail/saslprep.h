/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and passwords as they are compared (SASLprep, RFC 4013), by libidn: two ways
 * of typing the same text become one. Characters that Unicode did not have in 2002
 * are let through, as clients do. Pure, any thread.
 */
#ifndef CORE_MAIL_SASLPREP_H
#define CORE_MAIL_SASLPREP_H

#include <postern/buffer.h>
#include <postern/types.h>

/* Appends the prepared text. PN_OK; PN_DENIED: it is not UTF-8, or has characters that names and
 * passwords cannot have; PN_LIMIT of the buffer. */
PN_MUST_CHECK enum pn_status pn_saslprep(struct pn_slice text, struct pn_buffer *out);

#endif
