/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STAT, LIST and UIDL (RFC 1939 sections 5 and 7): answered from the maildrop, no
 * body is touched. Long listings go out in parts, as fast as the client reads.
 */
#include "pop3.h"

enum pn_next pop3_stat(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	size_t count;
	uint64_t size;

	if (argument.size > 0)
		return pop3_error(session, pop3, "STAT takes no argument");
	pop3_maildrop_count(&pop3->drop, &count, &size);
	pop3_ok(session, "%zu %llu", count, (unsigned long long)size);
	return PN_NEXT_LINE;
}

static size_t number_of(const struct pop3_session *pop3, const struct pop3_message *message)
{
	return (size_t)(message - pop3->drop.messages) + 1;
}

static void write_row(struct pn_session *session, struct pop3_session *pop3, enum pop3_sending what,
                      const struct pop3_message *message)
{
	char uidl[POP3_UIDL_SIZE];

	if (what == POP3_SENDING_UIDL)
		pn_session_print(session, "%zu %s\r\n", number_of(pop3, message),
		                 pop3_maildrop_uidl(&pop3->drop, message, uidl));
	else
		pn_session_print(session, "%zu %llu\r\n", number_of(pop3, message),
		                 (unsigned long long)message->size);
}

enum pn_next pop3_list_more(struct pn_session *session, struct pop3_session *pop3)
{
	struct pop3_maildrop *drop = &pop3->drop;

	while (pop3->send_at < drop->count) {
		const struct pop3_message *message = &drop->messages[pop3->send_at++];

		if (!message->is_deleted)
			write_row(session, pop3, pop3->sending, message);
		if (pn_session_output_is_high(session))
			return PN_NEXT_DRAIN;
	}
	pop3->sending = POP3_SENDING_NOTHING;
	pn_session_write(session, PN_SLICE(".\r\n"));
	return PN_NEXT_LINE;
}

static enum pn_next list(struct pn_session *session, struct pop3_session *pop3,
                         enum pop3_sending what, struct pn_slice argument)
{
	struct pop3_message *message;
	size_t count;
	uint64_t size;

	if (argument.size > 0) {
		message = pop3_maildrop_find(&pop3->drop, argument);
		if (message == NULL)
			return pop3_error(session, pop3, "no such message");
		pn_session_write(session, PN_SLICE("+OK "));
		write_row(session, pop3, what, message);
		return PN_NEXT_LINE;
	}
	pop3_maildrop_count(&pop3->drop, &count, &size);
	pop3_ok(session, "%zu messages (%llu octets)", count, (unsigned long long)size);
	pop3->sending = what;
	pop3->send_at = 0;
	return pop3_list_more(session, pop3);
}

enum pn_next pop3_list(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	return list(session, pop3, POP3_SENDING_LIST, argument);
}

enum pn_next pop3_uidl(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	return list(session, pop3, POP3_SENDING_UIDL, argument);
}
