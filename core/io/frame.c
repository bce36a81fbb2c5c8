/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Framing, byte by byte: one small state machine for each direction. Called by
 * sessions for what arrives and for what is sent as a dot-stuffed reply. Every
 * byte is looked at once; what is decided never depends on how the bytes were cut.
 * Pure, any thread.
 */
#include "io/frame.h"

bool pn_frame_line(struct pn_slice input, size_t limit, size_t *scanned,
                   enum pn_line_problem *problem, struct pn_slice *line, size_t *consumed)
{
	size_t index = *scanned;

	for (; index < input.size; index++) {
		char byte = input.data[index];
		bool after_cr = index > 0 && input.data[index - 1] == '\r';

		if (byte == '\n' || byte == '\0' || after_cr) {
			size_t text_size = after_cr ? index - 1 : index;

			*line = pn_slice_make(input.data, text_size);
			*consumed = index + 1;
			if (byte == '\n' && after_cr) {
				*problem = PN_LINE_GOOD;
			} else if (after_cr) {
				/* The byte that proves it may begin something else. */
				*problem = PN_LINE_BARE_CR;
				*consumed = index;
			} else {
				*problem = byte == '\n' ? PN_LINE_BARE_LF : PN_LINE_NUL;
			}
			*scanned = 0;
			return true;
		}
		if (index > limit) {
			*problem = PN_LINE_TOO_LONG;
			*line = pn_slice_make(input.data, limit);
			/* A CR at the end may be half of the CRLF that the skipping looks for. */
			*consumed = byte == '\r' ? index : index + 1;
			*scanned = 0;
			return true;
		}
	}
	*scanned = index;
	return false;
}

bool pn_frame_skip_line(struct pn_slice input, bool *after_cr, size_t *consumed)
{
	for (size_t index = 0; index < input.size; index++) {
		char byte = input.data[index];

		if (byte == '\n' && *after_cr) {
			*after_cr = false;
			*consumed = index + 1;
			return true;
		}
		*after_cr = byte == '\r';
	}
	*consumed = input.size;
	return false;
}

enum dot_state {
	DOT_LINE_START = 0,
	DOT_IN_LINE,
	DOT_AFTER_CR,     /* a CR was taken and is not written yet */
	DOT_AFTER_DOT,    /* a line began with a dot, which is left out */
	DOT_AFTER_DOT_CR, /* ".\r": the end, if a LF follows */
	DOT_ENDED,
};

enum { WORD = sizeof(uint64_t) };

/* Bytes at the beginning that are looked at eight at a time: there is none below 14 among them, so
 * no CR, no LF, no NUL. */
static size_t high_size(struct pn_slice input)
{
	const uint64_t ones = UINT64_MAX / 0xff;
	size_t size = 0;
	uint64_t word;

	for (; input.size - size >= WORD; size += WORD) {
		memcpy(&word, input.data + size, WORD);
		if (((word - 14 * ones) & ~word & 0x80 * ones) != 0)
			break;
	}
	return size;
}

/* Bytes at the beginning that are content wherever they stand in a line. */
static size_t plain_size(struct pn_slice input)
{
	size_t size = 0;

	while (size < input.size) {
		size_t end;

		size += high_size(pn_slice_behind(input, size));
		end = input.size - size < WORD ? input.size : size + WORD;
		for (; size < end; size++) {
			char byte = input.data[size];

			if (byte == '\r' || byte == '\n' || byte == '\0')
				return size;
		}
	}
	return size;
}

/*
 * The longest run of content at the beginning of `input`, which stands in a line or at the start of
 * one: whole lines, up to a dot at the start of a line or to a byte that may not be there. Leaves
 * a CR out whose next byte is not there yet, or is not a LF.
 */
static size_t content_size(struct pn_slice input, enum dot_state *state)
{
	size_t size = 0;

	while (size < input.size) {
		size_t plain;

		if (*state == DOT_LINE_START && input.data[size] == '.')
			break;
		plain = plain_size(pn_slice_make(input.data + size, input.size - size));
		if (plain > 0) {
			size += plain;
			*state = DOT_IN_LINE;
		}
		if (input.size - size < 2 || input.data[size] != '\r' ||
		    input.data[size + 1] != '\n')
			break;
		size += 2;
		*state = DOT_LINE_START;
	}
	return size;
}

/* Takes one byte that is not content by itself; the states say what came before it. */
static enum dot_state take_byte(enum dot_state state, char byte, enum pn_line_problem *problem)
{
	bool after_cr = state == DOT_AFTER_CR || state == DOT_AFTER_DOT_CR;

