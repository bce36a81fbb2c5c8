/* SPDX-License-Identifier: Apache-2.0 */
/* What protocols may ask the directories: see <postern/request.h>. */
#include <postern/request.h>

#include "session/session.h"
#include "session/ticket.h"
#include "store/directory.h"

struct question {
	struct pn_ticket ticket;
	struct pn_arena *arena;
	struct pn_address_known known;
};

static void fill(struct question *question, const struct pn_lookup_result *result)
{
	size_t most = result->account_count + result->foreign_count;
	struct pn_slice *names = PN_ARENA_ARRAY(question->arena, most, struct pn_slice);
	size_t count = 0;

	for (size_t i = 0; i < result->account_count; i++)
		names[count++] = pn_arena_keep(question->arena, result->accounts[i].name);
	for (size_t i = 0; i < result->foreign_count; i++)
		names[count++] = pn_arena_keep(question->arena, result->foreign[i].text);
	question->known.leads_to = names;
	question->known.count = count;
}

static void looked_up(void *user, const struct pn_lookup_result *result)
{
	static const enum pn_address_knowledge knowledge[] = {
		[PN_LOOKUP_FOUND] = PN_ADDRESS_SERVED,
		[PN_LOOKUP_FOREIGN] = PN_ADDRESS_FOREIGN,
		[PN_LOOKUP_UNKNOWN] = PN_ADDRESS_UNKNOWN,
		[PN_LOOKUP_DISABLED] = PN_ADDRESS_DISABLED,
		[PN_LOOKUP_FAILED] = PN_ADDRESS_TROUBLE,
	};
	struct question *question = user;

	question->known.struct_size = sizeof(question->known);
	question->known.knowledge = knowledge[result->outcome];
	if (result->outcome == PN_LOOKUP_FOUND)
		fill(question, result);
	pn_ticket_answer(question->ticket, PN_ANSWER_ADDRESS, PN_OK, &question->known, NULL, NULL);
}

enum pn_next pn_address_look_up(struct pn_session *session, const struct pn_address *address)
{
	struct pn_arena *arena = pn_session_step_arena(session);
	struct question *question = PN_ARENA_NEW(arena, struct question);
	struct pn_address *kept = PN_ARENA_NEW(arena, struct pn_address);

	*kept = (struct pn_address){
		.local_part = pn_arena_keep(arena, address->local_part),
		.domain = pn_arena_keep(arena, address->domain),
		.text = pn_arena_keep(arena, address->text),
		.is_utf8 = address->is_utf8,
	};
	/* "postmaster" alone is ours (RFC 5321 section 4.5.1). */
	if (kept->domain.size == 0 && session->generation->domain_count > 0)
		kept->domain = pn_slice_of(session->generation->domains[0].name);
	question->arena = arena;
	question->ticket = pn_ticket_open_unlimited(session, NULL, NULL);
	pn_directory_find(session, session->generation, kept, arena, looked_up, question);
	return PN_NEXT_ANSWER;
}
