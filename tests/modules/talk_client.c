/* SPDX-License-Identifier: Apache-2.0 */
/* The side of talk that connects: says one line, and takes one line back. */
#include "talk.h"

#include <stdlib.h>
#include <string.h>

struct talk_link *talk_link_new(struct pn_slice question, bool splices, struct pn_ticket ticket)
{
	struct talk_link *link = calloc(1, sizeof(*link));

	if (link == NULL)
		abort();
	link->references = 1;
	link->splices = splices;
	link->ticket = ticket;
	if (question.size >= sizeof(link->question))
		question.size = sizeof(link->question) - 1;
	if (question.size > 0)
		memcpy(link->question, question.data, question.size);
	return link;
}

void talk_link_drop(struct talk_link **link)
{
	if (*link != NULL && --(*link)->references == 0)
		free(*link);
	*link = NULL;
}

static void tell(struct talk_link *link, enum pn_status status)
{
	pn_ticket_answer(link->ticket, PN_ANSWER_CUSTOM, status, NULL, NULL, NULL);
}

static enum pn_next client_open(struct pn_session *session, void *state,
                                const struct pn_answer *answer)
{
	struct talk_link *link = pn_session_user(session);

	(void)state;
	if (answer->kind != PN_ANSWER_CONNECT || answer->status != PN_OK) {
		tell(link, PN_FAILED);
		return PN_NEXT_CLOSE;
	}
	link->session = session;
	link->was_encrypted = pn_session_is_encrypted(session);
	if (link->splices) {
		tell(link, PN_OK);
		(void)pn_session_ticket(session, 10000);
		return PN_NEXT_ANSWER;
	}
	pn_session_print(session, "%s\r\n", link->question);
	return PN_NEXT_LINE;
}

static enum pn_next client_line(struct pn_session *session, void *state, const struct pn_line *line)
{
	struct talk_link *link = pn_session_user(session);

	(void)state;
	link->answer_size =
		line->text.size < sizeof(link->answer) ? line->text.size : sizeof(link->answer);
	memcpy(link->answer, line->text.data, link->answer_size);
	tell(link, PN_OK);
	return PN_NEXT_CLOSE;
}

static enum pn_next client_answered(struct pn_session *session, void *state,
                                    const struct pn_answer *answer)
{
	(void)session;
	(void)state;
	(void)answer;
	return PN_NEXT_CLOSE; /* nobody spliced it in time */
}

static void client_close(struct pn_session *session, void *state, enum pn_close_reason reason)
{
	struct talk_link *link = pn_session_user(session);

	(void)state;
	link->session = NULL;
	/* Closed before an answer: the ticket is stale if there was one. */
	if (reason != PN_CLOSE_FINISHED)
		tell(link, PN_FAILED);
	talk_link_drop(&link);
}

static const struct pn_protocol client_protocol = {
	.struct_size = sizeof(struct pn_protocol),
	.name = "talk-client",
	.open = client_open,
	.line = client_line,
	.answered = client_answered,
	.close = client_close,
};

enum pn_status talk_connect(struct pn_instance *instance, const char *address, bool with_tls,
                            struct talk_link *link, struct pn_error *error)
{
	const struct pn_connect request = {
		.struct_size = sizeof(request),
		.protocol = &client_protocol,
		.address = address,
		.tls_at_once = with_tls,
		.deadline_ms = 3000,
		.user = link,
	};
	enum pn_status status = pn_connect(instance, &request, error);

	if (status == PN_OK)
		link->references++;
	return status;
}
