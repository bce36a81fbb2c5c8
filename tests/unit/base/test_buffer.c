/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer: what goes in comes out, and the limit holds. */
#include "../exact.h"
#include "suites.h"

#include <postern/buffer.h>

START_TEST(grows_up_to_its_limit_and_not_beyond)
{
	static const char letters[] = "abcdefg";
	struct pn_buffer buffer;

	pn_buffer_init(&buffer, 1000);
	for (size_t index = 0; index < 1000; index++)
		ck_assert_int_eq(pn_buffer_append(&buffer, pn_slice_make(&letters[index % 7], 1)),
		                 PN_OK);
	ck_assert_int_eq(pn_buffer_append(&buffer, PN_SLICE("x")), PN_LIMIT);
	ck_assert_int_eq(pn_buffer_append(&buffer, PN_SLICE_NONE), PN_OK);
	ck_assert_int_eq(pn_buffer_print(&buffer, "%s", "x"), PN_LIMIT);
	ck_assert_int_eq(pn_buffer_print(&buffer, "%s", ""), PN_OK);
	ck_assert_uint_eq(buffer.size, 1000);
	for (size_t index = 0; index < 1000; index++)
		ck_assert_int_eq(buffer.data[index], letters[index % 7]);
	pn_buffer_clear(&buffer);
}
END_TEST

START_TEST(leaves_its_contents_when_an_append_does_not_fit)
{
	struct pn_buffer buffer;
	char *room;

	pn_buffer_init(&buffer, 10);
	ck_assert_int_eq(pn_buffer_append(&buffer, PN_SLICE("12345678")), PN_OK);
	ck_assert_int_eq(pn_buffer_append(&buffer, PN_SLICE("abc")), PN_LIMIT);
	ck_assert_int_eq(pn_buffer_print(&buffer, "%d", 100), PN_LIMIT);
	ck_assert_int_eq(pn_buffer_reserve(&buffer, SIZE_MAX, &room), PN_LIMIT);
	ck_assert_uint_eq(buffer.size, 8);
	ck_assert_mem_eq(buffer.data, "12345678", 8);
	ck_assert_int_eq(pn_buffer_print(&buffer, "%d", 90), PN_OK);
	ck_assert_mem_eq(buffer.data, "1234567890", 10);
	pn_buffer_clear(&buffer);
}
END_TEST

START_TEST(gives_room_that_the_caller_fills)
{
	struct pn_buffer buffer;
	char *room;

	pn_buffer_init(&buffer, 100);
	ck_assert_int_eq(pn_buffer_reserve(&buffer, 100, &room), PN_OK);
	memset(room, 'z', 100);
	buffer.size += 100;
	ck_assert_int_eq(pn_buffer_reserve(&buffer, 0, &room), PN_OK);
	ck_assert_int_eq(pn_buffer_reserve(&buffer, 1, &room), PN_LIMIT);
	pn_buffer_clear(&buffer);
	ck_assert_int_eq(pn_buffer_reserve(&buffer, 0, &room), PN_OK);
	ck_assert_ptr_nonnull(room);
	pn_buffer_clear(&buffer);
}
END_TEST

START_TEST(consumes_from_the_front)
{
	struct pn_buffer buffer;

	pn_buffer_init(&buffer, 100);
	ck_assert_int_eq(pn_buffer_print(&buffer, "%s", "one two three"), PN_OK);
	pn_buffer_consume(&buffer, 4);
	ck_assert_uint_eq(buffer.size, 9);
	ck_assert_mem_eq(buffer.data, "two three", 9);
	pn_buffer_consume(&buffer, 0);
	pn_buffer_consume(&buffer, 9);
	ck_assert_uint_eq(buffer.size, 0);
	ck_assert_int_eq(pn_buffer_append(&buffer, PN_SLICE("four")), PN_OK);
	ck_assert_mem_eq(buffer.data, "four", 4);
	pn_buffer_clear(&buffer);
}
END_TEST

Suite *buffer_suite(void)
{
	static const TTest *tests[5];

	tests[0] = grows_up_to_its_limit_and_not_beyond;
	tests[1] = leaves_its_contents_when_an_append_does_not_fit;
	tests[2] = gives_room_that_the_caller_fills;
	tests[3] = consumes_from_the_front;
	return suite_of("buffer", tests);
}
