/* SPDX-License-Identifier: Apache-2.0 */
/* Suspects: see suspects.h. */
#include "process/suspects.h"

#include <postern/clock.h>
#include <postern/log.h>
#include <postern/text.h>

#include "delivery/queue.h"
#include "process/shared.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLAMES = 32, DESCRIPTION_SIZE = 320, LOOKS_MAX = 1000 };

/* ---- keys ---- */

static uint64_t hash_text(const char *text, size_t size)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < size && text[i] != '\0'; i++)
		hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
	return hash == 0 ? 1 : hash;
}

/* What names the message; 0: nothing that would name it the next time, too. */
static uint64_t key_of(enum pn_worker_kind kind, const struct pn_running *running)
{
	if (running->digest != 0)
		return running->digest;
	if (kind == PN_WORKER_QUEUE && running->transaction[0] != '\0')
		return hash_text(running->transaction, sizeof(running->transaction));
	return 0;
}

const struct pn_suspect *pn_suspect_find(const struct pn_suspect_table *table, uint64_t key)
{
	uint32_t used = atomic_load_explicit(&table->used, memory_order_acquire);

	for (uint32_t i = 0; i < used; i++) {
		if (atomic_load_explicit(&table->rows[i].key, memory_order_acquire) == key)
			return &table->rows[i];
	}
	return NULL;
}

static void add_counts(const struct pn_suspect *suspect, struct pn_suspect_count *sum)
{
	if (suspect == NULL)
		return;
	sum->deaths += atomic_load(&suspect->deaths);
	sum->kills += atomic_load(&suspect->kills);
}

struct pn_suspect_count pn_suspect_counts(const struct pn_suspects *suspects, uint64_t key)
{
	struct pn_suspect_count sum = {0, 0};

	add_counts(pn_suspect_find(&suspects->seen, key), &sum);
	add_counts(pn_suspect_find(&suspects->remembered, key), &sum);
	return sum;
}

/* A message that makes somebody else's watchdog kill its worker is poison, too; an operator who
 * kills a worker now and then does not meet the same message eight times. */
static uint32_t weigh(struct pn_suspect_count count)
{
	return count.deaths + count.kills / PN_KILLS_A_DEATH;
}

static uint32_t deaths_of(const struct pn_suspects *suspects, uint64_t key)
{
	return weigh(pn_suspect_counts(suspects, key));
}

/* ---- the master ---- */

/* Texts of the slot were written by a process that died: they end where they must. */
void pn_suspect_copy_text(char *room, size_t room_size, const char *text, size_t text_size)
{
	size_t size = strnlen(text, text_size);

	size = size < room_size ? size : room_size - 1;
	memcpy(room, text, size);
	room[size] = '\0';
	for (size_t i = 0; i < size; i++) {
		if (room[i] < ' ' || room[i] == 0x7f || room[i] == '"' || room[i] == '\\')
			room[i] = '?';
	}
}

/* A free place, or that of the oldest. */
static struct pn_suspect *take_place(struct pn_suspect_table *table)
{
	uint32_t used = atomic_load(&table->used);
	struct pn_suspect *oldest = &table->rows[0];

	for (uint32_t i = 0; i < used; i++) {
		if (atomic_load(&table->rows[i].key) == 0)
			return &table->rows[i];
		if (atomic_load(&table->rows[i].last_ms) < atomic_load(&oldest->last_ms))
			oldest = &table->rows[i];
	}
	if (used == PN_SUSPECTS)
		return oldest;
	atomic_store_explicit(&table->used, used + 1, memory_order_release);
	return &table->rows[used];
}

void pn_suspect_put(struct pn_suspect_table *table, const struct pn_suspect *suspect)
{
	struct pn_suspect *place = take_place(table);

	atomic_store(&place->key, 0);
	atomic_store(&place->deaths, atomic_load(&suspect->deaths));
	atomic_store(&place->kills, atomic_load(&suspect->kills));
	atomic_store(&place->last_ms, atomic_load(&suspect->last_ms));
	memcpy(place->transaction, suspect->transaction, sizeof(place->transaction));
	memcpy(place->what, suspect->what, sizeof(place->what));
	atomic_store_explicit(&place->key, atomic_load(&suspect->key), memory_order_release);
}

