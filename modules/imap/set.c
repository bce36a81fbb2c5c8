/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of UIDs as ranges with counts. The memory is malloc's: sets grow and shrink with a mailbox,
 * for as long as a session lasts, and an arena would only grow. */
#include "set.h"

#include <stdlib.h>
#include <string.h>

void imap_uids_clear(struct imap_uids *uids)
{
	free(uids->ranges);
	*uids = (struct imap_uids){0};
}

static void reserve(struct imap_uids *uids, size_t count)
{
	if (count <= uids->capacity)
		return;
	/* Most mailboxes are one range or few. */
	uids->capacity = uids->capacity == 0 ? 2 : uids->capacity * 2;
	if (uids->capacity < count)
		uids->capacity = count;
	uids->ranges = reallocarray(uids->ranges, uids->capacity, sizeof(*uids->ranges));
	if (uids->ranges == NULL)
		abort();
}

uint32_t imap_uids_count(const struct imap_uids *uids)
{
	const struct imap_range *last;

	if (uids->count == 0)
		return 0;
	last = &uids->ranges[uids->count - 1];
	return last->before + (last->last - last->first) + 1;
}

uint32_t imap_uids_last(const struct imap_uids *uids)
{
	return uids->count == 0 ? 0 : uids->ranges[uids->count - 1].last;
}

void imap_uids_append(struct imap_uids *uids, uint32_t first, uint32_t last)
{
	uint32_t before = imap_uids_count(uids);

	if (uids->count != 0 && uids->ranges[uids->count - 1].last + 1 == first) {
		uids->ranges[uids->count - 1].last = last;
		return;
	}
	reserve(uids, uids->count + 1);
	uids->ranges[uids->count++] = (struct imap_range){first, last, before};
}

void imap_uids_copy(struct imap_uids *uids, const struct imap_uids *from)
{
	reserve(uids, from->count);
	if (from->count != 0)
		memcpy(uids->ranges, from->ranges, from->count * sizeof(*from->ranges));
	uids->count = from->count;
}

void imap_uids_take(struct imap_uids *uids, struct pn_uid_set set)
{
	uids->count = 0;
	reserve(uids, set.count);
	for (size_t i = 0; i < set.count; i++)
		imap_uids_append(uids, set.ranges[i].first, set.ranges[i].last);
}

