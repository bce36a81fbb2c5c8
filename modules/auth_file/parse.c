/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of an account file, as README.md has them:
 *
 *	# comment
 *	alice@example.org:$y$j9T$…:quota=10G disabled=yes
 *	alias sales@example.org: alice@example.org, bob@example.org
 *
 * A mistake is named with file, line and remedy; nothing of a file that has one is used.
 */
#include "table.h"

#include <postern/address.h>
#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>

enum { TARGETS_MAX = 200 };

struct reader {
	struct auth_file_table *table;
	const char *path;
	unsigned line;
	struct pn_arena *scratch;
	struct pn_error *error;
};

/* return complain(reader, "…"): the sentence behind FILE:LINE. */
static enum pn_status complain(const struct reader *reader, const char *format, ...)
	PN_PRINTF(2, 3);

static enum pn_status complain(const struct reader *reader, const char *format, ...)
{
	char text[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return pn_fail(reader->error, "%s:%u: %s", reader->path, reader->line, text);
}

/* For sentences: at most 80 printable bytes. */
static const char *shown(const struct reader *reader, struct pn_slice text)
{
	char *room = pn_arena_allocate(reader->scratch, 81);

	return pn_text_printable(room, 81, text);
}

static enum pn_status read_address(struct reader *reader, struct pn_slice text,
                                   struct pn_slice *name_out)
{
	struct pn_address address;

	if (pn_address_parse(text, true, reader->scratch, &address) != PN_OK ||
	    address.domain.size == 0)
		return complain(reader, "\"%s\" is not an address: write name@domain",
		                shown(reader, text));
	*name_out = auth_file_lower(reader->table->arena, address.text);
	return PN_OK;
}

static enum pn_status add_entry(struct reader *reader, const struct auth_file_entry *entry)
{
	struct auth_file_table *table = reader->table;
	size_t other;

	table->entries[table->count] = *entry;
	table->entries[table->count].line = reader->line;
	if (!auth_file_table_add(table, table->count, &other))
		return complain(reader, "%s is there already, at line %u: remove one of them",
		                shown(reader, entry->name), table->entries[other].line);
	table->count++;
	return PN_OK;
}

static enum pn_status read_hash(struct reader *reader, struct pn_slice text,
                                struct auth_file_entry *entry)
{
	const char *hash = pn_arena_keep_text(reader->table->arena, text);

	/* As in shadow(5): no password fits. */
	if (text.size > 0 && (text.data[0] == '!' || text.data[0] == '*'))
		return PN_OK;
	if (pn_slice_find(text, '\0') < text.size || !auth_file_hash_is_good(hash))
		return complain(reader,
		                "the password hash is not one that can be used: make one with "
		                "\"postern password\", or write ! for an account that cannot "
		                "log in");
	entry->hash = hash;
	if (reader->table->stand_in == NULL)
		reader->table->stand_in = hash;
	return PN_OK;
}

static enum pn_status read_setting(struct reader *reader, struct pn_slice setting,
                                   struct auth_file_entry *entry)
{
	static const char *const known[] = {"quota", "store", "disabled", NULL};
	struct pn_slice value = setting;
	struct pn_slice key = pn_slice_cut(&value, '=');
	const char *nearest;

	if (pn_slice_equal(key, PN_SLICE("quota"))) {
		if (pn_parse_size(value, &entry->quota_bytes) != PN_OK || entry->quota_bytes == 0)
			return complain(reader, "quota is a size above 0, as in quota=10G");
	} else if (pn_slice_equal(key, PN_SLICE("store"))) {
		if (value.size == 0)
			return complain(reader, "store names an instance, as in store=local");
		entry->store = pn_arena_keep(reader->table->arena, value);
	} else if (pn_slice_equal(key, PN_SLICE("disabled"))) {
		entry->is_disabled = pn_slice_equal(value, PN_SLICE("yes"));
		if (!entry->is_disabled && !pn_slice_equal(value, PN_SLICE("no")))
			return complain(reader, "disabled is yes or no");
	} else {
		nearest = pn_nearest_word(shown(reader, key), known);
		return complain(reader,
		                "\"%s\" is not known here%s%s%s: it is one of quota=, store= and "
		                "disabled=",
		                shown(reader, key), nearest == NULL ? "" : " (did you mean ",
		                nearest == NULL ? "" : nearest, nearest == NULL ? "" : "?)");
	}
	return PN_OK;
}

/* address:hash:settings */
static enum pn_status read_account(struct reader *reader, struct pn_slice line)
{
	struct auth_file_entry entry = {.hash = NULL};
	struct pn_slice rest = line;
	struct pn_slice address = pn_slice_trim(pn_slice_cut(&rest, ':'));
	struct pn_slice hash = pn_slice_trim(pn_slice_cut(&rest, ':'));
	enum pn_status status;

