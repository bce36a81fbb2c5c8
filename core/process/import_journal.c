/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What imports took: a line with 32 hexadecimal digits for each message, in a file
 * for each account. In memory a table of all of them. A line that is torn (the end
 * of a killed run) is passed over.
 */
#include "process/import.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_SIZE = 33, SMALLEST_TABLE = 1024 };

struct pn_import_journal {
	char *path;
	int descriptor;              /* -1: nothing was written in this run */
	bool is_torn;                /* the file does not end with a line end */
	struct pn_import_key *table; /* open addressing; all zero: empty */
	size_t capacity;             /* a power of two */
	size_t count;
};

/* FNV-1a, with another start for each half: 128 bits that nobody has a reason to attack, as they
 * keep apart what one operator imports into one account. */
struct pn_import_key pn_import_key_of(const struct pn_slice *parts, size_t count)
{
	struct pn_import_key key = {{14695981039346656037u, 0x9ae16a3b2f90404fu}};

	for (size_t part = 0; part < count; part++) {
		for (size_t i = 0; i <= parts[part].size; i++) {
			/* 256 stands between the parts: no byte is that. */
			uint64_t byte = i < parts[part].size ? (uint8_t)parts[part].data[i] : 256;

			key.halves[0] = (key.halves[0] ^ byte) * 1099511628211u;
			key.halves[1] = (key.halves[1] ^ (byte + 1)) * 0x9e3779b97f4a7c15u;
			key.halves[1] ^= key.halves[1] >> 29;
		}
	}
	key.halves[0] |= key.halves[0] == 0 ? 1 : 0;
	return key;
}

static struct pn_import_key *place_of(struct pn_import_key *table, size_t capacity,
                                      struct pn_import_key key)
{
	size_t place = (size_t)key.halves[1] & (capacity - 1);

	while (table[place].halves[0] != 0 &&
	       (table[place].halves[0] != key.halves[0] || table[place].halves[1] != key.halves[1]))
		place = (place + 1) & (capacity - 1);
	return &table[place];
}

static void insert(struct pn_import_journal *journal, struct pn_import_key key)
{
	struct pn_import_key *place;

	if (2 * journal->count >= journal->capacity) {
		size_t capacity = journal->capacity == 0 ? SMALLEST_TABLE : 2 * journal->capacity;
		struct pn_import_key *table = calloc(capacity, sizeof(*table));

		if (table == NULL)
			abort();
		for (size_t i = 0; i < journal->capacity; i++) {
			if (journal->table[i].halves[0] != 0)
				*place_of(table, capacity, journal->table[i]) = journal->table[i];
		}
		free(journal->table);
		journal->table = table;
		journal->capacity = capacity;
	}
	place = place_of(journal->table, journal->capacity, key);
	journal->count += place->halves[0] == 0 ? 1 : 0;
	*place = key;
}

bool pn_import_journal_has(const struct pn_import_journal *journal, struct pn_import_key key)
{
	return journal->capacity > 0 &&
	       place_of(journal->table, journal->capacity, key)->halves[0] != 0;
}

static void read_lines(struct pn_import_journal *journal, FILE *file)
{
	char line[256];

	while (fgets(line, sizeof(line), file) != NULL) {
		struct pn_import_key key;

		journal->is_torn = strchr(line, '\n') == NULL;
		if (strlen(line) == LINE_SIZE && !journal->is_torn &&
		    sscanf(line, "%16" SCNx64 "%16" SCNx64, &key.halves[0], &key.halves[1]) == 2 &&
		    key.halves[0] != 0)
			insert(journal, key);
	}
}

static char *path_of(const char *data_directory, struct pn_slice account)
{
	struct pn_import_key name = pn_import_key_of(&account, 1);
	char *path;

	if (asprintf(&path, "%s/imports/%016" PRIx64 ".journal", data_directory, name.halves[0]) <
	    0)
		abort();
	return path;
}

void pn_import_journal_forget(const char *data_directory, struct pn_slice account)
{
	char *path = path_of(data_directory, account);

	unlink(path);
	free(path);
}

enum pn_status pn_import_journal_open(const char *data_directory, struct pn_slice account,
                                      struct pn_import_journal **journal_out,
                                      struct pn_error *error)
{
	struct pn_import_journal *journal = calloc(1, sizeof(*journal));
	char directory[3000];
	FILE *file;

	if (journal == NULL)
		abort();
	journal->descriptor = -1;
	snprintf(directory, sizeof(directory), "%s/imports", data_directory);
	if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
		free(journal);
		return pn_fail_errno(error, errno, "cannot make %s", directory);
	}
	journal->path = path_of(data_directory, account);
	*journal_out = journal;
	file = fopen(journal->path, "re");
	if (file == NULL && errno == ENOENT)
		return PN_OK;
	if (file == NULL) {
		(void)pn_fail_errno(error, errno, "cannot read %s", journal->path);
		pn_import_journal_close(journal_out);
		return PN_FAILED;
	}
	read_lines(journal, file);
	fclose(file);
	return PN_OK;
}

enum pn_status pn_import_journal_add(struct pn_import_journal *journal,
                                     const struct pn_import_key *keys, size_t count,
                                     struct pn_error *error)
{
	struct pn_buffer lines;
	ssize_t written;

	if (journal->descriptor < 0)
		journal->descriptor =
			open(journal->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (journal->descriptor < 0)
		return pn_fail_errno(error, errno, "cannot write %s", journal->path);
	pn_buffer_init(&lines, (count + 1) * LINE_SIZE);
	if (journal->is_torn)
		(void)!pn_buffer_append(&lines, PN_SLICE("\n"));
	journal->is_torn = false;
	for (size_t i = 0; i < count; i++) {
		(void)!pn_buffer_print(&lines, "%016" PRIx64 "%016" PRIx64 "\n", keys[i].halves[0],
		                       keys[i].halves[1]);
		insert(journal, keys[i]);
	}
	written = write(journal->descriptor, lines.data, lines.size);
	if (written != (ssize_t)lines.size) {
		pn_buffer_clear(&lines);
		return pn_fail_errno(error, written < 0 ? errno : ENOSPC, "cannot write %s",
		                     journal->path);
	}
	pn_buffer_clear(&lines);
	return PN_OK;
}

void pn_import_journal_close(struct pn_import_journal **journal)
{
	if (*journal == NULL)
		return;
	if ((*journal)->descriptor >= 0)
		close((*journal)->descriptor);
	free((*journal)->table);
	free((*journal)->path);
	free(*journal);
	*journal = NULL;
}
