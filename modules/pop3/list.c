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

enum { ROW_MAX = 20 + 1 + POP3_UIDL_SIZE + 2 };

static char *put_number(char *end, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	memcpy(end, digits + at, sizeof(digits) - at);
	return end + (sizeof(digits) - at);
}

/* A line, at most ROW_MAX bytes. Written by hand: there may be a hundred thousand of them. */
static char *put_row(char *end, struct pop3_session *pop3, enum pop3_sending what,
                     const struct pop3_message *message)
{
	end = put_number(end, number_of(pop3, message));
	*end++ = ' ';
	if (what == POP3_SENDING_UIDL) {
		pop3_maildrop_uidl(&pop3->drop, message, end);
		end += strlen(end);
	} else {
		end = put_number(end, message->size);
	}
	*end++ = '\r';
	*end++ = '\n';
	return end;
}

enum pn_next pop3_list_more(struct pn_session *session, struct pop3_session *pop3)
{
	struct pop3_maildrop *drop = &pop3->drop;
	char rows[64 * ROW_MAX];

	while (pop3->send_at < drop->count) {
		char *end = rows;

		while (pop3->send_at < drop->count && end <= rows + sizeof(rows) - ROW_MAX) {
			const struct pop3_message *message = &drop->messages[pop3->send_at++];

			if (!message->is_deleted)
				end = put_row(end, pop3, pop3->sending, message);
		}
		pn_session_write(session, pn_slice_make(rows, (size_t)(end - rows)));
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
	const struct pop3_message *message;
	char row[ROW_MAX];
	size_t count;
	uint64_t size;

	if (argument.size > 0) {
		message = pop3_maildrop_find(&pop3->drop, argument);
		if (message == NULL)
			return pop3_error(session, pop3, "no such message");
		pn_session_write(session, PN_SLICE("+OK "));
		pn_session_write(
			session,
			pn_slice_make(row, (size_t)(put_row(row, pop3, what, message) - row)));
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
