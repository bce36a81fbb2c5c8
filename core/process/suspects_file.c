/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of suspects, which outlives the gateway: "KEY DEATHS+KILLS LAST_MS
 * TRANSACTION what", a line each. The control worker writes it; a queue worker
 * that starts before reads it itself.
 */
#include "process/suspects.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "io/file.h"

#include <stdio.h>
#include <string.h>

enum {
	FILE_LIMIT = 1024 * 1024,
	LINE_SIZE = 256,
	REMEMBERED_MS =
		7 * 24 * 3600 * 1000, /* a message that was not seen for so long is forgotten */
};

static bool read_line(struct pn_slice line, struct pn_suspect *suspect)
{
	char text[LINE_SIZE];
	unsigned long long key;
	unsigned deaths;
	unsigned kills = 0;
	long long last_ms;
	char counts[32];
	int at = 0;

	if (line.size >= sizeof(text))
		return false;
	memcpy(text, line.data, line.size);
	text[line.size] = '\0';
	if (sscanf(text, "%16llx %31s %lld %23s %n", &key, counts, &last_ms, suspect->transaction,
	           &at) != 4 ||
	    at == 0 || key == 0 || sscanf(counts, "%u+%u", &deaths, &kills) < 1)
		return false;
	if (strcmp(suspect->transaction, "-") == 0)
		suspect->transaction[0] = '\0';
	atomic_store(&suspect->key, key);
	atomic_store(&suspect->deaths, deaths);
	atomic_store(&suspect->kills, kills);
	atomic_store(&suspect->last_ms, last_ms);
	pn_suspect_copy_text(suspect->what, sizeof(suspect->what), text + at,
	                     sizeof(text) - (size_t)at);
	return true;
}

enum pn_status pn_suspects_read(struct pn_suspect_table *table, const char *data_directory,
                                struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	const int64_t forgotten_ms = pn_clock_wall_ms() - REMEMBERED_MS;
	struct pn_slice bytes;
	char path[4096];
	enum pn_status status;

	snprintf(path, sizeof(path), "%s/suspects", data_directory);
	status = pn_file_read(path, FILE_LIMIT, arena, &bytes, error);
	while (status == PN_OK && bytes.size > 0) {
		struct pn_suspect suspect = {.key = 0};

		/* A line that is none of ours is left out: that nothing starts would be worse. */
		if (read_line(pn_slice_cut(&bytes, '\n'), &suspect) &&
		    atomic_load(&suspect.last_ms) > forgotten_ms)
			pn_suspect_put(table, &suspect);
	}
	pn_arena_free(&arena);
	return status == PN_NOT_FOUND ? PN_OK : status;
}

enum pn_status pn_suspects_load(struct pn_suspects *suspects, const char *data_directory,
                                struct pn_error *error)
{
	enum pn_status status = PN_OK;

	if (atomic_load(&suspects->is_remembered) != 0)
		return PN_OK;
	status = pn_suspects_read(&suspects->remembered, data_directory, error);
	atomic_store(&suspects->is_remembered, 1);
	return status;
}

static void put_line(struct pn_buffer *out, const struct pn_suspect *suspect,
                     struct pn_suspect_count count)
{
	(void)!pn_buffer_print(
		out, "%016llx %u+%u %lld %s %s\n", (unsigned long long)atomic_load(&suspect->key),
		count.deaths, count.kills, (long long)atomic_load(&suspect->last_ms),
		suspect->transaction[0] == '\0' ? "-" : suspect->transaction, suspect->what);
}

enum pn_status pn_suspects_save(struct pn_suspects *suspects, const char *data_directory,
                                struct pn_error *error)
{
	struct pn_buffer out;
	char path[4096];
	enum pn_status status;

	pn_buffer_init(&out, FILE_LIMIT);
	for (uint32_t i = 0; i < atomic_load(&suspects->remembered.used); i++) {
		const struct pn_suspect *suspect = &suspects->remembered.rows[i];
		uint64_t key = atomic_load(&suspect->key);

		if (key != 0 && pn_suspect_find(&suspects->seen, key) == NULL)
			put_line(&out, suspect, pn_suspect_counts(suspects, key));
	}
	for (uint32_t i = 0; i < atomic_load(&suspects->seen.used); i++) {
		const struct pn_suspect *suspect = &suspects->seen.rows[i];
		uint64_t key = atomic_load_explicit(&suspect->key, memory_order_acquire);

		if (key != 0)
			put_line(&out, suspect, pn_suspect_counts(suspects, key));
	}
	snprintf(path, sizeof(path), "%s/suspects", data_directory);
	status = pn_file_replace(path, pn_buffer_slice(&out), error);
	pn_buffer_clear(&out);
	return status;
}
