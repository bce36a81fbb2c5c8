/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The summary of a message that is delivered (its structure, see <postern/mime.h>), so
 * that whoever reads the mailbox need not parse it again. A message that memory holds
 * is parsed as it is stored. A large one is parsed while it goes by, with the header
 * it came with; that is changed for the one it is stored with when it is known. Loop
 * thread: parsing costs less than the copies around it.
 */
#include "delivery/transaction.h"

#include <postern/mime.h>

#include "mail/mime.h"

void pn_summary_feed(struct pn_transaction *transaction, struct pn_slice bytes)
{
	/* An owner's message is parsed where it is taken. */
	if (transaction->deposit != NULL)
		return;
	if (transaction->parser == NULL) {
		transaction->parser = pn_mime_new();
		pn_mime_feed(transaction->parser, pn_buffer_slice(&transaction->text));
	}
	pn_mime_feed(transaction->parser, bytes);
}

static struct pn_slice finish(struct pn_mime_parser *parser, struct pn_arena *arena)
{
	struct pn_slice kept = PN_SLICE_NONE;
	struct pn_buffer summary;

	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	if (pn_mime_finish(parser, &summary) == PN_OK)
		kept = pn_arena_keep(arena, pn_buffer_slice(&summary));
	pn_buffer_clear(&summary);
	return kept;
}

struct pn_slice pn_summary_of(struct pn_transaction *transaction, struct pn_slice header,
                              struct pn_slice body, struct pn_arena *arena)
{
	struct pn_mime_parser *parser = transaction->parser;
	struct pn_slice summary;

	if (parser != NULL) {
		/* What hooks made of the header may give the body another meaning, and lines that
		 * end in a bare LF may end the header before we think it does. */
		if (pn_mime_header_size(parser) != transaction->header_size ||
		    !pn_mime_replace_header(parser, header))
			return PN_SLICE_NONE;
		return finish(parser, arena);
	}
	parser = pn_mime_new();
	pn_mime_feed(parser, header);
	pn_mime_feed(parser, body);
	summary = finish(parser, arena);
	pn_mime_free(&parser);
	return summary;
}