	if (pn_slice_find(line, ':') == line.size)
		return complain(reader, "a line is address:hash:settings or alias address: target");
	status = read_address(reader, address, &entry.name);
	if (status == PN_OK)
		status = read_hash(reader, hash, &entry);
	while (status == PN_OK && rest.size > 0) {
		struct pn_slice setting = pn_slice_trim(pn_slice_cut(&rest, ' '));

		if (setting.size > 0)
			status = read_setting(reader, setting, &entry);
	}
	return status == PN_OK ? add_entry(reader, &entry) : status;
}

/* alias address: target, target */
static enum pn_status read_alias(struct reader *reader, struct pn_slice line)
{
	struct auth_file_entry entry = {.hash = NULL};
	struct pn_slice rest = line;
	struct pn_slice address = pn_slice_trim(pn_slice_cut(&rest, ':'));
	struct pn_slice targets[TARGETS_MAX];
	enum pn_status status = read_address(reader, address, &entry.name);
	struct pn_slice *kept;

	while (status == PN_OK && rest.size > 0) {
		struct pn_slice target = pn_slice_trim(pn_slice_cut(&rest, ','));

		if (target.size == 0)
			continue;
		if (entry.target_count == TARGETS_MAX)
			return complain(reader, "an alias leads to at most %d addresses",
			                TARGETS_MAX);
		status = read_address(reader, target, &targets[entry.target_count++]);
	}
	if (status != PN_OK)
		return status;
	if (entry.target_count == 0)
		return complain(reader, "the alias leads nowhere: write alias %s: name@domain",
		                shown(reader, address));
	kept = PN_ARENA_ARRAY(reader->table->arena, entry.target_count, struct pn_slice);
	memcpy(kept, targets, entry.target_count * sizeof(*kept));
	entry.targets = kept;
	return add_entry(reader, &entry);
}

static enum pn_status read_line(struct reader *reader, struct pn_slice line)
{
	struct pn_slice word = PN_SLICE("alias");

	line = pn_slice_trim(line);
	if (line.size > 0 && line.data[line.size - 1] == '\r')
		line = pn_slice_trim(pn_slice_make(line.data, line.size - 1));
	if (line.size == 0 || line.data[0] == '#')
		return PN_OK;
	if (line.size > word.size && pn_slice_starts_with_ignore_case(line, word) &&
	    (line.data[word.size] == ' ' || line.data[word.size] == '\t'))
		return read_alias(reader,
		                  pn_slice_make(line.data + word.size, line.size - word.size));
	return read_account(reader, line);
}

enum pn_status auth_file_parse(struct auth_file_table *table, const char *path,
                               struct pn_slice text, struct pn_error *error)
{
	struct reader reader = {.table = table, .path = path, .error = error};
	enum pn_status status = PN_OK;
	size_t lines = 1;

	for (size_t i = 0; i < text.size; i++)
		lines += text.data[i] == '\n' ? 1 : 0;
	table->entries = PN_ARENA_ARRAY(table->arena, lines, struct auth_file_entry);
	table->slot_count = 16;
	while (table->slot_count < 2 * lines)
		table->slot_count *= 2;
	table->slots = PN_ARENA_ARRAY(table->arena, table->slot_count, uint32_t);
	reader.scratch = pn_arena_new();
	while (text.size > 0 && status == PN_OK) {
		reader.line++;
		pn_arena_reset(reader.scratch);
		status = read_line(&reader, pn_slice_cut(&text, '\n'));
	}
	pn_arena_free(&reader.scratch);
	if (table->stand_in == NULL)
		table->stand_in = auth_file_hash_stand_in();
	return status;
}
