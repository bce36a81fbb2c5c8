/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gateway around the module smtp, whole but for its edges: sessions, stages, transactions and the accepting
 * commit are the real ones; the connection is memory, the store and the directory say yes, and
 * hooks say what they are told to. Nothing happens by itself.
 */
#ifndef TESTS_UNIT_STATES_WORLD_H
#define TESTS_UNIT_STATES_WORLD_H

#include "model.h"

#include <postern/session.h>
#include <postern/types.h>

/* What came of a command. */
struct outcome {
	char classes[REPLIES_MAX * 2]; /* the first digits of its replies, and a NUL */
	size_t messages;               /* that were stored */
	unsigned serial;               /* of it */
	unsigned sender;
	unsigned recipients[RECIPIENTS_MAX];
	size_t recipient_count;
	bool is_closed;
};

/* For very many of them: what Check has writes each down. Says which commands came before. */
#define require(condition) ((condition) ? (void)0 : world_fail(#condition, __FILE__, __LINE__))
void world_fail(const char *what, const char *file, int line) __attribute__((noreturn));

extern struct world {
	const struct letter *letter; /* what goes wrong in this command */
	const struct model *model;   /* before it: what hooks must see */

	/* Said by tests. */
	unsigned (*waits)(void);     /* whether the next hook waits; NULL: none does */
	unsigned (*cut)(unsigned size); /* how much of what is said arrives next; NULL: all of it */

	/* Seen by tests. */
	struct outcome outcome;
	struct pn_session *session;
	const char *output; /* all replies to this command */
	size_t output_size;
} world;

void world_set_up(void);
void world_tear_down(void);

/* A client connects; the banner is read. */
void world_connect(enum profile profile);

/* A command begins, and with it an outcome. */
void world_begin(const struct letter *letter, const struct model *model);

/* The client says something; everything happens that comes of it. `world.outcome` has it. */
void world_say(const char *text, size_t size);

/* Its handshake. */
void world_shake_hands(void);

/* The client goes, if the gateway has not closed, and nothing is left of it. */
void world_disconnect(void);

/* Whether a command left everything as it was, counters of commands and mistakes aside: the module's state, the
 * transaction byte by byte, and what else a session knows of its client. */
void world_remember(void);
bool world_is_unchanged(void);

/* Whether the session stands as one that has no transaction, as that model does. */
void world_check_fresh(const struct model *model);

#endif
