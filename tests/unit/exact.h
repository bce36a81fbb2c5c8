/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For unit tests: input in a block of exactly its size, so that AddressSanitizer
 * sees a parser that reads one byte too far; and running suites.
 */
#ifndef TESTS_UNIT_EXACT_H
#define TESTS_UNIT_EXACT_H

#include <postern/types.h>

#include <check.h>
#include <stdlib.h>

/* For loops of many thousands: ck_assert() writes to a file each time it is passed. */
#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s", #condition);                                            \
	} while (0)

/* A copy without anything behind it. Free its `data` with free(). */
static inline struct pn_slice exact(struct pn_slice text)
{
	char *copy = malloc(text.size > 0 ? text.size : 1);

	if (copy == NULL)
		abort();
	if (text.size > 0)
		memcpy(copy, text.data, text.size);
	else
		free(copy), copy = NULL;
	return pn_slice_make(copy, text.size);
}

/* The number-th word of `length` letters of `alphabet`, in a block of its size. */
static inline struct pn_slice exact_word(const char *alphabet, size_t letters, size_t length,
                                         size_t number)
{
	char word[16] = {0};

	for (size_t index = 0; index < length; index++) {
		word[index] = alphabet[number % letters];
		number /= letters;
	}
	return exact(pn_slice_make(word, length));
}

static inline size_t word_count(size_t letters, size_t length)
{
	size_t count = 1;

	while (length-- > 0)
		count *= letters;
	return count;
}

/* Runs the suites (NULL-terminated) and returns the exit code. */
static inline int run_suites(Suite *(*const *suites)(void))
{
	SRunner *runner = srunner_create(NULL);
	int failed;

	for (; *suites != NULL; suites++)
		srunner_add_suite(runner, (*suites)());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A suite of one case with these tests. */
static inline Suite *suite_of(const char *name, const TTest *const *tests)
{
	Suite *suite = suite_create(name);
	TCase *test_case = tcase_create(name);

	tcase_set_timeout(test_case, 120);
	for (; *tests != NULL; tests++)
		tcase_add_test(test_case, *tests);
	suite_add_tcase(suite, test_case);
	return suite;
}

#endif
