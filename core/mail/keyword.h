/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keywords of messages. IMAP writes them into its answers as they are, so nothing else may ever be
 * one, whoever made it: a policy, an imported mailbox, another server. Pure, any thread.
 */
#ifndef CORE_MAIL_KEYWORD_H
#define CORE_MAIL_KEYWORD_H

#include <postern/types.h>

/* flag-keyword of RFC 3501 section 9, an atom; at most PN_KEYWORD_MAX bytes. */
bool pn_keyword_is_valid(struct pn_slice word);

#endif
