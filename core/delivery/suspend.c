/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators suspended: the file `suspensions` in the data directory, a line for
 * each. It is written by the tools, whole, beside the old one, and renamed when it
 * is on the device; queue workers read it. No state, main or loop thread.
 *
 *	destination 1760000000000 example.net the%20server%20is%20moved
 *
 * is the kind, when it ends (milliseconds since 1970, or "-"), the name, and the
 * reason; bytes that could end a word are written %XX, and an empty word is "-".
 */
#include "delivery/queue.h"

#include <postern/text.h>

#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PATH_ROOM = 4096,
	FILE_LIMIT = 16 * 1024 * 1024,
	SUSPENSIONS_MAX = 10000,
	NAME_LIMIT = 1024,
	REASON_LIMIT = 500,
};

static const char *const kind_names[] = {"destination", "tenant"};

static bool is_plain(unsigned char byte)
{
	return byte > ' ' && byte < 0x7f && byte != '%';
}

static enum pn_status write_word(struct pn_buffer *out, struct pn_slice text)
{
	enum pn_status status = PN_OK;

	if (text.size == 0)
		return pn_buffer_append(out, PN_SLICE("-"));
	if (pn_slice_equal(text, PN_SLICE("-")))
		return pn_buffer_append(out, PN_SLICE("%2d"));
	for (size_t i = 0; i < text.size && status == PN_OK; i++) {
		unsigned char byte = (unsigned char)text.data[i];

		status = is_plain(byte) ? pn_buffer_append(out, pn_slice_make(text.data + i, 1))
		                        : pn_buffer_print(out, "%%%02x", byte);
	}
	return status;
}

static int hex_value(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool read_word(struct pn_arena *arena, struct pn_slice word, struct pn_slice *text_out)
{
	char *text = pn_arena_allocate(arena, word.size);
	size_t size = 0;

	*text_out = PN_SLICE_NONE;
	if (pn_slice_equal(word, PN_SLICE("-")))
		return true;
	for (size_t i = 0; i < word.size; i++) {
		int high, low;

		if (word.data[i] != '%') {
			text[size++] = word.data[i];
			continue;
		}
		if (word.size - i < 3 || (high = hex_value(word.data[i + 1])) < 0 ||
		    (low = hex_value(word.data[i + 2])) < 0)
			return false;
		text[size++] = (char)(high * 16 + low);
		i += 2;
	}
	*text_out = pn_slice_make(text, size);
	return size > 0;
}

static bool read_line(struct pn_arena *arena, struct pn_slice line,
                      struct pn_suspension *suspension)
{
	struct pn_slice rest = line;
	struct pn_slice kind = pn_slice_cut(&rest, ' ');
	struct pn_slice until = pn_slice_cut(&rest, ' ');
	struct pn_slice name = pn_slice_cut(&rest, ' ');
	uint64_t until_ms = INT64_MAX;

	if (pn_slice_equal(kind, pn_slice_of(kind_names[PN_SUSPEND_DESTINATION])))
		suspension->kind = PN_SUSPEND_DESTINATION;
	else if (pn_slice_equal(kind, pn_slice_of(kind_names[PN_SUSPEND_TENANT])))
		suspension->kind = PN_SUSPEND_TENANT;
	else
		return false;
	if (!pn_slice_equal(until, PN_SLICE("-")) &&
	    (pn_parse_count(until, &until_ms) != PN_OK || until_ms > INT64_MAX))
		return false;
	suspension->until_ms = (int64_t)until_ms;
	return read_word(arena, name, &suspension->name) && suspension->name.size > 0 &&
	       read_word(arena, rest, &suspension->reason);
}

static void make_path(char room[PATH_ROOM], const char *data_directory, const char *name)
{
	snprintf(room, PATH_ROOM, "%s/%s", data_directory, name);
}

enum pn_status pn_suspensions_read(const char *data_directory, struct pn_arena *arena,
                                   struct pn_suspension **suspensions_out, size_t *count_out,
                                   struct pn_error *error)
{
	char path[PATH_ROOM];
	struct pn_suspension *suspensions;
	struct pn_slice bytes;
	size_t lines = 0;
	enum pn_status status;

	*suspensions_out = NULL;
	*count_out = 0;
	make_path(path, data_directory, "suspensions");
	status = pn_file_read(path, FILE_LIMIT, arena, &bytes, error);
	if (status == PN_NOT_FOUND)
		return PN_OK;
	if (status != PN_OK)
		return PN_FAILED;
	for (size_t i = 0; i < bytes.size; i++)
		lines += bytes.data[i] == '\n';
	if (lines > SUSPENSIONS_MAX)
		return pn_fail(error, "%s has more than %d lines", path, SUSPENSIONS_MAX);
	suspensions = PN_ARENA_ARRAY(arena, lines, struct pn_suspension);
	if (bytes.size > 0 && bytes.data[bytes.size - 1] != '\n')
		return pn_fail(error, "%s:%zu: the line is cut off: remove it", path, lines + 1);
	for (size_t i = 0; i < lines; i++) {
		if (!read_line(arena, pn_slice_cut(&bytes, '\n'), &suspensions[i]))
			return pn_fail(error,
			               "%s:%zu: this is no suspension: remove the line, or the "
			               "file with all suspensions",
			               path, i + 1);
	}
	*suspensions_out = suspensions;
	*count_out = lines;
	return PN_OK;
}

static enum pn_status compose(const struct pn_suspension *suspension, struct pn_buffer *out)
{
	enum pn_status status = pn_buffer_print(out, "%s ", kind_names[suspension->kind]);

	if (status == PN_OK && suspension->until_ms == INT64_MAX)
		status = pn_buffer_append(out, PN_SLICE("- "));
	else if (status == PN_OK)
		status = pn_buffer_print(
			out, "%lld ",
			(long long)(suspension->until_ms < 0 ? 0 : suspension->until_ms));
	if (status == PN_OK)
		status = write_word(out, suspension->name);
	if (status == PN_OK)
		status = pn_buffer_append(out, PN_SLICE(" "));
	if (status == PN_OK)
		status = write_word(out, suspension->reason);
	return status == PN_OK ? pn_buffer_append(out, PN_SLICE("\n")) : status;
}

enum pn_status pn_suspensions_write(const char *data_directory,
                                    const struct pn_suspension *suspensions, size_t count,
                                    struct pn_error *error)
{
	char path[PATH_ROOM];
	struct pn_buffer text;
	enum pn_status status = PN_OK;

	if (count > SUSPENSIONS_MAX)
		return pn_fail(error, "there are %d suspensions already: resume some of them",
		               SUSPENSIONS_MAX);
	make_path(path, data_directory, "suspensions");
	pn_buffer_init(&text, FILE_LIMIT);
	for (size_t i = 0; i < count && status == PN_OK; i++) {
		if (suspensions[i].name.size == 0 || suspensions[i].name.size > NAME_LIMIT ||
		    suspensions[i].reason.size > REASON_LIMIT)
			status = pn_fail_with(PN_LIMIT, error,
			                      "a suspension needs a name of at most %d bytes, and "
			                      "a reason of at most %d",
			                      NAME_LIMIT, REASON_LIMIT);
		else if (compose(&suspensions[i], &text) != PN_OK)
			status = pn_fail(error, "the suspensions are too many for their file");
	}
	if (status == PN_OK)
		status = pn_file_replace(path, pn_buffer_slice(&text), error);
	pn_buffer_clear(&text);
	return status == PN_OK ? PN_OK : PN_FAILED;
}
