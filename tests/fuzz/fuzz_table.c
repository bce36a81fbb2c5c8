/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookup tables of policies: any bytes as a file, in both forms. What it refuses it
 * names by its line; what it takes finds every key with what stands behind it, as a
 * plain reading of the lines has it.
 */
#include "fuzz.h"

#include "io/file.h"
#include "policy/lookup.h"

#include <postern/text.h>

#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ENTRIES_MAX = 64, LIMIT = 1024 * 1024 };

struct entry {
	char *key;
	char *value;
};

static struct entry entries[ENTRIES_MAX];
static size_t entry_count;

static char *copy_of(const char *text, size_t size)
{
	char *copy = calloc(1, size + 1);

	require(copy != NULL);
	memcpy(copy, text, size);
	return copy;
}

static void forget(void)
{
	while (entry_count > 0) {
		entry_count--;
		free(entries[entry_count].key);
		free(entries[entry_count].value);
	}
}

static void add_value(struct entry *entry, const char *text, size_t size)
{
	size_t before = strlen(entry->value);

	entry->value = realloc(entry->value, before + size + 2);
	require(entry->value != NULL);
	if (before > 0)
		entry->value[before++] = ' ';
	memcpy(entry->value + before, text, size);
	entry->value[before + size] = '\0';
}

/* One line, without its break. */
static void read_line(const char *line, size_t size, bool is_list)
{
	bool is_indented = size > 0 && strchr(" \t\r", line[0]) != NULL;
	size_t key_size;

	while (size > 0 && strchr(" \t\r", line[size - 1]) != NULL)
		size--;
	while (size > 0 && strchr(" \t\r", line[0]) != NULL)
		line++, size--;
	if (size == 0 || line[0] == '#')
		return;
	if (is_indented && !is_list) {
		if (entry_count > 0 && entry_count <= ENTRIES_MAX)
			add_value(&entries[entry_count - 1], line, size);
		return;
	}
	for (size_t index = 0; is_list && index < entry_count; index++) {
		if (strlen(entries[index].key) == size &&
		    strncasecmp(entries[index].key, line, size) == 0)
			return;
	}
	key_size = strcspn(line, " \t\r\n");
	key_size = key_size > size ? size : key_size;
	entries[entry_count].key = copy_of(line, key_size);
	entries[entry_count].value = copy_of("", 0);
	line += key_size, size -= key_size;
	while (size > 0 && strchr(" \t\r", line[0]) != NULL)
		line++, size--;
	if (size > 0)
		add_value(&entries[entry_count], line, size);
	entry_count++;
}

static void check(const struct pn_lookup *lookup, const char *text, bool is_list)
{
	for (const char *at = text; *at != '\0'; at += strcspn(at, "\n"), at += *at == '\n') {
		if (entry_count == ENTRIES_MAX)
			return;
		read_line(at, strcspn(at, "\n"), is_list);
	}
	require(pn_lookup_count(lookup) == entry_count);
	for (size_t index = 0; index < entry_count; index++) {
		struct pn_slice value = pn_lookup_find(lookup, pn_slice_of(entries[index].key)),
				part;
		char joined[2 * PN_LOOKUP_VALUE_MAX];
		size_t size = 0;

		require(value.data != NULL);
		if (value.size > 0 && memchr(value.data, '\n', value.size) == NULL) {
			require(pn_slice_equal(value, pn_slice_of(entries[index].value)));
			continue;
		}
		while (pn_lookup_next_part(&value, &part)) {
			require(size + part.size + 1 < sizeof(joined));
			if (size > 0)
				joined[size++] = ' ';
			memcpy(joined + size, part.data, part.size);
			size += part.size;
		}
		require(is_list || pn_slice_equal(pn_slice_make(joined, size),
		                                  pn_slice_of(entries[index].value)));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum pn_lookup_format format =
		take_byte(&data, &size) % 2 == 0 ? PN_LOOKUP_LINES : PN_LOOKUP_LIST;
	int file = memfd_create("fuzz", MFD_CLOEXEC);
	struct pn_lookup *lookup = NULL;
	struct pn_error error;
	size_t used = 0;
	char *text;

	require(file >= 0 && pwrite(file, data, size, 0) == (ssize_t)size);
	pn_file_provide("fuzz", file);
	if (pn_lookup_new("fuzz", "table", format, LIMIT, &lookup, &used, &error) != PN_OK) {
		require(strncmp(error.text, "table:", 6) == 0 || size > LIMIT / 16);
	} else {
		require(used <= LIMIT);
		/* The plain reading is one of C strings. */
		text = copy_of((const char *)data, size);
		if (strlen(text) == size)
			check(lookup, text, format == PN_LOOKUP_LIST);
		free(text);
	}
	forget();
	pn_lookup_free(&lookup);
	pn_file_forget();
	return 0;
}
