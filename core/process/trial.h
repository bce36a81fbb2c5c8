/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy on trial: its hooks run in the real engine, on sessions and messages that
 * nobody sent, in a world that is only told: DNS says what a case put there, and
 * time passes when it is told to. No configuration, no gateway, no files but the
 * policy's. Behind `postern policy test` (command_policy.c; trial_words.c has what a
 * spec can say). One thread, one trial at a time.
 */
#ifndef CORE_PROCESS_TRIAL_H
#define CORE_PROCESS_TRIAL_H

#include <postern/arena.h>
#include <postern/error.h>
#include <postern/stage.h>

#include "policy/policy.h"

struct lua_State;

/* A case of a spec, and what became of it. */
struct pn_trial_case {
	const char *name;
	const char *failure; /* NULL: it holds */
	struct pn_trial_case *next;
};

/* A hook of a policy that was tried, and whether any case came by it. */
struct pn_trial_hook {
	const char *policy; /* as the spec named it */
	const char *label;
	enum pn_stage stage;
	size_t calls;
	struct pn_trial_hook *next;
};

/* Of one spec. */
struct pn_trial_report {
	struct pn_arena *arena;
	struct pn_trial_case *cases; /* in their order */
	struct pn_trial_hook *hooks;
	size_t passed;
	size_t failed;
};

/* The policy to be tried, and the files that it is to find beside it. */
struct pn_trial_policy {
	const char *path;  /* absolute */
	const char *label; /* as the spec named it */
	struct pn_slice text; /* in place of what stands in the file; data NULL: the file */
	const char *const *allow;
	const char *const *transports; /* names that routes may have; or NULL */
	enum pn_hook_mode mode;
	uint64_t cpu_ms;
	uint64_t memory_bytes;
};

/* How a stage ended. */
struct pn_trial_outcome {
	const char *text;    /* "continue", "reject 550 5.7.1 no", "redirect a@example.org" */
	const char *failure; /* of a hook; or NULL */
	const char *shadow;  /* what a shadow said, that is not continue; or NULL */
	size_t hooks;        /* that were asked */
};

/* What a session is like, by field; NULL and 0 leave the usual. */
struct pn_trial_session {
	const char *hello, *peer, *hostname, *listener, *instance, *protocol, *identity;
	uint32_t peer_count;
	bool is_loopback;
	bool is_early_talker;
	uint32_t unauthorised_pipelining;
};

PN_MUST_CHECK enum pn_status pn_trial_start(struct pn_error *error);
void pn_trial_stop(void);

/* A spec begins and ends: nothing of the last one is left. */
void pn_trial_begin(struct pn_trial_report *report);
void pn_trial_end(void);

/* The policy from now on; and a file beside it (before pn_trial_policy: the path is DIR//NAME). */
PN_MUST_CHECK enum pn_status pn_trial_use(const struct pn_trial_policy *policy,
					  struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_trial_provide(const char *path, struct pn_slice text,
					      struct pn_error *error);

/* A case begins in a fresh world: a new session, no DNS, the policy read anew. */
PN_MUST_CHECK enum pn_status pn_trial_fresh(struct pn_error *error);

/* Changes the session; begins a message for it. */
void pn_trial_set_session(const struct pn_trial_session *fields);
PN_MUST_CHECK enum pn_status pn_trial_message(const char *sender, struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_trial_message_text(struct pn_slice text, struct pn_error *error);

/* A recipient: one more of the message, or (is_asked) the one that the stage is about. */
PN_MUST_CHECK enum pn_status pn_trial_recipient(const char *address, bool is_asked, int is_local,
						struct pn_error *error);

/* Runs the hooks of a stage to their end. `subject` is an attempt to log in or to deliver, or NULL. */
struct pn_trial_outcome pn_trial_run(enum pn_stage stage, const void *subject, bool with_session);

/* Time passes. */
void pn_trial_advance(uint64_t milliseconds);

/* What the last stage was about; any may be NULL. */
struct pn_session *pn_trial_the_session(void);
struct pn_transaction *pn_trial_the_message(void);
struct pn_recipient *pn_trial_the_recipient(void);
struct pn_arena *pn_trial_arena(void); /* until the next case */

/* Runs a spec: its cases in the report. */
void pn_trial_run_spec(const char *path, struct pn_trial_report *report);

#endif
