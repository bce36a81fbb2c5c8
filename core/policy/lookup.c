/* SPDX-License-Identifier: Apache-2.0 */
/* Lookup tables. See lookup.h. */
#include "policy/lookup.h"

#include "io/file.h"

#include <stdlib.h>
#include <string.h>

/* A slot of the index: where the key begins, plus one; 0 is empty. */
#define OFFSET_MASK 0x3fffffffu
#define GOES_ON 0x80000000u /* further lines belong to the value */

struct pn_lookup {
	char *path;
	const char *label;
	enum pn_lookup_format format;
	struct pn_held_file file;
	uint32_t *slots;
	size_t slot_mask;
	size_t count;
	struct lookup_lmdb *lmdb;
};

/* A line while the file is read. */
struct line {
	size_t number;
	struct pn_slice text; /* without its end and the white space before it */
	size_t end;           /* offset of the next line */
};

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r';
}

static struct pn_slice trim_end(struct pn_slice text)
{
	while (text.size > 0 && is_space(text.data[text.size - 1]))
		text.size--;
	return text;
}

static struct pn_slice trim_start(struct pn_slice text)
{
	while (text.size > 0 && is_space(text.data[0]))
		text = pn_slice_behind(text, 1);
	return text;
}

/* The first line of the text, trimmed at its end; *size_out with its line break. */
static struct pn_slice first_line(struct pn_slice text, size_t *size_out)
{
	const char *end = text.size == 0 ? NULL : memchr(text.data, '\n', text.size);
	size_t size = end == NULL ? text.size : (size_t)(end - text.data);

	*size_out = end == NULL ? size : size + 1;
	return trim_end(pn_slice_make(text.data, size));
}

static struct pn_slice key_of(struct pn_slice line)
{
	size_t size = 0;

	while (size < line.size && !is_space(line.data[size]) && line.data[size] != '\n')
		size++;
	return pn_slice_make(line.data, size);
}

/* ---- the index ---- */

static unsigned char fold(char byte)
{
	return (unsigned char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
}

static uint32_t hash_key(struct pn_slice key)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t index = 0; index < key.size; index++)
		hash = (hash ^ fold(key.data[index])) * 1099511628211u;
	return (uint32_t)(hash ^ (hash >> 32));
}

static bool same_key(struct pn_slice one, struct pn_slice other)
{
	if (one.size != other.size)
		return false;
	for (size_t index = 0; index < one.size; index++) {
		if (fold(one.data[index]) != fold(other.data[index]))
			return false;
	}
	return true;
}

/* The slot of the key, or the empty one where it would be. */
static uint32_t *find_slot(const struct pn_lookup *lookup, struct pn_slice key)
{
	struct pn_slice text = pn_slice_make(lookup->file.data, lookup->file.size);
	size_t at = hash_key(key) & lookup->slot_mask;

	while (lookup->slots[at] != 0) {
		size_t offset = (lookup->slots[at] & OFFSET_MASK) - 1;

		if (same_key(key_of(pn_slice_behind(text, offset)), key))
			break;
		at = (at + 1) & lookup->slot_mask;
	}
	return &lookup->slots[at];
}

static size_t line_number(const struct pn_lookup *lookup, size_t offset)
{
	size_t number = 1;

	for (size_t index = 0; index < offset; index++)
		number += lookup->file.data[index] == '\n';
	return number;
}

/* ---- reading ---- */

