/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: zeroed, aligned, counted, and given back whole. */
#include "../exact.h"
#include "suites.h"

#include <postern/arena.h>

#include <signal.h>

START_TEST(gives_zeroed_aligned_memory_of_any_size)
{
	static const size_t sizes[] = {0, 1, 7, 15, 16, 17, 500, 513, 1000, 1024, 1025, 70000};
	struct pn_arena *arena = pn_arena_new();
	size_t used = 0;

	for (size_t round = 0; round < 20; round++) {
		for (size_t index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
			unsigned char *bytes = pn_arena_allocate(arena, sizes[index]);

			ck_assert_ptr_nonnull(bytes);
			ck_assert_uint_eq((uintptr_t)bytes % _Alignof(max_align_t), 0);
			for (size_t at = 0; at < sizes[index]; at++) {
				ck_assert_uint_eq(bytes[at], 0);
				bytes[at] = 0xff;
			}
			used += sizes[index];
		}
	}
	ck_assert_uint_eq(pn_arena_used(arena), used);
	pn_arena_free(&arena);
	ck_assert_ptr_null(arena);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(allocations_do_not_overlap)
{
	struct pn_arena *arena = pn_arena_new();
	unsigned char *blocks[300];

	for (size_t index = 0; index < 300; index++) {
		blocks[index] = pn_arena_allocate(arena, 1 + index * 7 % 900);
		memset(blocks[index], (int)(index % 251), 1 + index * 7 % 900);
	}
	for (size_t index = 0; index < 300; index++) {
		for (size_t at = 0; at < 1 + index * 7 % 900; at++)
			ck_assert_uint_eq(blocks[index][at], index % 251);
	}
	pn_arena_free(&arena);
}
END_TEST

START_TEST(keeps_bytes_with_a_nul_behind_them)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_slice kept = pn_arena_keep(arena, pn_slice_make("a\0b", 3));

	ck_assert_uint_eq(kept.size, 3);
	ck_assert_mem_eq(kept.data, "a\0b", 4);
	ck_assert_str_eq(pn_arena_keep_text(arena, PN_SLICE_NONE), "");
	ck_assert_str_eq(pn_arena_print(arena, "%d-%s", 7, "x"), "7-x");
	pn_arena_free(&arena);
}
END_TEST

START_TEST(reset_gives_everything_back)
{
	struct pn_arena *arena = pn_arena_new();

	pn_arena_allocate(arena, 100);
	pn_arena_allocate(arena, 100000);
	pn_arena_reset(arena);
	ck_assert_uint_eq(pn_arena_used(arena), 0);
	pn_arena_allocate(arena, 10);
	ck_assert_uint_eq(pn_arena_used(arena), 10);
	pn_arena_free(&arena);
}
END_TEST

START_TEST(ends_the_process_when_a_product_overflows)
{
	struct pn_arena *arena = pn_arena_new();

	pn_arena_allocate_array(arena, SIZE_MAX / 2, 3);
}
END_TEST

Suite *arena_suite(void)
{
	static const TTest *tests[5];
	Suite *suite;
	TCase *aborting = tcase_create("aborting");

	tests[0] = gives_zeroed_aligned_memory_of_any_size;
	tests[1] = allocations_do_not_overlap;
	tests[2] = keeps_bytes_with_a_nul_behind_them;
	tests[3] = reset_gives_everything_back;
	suite = suite_of("arena", tests);
	if (getenv("CK_FORK") == NULL || strcmp(getenv("CK_FORK"), "no") != 0)
		tcase_add_test_raise_signal(aborting, ends_the_process_when_a_product_overflows,
		                            SIGABRT);
	suite_add_tcase(suite, aborting);
	return suite;
}
