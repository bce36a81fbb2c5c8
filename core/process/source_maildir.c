/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maildirs as a source: one with its folders beside it (Maildir++: ".Level.Name"),
 * or folders in folders. Flags are in the names of the files, and so are the letters
 * of keywords that dovecot-keywords explains; UIDs come from dovecot-uidlist,
 * subscriptions from "subscriptions". An export of this gateway says in
 * postern-mailboxes what names cannot: see export.h.
 */
#include "process/import.h"

#include <postern/text.h>

#include <postern/mailbox_name.h>
#include "process/export.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAX_KEYWORDS = 100,
	KEYWORD_LETTERS = 26,
	MAX_DEPTH = 50,
	NAME_MAX_BYTES = 4000,
	LINE_MAX_BYTES = 8192
};

struct folder {
	char *path;
	struct pn_slice name; /* UTF-8 */
	uint32_t attributes;
	uint32_t uid_validity;
};

struct entry {
	const char *file; /* "cur/…" or "new/…" */
	const char *base; /* what is behind the slash */
	size_t base_size; /* without the flags */
	uint32_t uid;
	const char *more_keywords; /* separated by spaces; or NULL */
};

struct maildir {
	struct pn_arena *arena; /* of all folders */
	const struct pn_source_request *request;
	struct folder *folders;
	size_t folder_count;
	size_t folder_capacity;
	size_t next_folder;

	/* The folder at hand. */
	const struct folder *folder;
	struct pn_arena *folder_arena;
	struct pn_slice keywords[KEYWORD_LETTERS];
	struct entry *entries;
	size_t entry_count;
	size_t entry_capacity;
	size_t next_entry;
	uint32_t uid_validity;
	uint32_t uid_next;
	int descriptor; /* of the message at hand; -1: none */
	const char *at;
};

static bool is_folder(const char *path)
{
	char part[NAME_MAX_BYTES];
	struct stat found;

	snprintf(part, sizeof(part), "%s/cur", path);
	if (stat(part, &found) == 0 && S_ISDIR(found.st_mode))
		return true;
	snprintf(part, sizeof(part), "%s/new", path);
	return stat(part, &found) == 0 && S_ISDIR(found.st_mode);
}

/* ---- folders ---- */

static struct folder *add_folder(struct maildir *maildir, const char *path, struct pn_slice name)
{
	struct folder *folder;

	if (maildir->folder_count == maildir->folder_capacity) {
		maildir->folder_capacity =
			maildir->folder_capacity == 0 ? 64 : 2 * maildir->folder_capacity;
		maildir->folders = reallocarray(maildir->folders, maildir->folder_capacity,
		                                sizeof(*maildir->folders));
		if (maildir->folders == NULL)
			abort();
	}
	folder = &maildir->folders[maildir->folder_count++];
	memset(folder, 0, sizeof(*folder));
	folder->path = pn_arena_keep_text(maildir->arena, pn_slice_of(path));
	folder->name = pn_arena_keep(maildir->arena, name);
	return folder;
}

/* ".Level.Gr&APwA3w-e": levels are separated by dots, each in modified UTF-7; what is none stays.
 */
static struct pn_slice folder_name(struct maildir *maildir, struct pn_slice text, char separator)
{
	struct pn_buffer name;
	struct pn_slice kept;

	pn_buffer_init(&name, NAME_MAX_BYTES);
	while (text.size > 0) {
		struct pn_slice level = pn_slice_cut(&text, separator);
		size_t before = name.size;

		if (name.size > 0)
			(void)!pn_buffer_append(&name, PN_SLICE("/"));
		if (pn_utf7_decode(&name, level) != PN_OK) {
			name.size = before;
			if (before > 0)
				(void)!pn_buffer_append(&name, PN_SLICE("/"));
			(void)!pn_buffer_append(&name, level);
		}
	}
	kept = pn_arena_keep(maildir->arena, pn_buffer_slice(&name));
	pn_buffer_clear(&name);
	return kept;
}

static bool is_part(const char *name)
{
	return strcmp(name, "cur") == 0 || strcmp(name, "new") == 0 || strcmp(name, "tmp") == 0;
}

