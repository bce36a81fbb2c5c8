/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maildrop: INBOX as it was at login, read in batches. RFC 1939 section 4 asks
 * for a lock "as necessary to prevent messages from being modified or removed". Here
 * none is necessary: bodies never change, and what another session expunges can be
 * read on; so several sessions may have the maildrop open, and no client finds it
 * locked because another one died.
 */
#include "pop3.h"

#include <postern/text.h>

#include <stdio.h>

enum pn_next pop3_maildrop_open(struct pn_session *session, struct pop3_session *pop3)
{
	/* Somebody who may send but has no mailbox here. There is no way back to before the login.
	 */
	if (pn_session_account(session) == NULL)
		return pop3_farewell(session, "SYS/PERM", "there is no mailbox of that name here");
	pop3->waiting = POP3_WAIT_OPEN;
	return pn_stage_ask(session, PN_STAGE_MAILBOX_OPEN);
}

enum pn_next pop3_open_judged(struct pn_session *session, struct pop3_session *pop3,
                              const struct pn_stage_result *result)
{
	const struct pn_mailboxes_request request = {
		.struct_size = sizeof(request),
		.name = PN_SLICE("INBOX"),
	};

	switch (result->verdict) {
	case PN_VERDICT_CONTINUE:
	case PN_VERDICT_ACCEPT:
		break;
	case PN_VERDICT_REJECT:
		return pop3_farewell(session, "SYS/PERM", result->reply.text);
	default:
		return pop3_farewell(session, "SYS/TEMP", result->reply.text);
	}
	pop3->drop.arena = pn_arena_new();
	pop3->waiting = POP3_WAIT_MAILBOX;
	pn_store_mailboxes(pn_session_account(session), &request,
	                   pn_session_ticket(session, POP3_STORE_DEADLINE_MS));
	return PN_NEXT_ANSWER;
}

static enum pn_next ready(struct pn_session *session, struct pop3_session *pop3)
{
	size_t count;
	uint64_t size;

	pop3->is_open = true;
	pop3_maildrop_count(&pop3->drop, &count, &size);
	pop3_ok(session, "%zu messages (%llu octets)", count, (unsigned long long)size);
	return PN_NEXT_LINE;
}

static enum pn_next ask_rows(struct pn_session *session, struct pop3_session *pop3,
                             uint32_t from_uid)
{
	const struct pn_uid_range range = {from_uid, pop3->drop.last_uid};
	const struct pn_rows_request request = {
		.struct_size = sizeof(request),
		.mailbox = pop3->drop.mailbox,
		.uids = {&range, 1},
		.fields = PN_ROW_SIZES | PN_ROW_BODY_ID,
		.max_rows = POP3_ROWS_AT_ONCE,
	};

	pop3->waiting = POP3_WAIT_ROWS;
	pn_store_rows(pn_session_account(session), &request,
	              pn_session_ticket(session, POP3_STORE_DEADLINE_MS));
	return PN_NEXT_ANSWER;
}

enum pn_next pop3_mailbox_answered(struct pn_session *session, struct pop3_session *pop3,
                                   const struct pn_answer *answer)
{
	struct pop3_maildrop *drop = &pop3->drop;
	const struct pn_mailboxes *found = answer->result;

	/* An account begins with its first message. */
	if (answer->status == PN_NOT_FOUND)
		return ready(session, pop3);
	if (answer->status != PN_OK || found == NULL)
		return pop3_farewell(session, "SYS/TEMP", "the mailbox cannot be opened now");
	if (found->count == 0 || found->mailboxes[0].message_count == 0)
		return ready(session, pop3);
	drop->mailbox = found->mailboxes[0].id;
	drop->last_uid = found->mailboxes[0].uid_next - 1;
	drop->capacity = found->mailboxes[0].message_count;
	if (drop->capacity > pop3->config->max_messages)
		drop->capacity = pop3->config->max_messages;
	drop->messages = PN_ARENA_ARRAY(drop->arena, drop->capacity, struct pop3_message);
	return ask_rows(session, pop3, 1);
}