/* A line that begins an entry. *slot_out is where it stands, or NULL where the list had it. */
static enum pn_status add_entry(struct pn_lookup *lookup, const struct line *line,
                                uint32_t **slot_out, struct pn_error *error)
{
	struct pn_slice key = key_of(line->text);
	struct pn_slice value = trim_start(pn_slice_behind(line->text, key.size));
	size_t offset = (size_t)(key.data - lookup->file.data);
	uint32_t *slot;

	*slot_out = NULL;
	if (key.size > PN_LOOKUP_KEY_MAX)
		return pn_fail(error, "%s:%zu: a key has at most %d bytes", lookup->label,
		               line->number, PN_LOOKUP_KEY_MAX);
	if (lookup->format == PN_LOOKUP_LIST && value.size > 0)
		return pn_fail(error, "%s:%zu: a list has one word on each line", lookup->label,
		               line->number);
	if (lookup->format == PN_LOOKUP_LINES && value.size == 0)
		return pn_fail(error, "%s:%zu: \"%.*s\" has no value", lookup->label, line->number,
		               PN_SLICE_ARGS(key));
	if (value.size > PN_LOOKUP_VALUE_MAX)
		return pn_fail(error, "%s:%zu: a value has at most %d bytes", lookup->label,
		               line->number, PN_LOOKUP_VALUE_MAX);
	slot = find_slot(lookup, key);
	if (*slot != 0 && lookup->format == PN_LOOKUP_LIST)
		return PN_OK;
	if (*slot != 0)
		return pn_fail(error, "%s:%zu: \"%.*s\" is there already, at line %zu",
		               lookup->label, line->number, PN_SLICE_ARGS(key),
		               line_number(lookup, (*slot & OFFSET_MASK) - 1));
	*slot = (uint32_t)offset + 1;
	lookup->count++;
	*slot_out = slot;
	return PN_OK;
}

/* A line that goes on with the entry before it. */
static enum pn_status add_line(struct pn_lookup *lookup, const struct line *line, uint32_t *slot,
                               struct pn_error *error)
{
	if (slot == NULL)
		return pn_fail(error, "%s:%zu: a line that begins with a space goes on with none",
		               lookup->label, line->number);
	if (line->end - ((*slot & OFFSET_MASK) - 1) > PN_LOOKUP_VALUE_MAX)
		return pn_fail(error, "%s:%zu: a value has at most %d bytes", lookup->label,
		               line->number, PN_LOOKUP_VALUE_MAX);
	*slot |= GOES_ON;
	return PN_OK;
}

static enum pn_status read_lines(struct pn_lookup *lookup, struct pn_error *error)
{
	struct pn_slice rest = pn_slice_make(lookup->file.data, lookup->file.size);
	struct line line = {.number = 0};
	uint32_t *slot = NULL;
	enum pn_status status = PN_OK;

	while (rest.size > 0 && status == PN_OK) {
		size_t size;
		bool is_indented = is_space(rest.data[0]);

		line.number++;
		line.text = trim_start(first_line(rest, &size));
		line.end += size;
		rest = pn_slice_behind(rest, size);
		if (line.text.size == 0 || line.text.data[0] == '#')
			continue;
		if (is_indented && lookup->format == PN_LOOKUP_LINES)
			status = add_line(lookup, &line, slot, error);
		else
			status = add_entry(lookup, &line, &slot, error);
	}
	return status;
}

/* Twice as many slots as there can be entries. */
static enum pn_status make_slots(struct pn_lookup *lookup, size_t limit, struct pn_error *error)
{
	struct pn_slice rest = pn_slice_make(lookup->file.data, lookup->file.size);
	size_t lines = 0, slots = 16;

	while (rest.size > 0) {
		const char *end = memchr(rest.data, '\n', rest.size);

		lines++;
		rest = end == NULL ? PN_SLICE_NONE
		                   : pn_slice_behind(rest, (size_t)(end - rest.data) + 1);
	}
	while (slots < 2 * lines)
		slots *= 2;
	if (slots * sizeof(*lookup->slots) > limit - lookup->file.size)
		return pn_fail(error,
		               "%s has too many lines: the tables of a policy take at most %d "
		               "bytes of memory",
		               lookup->label, PN_LOOKUP_BYTES_MAX);
	lookup->slots = calloc(slots, sizeof(*lookup->slots));
	if (lookup->slots == NULL)
		return pn_fail(error, "there is no memory for %s", lookup->label);
	lookup->slot_mask = slots - 1;
	return PN_OK;
}

