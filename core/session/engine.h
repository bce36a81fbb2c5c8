/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stage engine: runs the chain of hooks of one stage for one subject, and
 * calls back with the result: at once where no hook had to wait, else later from
 * the top of the loop. It knows modes, budgets, on_error, and which verdicts a
 * stage takes; it writes down who said what at which cost. Loop thread.
 */
#ifndef CORE_SESSION_ENGINE_H
#define CORE_SESSION_ENGINE_H

#include <postern/arena.h>
#include <postern/buffer.h>
#include <postern/stage.h>

#include "session/generation.h"

/* What one hook did: part of the record of a session or a message. */
struct pn_trail_entry {
	enum pn_stage stage;
	const char *hook;
	enum pn_hook_mode mode;
	enum pn_verdict verdict;
	uint64_t cpu_ns;  /* time spent in it */
	uint64_t wall_ns; /* until its verdict */
	const char *failure; /* or NULL */
	const char *subject; /* the recipient it was about; or NULL */
	uint16_t code;
	const char *text;
	struct pn_trail_entry *next;
};

struct pn_trail {
	struct pn_arena *arena;
	struct pn_trail_entry *first;
	struct pn_trail_entry **last;
	size_t count;
};

void pn_trail_init(struct pn_trail *trail, struct pn_arena *arena);

/* The trail as a JSON array. */
PN_MUST_CHECK enum pn_status pn_trail_json(const struct pn_trail *trail, struct pn_buffer *out);

/* How edits of a hook that failed are undone. Both may be NULL. */
struct pn_journal {
	size_t (*mark)(struct pn_transaction *transaction);
	void (*undo)(struct pn_transaction *transaction, size_t mark);
};

struct pn_stage_request {
	enum pn_stage stage;
	struct pn_generation *generation;
	struct pn_session *session;         /* or NULL */
	struct pn_transaction *transaction; /* or NULL */
	struct pn_recipient *recipient;     /* or NULL */
	const void *subject;
	const char *session_id;             /* for the running slot; or NULL */
	const char *transaction_id;
	const char *about;                  /* for the trail: clean text that lives as long; or NULL */
	struct pn_arena *arena;             /* lives until `done` was called, or its tickets were
	                                     * cancelled: pn_ticket_cancel_owner(session, arena) */
	struct pn_trail *trail;             /* or NULL */
	struct pn_journal journal;
	bool all_at_once;                   /* start every hook; wait for all (message.scan) */
};

typedef void pn_stage_done_function(void *user, const struct pn_stage_result *result);

/* Runs the stage. The result lives in the request's arena. When the session ends first, `done` is
 * never called. */
void pn_stage_run(const struct pn_stage_request *request, pn_stage_done_function *done, void *user);

/* Adds time that a waiting hook spent after its first call (a script that was resumed). */
void pn_hook_add_cpu(const struct pn_stage_call *call, uint64_t nanoseconds);

/* Sets code, enhanced code and text of a reply; the text is made printable. */
void pn_reply_set(struct pn_reply *reply, unsigned code, const char *enhanced, const char *text);

#endif
