/* SPDX-License-Identifier: Apache-2.0 */
/* Details of queue rows: any bytes, damaged ones, and one pair set anew. */
#include "../exact.h"
#include "suites.h"

#include <postern/arena.h>
#include <postern/text.h>

#include "delivery/details.h"

#include <stdlib.h>

static struct pn_arena *arena;
static struct pn_buffer details;

static void set_up(void)
{
	arena = pn_arena_new();
	pn_details_init(&details);
	ck_assert_int_eq(pn_details_add(&details, PN_SLICE("peer"), PN_SLICE("192.0.2.1")), PN_OK);
	ck_assert_int_eq(pn_details_add(&details, PN_SLICE("note.x"), PN_SLICE("a\0b\r\n")), PN_OK);
	ck_assert_int_eq(pn_details_add(&details, PN_SLICE("empty"), PN_SLICE("")), PN_OK);
}

static void tear_down(void)
{
	pn_buffer_clear(&details);
	pn_arena_free(&arena);
}

static bool has(struct pn_slice text, const char *key, struct pn_slice value)
{
	return pn_slice_equal(pn_queue_detail_of(text, pn_slice_of(key)), value);
}

START_TEST(gives_back_any_bytes)
{
	struct pn_slice text = pn_buffer_slice(&details);

	ck_assert(has(text, "peer", PN_SLICE("192.0.2.1")));
	ck_assert(has(text, "note.x", PN_SLICE("a\0b\r\n")));
	ck_assert(has(text, "empty", PN_SLICE("")));
	ck_assert(has(text, "absent", PN_SLICE("")));
}
END_TEST

START_TEST(sets_one_pair_anew)
{
	struct pn_slice text = pn_queue_detail_set(arena, pn_buffer_slice(&details),
	                                           PN_SLICE("peer"), PN_SLICE("other"));

	ck_assert(has(text, "peer", PN_SLICE("other")));
	ck_assert(has(text, "note.x", PN_SLICE("a\0b\r\n")));
	text = pn_queue_detail_set(arena, text, PN_SLICE("peer"), PN_SLICE(""));
	ck_assert(has(text, "peer", PN_SLICE("")));
	text = pn_queue_detail_set(arena, PN_SLICE(""), PN_SLICE("new"), PN_SLICE("1"));
	ck_assert(has(text, "new", PN_SLICE("1")));
}
END_TEST

/* Whatever is cut off or flipped: no byte outside is read (the sanitizers look), and it ends. */
START_TEST(survives_damage)
{
	struct pn_slice whole = pn_buffer_slice(&details);

	for (size_t size = 0; size <= whole.size; size++) {
		for (size_t flip = 0; flip <= size; flip++) {
			char *copy = malloc(size + 1);
			struct pn_queue_detail detail;
			size_t at = 0;
			size_t steps = 0;

			memcpy(copy, whole.data, size);
			if (flip < size)
				copy[flip] = (char)~copy[flip];
			copy = realloc(copy, size == 0 ? 1 : size);
			while (pn_queue_detail_next(pn_slice_make(copy, size), &at, &detail))
				ck_assert_uint_lt(steps++, 100);
			free(copy);
		}
	}
}
END_TEST

START_TEST(refuses_a_pair_that_does_not_fit)
{
	static char large[1024 * 1024];
	size_t before = details.size;

	ck_assert_int_eq(
		pn_details_add(&details, PN_SLICE("large"), pn_slice_make(large, sizeof(large))),
		PN_LIMIT);
	ck_assert_uint_eq(details.size, before);
	ck_assert_int_eq(pn_details_add(&details, PN_SLICE("large"),
	                                pn_slice_make(large, sizeof(large) - before - 13)),
	                 PN_OK);
	ck_assert_uint_eq(details.size, sizeof(large));
}
END_TEST

Suite *details_suite(void)
{
	Suite *suite = suite_create("details");
	TCase *tcase = tcase_create("pairs");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, gives_back_any_bytes);
	tcase_add_test(tcase, sets_one_pair_anew);
	tcase_add_test(tcase, survives_damage);
	tcase_add_test(tcase, refuses_a_pair_that_does_not_fit);
	suite_add_tcase(suite, tcase);
	return suite;
}
