/* SPDX-License-Identifier: Apache-2.0 */
/* The patterns of policies: they stay in their text, and stop when their steps are used up. */
#include "fuzz.h"

#include <setjmp.h>
#include <stdlib.h>

#include "policy/pattern.h"

enum { STEPS_MAX = 1000000 };

struct budget {
	uint64_t steps;
	jmp_buf out;
};

static void spend(void *user, uint64_t steps)
{
	struct budget *budget = user;

	budget->steps += steps;
	if (budget->steps > STEPS_MAX)
		longjmp(budget->out, 1);
}

static void check_match(const struct pn_pattern_match *match)
{
	const char *begin = match->subject.data, *end = begin + match->subject.size;

	require(match->start >= begin && match->end >= match->start && match->end <= end);
	for (size_t index = 0; index < match->pattern->capture_count; index++) {
		const struct pn_pattern_capture *capture = &match->captures[index];

		require(capture->start >= match->start &&
		        capture->start + capture->size <= match->end);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t pattern_size = take_byte(&data, &size);
	bool may_anchor = (pattern_size & 1) != 0;
	struct pn_slice text = rest_of(data, size), pattern_text, subject;
	struct pn_pattern *pattern;
	struct pn_pattern_match match = {0};
	struct budget budget = {0};

	if (text.size == 0)
		return 0;
	if (pattern_size > text.size)
		pattern_size = text.size;
	pattern_text = pn_slice_make(text.data, pattern_size);
	subject = pn_slice_make(text.data + pattern_size, text.size - pattern_size);
	pattern = malloc(pn_pattern_size(pattern_text));
	if (pattern == NULL)
		abort();
	if (pn_pattern_compile(pattern, pattern_text, may_anchor) == NULL) {
		match.pattern = pattern;
		match.subject = subject;
		match.spend = spend;
		match.user = &budget;
		if (setjmp(budget.out) == 0 && pn_pattern_search(&match, subject.data))
			check_match(&match);
	}
	free(pattern);
	return 0;
}
