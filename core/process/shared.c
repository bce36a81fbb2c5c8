/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory of master and workers. */
#include "process/shared.h"

#include <postern/clock.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static enum pn_status map(int descriptor, struct pn_shared **shared_out, struct pn_error *error)
{
	void *memory = mmap(NULL, sizeof(struct pn_shared), PROT_READ | PROT_WRITE, MAP_SHARED,
	                    descriptor, 0);

	if (memory == MAP_FAILED)
		return pn_fail_errno(error, errno, "cannot map the shared memory");
	*shared_out = memory;
	return PN_OK;
}

enum pn_status pn_shared_new(int *descriptor_out, struct pn_shared **shared_out,
                             struct pn_error *error)
{
	int descriptor = memfd_create("postern shared", 0);

	if (descriptor < 0 || ftruncate(descriptor, sizeof(struct pn_shared)) != 0)
		return pn_fail_errno(error, errno, "cannot make the shared memory");
	*descriptor_out = descriptor;
	if (map(descriptor, shared_out, error) != PN_OK)
		return PN_FAILED;
	pn_random((*shared_out)->secret, PN_LIMITS_SECRET_SIZE);
	return PN_OK;
}

enum pn_status pn_shared_map(int descriptor, struct pn_shared **shared_out, struct pn_error *error)
{
	return map(descriptor, shared_out, error);
}

static uint64_t hash_text(const char *text, size_t size)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
	return hash == 0 ? 1 : hash;
}

uint32_t pn_shared_bucket(struct pn_slice account)
{
	return (uint32_t)(hash_text(account.data, account.size) % PN_CHANGE_BUCKETS);
}

static uint32_t count_in(const struct pn_slot *slot, uint64_t key)
{
	for (size_t i = 0; i < PN_COUNT_WINDOW; i++) {
		const struct pn_count *entry = &slot->counts[(key + i) % PN_COUNT_PLACES];
		uint64_t found = atomic_load_explicit(&entry->key, memory_order_acquire);

		if (found == key)
			return atomic_load_explicit(&entry->count, memory_order_relaxed);
		if (found == 0)
			return 0;
	}
	return 0;
}

/* Entries whose count is zero are used again for others, but never emptied: a reader that walks
 * past them finds what lies behind. Keys are digests: a window is full only where there are more of
 * them than places. */
static void change_count(struct pn_slot *own, uint64_t key, int change)
{
	struct pn_count *reusable = NULL;

	for (size_t i = 0; i < PN_COUNT_WINDOW; i++) {
		struct pn_count *entry = &own->counts[(key + i) % PN_COUNT_PLACES];
		uint64_t found = atomic_load_explicit(&entry->key, memory_order_relaxed);

		if (found == key) {
			atomic_fetch_add_explicit(&entry->count, (uint32_t)change,
			                          memory_order_relaxed);
			return;
		}
		if (reusable == NULL &&
		    atomic_load_explicit(&entry->count, memory_order_relaxed) == 0)
			reusable = entry;
		if (found == 0)
			break;
	}
	if (reusable == NULL || change < 0)
		return; /* it is not limited */
	atomic_store_explicit(&reusable->count, (uint32_t)change, memory_order_relaxed);
	atomic_store_explicit(&reusable->key, key, memory_order_release);
}

uint32_t pn_shared_count(struct pn_shared *shared, struct pn_slot *own, uint64_t key, int change)
{
	uint32_t sum = 0;

	if (change != 0)
		change_count(own, key, change);
	for (size_t i = 0; i < PN_MAX_SLOTS; i++) {
		if (atomic_load_explicit(&shared->slots[i].pid, memory_order_relaxed) != 0)
			sum += count_in(&shared->slots[i], key);
	}
	return sum;
}

static struct flock lock_of(size_t slot)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)slot, .l_len = 1};
}

enum pn_status pn_shared_live(size_t slot, struct pn_error *error)
{
	struct flock lock = lock_of(slot);

	if (fcntl(PN_SHARED_DESCRIPTOR, F_SETLK, &lock) != 0)
		return pn_fail_errno(error, errno, "cannot lock the slot of this worker");
	return PN_OK;
}

bool pn_shared_is_alive(size_t slot)
{
	struct flock lock = lock_of(slot);

	/* Where nobody can tell, it lives. */
	return fcntl(PN_SHARED_DESCRIPTOR, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

const struct pn_running *pn_shared_running(const struct pn_slot *slot)
{
	return atomic_load_explicit(&slot->has_fault, memory_order_acquire) != 0 ? &slot->fault
	                                                                         : &slot->running;
}

void pn_shared_clear_slot(struct pn_slot *slot)
{
	for (size_t i = 0; i < PN_COUNT_PLACES; i++) {
		atomic_store(&slot->counts[i].key, 0);
		atomic_store(&slot->counts[i].count, 0);
	}
	memset(&slot->running, 0, sizeof(slot->running));
	memset(&slot->fault, 0, sizeof(slot->fault));
	atomic_store(&slot->has_fault, 0);
	memset(&slot->counters, 0, sizeof(slot->counters));
	memset(&slot->costs, 0, sizeof(slot->costs));
	atomic_store(&slot->watches, 0);
	atomic_store(&slot->queue_told, 0);
	atomic_store(&slot->heartbeat_ms, 0);
	atomic_store(&slot->pid, 0);
}