static void describe(const struct pn_death *death, const struct pn_running *running, char *what,
                     size_t size)
{
	char module[32];
	char hook[48];

	pn_suspect_copy_text(module, sizeof(module), running->module, sizeof(running->module));
	pn_suspect_copy_text(hook, sizeof(hook), running->hook, sizeof(running->hook));
	snprintf(what, size, "module %s, %s %s (%s)", module, running->is_entry ? "entry" : "hook",
	         hook, death->how);
}

static void count_death(struct pn_suspects *suspects, const struct pn_death *death,
                        const struct pn_running *running, uint64_t key)
{
	struct pn_suspect *seen =
		(struct pn_suspect *)(uintptr_t)pn_suspect_find(&suspects->seen, key);
	const bool is_kill = death->cause == PN_DEATH_KILLED;
	struct pn_suspect suspect;

	if (seen != NULL && (is_kill || atomic_load(&seen->deaths) > 0)) {
		atomic_fetch_add(is_kill ? &seen->kills : &seen->deaths, 1);
		atomic_store(&seen->last_ms, pn_clock_wall_ms());
		return;
	}
	memset(&suspect, 0, sizeof(suspect));
	atomic_store(&suspect.key, key);
	atomic_store(&suspect.deaths, is_kill ? 0 : 1);
	atomic_store(&suspect.kills, is_kill ? 1 : 0);
	atomic_store(&suspect.last_ms, pn_clock_wall_ms());
	if (death->kind == PN_WORKER_QUEUE && running->digest == 0)
		pn_suspect_copy_text(suspect.transaction, sizeof(suspect.transaction),
		                     running->transaction, sizeof(running->transaction));
	describe(death, running, suspect.what, sizeof(suspect.what));
	if (seen != NULL) {
		/* Until now only others killed it: its own death says more. */
		atomic_store(&suspect.kills, atomic_load(&seen->kills));
		atomic_store(&seen->last_ms, 0);
		atomic_store(&seen->key, 0);
	}
	pn_suspect_put(&suspects->seen, &suspect);
}

/* The last different messages of which a hook died. */
struct blame {
	char module[32];
	char hook[48];
	struct {
		uint64_t key;
		uint64_t at_ms;
	} last[PN_BLAME_MESSAGES];
};

static struct blame blames[BLAMES];

static uint64_t newest_of(const struct blame *blame)
{
	uint64_t newest = 0;

	for (size_t i = 0; i < PN_BLAME_MESSAGES; i++) {
		if (blame->last[i].at_ms > newest)
			newest = blame->last[i].at_ms;
	}
	return newest;
}

static struct blame *blame_of(const char *module, const char *hook)
{
	struct blame *oldest = &blames[0];

	for (size_t i = 0; i < BLAMES; i++) {
		if (strcmp(blames[i].module, module) == 0 && strcmp(blames[i].hook, hook) == 0)
			return &blames[i];
		if (newest_of(&blames[i]) < newest_of(oldest))
			oldest = &blames[i];
	}
	memset(oldest, 0, sizeof(*oldest));
	snprintf(oldest->module, sizeof(oldest->module), "%s", module);
	snprintf(oldest->hook, sizeof(oldest->hook), "%s", hook);
	return oldest;
}

/* True where these are as many different messages in as short a time as a hook may die of. */
static bool blame_message(struct blame *blame, uint64_t key, uint64_t now_ms)
{
	size_t oldest = 0;
	size_t recent = 0;

	for (size_t i = 0; i < PN_BLAME_MESSAGES; i++) {
		if (blame->last[i].key == key) {
			blame->last[i].at_ms = now_ms;
			oldest = PN_BLAME_MESSAGES;
			break;
		}
		if (blame->last[i].at_ms < blame->last[oldest].at_ms)
			oldest = i;
	}
	if (oldest < PN_BLAME_MESSAGES) {
		blame->last[oldest].key = key;
		blame->last[oldest].at_ms = now_ms;
	}
	for (size_t i = 0; i < PN_BLAME_MESSAGES; i++) {
		if (blame->last[i].key != 0 && now_ms - blame->last[i].at_ms < PN_BLAME_WINDOW_MS)
			recent++;
	}
	return recent == PN_BLAME_MESSAGES;
}

