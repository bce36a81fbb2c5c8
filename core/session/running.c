/* SPDX-License-Identifier: Apache-2.0 */
/* The what-is-running slot, and what is known of those who died in it. */
#include "session/running.h"

#include "base/map.h"

#include <postern/clock.h>

#include <stdlib.h>

static struct pn_running unshared;
static struct pn_map *digests; /* by transaction id: uint64_t */
static struct pn_map *errands; /* by errand: transaction id */
static uint64_t errand_at_work;
static uint64_t last_errand;

struct pn_running *pn_running = &unshared;
struct pn_suspicion pn_suspicion;

static void put(char *room, size_t size, const char *text)
{
	size_t length = text == NULL ? 0 : strnlen(text, size - 1);

	if (length > 0)
		memcpy(room, text, length);
	room[length] = '\0';
}

static uint64_t digest_of(const char *transaction)
{
	const uint64_t *digest = transaction == NULL || digests == NULL
	                                 ? NULL
	                                 : pn_map_get(digests, pn_slice_of(transaction));

	return digest == NULL ? 0 : *digest;
}

void pn_running_enter(const char *module, const char *hook, const char *session,
                      const char *transaction)
{
	pn_running->digest = digest_of(transaction);
	pn_running->is_entry = false;
	put(pn_running->session, sizeof(pn_running->session), session);
	put(pn_running->transaction, sizeof(pn_running->transaction), transaction);
	put(pn_running->hook, sizeof(pn_running->hook), hook);
	put(pn_running->module, sizeof(pn_running->module), module);
}

void pn_running_leave(void)
{
	pn_running->module[0] = '\0';
	pn_running->hook[0] = '\0';
	pn_running->session[0] = '\0';
	pn_running->transaction[0] = '\0';
	pn_running->digest = 0;
	pn_running->is_entry = false;
}

void pn_running_digest(const char *transaction_id, uint64_t digest)
{
	struct pn_slice id = pn_slice_of(transaction_id);
	uint64_t *kept;
	uint64_t seed;

	if (digests == NULL && digest != 0) {
		pn_random(&seed, sizeof(seed));
		digests = pn_map_new(seed);
	}
	if (digests == NULL)
		return;
	if (digest == 0) {
		free(pn_map_remove(digests, id));
		return;
	}
	kept = pn_map_get(digests, id);
	if (kept == NULL) {
		kept = malloc(sizeof(*kept));
		if (kept == NULL)
			abort();
		(void)pn_map_set(digests, id, kept);
	}
	*kept = digest;
	/* It may be set from within what runs. */
	if (strncmp(pn_running->transaction, transaction_id, sizeof(pn_running->transaction)) == 0)
		pn_running->digest = digest;
}

/* ---- errands ---- */

static struct pn_slice errand_key(const uint64_t *errand)
{
	return pn_slice_make((const char *)errand, sizeof(*errand));
}

uint64_t pn_running_errand_new(void)
{
	return ++last_errand;
}

void pn_running_errand_name(uint64_t errand, const char *transaction_id)
{
	char *name = transaction_id == NULL ? NULL : strdup(transaction_id);
	uint64_t seed;

	if (errands == NULL && name == NULL)
		return;
	if (errands == NULL) {
		pn_random(&seed, sizeof(seed));
		errands = pn_map_new(seed);
	}
	if (name == NULL)
		free(pn_map_remove(errands, errand_key(&errand)));
	else
		free(pn_map_set(errands, errand_key(&errand), name));
}

uint64_t pn_running_errand(void)
{
	return errand_at_work;
}

void pn_running_set_errand(uint64_t errand)
{
	errand_at_work = errand;
}

const char *pn_running_errand_transaction(uint64_t errand)
{
	return errand == 0 || errands == NULL ? NULL : pn_map_get(errands, errand_key(&errand));
}

struct pn_running_before pn_running_begin(uint64_t errand, const char *module, const char *hook)
{
	const struct pn_running_before before = {*pn_running, errand_at_work};

	pn_running_enter(module, hook, NULL, pn_running_errand_transaction(errand));
	pn_running->is_entry = true;
	errand_at_work = errand;
	return before;
}

void pn_running_end(const struct pn_running_before *before)
{
	*pn_running = before->slot;
	errand_at_work = before->errand;
}

/* ---- notes ---- */

struct pn_running_note {
	struct pn_running slot;
	struct pn_running_note *next; /* of those that nobody uses */
};

static struct pn_running_note *unused_notes;

struct pn_running_note *pn_running_note(void)
{
	struct pn_running_note *note = unused_notes;

	if (pn_running->module[0] == '\0' || pn_running->transaction[0] == '\0')
		return NULL;
	if (note != NULL)
		unused_notes = note->next;
	else if ((note = malloc(sizeof(*note))) == NULL)
		abort();
	note->slot = *pn_running;
	note->next = NULL;
	return note;
}

void pn_running_note_free(struct pn_running_note *note)
{
	if (note == NULL)
		return;
	note->next = unused_notes;
	unused_notes = note;
}

void pn_running_resume(const struct pn_running_note *note)
{
	if (note == NULL)
		return;
	/* The message may have come further since: its digest is looked up anew. */
	pn_running_enter(note->slot.module, note->slot.hook, note->slot.session,
	                 note->slot.transaction);
	pn_running->is_entry = note->slot.is_entry;
}

const struct pn_running *pn_running_note_slot(const struct pn_running_note *note)
{
	return &note->slot;
}

/* ---- suspicion ---- */

bool pn_suspected(uint64_t digest)
{
	return digest != 0 && pn_suspicion.is_suspect != NULL && pn_suspicion.is_suspect(digest);
}

const char *pn_suspected_what(uint64_t digest)
{
	return pn_suspicion.what == NULL ? NULL : pn_suspicion.what(digest);
}

bool pn_hook_is_disabled(const char *module, const char *hook)
{
	return pn_suspicion.is_disabled != NULL && pn_suspicion.is_disabled(module, hook);
}