/* What is in a directory beside its own messages. `above` is "" or "Level/". */
static void find_folders(struct maildir *maildir, const char *path, const char *above,
                         unsigned depth)
{
	DIR *directory = depth > MAX_DEPTH ? NULL : opendir(path);
	struct dirent *found;

	while (directory != NULL && (found = readdir(directory)) != NULL) {
		const char *name = found->d_name;
		char inner[NAME_MAX_BYTES];
		struct stat about;
		struct pn_slice here;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_part(name) ||
		    (size_t)snprintf(inner, sizeof(inner), "%s/%s", path, name) >= sizeof(inner) ||
		    stat(inner, &about) != 0 || !S_ISDIR(about.st_mode))
			continue;
		if (name[0] == '.')
			here = folder_name(maildir, pn_slice_of(name + 1), '.');
		else
			here = folder_name(maildir, pn_slice_of(name), '/');
		here = pn_slice_of(
			pn_arena_print(maildir->arena, "%s%.*s", above, PN_SLICE_ARGS(here)));
		if (is_folder(inner))
			add_folder(maildir, inner, here);
		if (name[0] != '.')
			find_folders(maildir, inner,
			             pn_arena_print(maildir->arena, "%.*s/", PN_SLICE_ARGS(here)),
			             depth + 1);
	}
	if (directory != NULL)
		closedir(directory);
}

static int by_name(const void *left, const void *right)
{
	const struct folder *one = left;
	const struct folder *other = right;
	size_t size = one->name.size < other->name.size ? one->name.size : other->name.size;
	int order = size == 0 ? 0 : memcmp(one->name.data, other->name.data, size);

	if (order != 0)
		return order;
	return one->name.size < other->name.size ? -1 : one->name.size > other->name.size;
}

static struct folder *find_folder(struct maildir *maildir, struct pn_slice name)
{
	for (size_t i = 0; i < maildir->folder_count; i++) {
		if (pn_slice_equal(maildir->folders[i].name, name))
			return &maildir->folders[i];
	}
	return NULL;
}

/* "Sent" or "Archive.2026"; in files of version 2 levels are separated by tabs. */
static void read_subscriptions(struct maildir *maildir, const char *path)
{
	char line[LINE_MAX_BYTES];
	char separator = '.';
	FILE *file;

	snprintf(line, sizeof(line), "%s/subscriptions", path);
	file = fopen(line, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct folder *folder;

		line[strcspn(line, "\r\n")] = '\0';
		if (strcmp(line, "V\t2") == 0)
			separator = '\t';
		folder = find_folder(maildir, folder_name(maildir, pn_slice_of(line), separator));
		if (folder == NULL)
			folder = find_folder(maildir, pn_slice_of(line));
		if (folder != NULL)
			folder->attributes |= PN_MAILBOX_SUBSCRIBED;
	}
	if (file != NULL)
		fclose(file);
}

/* What an export of ours says: directory, name, UIDVALIDITY, attributes; separated by tabs. */
static void read_export(struct maildir *maildir, const char *path)
{
	char line[LINE_MAX_BYTES];
	FILE *file;

	snprintf(line, sizeof(line), "%s/%s", path, PN_EXPORT_TABLE);
	file = fopen(line, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct pn_slice rest = pn_slice_make(line, strcspn(line, "\r\n"));
		struct pn_slice directory = pn_slice_cut(&rest, '\t');
		struct pn_slice name = pn_slice_cut(&rest, '\t');
		struct pn_slice validity = pn_slice_cut(&rest, '\t');
		char inner[NAME_MAX_BYTES];
		uint64_t number;

		snprintf(inner, sizeof(inner), directory.size == 0 ? "%s%.*s" : "%s/%.*s", path,
		         PN_SLICE_ARGS(directory));
		for (size_t i = 0; i < maildir->folder_count; i++) {
			struct folder *folder = &maildir->folders[i];

			if (strcmp(folder->path, inner) != 0)
				continue;
			folder->name = pn_arena_keep(maildir->arena, name);
			if (pn_parse_count(validity, &number) == PN_OK && number <= UINT32_MAX)
				folder->uid_validity = (uint32_t)number;
			if (pn_parse_count(rest, &number) == PN_OK)
				folder->attributes |= (uint32_t)number;
		}
	}
	if (file != NULL)
		fclose(file);
}

static enum pn_status maildir_open(const struct pn_source_request *request, void **source_out,
                                   struct pn_error *error)
{
	struct maildir *maildir = calloc(1, sizeof(*maildir));
	char path[NAME_MAX_BYTES];
	DIR *directory;
	size_t size;