static bool is_disabled_in(const struct pn_suspects *suspects, const char *module, const char *hook)
{
	for (size_t i = 0; i < PN_DISABLED_HOOKS; i++) {
		const struct pn_disabled_hook *one = &suspects->disabled[i];

		if (atomic_load_explicit(&one->is_disabled, memory_order_acquire) != 0 &&
		    strcmp(one->module, module) == 0 && strcmp(one->hook, hook) == 0)
			return true;
	}
	return false;
}

static bool disable(struct pn_suspects *suspects, const char *module, const char *hook)
{
	if (is_disabled_in(suspects, module, hook))
		return false;
	for (size_t i = 0; i < PN_DISABLED_HOOKS; i++) {
		struct pn_disabled_hook *one = &suspects->disabled[i];

		if (atomic_load(&one->is_disabled) != 0)
			continue;
		snprintf(one->module, sizeof(one->module), "%s", module);
		snprintf(one->hook, sizeof(one->hook), "%s", hook);
		atomic_store_explicit(&one->is_disabled, 1, memory_order_release);
		atomic_fetch_add(&suspects->disabled_count, 1);
		return true;
	}
	return false;
}

bool pn_suspects_death(struct pn_suspects *suspects, const struct pn_death *death,
                       const struct pn_running *running, char *text, size_t text_size)
{
	uint64_t key = key_of(death->kind, running);
	char module[32];
	char hook[48];
	uint32_t before;

	text[0] = '\0';
	if (key == 0 || running->module[0] == '\0')
		return false;
	pn_suspect_copy_text(module, sizeof(module), running->module, sizeof(running->module));
	pn_suspect_copy_text(hook, sizeof(hook), running->hook, sizeof(running->hook));
	before = deaths_of(suspects, key);
	count_death(suspects, death, running, key);
	if (before < PN_SUSPECT_DEATHS && deaths_of(suspects, key) >= PN_SUSPECT_DEATHS)
		snprintf(text, text_size, "a message took down %d workers, and is set aside",
		         PN_SUSPECT_DEATHS);
	if (death->cause != PN_DEATH_KILLED && !running->is_entry &&
	    blame_message(blame_of(module, hook), key, pn_clock_monotonic_ms()) &&
	    disable(suspects, module, hook))
		snprintf(text, text_size,
		         "%d different messages took down a worker in the hook %s of %s within a "
		         "minute: it is DISABLED, and counts as failed (never as passed) until the "
		         "next reload",
		         PN_BLAME_MESSAGES, hook, module);
	atomic_fetch_add(&suspects->changes, 1);
	return death->cause != PN_DEATH_KILLED;
}

void pn_suspects_begin_move(struct pn_suspects *suspects)
{
	atomic_fetch_add(&suspects->moves, 1);
}

void pn_suspects_end_move(struct pn_suspects *suspects)
{
	atomic_fetch_add(&suspects->moves, 1);
}

void pn_suspects_enable_hooks(struct pn_suspects *suspects)
{
	for (size_t i = 0; i < PN_DISABLED_HOOKS; i++)
		atomic_store(&suspects->disabled[i].is_disabled, 0);
	atomic_store(&suspects->disabled_count, 0);
	memset(blames, 0, sizeof(blames));
}

/* ---- workers ---- */

static struct pn_shared *used;

static uint32_t unseen_deaths(uint64_t digest)
{
	uint32_t count = 0;

	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		const struct pn_slot *slot = &used->slots[i];
		int32_t pid = atomic_load(&slot->pid);

		/* We live. Who is dead, and the master has not taken notice: the slot says what it
		 * ran, and the table does not yet. */
		count += pid != 0 && &slot->running != pn_running &&
		         pn_shared_running(slot)->digest == digest && !pn_shared_is_alive(i);
	}
	return count;
}

/* Looks again where a death was on its way from one place to the other meanwhile: that takes the
 * master microseconds, or it has died in the middle of it and all of this ends. */
static bool is_suspect(uint64_t digest)
{
	uint32_t deaths = 0;

	for (int looks = 0; looks < LOOKS_MAX; looks++) {
		uint32_t before = atomic_load(&used->suspects.moves);

		deaths = deaths_of(&used->suspects, digest);
		if (deaths >= PN_SUSPECT_DEATHS)
			return true;
		deaths += unseen_deaths(digest);
		if ((before & 1) == 0 && before == atomic_load(&used->suspects.moves))
			break;
		sched_yield();
	}
	return deaths >= PN_SUSPECT_DEATHS;
}

