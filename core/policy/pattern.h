/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lua patterns, as the manual describes them (section 6.4.1), with a count of
 * steps: what a pattern costs is set by the script and by strangers' text, so the
 * caller is asked for more steps again and again, and may not come back. A pattern
 * is compiled into items first; matching backs up only at items that repeat, so
 * that its depth is bounded by the length of the pattern. Pure.
 */
#ifndef CORE_POLICY_PATTERN_H
#define CORE_POLICY_PATTERN_H

#include <postern/types.h>

enum {
	PN_PATTERN_ITEMS_MAX = 256,
	PN_PATTERN_CAPTURES_MAX = 32,
};

struct pn_pattern_item {
	uint8_t kind;
	uint8_t repeat;
	uint8_t first;  /* byte; number of a capture; opening byte */
	uint8_t second; /* closing byte */
	uint16_t set;
};

struct pn_pattern {
	size_t item_count;
	size_t set_count;
	size_t capture_count;
	bool is_anchored; /* began with '^' */
	size_t item_limit;
	struct pn_pattern_item *items; /* behind this struct, in the same block */
	uint32_t (*sets)[8];           /* one bit for each byte */
};

struct pn_pattern_capture {
	const char *start;
	size_t size;
	bool is_position;
};

struct pn_pattern_match {
	const struct pn_pattern *pattern;
	struct pn_slice subject;
	const char *start; /* of the match */
	const char *end;
	struct pn_pattern_capture captures[PN_PATTERN_CAPTURES_MAX];

	/* Called with the steps since the last call, every few thousand. May leave by longjmp. */
	void (*spend)(void *user, uint64_t steps);
	void *user;
	uint64_t steps;
};

/* Bytes that the compiled form of a pattern needs, aligned as malloc's. */
size_t pn_pattern_size(struct pn_slice text);

/* Compiles into a block of that size. NULL, or what is wrong with the pattern. `may_anchor`: a
 * leading '^' is no byte but an anchor. */
const char *pn_pattern_compile(struct pn_pattern *pattern, struct pn_slice text, bool may_anchor);

/* Whether the pattern matches at exactly this place; fills in start, end and captures. */
bool pn_pattern_at(struct pn_pattern_match *match, const char *place);

/* The same at the first place from there on where it matches (only there, if anchored). */
bool pn_pattern_search(struct pn_pattern_match *match, const char *place);

#endif
