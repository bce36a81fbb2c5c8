/* SPDX-License-Identifier: Apache-2.0 */
/* A file of accounts: read whole, and every entry is found by its name; or refused with its line.
 */
#include "fuzz.h"

#include "../../modules/auth_file/parse.c"
#include "../../modules/auth_file/table.c"

/* Hashes are libxcrypt's affair. */
bool auth_file_hash_is_good(const char *hash)
{
	return hash[0] == '$';
}

const char *auth_file_hash_stand_in(void)
{
	return "$";
}

bool auth_file_is_slow(const struct auth_file_entry *entry)
{
	return entry->hash != NULL || entry->secrets[AUTH_FILE_SCRAM_SHA_256].size > 0 ||
	       entry->secrets[AUTH_FILE_SCRAM_SHA_1].size > 0;
}

static void check_table(const struct auth_file_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct auth_file_entry *entry = &table->entries[i];

		require(entry->name.size > 0);
		require(auth_file_table_find(table, entry->name) == entry);
		require(entry->target_count == 0 ||
		        (entry->hash == NULL && entry->secrets[AUTH_FILE_PLAIN].size == 0));
		require(entry->secrets[AUTH_FILE_SCRAM_SHA_256].size == 0 ||
		        pn_scram_is_good("SCRAM-SHA-256", entry->secrets[AUTH_FILE_SCRAM_SHA_256]));
	}
	require(auth_file_table_find(table, PN_SLICE("no name")) == NULL);
	require(auth_file_is_slow(&table->stand_in));
	require(table->having_count[AUTH_FILE_SCRAM_SHA_256] == 0 ||
	        auth_file_table_somebody(table, AUTH_FILE_SCRAM_SHA_256, PN_SLICE("x")).size > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice text = exact_copy(rest_of(data, size));
	struct pn_arena *arena = pn_arena_new();
	struct auth_file_table *table = PN_ARENA_NEW(arena, struct auth_file_table);
	struct pn_error error = {.text = ""};

	table->arena = arena;
	if (auth_file_parse(table, "users", text, &error) == PN_OK)
		check_table(table);
	else
		require(strncmp(error.text, "users:", 6) == 0);
	pn_arena_free(&arena);
	free((void *)(uintptr_t)text.data);
	return 0;
}
