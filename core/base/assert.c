/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a process that found itself wrong. Called by pn_assert and where
 * memory is gone; takes no memory itself. Any thread.
 */
#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

PN_NORETURN void pn_assert_failed(const char *file, int line, const char *text)
{
	fprintf(stderr, "postern: %s:%d: internal error: %s\n", file, line, text);
	abort();
}
