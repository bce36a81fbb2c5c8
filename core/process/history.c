/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history as files: keeping it within age and size, and finding the events of
 * one id through the indexes. `explain` tells them as a story.
 */
#include "process/worker.h"

#include <postern/clock.h>
#include <postern/text.h>

#include "base/utf8.h"
#include "io/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int is_history_file(const struct dirent *entry)
{
	size_t size = strlen(entry->d_name);

	return size > 6 && strcmp(entry->d_name + size - 6, ".jsonl") == 0;
}

/* The index stands beside its file: NAME.jsonl and NAME.index. */
static void index_path(const char *directory, const char *name, char *room, size_t size)
{
	snprintf(room, size, "%s/%.*s.index", directory, (int)(strlen(name) - strlen(".jsonl")),
	         name);
}

void pn_history_keep_house(const char *directory, uint64_t max_age_ms, uint64_t max_bytes)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_history_file, alphasort);
	int64_t now = pn_clock_wall_ms();
	uint64_t total = 0;

	/* From the newest to the oldest: names begin with the hour. */
	for (int i = count; i-- > 0;) {
		char path[1024];
		struct stat status;

		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		if (stat(path, &status) == 0) {
			int64_t age = now - (int64_t)status.st_mtime * 1000;

			total += (uint64_t)status.st_size;
			if (total > max_bytes || age > (int64_t)max_age_ms) {
				unlink(path);
				index_path(directory, entries[i]->d_name, path, sizeof(path));
				unlink(path);
			}
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

/* ---- explain ---- */

/* Values were escaped when they were written; jansson gives them back as UTF-8, so control
 * characters are made visible again here. NULL where something else wrote the line. */
static void print_text(const char *text, FILE *out)
{
	struct pn_slice rest = pn_slice_of(text == NULL ? "?" : text);

	while (rest.size > 0) {
		uint32_t code_point;
		size_t size = pn_utf8_next(rest, &code_point);

		if (size == 0 || pn_utf8_is_control(code_point))
			fputc('?', out);
		else
			fwrite(rest.data, 1, size, out);
		rest = pn_slice_behind(rest, size == 0 ? 1 : size);
	}
}

/* "a value of the object", filled up to a width. */
static void print_member(const json_t *object, const char *name, int width, FILE *out)
{
	const char *text = json_string_value(json_object_get(object, name));

	print_text(text, out);
	for (int column = text == NULL ? 1 : (int)strlen(text); column < width; column++)
		fputc(' ', out);
}

static void print_hook(const json_t *hook, FILE *out)
{
	const char *about = json_string_value(json_object_get(hook, "about"));
	const char *failure = json_string_value(json_object_get(hook, "failure"));
	const char *text = json_string_value(json_object_get(hook, "text"));
	const char *mode = json_string_value(json_object_get(hook, "mode"));

	fputs("    ", out);
	print_member(hook, "stage", 21, out);
	print_member(hook, "verdict", 11, out);
	print_member(hook, "hook", 0, out);
	if (mode != NULL && strcmp(mode, "decide") != 0) {
		fputs(" [", out);
		print_text(mode, out);
		fputs("]", out);
	}
	if (about != NULL) {
		fputs(" for ", out);
		print_text(about, out);
	}
	if (text != NULL) {
		fprintf(out, ": %lld ",
		        (long long)json_integer_value(json_object_get(hook, "code")));
		print_text(text, out);
	}
	if (failure != NULL) {
		fputs(" FAILED: ", out);
		print_text(failure, out);
	}
	fprintf(out, " (%lld us, %lld us with waiting)\n",
	        (long long)json_integer_value(json_object_get(hook, "cpu_us")),
	        (long long)json_integer_value(json_object_get(hook, "wall_us")));
}

static void print_recipient(const json_t *recipient, FILE *out)
{
	fputs("    to ", out);
	print_member(recipient, "address", 0, out);
	fputs(": ", out);
	print_member(recipient, "fate", 0, out);
	if (json_is_string(json_object_get(recipient, "mailbox"))) {
		fputs(" in ", out);
		print_member(recipient, "mailbox", 0, out);
		fputs(" of ", out);
		print_member(recipient, "account", 0, out);
		fprintf(out, " as UID %lld",
		        (long long)json_integer_value(json_object_get(recipient, "uid")));
	}
	fputc('\n', out);
}

static void print_list(const json_t *list, void (*print)(const json_t *item, FILE *out), FILE *out)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		print(json_array_get(list, i), out);
}

static void print_event(const json_t *event, FILE *out)
{
	static const char *const told[] = {"time", "event", "level", "hooks", "recipients"};
	const char *key;
	json_t *value;

	print_member(event, "time", 0, out);
	fputc(' ', out);
	print_member(event, "event", 0, out);
	fputc('\n', out);
	json_object_foreach((json_t *)(uintptr_t)event, key, value)
	{
		bool is_told = false;

		for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
			is_told = is_told || strcmp(key, told[i]) == 0;
		if (is_told)
			continue;
		fputs("  ", out);
		print_text(key, out);
		fputs(": ", out);
		if (json_is_string(value)) {
			print_text(json_string_value(value), out);
		} else {
			char *text = json_dumps(value,
			                        JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);

			print_text(text, out); /* DEL is not escaped */
			free(text);
		}
		fputc('\n', out);
	}
	if (json_array_size(json_object_get(event, "recipients")) > 0)
		fputs("  recipients\n", out);
	print_list(json_object_get(event, "recipients"), print_recipient, out);
	if (json_array_size(json_object_get(event, "hooks")) > 0)
		fputs("  hooks\n", out);
	print_list(json_object_get(event, "hooks"), print_hook, out);
}

static bool names_id(const json_t *event, const char *id)
{
	const char *session = json_string_value(json_object_get(event, "session"));
	const char *transaction = json_string_value(json_object_get(event, "transaction"));

	return (session != NULL && strcmp(session, id) == 0) ||
	       (transaction != NULL && strcmp(transaction, id) == 0);
}

/* One event at its place in a file. False where the index leads to something else. */
static bool tell_event(FILE *file, uint64_t offset, const char *id, bool as_json, FILE *out)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	json_t *event = NULL;
	bool is_told = false;

	if (fseek(file, (long)offset, SEEK_SET) == 0 && (size = getline(&line, &room, file)) > 0)
		event = json_loadb(line, (size_t)size, 0, NULL);
	if (event != NULL && names_id(event, id)) {
		is_told = true;
		if (as_json)
			fputs(line, out);
		else
			print_event(event, out);
	}
	json_decref(event);
	free(line);
	return is_told;
}

static size_t explain_in(const char *directory, const char *name, const char *id, bool as_json,
                         FILE *out)
{
	char path[1024];
	struct pn_history_index_entry entry;
	uint64_t hash = pn_history_hash(pn_slice_of(id));
	size_t told = 0;
	FILE *index;
	FILE *file;

	index_path(directory, name, path, sizeof(path));
	index = fopen(path, "re");
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "re");
	while (index != NULL && file != NULL && fread(&entry, sizeof(entry), 1, index) == 1) {
		if (entry.id_hash == hash && tell_event(file, entry.offset, id, as_json, out))
			told++;
	}
	if (index != NULL)
		fclose(index);
	if (file != NULL)
		fclose(file);
	return told;
}

size_t pn_history_explain(const char *directory, const char *id, bool as_json, FILE *out)
{
	struct dirent **entries;
	int count = scandir(directory, &entries, is_history_file, alphasort);
	size_t told = 0;

	for (int i = 0; i < count; i++) {
		told += explain_in(directory, entries[i]->d_name, id, as_json, out);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
	return told;
}
