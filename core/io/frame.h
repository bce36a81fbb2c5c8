/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing: where lines end and where dot-stuffed data ends. The only place that
 * decides it. Pure: no I/O, no allocation, no globals; the same events for the
 * same bytes, however they are cut into pieces.
 *
 * Only CRLF ends a line. A bare CR, a bare LF and a NUL are problems, found at
 * the first byte that proves them.
 */
#ifndef CORE_IO_FRAME_H
#define CORE_IO_FRAME_H

#include <postern/protocol.h>
#include <postern/types.h>

/*
 * Looks for a line at the beginning of `input`.
 *
 * Returns true when there is something to say: *problem, *line (without CRLF; for TOO_LONG the
 * first `limit` bytes) and *consumed (bytes to take off the input). Returns false when more bytes
 * are needed; *scanned (in and out, 0 for a fresh line) remembers what was searched, so a growing
 * line is read once.
 *
 * TOO_LONG is reported as soon as limit + 2 bytes are there without a CRLF; the caller then skips
 * with pn_frame_skip_line until it returns true.
 */
bool pn_frame_line(struct pn_slice input, size_t limit, size_t *scanned,
		   enum pn_line_problem *problem, struct pn_slice *line, size_t *consumed);

/* Skips the rest of a line that was too long. True when its CRLF was found; *consumed always set. */
bool pn_frame_skip_line(struct pn_slice input, bool *after_cr, size_t *consumed);

/* Where a reader of dot-stuffed data stands. Zeroed at the beginning ("at the start of a line"). */
struct pn_frame_dot {
	uint8_t state;
};

/*
 * Takes as much of `input` as can be decided. Content goes out as slices of the input: call until
 * it returns an empty piece with consumed == 0 (more input is needed), is_last, or a problem.
 * A dot that was doubled is left out (RFC 5321 section 4.5.2). After is_last nothing belongs to
 * the data any more; *consumed covers the terminator. CRLF pieces may come from the state alone:
 * then *piece points to static text.
 */
void pn_frame_dot(struct pn_frame_dot *dot, struct pn_slice input, struct pn_slice *piece,
		  size_t *consumed, bool *is_last, enum pn_line_problem *problem);

/*
 * The other direction: writes content so that it is safe in dot-stuffed data. Emits slices through
 * `write`; with is_last, ends an unfinished line with CRLF and writes the final ".\r\n". A bare CR
 * or LF in the content (a body that was stored cannot have one) is written as CRLF: what goes out
 * has exactly one end.
 */
struct pn_frame_stuff {
	uint8_t state;
};

void pn_frame_stuff(struct pn_frame_stuff *stuff, struct pn_slice content, bool is_last,
		    void (*write)(void *user, struct pn_slice bytes), void *user);

#endif
