/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the submission profile adds to a message that begins its way here: Date and
 * Message-ID where they are missing (RFC 6409 sections 8.2 and 8.3), and From, which others
 * refuse a message for that has none. A hook at message.change, asked about the sessions of
 * its own instance.
 */
#include "smtp.h"

#include <postern/clock.h>
#include <postern/header.h>

/* True where the field is there now, or cannot be missing. */
static bool complete(const struct pn_stage_call *call, const struct pn_header *header,
                     struct pn_slice name, const char *value)
{
	if (pn_header_find(header, name, 0) != NULL)
		return true;
	return pn_transaction_header_add(call->transaction, name, pn_slice_of(value)) == PN_OK;
}

enum pn_verdict smtp_complete_message(const struct pn_stage_call *call)
{
	const struct smtp_config *config = call->config;
	const struct pn_header *header;
	char date[PN_DATE_SIZE];
	const char *message_id;
	const struct pn_address *sender;

	if (call->session == NULL || call->transaction == NULL ||
	    config->profile != SMTP_PROFILE_SUBMISSION)
		return PN_VERDICT_CONTINUE;
	header = pn_transaction_header(call->transaction);
	/* What is not a header is left as it is: fields on top of it would make it worse. */
	if (header == NULL || header->is_malformed)
		return PN_VERDICT_CONTINUE;
	message_id = pn_arena_print(call->arena, "<%s@%s>", pn_transaction_id(call->transaction),
	                            pn_session_hostname(call->session));
	sender = pn_transaction_sender(call->transaction);
	if (!pn_address_is_null(sender) &&
	    !complete(call, header, PN_SLICE("From"),
	              pn_arena_print(call->arena, "<%.*s>", PN_SLICE_ARGS(sender->text))))
		return pn_hook_failed(call, "From could not be added");
	if (!complete(call, header, PN_SLICE("Message-ID"), message_id) ||
	    !complete(call, header, PN_SLICE("Date"), pn_date_rfc5322(pn_clock_wall_ms(), date)))
		return pn_hook_failed(call, "Date or Message-ID could not be added");
	return PN_VERDICT_CONTINUE;
}
