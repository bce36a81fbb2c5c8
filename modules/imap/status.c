/* SPDX-License-Identifier: Apache-2.0 */
/* STATUS (RFC 3501 section 6.3.10), with SIZE (RFC 8438), HIGHESTMODSEQ (RFC 7162 section 3.1.7)
 * and APPENDLIMIT (RFC 7889 section 4). */
#include "imap.h"

#include <postern/text.h>

enum status_item {
	STATUS_MESSAGES = 1u << 0,
	STATUS_RECENT = 1u << 1,
	STATUS_UIDNEXT = 1u << 2,
	STATUS_UIDVALIDITY = 1u << 3,
	STATUS_UNSEEN = 1u << 4,
	STATUS_DELETED = 1u << 5,
	STATUS_SIZE = 1u << 6,
	STATUS_HIGHESTMODSEQ = 1u << 7,
	STATUS_APPENDLIMIT = 1u << 8,
};

static const struct {
	const char *word;
	uint32_t item;
} items_known[] = {
	{"MESSAGES", STATUS_MESSAGES},
	{"RECENT", STATUS_RECENT},
	{"UIDNEXT", STATUS_UIDNEXT},
	{"UIDVALIDITY", STATUS_UIDVALIDITY},
	{"UNSEEN", STATUS_UNSEEN},
	{"DELETED", STATUS_DELETED},
	{"SIZE", STATUS_SIZE},
	{"HIGHESTMODSEQ", STATUS_HIGHESTMODSEQ},
	{"APPENDLIMIT", STATUS_APPENDLIMIT},
};

enum { ITEMS_KNOWN = sizeof(items_known) / sizeof(items_known[0]) };

bool imap_parse_status_items(struct imap_parser *parser, uint32_t *items_out)
{
	*items_out = 0;
	if (!imap_parse_char(parser, '('))
		return false;
	do {
		size_t i = 0;

		while (i < ITEMS_KNOWN && !imap_skip_word(parser, items_known[i].word))
			i++;
		if (i == ITEMS_KNOWN) {
			parser->expected = "an item of STATUS";
			return false;
		}
		*items_out |= items_known[i].item;
	} while (imap_skip_char(parser, ' '));
	return imap_parse_char(parser, ')');
}

static uint64_t value_of(const struct imap_session *imap, const struct pn_mailbox_info *mailbox,
                         uint32_t recent_uid, uint32_t item)
{
	switch (item) {
	case STATUS_MESSAGES:
		return mailbox->message_count;
	case STATUS_RECENT:
		/* Of the newest ones, so many can be there at most. */
		if (recent_uid == 0 || recent_uid >= mailbox->uid_next)
			return 0;
		return mailbox->uid_next - recent_uid < mailbox->message_count
		               ? mailbox->uid_next - recent_uid
		               : mailbox->message_count;
	case STATUS_UIDNEXT:
		return mailbox->uid_next;
	case STATUS_UIDVALIDITY:
		return mailbox->uid_validity;
	case STATUS_UNSEEN:
		return mailbox->unseen_count;
	case STATUS_DELETED:
		return mailbox->deleted_count;
	case STATUS_SIZE:
		return mailbox->size_bytes;
	case STATUS_HIGHESTMODSEQ:
		return mailbox->highest_modseq > 0 ? mailbox->highest_modseq : 1;
	default:
		return imap->config->max_message_size;
	}
}

void imap_put_status(const struct imap_session *imap, struct pn_buffer *out,
                     const struct pn_mailbox_info *mailbox, uint32_t recent_uid, uint32_t items)
{
	const char *space = "";

	imap_put(out, "* STATUS ");
	imap_write_mailbox(out, mailbox->name);
	imap_put(out, " (");
	for (size_t i = 0; i < ITEMS_KNOWN; i++) {
		if ((items & items_known[i].item) == 0)
			continue;
		imap_put(out, space);
		imap_put(out, items_known[i].word);
		imap_put(out, " ");
		imap_put_number(out, value_of(imap, mailbox, recent_uid, items_known[i].item));
		space = " ";
	}
	imap_put(out, ")\r\n");
}

static enum pn_next found(struct pn_session *session, struct imap_session *imap,
                          const struct pn_answer *answer)
{
	const struct pn_mailboxes *mailboxes = answer->result;
	const uint32_t *items = imap->work;
	struct pn_buffer out;

	if (answer->status != PN_OK || mailboxes == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	if (mailboxes->count == 0 || mailboxes->mailboxes[0].id == 0)
		return imap_finish(session, imap, "NO [NONEXISTENT] there is no such mailbox");
	pn_buffer_init(&out, 64 * 1024);
	imap_put_status(imap, &out, &mailboxes->mailboxes[0],
	                mailboxes->recent_uids != NULL ? mailboxes->recent_uids[0] : 0, *items);
	imap_send(session, &out);
	if ((*items & STATUS_HIGHESTMODSEQ) != 0)
		imap_enable(session, imap, IMAP_CONDSTORE);
	return imap_finish(session, imap, "OK that is all");
}

enum pn_next imap_status(struct pn_session *session, struct imap_session *imap,
                         struct imap_parser *parser)
{
	struct pn_mailboxes_request request = {.struct_size = sizeof(request)};
	uint32_t *items = PN_ARENA_NEW(imap->arena, uint32_t);
	struct pn_slice text;
	const char *reason;

	if (!imap_parse_space(parser) || !imap_parse_astring(parser, &text) ||
	    !imap_parse_space(parser) || !imap_parse_status_items(parser, items) ||
	    !imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	if (!imap_mailbox_name(imap->arena, text, &request.name, &reason))
		return imap_finish(session, imap, "NO [NONEXISTENT] %s", reason);
	imap->work = items;
	pn_store_mailboxes(pn_session_account(session), &request, imap_wait(session, imap, found));
	return PN_NEXT_ANSWER;
}
