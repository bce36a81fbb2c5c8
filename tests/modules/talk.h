/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection that a talk session makes. Both sides hold the link; whoever ends
 * last frees it.
 */
#ifndef TALK_H
#define TALK_H

#include <postern/job.h>
#include <postern/module.h>
#include <postern/protocol.h>
#include <postern/session.h>

struct talk_link {
	unsigned references;
	struct pn_ticket ticket;    /* of the session that asked */
	struct pn_session *session; /* the connection, while it is there */
	bool splices;
	bool was_encrypted;
	char question[200];
	char answer[200];
	size_t answer_size;
};

struct talk_link *talk_link_new(struct pn_slice question, bool splices, struct pn_ticket ticket);
void talk_link_drop(struct talk_link **link);
enum pn_status talk_connect(struct pn_instance *instance, const char *address, bool with_tls,
			    struct talk_link *link, struct pn_error *error);

#endif
