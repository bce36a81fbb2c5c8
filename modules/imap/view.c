/* SPDX-License-Identifier: Apache-2.0 */
/* The selected mailbox as the client knows it. */
#include "imap.h"

#include <postern/text.h>

#include <stdlib.h>

/* Not in an arena: mailboxes come and go in a session. */
struct imap_view *imap_view_new(void)
{
	struct imap_view *view = calloc(1, sizeof(*view));

	if (view == NULL)
		abort();
	pn_buffer_init(&view->keywords, (PN_KEYWORD_MAX + 1) * 4 * PN_KEYWORDS_PER_MAILBOX);
	return view;
}

void imap_view_free(struct imap_view **view)
{
	struct imap_view *freed = *view;

	*view = NULL;
	if (freed == NULL)
		return;
	imap_uids_clear(&freed->uids);
	imap_uids_clear(&freed->vanished);
	pn_buffer_clear(&freed->keywords);
	free(freed);
}

static int compare_ranges(const void *left, const void *right)
{
	const struct imap_range *a = left;
	const struct imap_range *b = right;

	return a->first < b->first ? -1 : a->first > b->first;
}

/* The numbers of a range in order, with the last there is for "*". */
static void order_range(const struct imap_set_range *range, uint32_t last, uint64_t *low_out,
                        uint64_t *high_out)
{
	uint64_t first = range->first == IMAP_STAR ? last : range->first;
	uint64_t second = range->last == IMAP_STAR ? last : range->last;

	*low_out = first < second ? first : second;
	*high_out = first < second ? second : first;
}

/* A range as written, as UIDs; {0} where it names nothing. */
static struct imap_range resolve_range(const struct imap_uids *uids,
                                       const struct imap_set_range *range, bool is_uid)
{
	uint32_t last = is_uid ? imap_uids_last(uids) : imap_uids_count(uids);
	uint64_t low;
	uint64_t high;

	order_range(range, last, &low, &high);
	if (is_uid)
		return (struct imap_range){(uint32_t)low, (uint32_t)high, 0};
	if (low == 0 || low > last)
		return (struct imap_range){0};
	return (struct imap_range){imap_uids_at(uids, (uint32_t)low),
	                           imap_uids_at(uids, high < last ? (uint32_t)high : last), 0};
}

static bool names_messages(const struct imap_uids *uids, const struct imap_set *set)
{
	uint32_t last = imap_uids_count(uids);
	uint64_t low;
	uint64_t high;

	for (size_t i = 0; i < set->count; i++) {
		order_range(&set->ranges[i], last, &low, &high);
		if (low == 0 || high > last)
			return false;
	}
	return true;
}

/* Ranges as a client wrote them: in any order, and they may overlap. */
static void merge_ranges(struct imap_range *ranges, size_t count, struct imap_uids *uids)
{
	uint64_t next = 0;

	if (count != 0)
		qsort(ranges, count, sizeof(*ranges), compare_ranges);
	for (size_t i = 0; i < count; i++) {
		uint32_t first = ranges[i].first < next ? (uint32_t)next : ranges[i].first;

		if (ranges[i].last < next)
			continue;
		imap_uids_append(uids, first, ranges[i].last);
		next = (uint64_t)ranges[i].last + 1;
	}
}

void imap_view_ranges(const struct imap_view *view, const struct imap_set *set, bool is_uid,
                      struct pn_arena *arena, struct imap_uids *uids_out)
{
	struct imap_range *ranges = PN_ARENA_ARRAY(arena, set->count, struct imap_range);
	size_t count = 0;

	*uids_out = (struct imap_uids){0};
	for (size_t i = 0; i < set->count; i++) {
		ranges[count] = resolve_range(&view->uids, &set->ranges[i], is_uid);
		if (ranges[count].last != 0)
			count++;
	}
	merge_ranges(ranges, count, uids_out);
}

bool imap_view_resolve(const struct imap_session *imap, const struct imap_set *set, bool is_uid,
                       struct pn_arena *arena, struct imap_uids *uids_out)
{
	const struct imap_uids *uids = &imap->view->uids;
	struct imap_uids asked;