static bool is_disabled(const char *module, const char *hook)
{
	const struct pn_suspects *suspects = &used->suspects;

	return atomic_load_explicit(&suspects->disabled_count, memory_order_relaxed) != 0 &&
	       is_disabled_in(suspects, module, hook);
}

/* A text in shared memory, which another process may write anew: its end is in it whatever happens.
 */
static const char *what(uint64_t digest)
{
	const struct pn_suspect *suspect = pn_suspect_find(&used->suspects.seen, digest);

	if (suspect == NULL)
		suspect = pn_suspect_find(&used->suspects.remembered, digest);
	return suspect == NULL ? NULL : suspect->what;
}

void pn_suspects_use(struct pn_shared *shared)
{
	used = shared;
	pn_suspicion.what = what;
	pn_suspicion.is_suspect = is_suspect;
	pn_suspicion.is_disabled = is_disabled;
}

uint32_t pn_suspects_count(const struct pn_suspects *suspects)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < atomic_load(&suspects->seen.used); i++) {
		uint64_t key = atomic_load(&suspects->seen.rows[i].key);

		count += key != 0 && deaths_of(suspects, key) >= PN_SUSPECT_DEATHS;
	}
	for (uint32_t i = 0; i < atomic_load(&suspects->remembered.used); i++) {
		uint64_t key = atomic_load(&suspects->remembered.rows[i].key);

		count += key != 0 && pn_suspect_find(&suspects->seen, key) == NULL &&
		         deaths_of(suspects, key) >= PN_SUSPECT_DEATHS;
	}
	return count;
}

/* ---- the queue ---- */

static void tell_of(const struct pn_suspect *suspect, struct pn_suspect_count count)
{
	char text[DESCRIPTION_SIZE] = "";
	size_t size = 0;

	if (suspect->transaction[0] == '\0' || weigh(count) == 0)
		return;
	if (count.deaths > 0)
		size = (size_t)snprintf(text, sizeof(text), "it took down a worker %u time%s: %s",
		                        count.deaths, count.deaths == 1 ? "" : "s", suspect->what);
	if (count.kills > 0 && size < sizeof(text))
		snprintf(text + size, sizeof(text) - size,
		         "%sit was at work %u time%s when a worker was killed from outside, which "
		         "may be chance%s%s",
		         size > 0 ? "; " : "", count.kills, count.kills == 1 ? "" : "s",
		         size > 0 ? "" : ": ", size > 0 ? "" : suspect->what);
	pn_queue_suspect(suspect->transaction, text, weigh(count));
}

static void tell_of_table(const struct pn_suspect_table *table, const struct pn_suspects *suspects)
{
	for (uint32_t i = 0; i < atomic_load(&table->used); i++) {
		uint64_t key = atomic_load_explicit(&table->rows[i].key, memory_order_acquire);
		struct pn_suspect_count count = {0, 0};

		if (key == 0)
			continue;
		/* The file was read here where the control worker has not done it yet. */
		if (table != &suspects->seen && table != &suspects->remembered)
			add_counts(&table->rows[i], &count);
		add_counts(pn_suspect_find(&suspects->seen, key), &count);
		add_counts(pn_suspect_find(&suspects->remembered, key), &count);
		tell_of(&table->rows[i], count);
	}
}

void pn_suspects_tell_queue(struct pn_suspects *suspects, const char *data_directory)
{
	struct pn_suspect_table *table = NULL;
	struct pn_error error;

	tell_of_table(&suspects->seen, suspects);
	if (atomic_load(&suspects->is_remembered) != 0) {
		tell_of_table(&suspects->remembered, suspects);
		return;
	}
	table = calloc(1, sizeof(*table));
	if (table == NULL)
		abort();
	if (pn_suspects_read(table, data_directory, &error) != PN_OK)
		pn_log(PN_LOG_ERROR, "suspects", "%s", error.text);
	/* The control worker adds to the file, but says first that it has read it. */
	tell_of_table(atomic_load(&suspects->is_remembered) != 0 ? &suspects->remembered : table,
	              suspects);
	free(table);
}