	if (maildir == NULL)
		abort();
	maildir->request = request;
	maildir->arena = pn_arena_new();
	maildir->folder_arena = pn_arena_new();
	maildir->descriptor = -1;
	*source_out = maildir;
	if (request->argument_count != 1) {
		return pn_fail(error, "say which Maildir: postern import maildir ACCOUNT PATH");
	}
	snprintf(path, sizeof(path), "%s", request->arguments[0]);
	for (size = strlen(path); size > 1 && path[size - 1] == '/'; size--)
		path[size - 1] = '\0';
	/* Not access(): that knows nothing of the right to read all files. */
	directory = opendir(path);
	if (directory == NULL)
		return pn_fail_errno(error, errno, "cannot read %s", path);
	closedir(directory);
	if (is_folder(path))
		add_folder(maildir, path, PN_SLICE("INBOX"));
	find_folders(maildir, path, "", 0);
	if (maildir->folder_count == 0)
		return pn_fail(error,
		               "%s is no Maildir: neither it nor what is in it has a cur or new",
		               path);
	read_subscriptions(maildir, path);
	read_export(maildir, path);
	qsort(maildir->folders, maildir->folder_count, sizeof(*maildir->folders), by_name);
	return PN_OK;
}

/* ---- the messages of a folder ---- */

static void forget_folder(struct maildir *maildir)
{
	if (maildir->descriptor >= 0)
		close(maildir->descriptor);
	maildir->descriptor = -1;
	maildir->entry_count = 0;
	maildir->next_entry = 0;
	maildir->uid_validity = 0;
	maildir->uid_next = 0;
	memset(maildir->keywords, 0, sizeof(maildir->keywords));
	pn_arena_reset(maildir->folder_arena);
}

/* "0 $Forwarded": the letter a. */
static void read_keywords(struct maildir *maildir)
{
	char line[LINE_MAX_BYTES];
	FILE *file;

	snprintf(line, sizeof(line), "%s/dovecot-keywords", maildir->folder->path);
	file = fopen(line, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct pn_slice rest = pn_slice_make(line, strcspn(line, "\r\n"));
		struct pn_slice number = pn_slice_cut(&rest, ' ');
		uint64_t index;

		if (pn_parse_count(number, &index) == PN_OK && index < KEYWORD_LETTERS &&
		    rest.size > 0)
			maildir->keywords[index] = pn_arena_keep(maildir->folder_arena, rest);
	}
	if (file != NULL)
		fclose(file);
}

static size_t base_size(const char *name)
{
	size_t size = strcspn(name, ":;!");

	return strncmp(name + size + (name[size] != '\0'), "2,", 2) == 0 ? size : strlen(name);
}

static void add_entry(struct maildir *maildir, const char *part, const char *name)
{
	struct entry *entry;

	if (maildir->entry_count == maildir->entry_capacity) {
		maildir->entry_capacity =
			maildir->entry_capacity == 0 ? 1024 : 2 * maildir->entry_capacity;
		maildir->entries = reallocarray(maildir->entries, maildir->entry_capacity,
		                                sizeof(*maildir->entries));
		if (maildir->entries == NULL)
			abort();
	}
	entry = &maildir->entries[maildir->entry_count++];
	entry->file = pn_arena_print(maildir->folder_arena, "%s/%s", part, name);
	entry->base = entry->file + strlen(part) + 1;
	entry->base_size = base_size(name);
	entry->uid = 0;
	entry->more_keywords = NULL;
}

static enum pn_status read_part(struct maildir *maildir, const char *part, struct pn_error *error)
{
	char path[NAME_MAX_BYTES];
	DIR *directory;
	struct dirent *found;

	snprintf(path, sizeof(path), "%s/%s", maildir->folder->path, part);
	directory = opendir(path);
	if (directory == NULL)
		return errno == ENOENT ? PN_OK
		                       : pn_fail_errno(error, errno, "cannot read %s", path);
	while ((found = readdir(directory)) != NULL) {
		if (found->d_name[0] != '.')
			add_entry(maildir, part, found->d_name);
	}
	closedir(directory);
	return PN_OK;
}

static int compare_bases(const struct entry *one, const struct entry *other)
{
	size_t size = one->base_size < other->base_size ? one->base_size : other->base_size;
	int order = memcmp(one->base, other->base, size);

	if (order != 0)
		return order;
	return one->base_size < other->base_size ? -1 : one->base_size > other->base_size;
}

static int by_base(const void *left, const void *right)
{
	return compare_bases(left, right);
}

