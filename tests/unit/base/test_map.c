/* SPDX-License-Identifier: Apache-2.0 */
/* The map, against an array. */
#include "../exact.h"
#include "suites.h"

#include "base/map.h"

#include <stdio.h>

START_TEST(behaves_like_an_array_through_twenty_thousand_changes)
{
	static int values[512];
	bool present[512] = {false};
	struct pn_map *map = pn_map_new(12345);
	uint32_t state = 1;
	size_t count = 0;

	for (size_t step = 0; step < 20000; step++) {
		char name[16];
		size_t number;
		struct pn_slice key;

		state = state * 1664525u + 1013904223u;
		number = state >> 16 & 511;
		key = pn_slice_make(name, (size_t)snprintf(name, sizeof(name), "key%zu", number));
		if ((state >> 30) == 0) {
			ck_assert_ptr_eq(pn_map_remove(map, key),
			                 present[number] ? &values[number] : NULL);
			count -= present[number];
			present[number] = false;
		} else if ((state >> 30) == 1) {
			ck_assert_ptr_eq(pn_map_set(map, key, &values[number]),
			                 present[number] ? &values[number] : NULL);
			count += !present[number];
			present[number] = true;
		} else {
			ck_assert_ptr_eq(pn_map_get(map, key),
			                 present[number] ? &values[number] : NULL);
		}
		ck_assert_uint_eq(pn_map_count(map), count);
	}
	pn_map_free(&map);
	ck_assert_ptr_null(map);
}
END_TEST

START_TEST(walks_over_every_entry_once)
{
	static int value;
	struct pn_map *map = pn_map_new(7);
	size_t position = 0, seen = 0;
	struct pn_slice key;
	void *found;

	ck_assert(!pn_map_next(map, &position, &key, &found));
	for (int index = 0; index < 100; index++)
		pn_map_set(map, pn_slice_make((const char *)&index, sizeof(index)), &value);
	position = 0;
	while (pn_map_next(map, &position, &key, &found)) {
		ck_assert_uint_eq(key.size, sizeof(int));
		ck_assert_ptr_eq(found, &value);
		seen++;
	}
	ck_assert_uint_eq(seen, 100);
	pn_map_free(&map);
}
END_TEST

START_TEST(knows_empty_keys_and_keys_with_any_byte)
{
	static int values[3];
	struct pn_map *map = pn_map_new(0);

	ck_assert_ptr_null(pn_map_get(map, PN_SLICE_NONE));
	ck_assert_ptr_null(pn_map_remove(map, PN_SLICE_NONE));
	ck_assert_ptr_null(pn_map_set(map, PN_SLICE_NONE, &values[0]));
	ck_assert_ptr_null(pn_map_set(map, pn_slice_make("\0", 1), &values[1]));
	ck_assert_ptr_null(pn_map_set(map, pn_slice_make("\0\0", 2), &values[2]));
	ck_assert_ptr_eq(pn_map_get(map, PN_SLICE("")), &values[0]);
	ck_assert_ptr_eq(pn_map_get(map, pn_slice_make("\0", 1)), &values[1]);
	ck_assert_ptr_eq(pn_map_remove(map, pn_slice_make("\0\0", 2)), &values[2]);
	ck_assert_uint_eq(pn_map_count(map), 2);
	pn_map_free(&map);
}
END_TEST

Suite *map_suite(void)
{
	static const TTest *tests[4];

	tests[0] = behaves_like_an_array_through_twenty_thousand_changes;
	tests[1] = walks_over_every_entry_once;
	tests[2] = knows_empty_keys_and_keys_with_any_byte;
	return suite_of("map", tests);
}