/* Index of the first range that ends at or behind the UID. */
static size_t find_uid(const struct imap_uids *uids, uint32_t uid)
{
	size_t low = 0;
	size_t high = uids->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (uids->ranges[middle].last < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t imap_uids_sequence(const struct imap_uids *uids, uint32_t uid)
{
	size_t at = find_uid(uids, uid);

	if (at == uids->count || uids->ranges[at].first > uid)
		return 0;
	return uids->ranges[at].before + (uid - uids->ranges[at].first) + 1;
}

bool imap_uids_has(const struct imap_uids *uids, uint32_t uid)
{
	return imap_uids_sequence(uids, uid) != 0;
}

uint32_t imap_uids_at(const struct imap_uids *uids, uint32_t sequence)
{
	size_t low = 0;
	size_t high = uids->count;

	if (sequence == 0 || sequence > imap_uids_count(uids))
		return 0;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (uids->ranges[middle].before < sequence)
			low = middle;
		else
			high = middle;
	}
	return uids->ranges[low].first + (sequence - uids->ranges[low].before - 1);
}

void imap_uids_remove(struct imap_uids *uids, const struct imap_uids *gone)
{
	struct imap_uids rest = {0};
	size_t at = 0;

	if (gone->count == 0 || uids->count == 0)
		return;
	reserve(&rest, uids->count);
	for (size_t i = 0; i < uids->count; i++) {
		uint64_t next = uids->ranges[i].first;
		uint32_t last = uids->ranges[i].last;

		while (at < gone->count && gone->ranges[at].last < next)
			at++;
		for (size_t k = at; k < gone->count && gone->ranges[k].first <= last; k++) {
			if (gone->ranges[k].first > next)
				imap_uids_append(&rest, (uint32_t)next, gone->ranges[k].first - 1);
			if (gone->ranges[k].last >= next)
				next = (uint64_t)gone->ranges[k].last + 1;
		}
		if (next <= last)
			imap_uids_append(&rest, (uint32_t)next, last);
	}
	imap_uids_clear(uids);
	*uids = rest;
}

void imap_uids_common(struct imap_uids *out, const struct imap_uids *left,
                      const struct imap_uids *right)
{
	size_t at = 0;

	for (size_t i = 0; i < left->count; i++) {
		uint32_t first = left->ranges[i].first;
		uint32_t last = left->ranges[i].last;

		/* A few UIDs of many ranges are found without looking at all of them. */
		if (at < right->count && right->ranges[at].last < first)
			at = find_uid(right, first);
		for (size_t k = at; k < right->count && right->ranges[k].first <= last; k++)
			imap_uids_append(
				out,
				right->ranges[k].first > first ? right->ranges[k].first : first,
				right->ranges[k].last < last ? right->ranges[k].last : last);
	}
}

/* Joins a range whose first UID is not below those that are there. */
static void join(struct imap_uids *uids, uint32_t first, uint32_t last)
{
	struct imap_range *end = uids->count == 0 ? NULL : &uids->ranges[uids->count - 1];

	if (end == NULL || end->last < first) {
		imap_uids_append(uids, first, last);
		return;
	}
	if (end->last < last)
		end->last = last;
}

void imap_uids_add(struct imap_uids *uids, const struct imap_uids *more)
{
	struct imap_uids sum = {0};
	size_t left = 0;
	size_t right = 0;

	if (more->count == 0)
		return;
	reserve(&sum, uids->count + more->count);
	while (left < uids->count || right < more->count) {
		const struct imap_range *range;

		if (right == more->count ||
		    (left < uids->count && uids->ranges[left].first <= more->ranges[right].first))
			range = &uids->ranges[left++];
		else
			range = &more->ranges[right++];
		join(&sum, range->first, range->last);
	}
	imap_uids_clear(uids);
	*uids = sum;
}

struct pn_uid_set imap_uids_set_from(const struct imap_uids *uids, uint32_t from,
                                     struct pn_arena *arena)
{
	size_t skip = find_uid(uids, from);
	size_t count = uids->count - skip;
	struct pn_uid_range *ranges = PN_ARENA_ARRAY(arena, count, struct pn_uid_range);

	for (size_t i = 0; i < count; i++) {
		const struct imap_range *range = &uids->ranges[skip + i];

		ranges[i] = (struct pn_uid_range){range->first > from ? range->first : from,
		                                  range->last};
	}
	return (struct pn_uid_set){ranges, count};
}

struct pn_uid_set imap_uids_set(const struct imap_uids *uids, struct pn_arena *arena)
{
	return imap_uids_set_from(uids, 0, arena);
}

static void put_range(struct pn_buffer *out, bool is_first, uint32_t first, uint32_t last)
{
	if (first == last)
		(void)!pn_buffer_print(out, "%s%u", is_first ? "" : ",", first);
	else
		(void)!pn_buffer_print(out, "%s%u:%u", is_first ? "" : ",", first, last);
}

void imap_put_uids(struct pn_buffer *out, const struct imap_uids *uids)
{
	for (size_t i = 0; i < uids->count; i++)
		put_range(out, i == 0, uids->ranges[i].first, uids->ranges[i].last);
}

/* Neighbours in the view may be far apart as UIDs: their places are one range all the same. */
void imap_put_sequences(struct pn_buffer *out, const struct imap_uids *view,
                        const struct imap_uids *uids)
{
	struct imap_uids places = {0};

	for (size_t i = 0; i < uids->count; i++) {
		uint32_t first = imap_uids_sequence(view, uids->ranges[i].first);

		if (first != 0)
			imap_uids_append(&places, first,
			                 first + (uids->ranges[i].last - uids->ranges[i].first));
	}
	imap_put_uids(out, &places);
	imap_uids_clear(&places);
}

void imap_walk_begin(struct imap_walk *walk, const struct imap_uids *uids, uint32_t from)
{
	walk->uids = uids;
	walk->range = find_uid(uids, from);
	walk->next = from;
}

uint32_t imap_walk_next(struct imap_walk *walk)
{
	const struct imap_range *range;

	if (walk->range >= walk->uids->count)
		return 0;
	range = &walk->uids->ranges[walk->range];
	if (walk->next < range->first)
		walk->next = range->first;
	if (walk->next == range->last)
		walk->range++;
	return (uint32_t)walk->next++;
}