/* Those with UIDs first, by them; the others as they were delivered. */
static int by_uid(const void *left, const void *right)
{
	const struct entry *one = left;
	const struct entry *other = right;
	unsigned long long here, there;

	if (one->uid != other->uid)
		return one->uid - 1u < other->uid - 1u ? -1 : 1;
	here = strtoull(one->base, NULL, 10);
	there = strtoull(other->base, NULL, 10);
	if (here != there)
		return here < there ? -1 : 1;
	return compare_bases(one, other);
}

/* "3 V1275660208 N25022 G…", then "25006 W2481 :1276528487.M364837P9451.host,S=1355:2,". */
static void read_uids(struct maildir *maildir)
{
	char line[LINE_MAX_BYTES];
	unsigned validity, next;
	int version = 0;
	FILE *file;

	snprintf(line, sizeof(line), "%s/dovecot-uidlist", maildir->folder->path);
	file = fopen(line, "re");
	if (file != NULL && fgets(line, sizeof(line), file) != NULL &&
	    (sscanf(line, "%d V%u N%u", &version, &validity, &next) == 3 ||
	     sscanf(line, "%d %u %u", &version, &validity, &next) == 3)) {
		maildir->uid_validity = validity;
		maildir->uid_next = next;
	}
	while (maildir->uid_validity != 0 && fgets(line, sizeof(line), file) != NULL) {
		char *name = version == 1 ? strchr(line, ' ') : strstr(line, " :");
		struct entry wanted = {.uid = (uint32_t)strtoul(line, NULL, 10)};
		struct entry *found;

		line[strcspn(line, "\r\n")] = '\0';
		if (name == NULL || maildir->entry_count == 0)
			continue;
		name += version == 1 ? 1 : 2;
		wanted.base = name;
		wanted.base_size = base_size(name);
		found = bsearch(&wanted, maildir->entries, maildir->entry_count,
		                sizeof(*maildir->entries), by_base);
		if (found != NULL)
			found->uid = wanted.uid;
	}
	if (file != NULL)
		fclose(file);
}

/* What an export of ours had no letters for: "UID keyword keyword". The entries are sorted by UID.
 */
static void read_more_keywords(struct maildir *maildir)
{
	char line[LINE_MAX_BYTES];
	size_t at = 0;
	FILE *file;

	snprintf(line, sizeof(line), "%s/%s", maildir->folder->path, PN_EXPORT_KEYWORDS);
	file = fopen(line, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *words;
		uint32_t uid = (uint32_t)strtoul(line, &words, 10);

		line[strcspn(line, "\r\n")] = '\0';
		while (at < maildir->entry_count && maildir->entries[at].uid < uid &&
		       maildir->entries[at].uid != 0)
			at++;
		if (at < maildir->entry_count && maildir->entries[at].uid == uid)
			maildir->entries[at].more_keywords =
				pn_arena_keep_text(maildir->folder_arena, pn_slice_of(words));
	}
	if (file != NULL)
		fclose(file);
}

static enum pn_status maildir_next_mailbox(void *source, struct pn_arena *arena,
                                           struct pn_source_mailbox *mailbox_out,
                                           struct pn_error *error)
{
	struct maildir *maildir = source;

	(void)arena;
	if (maildir->next_folder == maildir->folder_count)
		return PN_NOT_FOUND;
	forget_folder(maildir);
	maildir->folder = &maildir->folders[maildir->next_folder++];
	if (read_part(maildir, "cur", error) != PN_OK || read_part(maildir, "new", error) != PN_OK)
		return PN_FAILED;
	read_keywords(maildir);
	if (maildir->entry_count > 0)
		qsort(maildir->entries, maildir->entry_count, sizeof(*maildir->entries), by_base);
	read_uids(maildir);
	if (maildir->entry_count > 0)
		qsort(maildir->entries, maildir->entry_count, sizeof(*maildir->entries), by_uid);
	read_more_keywords(maildir);
	mailbox_out->name = maildir->folder->name;
	mailbox_out->attributes = maildir->folder->attributes;
	mailbox_out->uid_validity =
		maildir->uid_validity != 0 ? maildir->uid_validity : maildir->folder->uid_validity;
	mailbox_out->uid_next = maildir->uid_next;
	mailbox_out->message_count = maildir->entry_count;
	return PN_OK;
}

