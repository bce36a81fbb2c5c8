/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of an account file, as README.md has them:
 *
 *	# comment
 *	alice@example.org:$y$j9T$… {SCRAM-SHA-256}10000,…:quota=10G disabled=yes
 *	alias sales@example.org: alice@example.org, bob@example.org
 *
 * A mistake is named with file, line and remedy; nothing of a file that has one is used.
 */
#include "table.h"

#include <postern/address.h>
#include <postern/authentication.h>
#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>

enum { TARGETS_MAX = 200, PLAIN_MAX = 1024 };

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

	if (pn_slice_find(text, '\0') < text.size || !auth_file_hash_is_good(hash))
		return complain(reader,
		                "the password hash is not one that can be used: make one with "
		                "\"postern password\", or write ! for an account that cannot "
		                "log in");
	if (entry->hash != NULL)
		return complain(reader, "there are two password hashes: remove one of them");
	entry->hash = hash;
	return PN_OK;
}

static enum pn_status keep_secret(struct reader *reader, enum auth_file_secret kind,
                                  struct pn_slice secret, struct auth_file_entry *entry)
{
	if (entry->secrets[kind].size > 0)
		return complain(reader, "there are two secrets of one kind: remove one of them");
	entry->secrets[kind] = pn_arena_keep(reader->table->arena, secret);
	return PN_OK;
}

static enum pn_status read_plain(struct reader *reader, struct pn_slice text, bool is_encoded,
                                 struct auth_file_entry *entry)
{
	struct pn_buffer secret;
	enum pn_status status = PN_OK;

	pn_buffer_init(&secret, PLAIN_MAX);
	if ((is_encoded ? pn_base64_decode(&secret, text) : pn_buffer_append(&secret, text)) !=
	            PN_OK ||
	    secret.size == 0 || memchr(secret.data, '\0', secret.size) != NULL)
		status = complain(reader,
		                  "a plain secret has 1 to %d bytes and no NUL; one with "
		                  "spaces or colons is written {PLAIN.B64} and in base64",
		                  PLAIN_MAX);
	else
		status = keep_secret(reader, AUTH_FILE_PLAIN, pn_buffer_slice(&secret), entry);
	if (secret.data != NULL)
		explicit_bzero(secret.data, secret.size);
	pn_buffer_clear(&secret);
	return status;
}

/* A hash, or {KIND} and what is behind it. */
static enum pn_status read_secret(struct reader *reader, struct pn_slice text,
                                  struct auth_file_entry *entry)
{
	struct pn_slice rest = text;
	struct pn_slice kind;

	if (text.data[0] != '{')
		return read_hash(reader, text, entry);
	kind = pn_slice_cut(&rest, '}');
	if (pn_slice_equal_ignore_case(kind, PN_SLICE("{PLAIN")))
		return read_plain(reader, rest, false, entry);
	if (pn_slice_equal_ignore_case(kind, PN_SLICE("{PLAIN.B64")))
		return read_plain(reader, rest, true, entry);
	if (pn_scram_is_good("SCRAM-SHA-256", text))
		return keep_secret(reader, AUTH_FILE_SCRAM_SHA_256, text, entry);
	if (pn_scram_is_good("SCRAM-SHA-1", text))
		return keep_secret(reader, AUTH_FILE_SCRAM_SHA_1, text, entry);
	return complain(reader,
	                "a secret is {SCRAM-SHA-256} or {SCRAM-SHA-1} with iterations (%d to %d), "
	                "salt, stored key and server key, as \"postern password scram-sha-256\" "
	                "makes it, {PLAIN} or {PLAIN.B64}",
	                PN_SCRAM_ITERATIONS_MIN, PN_SCRAM_ITERATIONS_MAX);
}

/* Separated by spaces. As in shadow(5): with ! or * in front no password fits. */
static enum pn_status read_secrets(struct reader *reader, struct pn_slice text,
                                   struct auth_file_entry *entry)
{
	enum pn_status status = PN_OK;

	if (text.size > 0 && (text.data[0] == '!' || text.data[0] == '*'))
		return PN_OK;
	if (text.size == 0)
		return read_hash(reader, text, entry);
	while (status == PN_OK && text.size > 0) {
		struct pn_slice secret = pn_slice_trim(pn_slice_cut(&text, ' '));

		if (secret.size > 0)
			status = read_secret(reader, secret, entry);
	}
	if (status == PN_OK && reader->table->stand_in.hash == NULL &&
	    !auth_file_is_slow(&reader->table->stand_in) && auth_file_is_slow(entry))
		reader->table->stand_in = *entry;
	return status;
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

/* address:secrets:settings */
static enum pn_status read_account(struct reader *reader, struct pn_slice line)
{
	struct auth_file_entry entry = {.hash = NULL};
	struct pn_slice rest = line;
	struct pn_slice address = pn_slice_trim(pn_slice_cut(&rest, ':'));
	struct pn_slice secrets = pn_slice_trim(pn_slice_cut(&rest, ':'));
	enum pn_status status;

	if (pn_slice_find(line, ':') == line.size)
		return complain(reader,
		                "a line is address:secrets:settings or alias address: target");
	status = read_address(reader, address, &entry.name);
	if (status == PN_OK)
		status = read_secrets(reader, secrets, &entry);
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

static void list_those_having(struct auth_file_table *table, enum auth_file_secret kind)
{
	size_t count = 0;

	for (size_t i = 0; i < table->count; i++)
		count += table->entries[i].secrets[kind].size > 0;
	table->having[kind] = PN_ARENA_ARRAY(table->arena, count, uint32_t);
	for (size_t i = 0; i < table->count; i++) {
		if (table->entries[i].secrets[kind].size > 0)
			table->having[kind][table->having_count[kind]++] = (uint32_t)i;
	}
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
	if (!auth_file_is_slow(&table->stand_in))
		table->stand_in.hash = auth_file_hash_stand_in();
	for (size_t kind = 0; kind < AUTH_FILE_SECRET_COUNT; kind++)
		list_those_having(table, (enum auth_file_secret)kind);
	return status;
}
