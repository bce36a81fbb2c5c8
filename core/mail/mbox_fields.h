/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields that mail programs and servers write into mbox files for themselves:
 * flags, keywords, UIDs. They are no part of the message. Pure functions.
 */
#ifndef CORE_MAIL_MBOX_FIELDS_H
#define CORE_MAIL_MBOX_FIELDS_H

#include <postern/types.h>

enum pn_mbox_field {
	PN_MBOX_NONE = 0,       /* a field like any other                                  */
	PN_MBOX_STATUS,         /* letters: R read, A answered, F flagged, D deleted, T draft */
	PN_MBOX_KEYWORDS,       /* words                                                   */
	PN_MBOX_UID,            /* a number                                                */
	PN_MBOX_BASE,           /* UIDVALIDITY and last UID, in the first message          */
	PN_MBOX_INTERNAL,       /* the same, in one that is no message at all              */
	PN_MBOX_MOZILLA_STATUS, /* bits, in hexadecimal                                    */
	PN_MBOX_OTHER,          /* says nothing that is wanted here                        */
};

/* The name for PN_MBOX_BASE. */
#define PN_MBOX_BASE_NAME "X-IMAPbase"

/* Which of them a line of a header is; `value` gets what stands behind the colon, trimmed. */
enum pn_mbox_field pn_mbox_field_of(struct pn_slice line, struct pn_slice *value);

#endif
