/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of UIDs: ascending ranges that do not touch. Pure. */
#include <postern/store.h>

/* The first range that does not end before `uid`, or set.count. */
static size_t find(struct pn_uid_set set, uint32_t uid)
{
	size_t low = 0;
	size_t high = set.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set.ranges[middle].last < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool pn_uid_set_has(struct pn_uid_set set, uint32_t uid)
{
	size_t at = find(set, uid);

	return at < set.count && set.ranges[at].first <= uid;
}

uint64_t pn_uid_set_count(struct pn_uid_set set)
{
	uint64_t count = 0;

	for (size_t i = 0; i < set.count; i++)
		count += (uint64_t)set.ranges[i].last - set.ranges[i].first + 1;
	return count;
}

struct pn_uid_set pn_uid_set_of(struct pn_arena *arena, const uint32_t *uids, size_t count)
{
	struct pn_uid_set set = {NULL, 0};
	struct pn_uid_range *ranges;
	size_t needed = 0;

	for (size_t i = 0; i < count; i++)
		if (i == 0 || (uids[i] != uids[i - 1] && uids[i] != uids[i - 1] + 1))
			needed++;
	ranges = PN_ARENA_ARRAY(arena, needed, struct pn_uid_range);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || (uids[i] != uids[i - 1] && uids[i] != uids[i - 1] + 1))
			ranges[set.count++].first = uids[i];
		ranges[set.count - 1].last = uids[i];
	}
	set.ranges = ranges;
	return set;
}