static struct pn_flags read_flags(const struct maildir *maildir, const struct entry *entry,
                                  struct pn_arena *arena)
{
	static const char letters[] = "SRFTD";
	static const uint32_t flags[] = {PN_FLAG_SEEN, PN_FLAG_ANSWERED, PN_FLAG_FLAGGED,
	                                 PN_FLAG_DELETED, PN_FLAG_DRAFT};
	struct pn_slice *keywords = PN_ARENA_ARRAY(arena, MAX_KEYWORDS, struct pn_slice);
	struct pn_slice more = pn_slice_of(entry->more_keywords);
	struct pn_flags found = {.keywords = keywords};
	const char *letter = entry->base + entry->base_size;

	while (more.size > 0 && found.keyword_count < MAX_KEYWORDS - KEYWORD_LETTERS - 1) {
		struct pn_slice word = pn_slice_cut(&more, ' ');

		if (word.size > 0)
			keywords[found.keyword_count++] = word;
	}
	if (*letter == '\0')
		return found;
	for (letter += 3; *letter != '\0'; letter++) {
		const char *known = strchr(letters, *letter);

		if (known != NULL)
			found.system |= flags[known - letters];
		else if (*letter == 'P' && found.keyword_count < MAX_KEYWORDS)
			keywords[found.keyword_count++] = PN_SLICE("$Forwarded");
		else if (*letter >= 'a' && *letter <= 'z' &&
		         maildir->keywords[*letter - 'a'].size > 0 &&
		         found.keyword_count < MAX_KEYWORDS)
			keywords[found.keyword_count++] = maildir->keywords[*letter - 'a'];
	}
	return found;
}

static enum pn_status maildir_next_message(void *source, struct pn_arena *arena,
                                           struct pn_source_message *message_out,
                                           struct pn_error *error)
{
	struct maildir *maildir = source;
	const struct entry *entry;
	char path[NAME_MAX_BYTES];
	struct stat about;

	if (maildir->descriptor >= 0)
		close(maildir->descriptor);
	maildir->descriptor = -1;
	if (maildir->next_entry == maildir->entry_count)
		return PN_NOT_FOUND;
	entry = &maildir->entries[maildir->next_entry++];
	maildir->at = entry->file;
	message_out->key = pn_slice_make(entry->base, entry->base_size);
	snprintf(path, sizeof(path), "%s/%s", maildir->folder->path, entry->file);
	if (stat(path, &about) != 0)
		return pn_fail_with(PN_DENIED, error, "%s: %s", path, strerror(errno));
	if (!S_ISREG(about.st_mode))
		return pn_fail_with(PN_DENIED, error, "%s is no file", path);
	message_out->uid = entry->uid;
	message_out->flags = read_flags(maildir, entry, arena);
	message_out->internal_date_ms =
		(int64_t)about.st_mtim.tv_sec * 1000 + about.st_mtim.tv_nsec / 1000000;
	message_out->size = (uint64_t)about.st_size;
	return PN_OK;
}

static enum pn_status maildir_read(void *source, struct pn_buffer *bytes, bool *is_last,
                                   struct pn_error *error)
{
	struct maildir *maildir = source;
	char path[NAME_MAX_BYTES];
	size_t room_size = bytes->limit - bytes->size;
	char *room;
	ssize_t size;

	snprintf(path, sizeof(path), "%s/%s", maildir->folder->path, maildir->at);
	if (maildir->descriptor < 0)
		maildir->descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (maildir->descriptor < 0)
		return pn_fail_with(PN_DENIED, error, "%s: %s", path, strerror(errno));
	if (pn_buffer_reserve(bytes, room_size, &room) != PN_OK)
		return pn_fail(error, "no room");
	do
		size = read(maildir->descriptor, room, room_size);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return pn_fail_with(PN_DENIED, error, "%s: %s", path, strerror(errno));
	bytes->size += (size_t)size;
	*is_last = size == 0;
	return PN_OK;
}

static void maildir_close(void *source)
{
	struct maildir *maildir = source;

	forget_folder(maildir);
	pn_arena_free(&maildir->arena);
	pn_arena_free(&maildir->folder_arena);
	free(maildir->folders);
	free(maildir->entries);
	free(maildir);
}

const struct pn_source pn_source_maildir = {
	.struct_size = sizeof(pn_source_maildir),
	.name = "maildir",
	.usage = "PATH",
	.summary = "A Maildir with its folders: flags, keywords, dates, UIDs.",
	.has_unix_lines = true,
	.open = maildir_open,
	.next_mailbox = maildir_next_mailbox,
	.next_message = maildir_next_message,
	.read = maildir_read,
	.close = maildir_close,
};
