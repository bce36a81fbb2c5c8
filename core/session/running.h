/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this worker is running: written before each call into a module or a
 * script, into memory that the master shares. When the worker dies or hangs, the
 * master knows who was at it, and what message; a message that took down two
 * workers is a suspect, and a hook that died of very many is disabled. Loop thread.
 */
#ifndef CORE_SESSION_RUNNING_H
#define CORE_SESSION_RUNNING_H

#include <postern/types.h>

struct pn_running {
	char module[32];
	char hook[48];
	char session[24];
	char transaction[24];
	uint64_t digest; /* of the message, where it is not in the store yet; 0: not known */
	bool is_entry;   /* of a protocol: its bytes were at work, and no hook */
};

/* Where it is written: process memory until the process layer points it at shared memory. */
extern struct pn_running *pn_running;

/* NULL leaves a part empty. */
void pn_running_enter(const char *module, const char *hook, const char *session,
		      const char *transaction);
void pn_running_leave(void);

/*
 * The message of a transaction, before it is in the store, by the digest of who sent it and what it is:
 * from now on the slot has it whatever runs for that transaction. 0: it ended, and is forgotten.
 */
void pn_running_digest(const char *transaction_id, uint64_t digest);

/*
 * An errand: something of the gateway's own, as a connection to another server, that sessions belong to
 * which were opened on its behalf. While it is at work for a transaction, they are.
 *
 *	before = pn_running_begin(errand, module, "deliver");     calls into a module for it
 *	… a session that is made here belongs to the errand …
 *	pn_running_end(&before);
 */
uint64_t pn_running_errand_new(void);
void pn_running_errand_name(uint64_t errand, const char *transaction_id); /* NULL: nothing, or it ended */
uint64_t pn_running_errand(void);                  /* that is at work now; 0: none */
void pn_running_set_errand(uint64_t errand);
const char *pn_running_errand_transaction(uint64_t errand); /* or NULL */
struct pn_running_before {
	struct pn_running slot;
	uint64_t errand;
};
struct pn_running_before pn_running_begin(uint64_t errand, const char *module, const char *hook);
void pn_running_end(const struct pn_running_before *before);

/*
 * What is at work for a message, noted to be told again when what it asked for is answered. NULL: no
 * message is at work. Loop thread, but pn_running_note_slot.
 */
struct pn_running_note;
struct pn_running_note *pn_running_note(void);
void pn_running_resume(const struct pn_running_note *note); /* NULL: nothing; pn_running_leave() ends it */
void pn_running_note_free(struct pn_running_note *note);    /* or NULL */

/* As it goes into the slot where its thread dies. Any thread; safe in a signal handler. */
const struct pn_running *pn_running_note_slot(const struct pn_running_note *note);

/* What the process layer knows of earlier deaths; set once at start. */
struct pn_suspicion {
	bool (*is_suspect)(uint64_t digest);
	bool (*is_disabled)(const char *module, const char *hook);
	const char *(*what)(uint64_t digest); /* "module judges, hook wait (…)", or NULL */
};

extern struct pn_suspicion pn_suspicion;

/* A message with that digest took down two workers: it must not come near a hook again. */
bool pn_suspected(uint64_t digest);

/* Where it did, for people; or NULL. It may change: to be copied at once. */
const char *pn_suspected_what(uint64_t digest);

/* So many different messages took down a worker in this hook that it is not run any more. */
bool pn_hook_is_disabled(const char *module, const char *hook);

#endif
