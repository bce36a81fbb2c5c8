/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For fuzz targets: each is one file with LLVMFuzzerTestOneInput, run by libFuzzer
 * or, over its corpus, by replay.c.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <postern/types.h>

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that must hold for every input. */
#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
			        #condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* Takes the first byte of the input as a number; 0 where there is none. */
static inline unsigned take_byte(const uint8_t **data, size_t *size)
{
	if (*size == 0)
		return 0;
	(*size)--;
	return *(*data)++;
}

static inline struct pn_slice rest_of(const uint8_t *data, size_t size)
{
	return pn_slice_make((const char *)data, size);
}

/* A copy in a block of its own size, for pieces whose end the sanitizer must see. */
static inline struct pn_slice exact_copy(struct pn_slice text)
{
	char *copy = malloc(text.size > 0 ? text.size : 1);

	require(copy != NULL);
	if (text.size > 0)
		memcpy(copy, text.data, text.size);
	return pn_slice_make(copy, text.size);
}

#endif