	if (byte == '\n' && after_cr)
		return state == DOT_AFTER_CR ? DOT_LINE_START : DOT_ENDED;
	if (after_cr) {
		*problem = PN_LINE_BARE_CR;
		return state;
	}
	if (byte == '\r')
		return state == DOT_AFTER_DOT ? DOT_AFTER_DOT_CR : DOT_AFTER_CR;
	if (byte == '.' && state == DOT_LINE_START)
		return DOT_AFTER_DOT;
	*problem = byte == '\n' ? PN_LINE_BARE_LF : PN_LINE_NUL;
	return state;
}

void pn_frame_dot(struct pn_frame_dot *dot, struct pn_slice input, struct pn_slice *piece,
                  size_t *consumed, bool *is_last, enum pn_line_problem *problem)
{
	enum dot_state state = (enum dot_state)dot->state;
	size_t taken = 0;

	*piece = PN_SLICE_NONE;
	*problem = PN_LINE_GOOD;
	while (taken < input.size && state != DOT_ENDED) {
		struct pn_slice rest = pn_slice_make(input.data + taken, input.size - taken);
		enum dot_state before;

		/* RFC 5321 section 4.5.2: more on the line, so the dot was put there for safety. */
		if (state == DOT_AFTER_DOT && plain_size(pn_slice_make(rest.data, 1)) > 0)
			state = DOT_IN_LINE;
		if (state == DOT_IN_LINE || state == DOT_LINE_START)
			piece->size = content_size(rest, &state);
		if (piece->size > 0) {
			piece->data = rest.data;
			taken += piece->size;
			break;
		}
		before = state;
		state = take_byte(state, rest.data[0], problem);
		if (*problem != PN_LINE_GOOD) {
			/* As in a line: the byte that proves a bare CR is not part of it. */
			taken += *problem == PN_LINE_BARE_CR ? 0 : 1;
			break;
		}
		taken++;
		if (before == DOT_AFTER_CR) {
			*piece = PN_SLICE("\r\n");
			break;
		}
	}
	dot->state = (uint8_t)state;
	*consumed = taken;
	*is_last = state == DOT_ENDED;
}

enum stuff_state {
	STUFF_LINE_START = 0,
	STUFF_IN_LINE,
	STUFF_AFTER_CR, /* the CRLF was written; a LF that follows belongs to it */
};

/* Bytes in front of the first CR or LF. */
static size_t unended_size(struct pn_slice content)
{
	size_t size = 0;

	while (size < content.size) {
		size_t end;

		size += high_size(pn_slice_behind(content, size));
		end = content.size - size < WORD ? content.size : size + WORD;
		for (; size < end; size++) {
			if (content.data[size] == '\r' || content.data[size] == '\n')
				return size;
		}
	}
	return size;
}

/* One line end or one stretch without any; returns the bytes taken. */
static size_t stuff_some(enum stuff_state *state, struct pn_slice content,
                         void (*write)(void *user, struct pn_slice bytes), void *user)
{
	char byte = content.data[0];
	size_t size = 0;

	if (byte == '\n' && *state == STUFF_AFTER_CR) {
		*state = STUFF_LINE_START;
		return 1;
	}
	if (byte == '\r' || byte == '\n') {
		write(user, PN_SLICE("\r\n"));
		*state = byte == '\r' ? STUFF_AFTER_CR : STUFF_LINE_START;
		return 1;
	}
	if (byte == '.' && *state != STUFF_IN_LINE)
		write(user, PN_SLICE("."));
	*state = STUFF_IN_LINE;
	while (size < content.size) {
		size += unended_size(pn_slice_behind(content, size));
		if (size == content.size)
			break;
		/* Whole lines that need nothing go out as they are, many at a time. */
		if (content.data[size] == '\n' || content.size - size < 3 ||
		    content.data[size + 1] != '\n' || content.data[size + 2] == '.' ||
		    content.data[size + 2] == '\r' || content.data[size + 2] == '\n')
			break;
		size += 3;
	}
	write(user, pn_slice_make(content.data, size));
	return size;
}

void pn_frame_stuff(struct pn_frame_stuff *stuff, struct pn_slice content, bool is_last,
                    void (*write)(void *user, struct pn_slice bytes), void *user)
{
	enum stuff_state state = (enum stuff_state)stuff->state;

	while (content.size > 0) {
		size_t size = stuff_some(&state, content, write, user);

		content.data += size;
		content.size -= size;
	}
	if (is_last) {
		if (state == STUFF_IN_LINE)
			write(user, PN_SLICE("\r\n"));
		write(user, PN_SLICE(".\r\n"));
		state = STUFF_LINE_START;
	}
	stuff->state = (uint8_t)state;
}
