/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DELE, RSET, NOOP and QUIT (RFC 1939 sections 5 and 6). Deleting is one commit at
 * QUIT; its +OK goes out when the commit is durable. A session that ends in any
 * other way deletes nothing.
 */
#include "pop3.h"

enum pn_next pop3_dele(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	struct pop3_message *message = pop3_maildrop_find(&pop3->drop, argument);

	if (message == NULL)
		return pop3_error(session, pop3, "no such message");
	message->is_deleted = true;
	pop3_ok(session, "deleted at QUIT");
	return PN_NEXT_LINE;
}

enum pn_next pop3_rset(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	if (argument.size > 0)
		return pop3_error(session, pop3, "RSET takes no argument");
	for (size_t i = 0; i < pop3->drop.count; i++)
		pop3->drop.messages[i].is_deleted = false;
	pop3_ok(session, "nothing is deleted");
	return PN_NEXT_LINE;
}

enum pn_next pop3_noop(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	if (argument.size > 0)
		return pop3_error(session, pop3, "NOOP takes no argument");
	pop3_ok(session, "yes");
	return PN_NEXT_LINE;
}

static size_t deleted_count(const struct pop3_maildrop *drop)
{
	size_t count = 0;

	for (size_t i = 0; i < drop->count; i++)
		count += drop->messages[i].is_deleted ? 1 : 0;
	return count;
}

static enum pn_next expunge(struct pn_session *session, struct pop3_session *pop3, size_t count)
{
	const struct pn_account *account = pn_session_account(session);
	struct pn_commit *commit = pn_commit_new(0, 1);
	struct pn_mutation *mutation = pn_commit_add(commit, PN_MUTATION_EXPUNGE);
	uint32_t *uids = PN_ARENA_ARRAY(commit->arena, count, uint32_t);
	size_t filled = 0;

	for (size_t i = 0; i < pop3->drop.count; i++) {
		if (pop3->drop.messages[i].is_deleted)
			uids[filled++] = pop3->drop.messages[i].uid;
	}
	mutation->account = pn_arena_keep(commit->arena, pn_account_name(account));
	mutation->mailbox = pop3->drop.mailbox;
	mutation->uids = pn_uid_set_of(commit->arena, uids, filled);
	pop3->waiting = POP3_WAIT_UPDATE;
	pn_store_commit(account, commit, pn_session_ticket(session, POP3_STORE_DEADLINE_MS));
	return PN_NEXT_ANSWER;
}

enum pn_next pop3_quit(struct pn_session *session, struct pop3_session *pop3,
                       struct pn_slice argument)
{
	size_t count = deleted_count(&pop3->drop);

	if (argument.size > 0)
		return pop3_error(session, pop3, "QUIT takes no argument");
	if (count > 0)
		return expunge(session, pop3, count);
	pop3_ok(session, "goodbye");
	return PN_NEXT_CLOSE;
}

enum pn_next pop3_update_answered(struct pn_session *session, struct pop3_session *pop3,
                                  const struct pn_answer *answer)
{
	(void)pop3;
	if (answer->status != PN_OK)
		return pop3_farewell(session, "SYS/TEMP", "some messages were not deleted");
	pop3_ok(session, "goodbye");
	return PN_NEXT_CLOSE;
}
