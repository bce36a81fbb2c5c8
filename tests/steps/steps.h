/* SPDX-License-Identifier: Apache-2.0 */
/* Counting steps, the texts that are read, and who reads them. */
#ifndef TESTS_STEPS_STEPS_H
#define TESTS_STEPS_STEPS_H

#include <postern/buffer.h>
#include <postern/types.h>

/* Branches taken, and bytes moved or compared (eight are a step), since the start. */
extern uint64_t steps;

/* texts.c: kinds of text, of about any size. NULL past the end. */
const char *text_name(size_t index);
void text_write(size_t index, size_t size, struct pn_buffer *out);

struct reader {
	const char *name;
	void (*read)(struct pn_slice text);
	size_t smallest; /* size that is doubled three times; 0: the usual one */
};

/* readers.c and sessions.c; the last one has no name */
extern const struct reader readers[];
extern const struct reader sessions[];

#endif