enum pn_next pop3_rows_answered(struct pn_session *session, struct pop3_session *pop3,
                                const struct pn_answer *answer)
{
	struct pop3_maildrop *drop = &pop3->drop;
	const struct pn_rows *rows = answer->result;

	if (answer->status != PN_OK || rows == NULL)
		return pop3_farewell(session, "SYS/TEMP", "the mailbox cannot be read now");
	for (size_t i = 0; i < rows->count && drop->count < drop->capacity; i++) {
		const char *place = (const char *)rows->rows + i * rows->row_size;
		const struct pn_row *row = (const struct pn_row *)(const void *)place;
		struct pop3_message *message = &drop->messages[drop->count++];

		message->uid = row->uid;
		message->size = row->size;
		message->body = row->body;
	}
	if (rows->next_uid == 0 || rows->next_uid > drop->last_uid || drop->count == drop->capacity)
		return ready(session, pop3);
	return ask_rows(session, pop3, rows->next_uid);
}

struct pop3_message *pop3_maildrop_find(struct pop3_maildrop *drop, struct pn_slice number)
{
	uint64_t value;

	if (pn_parse_count(number, &value) != PN_OK || value == 0 || value > drop->count ||
	    drop->messages[value - 1].is_deleted)
		return NULL;
	return &drop->messages[value - 1];
}

void pop3_maildrop_count(const struct pop3_maildrop *drop, size_t *count_out, uint64_t *size_out)
{
	*count_out = 0;
	*size_out = 0;
	for (size_t i = 0; i < drop->count; i++) {
		if (drop->messages[i].is_deleted)
			continue;
		*count_out += 1;
		*size_out += drop->messages[i].size;
	}
}

/* Ids are random bytes: any of them are as good as a hash of all. */
static size_t hash_of(const struct pn_body_id *body)
{
	uint64_t hash;

	memcpy(&hash, body->bytes, sizeof(hash));
	return (size_t)(hash ^ (hash >> 32));
}

/* Marks the messages whose body an earlier one has: a copy, by reference, into the same mailbox. */
static void find_repeated(struct pop3_maildrop *drop)
{
	struct pn_arena *arena = pn_arena_new();
	size_t room = 16;
	uint32_t *table; /* index + 1 into messages; 0 is empty */

	while (room < 2 * drop->count)
		room *= 2;
	table = PN_ARENA_ARRAY(arena, room, uint32_t);
	for (size_t i = 0; i < drop->count; i++) {
		struct pop3_message *message = &drop->messages[i];
		size_t at = hash_of(&message->body) & (room - 1);

		while (table[at] != 0 && memcmp(&drop->messages[table[at] - 1].body, &message->body,
		                                sizeof(message->body)) != 0)
			at = (at + 1) & (room - 1);
		if (table[at] != 0)
			message->is_repeated = true;
		else
			table[at] = (uint32_t)(i + 1);
	}
	pn_arena_free(&arena);
	drop->knows_repeated = true;
}

const char *pop3_maildrop_uidl(struct pop3_maildrop *drop, const struct pop3_message *message,
                               char *room)
{
	static const char digits[] = "0123456789abcdef";
	char *end = room;

	if (!drop->knows_repeated)
		find_repeated(drop);
	/* The body's id stays whatever becomes of the index; only copies need their UID. */
	for (size_t i = 0; i < sizeof(message->body.bytes); i++) {
		*end++ = digits[message->body.bytes[i] >> 4];
		*end++ = digits[message->body.bytes[i] & 15];
	}
	*end = '\0';
	if (message->is_repeated)
		snprintf(end, POP3_UIDL_SIZE - 2 * PN_BODY_ID_SIZE, ".%lu",
		         (unsigned long)message->uid);
	return room;
}

void pop3_maildrop_close(struct pop3_maildrop *drop)
{
	pn_arena_free(&drop->arena);
	memset(drop, 0, sizeof(*drop));
}