enum pn_status pn_lookup_new(const char *path, const char *label, enum pn_lookup_format format,
                             size_t limit, struct pn_lookup **lookup_out, size_t *used_out,
                             struct pn_error *error)
{
	struct pn_lookup *lookup = calloc(1, sizeof(*lookup));
	enum pn_status status;

	if (lookup == NULL)
		abort();
	lookup->path = strdup(path);
	lookup->label = label;
	lookup->format = format;
	if (format == PN_LOOKUP_LMDB)
		status = lookup_lmdb_new(path, label, &lookup->lmdb, error);
	else
		status = pn_file_hold(path, limit, &lookup->file, error);
	if (status == PN_OK && format != PN_LOOKUP_LMDB)
		status = make_slots(lookup, limit, error);
	if (status == PN_OK && format != PN_LOOKUP_LMDB)
		status = read_lines(lookup, error);
	if (status != PN_OK) {
		pn_lookup_free(&lookup);
		return PN_FAILED;
	}
	*used_out = lookup->slots == NULL
	                    ? 0
	                    : lookup->file.size + (lookup->slot_mask + 1) * sizeof(*lookup->slots);
	*lookup_out = lookup;
	return PN_OK;
}

void pn_lookup_free(struct pn_lookup **lookup)
{
	if (*lookup == NULL)
		return;
	lookup_lmdb_free(&(*lookup)->lmdb);
	pn_file_release(&(*lookup)->file);
	free((*lookup)->slots);
	free((*lookup)->path);
	free(*lookup);
	*lookup = NULL;
}

/* ---- asking ---- */

struct pn_slice pn_lookup_find(const struct pn_lookup *lookup, struct pn_slice key)
{
	struct pn_slice text = pn_slice_make(lookup->file.data, lookup->file.size);
	uint32_t slot;
	size_t size;

	if (lookup->lmdb != NULL)
		return lookup_lmdb_find(lookup->lmdb, key);
	if (key.size == 0 || key.size > PN_LOOKUP_KEY_MAX)
		return PN_SLICE_NONE;
	slot = *find_slot(lookup, key);
	if (slot == 0)
		return PN_SLICE_NONE;
	if (lookup->format == PN_LOOKUP_LIST)
		return PN_SLICE("");
	text = pn_slice_behind(text, (slot & OFFSET_MASK) - 1 + key.size);
	if ((slot & GOES_ON) == 0)
		return trim_start(first_line(text, &size));
	/* Where it ends is seen by who reads the parts; it is not longer than this. */
	if (text.size > PN_LOOKUP_VALUE_MAX)
		text.size = PN_LOOKUP_VALUE_MAX;
	return trim_start(text);
}

bool pn_lookup_next_part(struct pn_slice *value, struct pn_slice *part_out)
{
	while (value->size > 0) {
		size_t size;
		/* What stands behind the key is no comment, whatever it begins with. */
		bool is_first = !is_space(value->data[0]);
		struct pn_slice part = trim_start(first_line(*value, &size));

		*value = pn_slice_behind(*value, size);
		/* A line that begins with a word is the next entry; those between do not count. */
		while (value->size > 0 && !is_space(value->data[0])) {
			size_t comment_size;
			struct pn_slice line = first_line(*value, &comment_size);

			if (line.size > 0 && line.data[0] != '#') {
				*value = PN_SLICE_NONE;
				break;
			}
			*value = pn_slice_behind(*value, comment_size);
		}
		if (part.size > 0 && (is_first || part.data[0] != '#')) {
			*part_out = part;
			return true;
		}
	}
	return false;
}

size_t pn_lookup_count(const struct pn_lookup *lookup)
{
	return lookup->lmdb != NULL ? lookup_lmdb_count(lookup->lmdb) : lookup->count;
}

const char *pn_lookup_path(const struct pn_lookup *lookup)
{
	return lookup->path;
}

enum pn_lookup_format pn_lookup_format(const struct pn_lookup *lookup)
{
	return lookup->format;
}