	*uids_out = (struct imap_uids){0};
	if (set->is_saved) {
		imap_uids_common(uids_out, uids, &imap->saved);
		return true;
	}
	if (!is_uid && !names_messages(uids, set))
		return false;
	imap_view_ranges(imap->view, set, is_uid, arena, &asked);
	imap_uids_common(uids_out, &asked, uids);
	imap_uids_clear(&asked);
	return true;
}

void imap_set_numbers(const struct imap_set *set, uint32_t star, struct pn_arena *arena,
                      struct imap_uids *numbers_out)
{
	struct imap_range *ranges = PN_ARENA_ARRAY(arena, set->count, struct imap_range);

	for (size_t i = 0; i < set->count; i++) {
		uint32_t first =
			set->ranges[i].first == IMAP_STAR ? star : (uint32_t)set->ranges[i].first;
		uint32_t last =
			set->ranges[i].last == IMAP_STAR ? star : (uint32_t)set->ranges[i].last;

		ranges[i] = (struct imap_range){first < last ? first : last,
		                                first < last ? last : first, 0};
	}
	merge_ranges(ranges, set->count, numbers_out);
}

bool imap_has_keyword(const struct imap_view *view, struct pn_slice word)
{
	struct pn_slice rest = pn_buffer_slice(&view->keywords);

	while (rest.size > 0) {
		if (pn_slice_equal_ignore_case(pn_slice_cut(&rest, ' '), word))
			return true;
	}
	return false;
}

void imap_add_keyword(struct imap_view *view, struct pn_slice word)
{
	if (word.size == 0 || imap_has_keyword(view, word))
		return;
	imap_put(&view->keywords, " ");
	imap_put_slice(&view->keywords, word);
}

void imap_tell_flags(struct pn_session *session, const struct imap_view *view)
{
	static const char system[] = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";
	struct pn_buffer out;

	pn_buffer_init(&out, 64 * 1024);
	imap_put(&out, "* FLAGS (");
	imap_put(&out, system);
	imap_put_slice(&out, pn_buffer_slice(&view->keywords));
	imap_put(&out, ")\r\n* OK [PERMANENTFLAGS (");
	if (!view->is_read_only) {
		imap_put(&out, system);
		imap_put_slice(&out, pn_buffer_slice(&view->keywords));
		imap_put(&out, " \\*");
	}
	imap_put(&out,
	         view->is_read_only ? ")] nothing can be changed\r\n" : ")] flags are kept\r\n");
	imap_send(session, &out);
}

/* RFC 3501 section 2.3.2: who is told first is a matter of luck, but an old message should not be
 * new again. What concurrent sessions are told at the same time is recent in each. */
void imap_claim_recent(struct pn_session *session, struct imap_session *imap)
{
	struct imap_view *view = imap->view;
	struct pn_uid_range *range;
	struct pn_commit *commit;
	struct pn_mutation *mutation;

	if (view->is_read_only || view->first_unclaimed == 0 ||
	    view->first_unclaimed >= view->uid_next)
		return;
	commit = imap_commit_new(session, PN_MUTATION_RECENT, view->mailbox, &mutation);
	range = PN_ARENA_NEW(commit->arena, struct pn_uid_range);
	*range = (struct pn_uid_range){view->first_unclaimed, view->uid_next - 1};
	mutation->uids = (struct pn_uid_set){range, 1};
	view->first_unclaimed = view->uid_next;
	pn_store_commit(pn_session_account(session), commit, (struct pn_ticket){0, 0});
}

uint32_t imap_recent_count(const struct imap_view *view)
{
	uint32_t count = 0;

	for (size_t i = 0; i < view->uids.count; i++) {
		const struct imap_range *range = &view->uids.ranges[i];
		uint32_t first = range->first > view->recent_uid ? range->first : view->recent_uid;

		if (range->last >= first)
			count += range->last - first + 1;
	}
	return count;
}

void imap_unselect_mailbox(struct pn_session *session, struct imap_session *imap)
{
	if (imap->view == NULL)
		return;
	imap_claim_recent(session, imap);
	imap_view_free(&imap->view);
	imap_uids_clear(&imap->saved);
	imap->state = IMAP_AUTHENTICATED;
}
