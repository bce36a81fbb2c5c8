/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mbox files as a source (RFC 4155): one file is INBOX, a directory has a mailbox in
 * each file, with those in NAME.sbd or a directory NAME below it. A message begins
 * with a From_ line behind an empty one; ">From " loses one ">". Flags, keywords and
 * UIDs are in the fields that mail programs wrote for themselves (mail/mbox_fields.h),
 * which are left out.
 *
 * A message is known by a digest of the rest of it, and its number among those that
 * are the same: the file may be written anew, with other flags, between two imports.
 */
#include "mail/mbox_fields.h"
#include "process/export.h"
#include "process/import.h"

#include <postern/text.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DEPTH = 50, PATH_BYTES = 4000, MAX_KEYWORDS = 64 };

struct file {
	char *path;
	struct pn_slice name;
	uint32_t attributes;
};

/* How often a digest came: open addressing. */
struct tally {
	uint64_t digest; /* 0: empty */
	uint32_t count;
};

struct mbox {
	struct pn_arena *arena;
	const struct pn_source_request *request;
	struct file *files;
	size_t file_count;
	size_t file_capacity;
	size_t next_file;

	/* The file at hand. */
	const char *text;
	size_t size;
	size_t next; /* the From_ line of the next message */
	struct tally *tallies;
	size_t tally_capacity;
	size_t tally_count;
	uint32_t uid_validity;

	/* The message at hand. */
	struct pn_slice from_line;
	struct pn_slice body; /* header and body, up to the next From_ line */
	struct pn_slice left; /* of it, to be read */
	bool in_header;
	bool in_own_field; /* a field that is left out goes on on the next line */
};

/* ---- lines ---- */

static struct pn_slice cut_line(struct pn_slice *rest)
{
	size_t end = pn_slice_find(*rest, '\n');
	size_t size = end < rest->size ? end + 1 : rest->size;
	struct pn_slice line = pn_slice_make(rest->data, size);

	*rest = pn_slice_behind(*rest, size);
	return line;
}

static bool is_empty(struct pn_slice line)
{
	return (line.size == 1 && line.data[0] == '\n') ||
	       (line.size == 2 && line.data[0] == '\r' && line.data[1] == '\n');
}

static bool begins_with(struct pn_slice line, const char *text)
{
	size_t size = strlen(text);

	return line.size >= size && memcmp(line.data, text, size) == 0;
}

static bool is_year(const char *word)
{
	return strlen(word) == 4 && strspn(word, "0123456789") == 4;
}

/* "Www Mmm dd hh:mm[:ss] [zone] yyyy [zone]" at the beginning of the text. */
static bool parse_date(const char *text, int64_t *milliseconds_out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char month[4] = "", first[16] = "", second[16] = "";
	struct tm date = {0};
	const char *known;
	int zone = 0;

	if (sscanf(text, " %*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %15s %15s", month, &date.tm_mday,
	           &date.tm_hour, &date.tm_min, &date.tm_sec, first, second) < 6 &&
	    sscanf(text, " %*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d %15s %15s", month, &date.tm_mday,
	           &date.tm_hour, &date.tm_min, first, second) < 5)
		return false;
	known = strstr(months, month);
	if (known == NULL || (known - months) % 3 != 0 || (!is_year(first) && !is_year(second)))
		return false;
	date.tm_mon = (int)(known - months) / 3;
	date.tm_year = (int)strtol(is_year(first) ? first : second, NULL, 10) - 1900;
	if (sscanf(is_year(first) ? second : first, "%5d", &zone) == 1)
		zone = (zone / 100 * 60 + zone % 100) * 60;
	*milliseconds_out = ((int64_t)timegm(&date) - zone) * 1000;
	return true;
}

/* The date of a From_ line, wherever it begins in it. */
static bool from_date(struct pn_slice line, int64_t *milliseconds_out)
{
	char text[200];
	const char *at;

	snprintf(text, sizeof(text), "%.*s", (int)(line.size < 199 ? line.size : 199), line.data);
	at = strchr(text, ' ');
	while (at != NULL && !parse_date(at, milliseconds_out))
		at = strchr(at + 1, ' ');
	return at != NULL;
}

static bool is_from_line(struct pn_slice line)
{
	int64_t unused;

	return begins_with(line, "From ") && from_date(line, &unused);
}

/* ---- fields of mail programs ---- */

struct facts {
	uint32_t system;
	uint32_t uid;
	uint32_t uid_validity;
	bool is_expunged; /* Thunderbird keeps it until the file is written anew */
	bool is_internal; /* no message: what a server keeps for itself */
	struct pn_slice *keywords;
	size_t keyword_count;
};

static void add_keywords(struct facts *facts, struct pn_slice words)
{
	while (words.size > 0) {
		struct pn_slice word;
		bool is_known = false;

		while (words.size > 0 && strchr(" ,\t\r\n", words.data[0]) != NULL)
			words = pn_slice_behind(words, 1);
		word = words;
		for (word.size = 0;
		     word.size < words.size && strchr(" ,\t\r\n", words.data[word.size]) == NULL;)
			word.size++;
		words = pn_slice_behind(words, word.size);
		for (size_t i = 0; i < facts->keyword_count; i++)
			is_known |= pn_slice_equal_ignore_case(facts->keywords[i], word);
		if (word.size > 0 && word.size <= PN_KEYWORD_MAX && !is_known &&
		    facts->keyword_count < MAX_KEYWORDS)
			facts->keywords[facts->keyword_count++] = word;
	}
}

static void read_letters(struct facts *facts, struct pn_slice value)
{
	static const char letters[] = "RAFDT";
	static const uint32_t flags[] = {PN_FLAG_SEEN, PN_FLAG_ANSWERED, PN_FLAG_FLAGGED,
	                                 PN_FLAG_DELETED, PN_FLAG_DRAFT};

	for (size_t i = 0; i < value.size; i++) {
		const char *known = value.data[i] == '\0' ? NULL : strchr(letters, value.data[i]);

		if (known != NULL)
			facts->system |= flags[known - letters];
	}
}

static void read_mozilla_status(struct facts *facts, struct pn_slice value)
{
	unsigned long bits = 0;
	char text[16];

	snprintf(text, sizeof(text), "%.*s", (int)(value.size < 15 ? value.size : 15), value.data);
	bits = strtoul(text, NULL, 16);
	facts->system |= (bits & 0x1 ? (uint32_t)PN_FLAG_SEEN : 0) |
	                 (bits & 0x2 ? (uint32_t)PN_FLAG_ANSWERED : 0) |
	                 (bits & 0x4 ? (uint32_t)PN_FLAG_FLAGGED : 0);
	facts->is_expunged = (bits & 0x8) != 0;
	if (bits & 0x1000)
		add_keywords(facts, PN_SLICE("$Forwarded"));
}

static void read_field(struct facts *facts, enum pn_mbox_field field, struct pn_slice value)
{
	uint64_t number;

	switch (field) {
	case PN_MBOX_STATUS:
		read_letters(facts, value);
		break;
	case PN_MBOX_KEYWORDS:
		add_keywords(facts, value);
		break;
	case PN_MBOX_MOZILLA_STATUS:
		read_mozilla_status(facts, value);
		break;
	case PN_MBOX_UID:
		if (pn_parse_count(value, &number) == PN_OK && number <= UINT32_MAX)
			facts->uid = (uint32_t)number;
		break;
	case PN_MBOX_BASE:
	case PN_MBOX_INTERNAL:
		facts->is_internal |= field == PN_MBOX_INTERNAL;
		if (pn_parse_count(pn_slice_cut(&value, ' '), &number) == PN_OK &&
		    number <= UINT32_MAX)
			facts->uid_validity = (uint32_t)number;
		break;
	case PN_MBOX_OTHER:
	case PN_MBOX_NONE:
		break;
	}
}

static void read_facts(struct pn_slice text, struct pn_arena *arena, struct facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	facts->keywords = PN_ARENA_ARRAY(arena, MAX_KEYWORDS, struct pn_slice);
	while (text.size > 0) {
		struct pn_slice line = cut_line(&text);
		struct pn_slice value;

		if (is_empty(line))
			return;
		read_field(facts, pn_mbox_field_of(line, &value), value);
	}
}

/* ---- the message as it was ---- */

/* The next line of it, or nothing where it is a mail program's own. */
static struct pn_slice next_line(struct mbox *mbox)
{
	struct pn_slice line = cut_line(&mbox->left);
	struct pn_slice value;
	size_t quotes = 0;

	if (!mbox->in_header) {
		while (quotes < line.size && line.data[quotes] == '>')
			quotes++;
		if (quotes > 0 && begins_with(pn_slice_behind(line, quotes), "From "))
			line = pn_slice_behind(line, 1);
		return line;
	}
	if (is_empty(line)) {
		mbox->in_header = false;
		return line;
	}
	if (line.data[0] != ' ' && line.data[0] != '\t')
		mbox->in_own_field = pn_mbox_field_of(line, &value) != PN_MBOX_NONE;
	return mbox->in_own_field ? PN_SLICE_NONE : line;
}

static void rewind_message(struct mbox *mbox)
{
	mbox->left = mbox->body;
	mbox->in_header = true;
	mbox->in_own_field = false;
}

static uint64_t digest_message(struct mbox *mbox)
{
	uint64_t digest = 14695981039346656037u;

	rewind_message(mbox);
	while (mbox->left.size > 0) {
		struct pn_slice line = next_line(mbox);

		for (size_t i = 0; i < line.size; i++)
			digest = (digest ^ (uint8_t)line.data[i]) * 1099511628211u;
	}
	rewind_message(mbox);
	return digest == 0 ? 1 : digest;
}

/* How many of this digest came before. */
static uint32_t count_digest(struct mbox *mbox, uint64_t digest)
{
	size_t place;

	if (2 * mbox->tally_count >= mbox->tally_capacity) {
		size_t capacity = mbox->tally_capacity == 0 ? 1024 : 2 * mbox->tally_capacity;
		struct tally *tallies = calloc(capacity, sizeof(*tallies));

		if (tallies == NULL)
			abort();
		for (size_t i = 0; i < mbox->tally_capacity; i++) {
			place = (size_t)mbox->tallies[i].digest & (capacity - 1);
			while (tallies[place].digest != 0)
				place = (place + 1) & (capacity - 1);
			tallies[place] = mbox->tallies[i];
		}
		free(mbox->tallies);
		mbox->tallies = tallies;
		mbox->tally_capacity = capacity;
	}
	place = (size_t)digest & (mbox->tally_capacity - 1);
	while (mbox->tallies[place].digest != 0 && mbox->tallies[place].digest != digest)
		place = (place + 1) & (mbox->tally_capacity - 1);
	mbox->tally_count += mbox->tallies[place].digest == 0 ? 1 : 0;
	mbox->tallies[place].digest = digest;
	return mbox->tallies[place].count++;
}

/* ---- files ---- */

static void add_file(struct mbox *mbox, const char *path, struct pn_slice name)
{
	if (mbox->file_count == mbox->file_capacity) {
		mbox->file_capacity = mbox->file_capacity == 0 ? 64 : 2 * mbox->file_capacity;
		mbox->files = reallocarray(mbox->files, mbox->file_capacity, sizeof(*mbox->files));
		if (mbox->files == NULL)
			abort();
	}
	mbox->files[mbox->file_count].attributes = 0;
	mbox->files[mbox->file_count].path = pn_arena_keep_text(mbox->arena, pn_slice_of(path));
	mbox->files[mbox->file_count++].name = pn_arena_keep(mbox->arena, name);
}

static bool has_ending(const char *name, const char *ending)
{
	size_t size = strlen(name);

	return size > strlen(ending) && strcmp(name + size - strlen(ending), ending) == 0;
}

/* A file is a mailbox if it is empty or begins with a From_ line. */
static bool is_mbox(const char *path)
{
	char begin[5];
	FILE *file = fopen(path, "re");
	size_t size = file == NULL ? 1 : fread(begin, 1, sizeof(begin), file);

	if (file != NULL)
		fclose(file);
	return size == 0 || (size == sizeof(begin) && memcmp(begin, "From ", 5) == 0);
}

static void find_files(struct mbox *mbox, const char *path, const char *above, unsigned depth)
{
	DIR *directory = depth > MAX_DEPTH ? NULL : opendir(path);
	struct dirent *found;

	while (directory != NULL && (found = readdir(directory)) != NULL) {
		const char *name = found->d_name;
		size_t size = strlen(name);
		char inner[PATH_BYTES];
		char line[PATH_BYTES + 100];
		struct stat about;
		char *full;

		if (name[0] == '.' || strcmp(name, PN_EXPORT_TABLE) == 0 ||
		    has_ending(name, ".msf") || has_ending(name, ".dat") ||
		    (size_t)snprintf(inner, sizeof(inner), "%s/%s", path, name) >= sizeof(inner) ||
		    stat(inner, &about) != 0)
			continue;
		if (has_ending(name, ".mbox") ||
		    (S_ISDIR(about.st_mode) && has_ending(name, ".sbd")))
			size = (size_t)(strrchr(name, '.') - name);
		full = pn_arena_print(mbox->arena, "%s%.*s", above, (int)size, name);
		if (S_ISDIR(about.st_mode)) {
			find_files(mbox, inner, pn_arena_print(mbox->arena, "%s/", full),
			           depth + 1);
		} else if (S_ISREG(about.st_mode) && is_mbox(inner)) {
			if (strcmp(full, "mbox") == 0 || strcmp(full, "Inbox") == 0)
				full = (char *)(uintptr_t) "INBOX";
			add_file(mbox, inner, pn_slice_of(full));
		} else if (S_ISREG(about.st_mode)) {
			snprintf(line, sizeof(line), "%s is no mbox file, and was passed over",
			         inner);
			mbox->request->say(line);
		}
	}
	if (directory != NULL)
		closedir(directory);
}

/* What an export of ours says of its files: path, name; separated by tabs. */
static void read_export(struct mbox *mbox, const char *path)
{
	char line[PATH_BYTES];
	FILE *file;

	snprintf(line, sizeof(line), "%s/%s", path, PN_EXPORT_TABLE);
	file = fopen(line, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		struct pn_slice rest = pn_slice_make(line, strcspn(line, "\r\n"));
		struct pn_slice place = pn_slice_cut(&rest, '\t');
		struct pn_slice name = pn_slice_cut(&rest, '\t');
		char inner[2 * PATH_BYTES];
		uint64_t number;

		(void)pn_slice_cut(&rest, '\t');
		snprintf(inner, sizeof(inner), "%s/%.*s", path, PN_SLICE_ARGS(place));
		for (size_t i = 0; i < mbox->file_count; i++) {
			if (strcmp(mbox->files[i].path, inner) != 0)
				continue;
			mbox->files[i].name = pn_arena_keep(mbox->arena, name);
			if (pn_parse_count(rest, &number) == PN_OK)
				mbox->files[i].attributes = (uint32_t)number;
		}
	}
	if (file != NULL)
		fclose(file);
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct file *)left)->path, ((const struct file *)right)->path);
}

static enum pn_status mbox_open(const struct pn_source_request *request, void **source_out,
                                struct pn_error *error)
{
	struct mbox *mbox = calloc(1, sizeof(*mbox));
	const char *path = request->argument_count == 1 ? request->arguments[0] : NULL;
	struct stat about;
	int descriptor;

	if (mbox == NULL)
		abort();
	mbox->request = request;
	mbox->arena = pn_arena_new();
	*source_out = mbox;
	if (path == NULL)
		return pn_fail(error, "say which file: postern import mbox ACCOUNT PATH");
	descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0 || fstat(descriptor, &about) != 0)
		return pn_fail_errno(error, errno, "cannot read %s", path);
	close(descriptor);
	if (S_ISDIR(about.st_mode)) {
		find_files(mbox, path, "", 0);
		if (mbox->file_count == 0)
			return pn_fail(error, "no file in %s is an mbox", path);
		read_export(mbox, path);
		qsort(mbox->files, mbox->file_count, sizeof(*mbox->files), by_name);
		return PN_OK;
	}
	if (!is_mbox(path))
		return pn_fail(error, "%s is no mbox file: it does not begin with \"From \"", path);
	add_file(mbox, path, PN_SLICE("INBOX"));
	return PN_OK;
}

static void forget_file(struct mbox *mbox)
{
	if (mbox->text != NULL)
		munmap((void *)(uintptr_t)mbox->text, mbox->size);
	mbox->text = NULL;
	mbox->size = 0;
	mbox->next = 0;
	free(mbox->tallies);
	mbox->tallies = NULL;
	mbox->tally_capacity = 0;
	mbox->tally_count = 0;
}

static enum pn_status map_file(struct mbox *mbox, const char *path, struct pn_error *error)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	struct stat about;
	void *text = MAP_FAILED;

	if (descriptor < 0 || fstat(descriptor, &about) != 0) {
		if (descriptor >= 0)
			close(descriptor);
		return pn_fail_errno(error, errno, "cannot read %s", path);
	}
	if (about.st_size > 0)
		text = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
	close(descriptor);
	if (about.st_size > 0 && text == MAP_FAILED)
		return pn_fail_errno(error, errno, "cannot read %s", path);
	mbox->text = about.st_size > 0 ? text : NULL;
	mbox->size = (size_t)about.st_size;
	return PN_OK;
}

/* Where the message whose first line is at `start` ends: at the next From_ line behind an empty
 * line, or with the file. */
static size_t message_end(const struct mbox *mbox, size_t start)
{
	struct pn_slice rest = pn_slice_make(mbox->text + start, mbox->size - start);
	bool was_empty = false;

	while (rest.size > 0) {
		size_t at = (size_t)(rest.data - mbox->text);
		struct pn_slice line = cut_line(&rest);

		if (was_empty && is_from_line(line))
			return at;
		was_empty = is_empty(line);
	}
	return mbox->size;
}

/* The message at `next`, and behind it. */
static void take_message(struct mbox *mbox)
{
	struct pn_slice rest = pn_slice_make(mbox->text + mbox->next, mbox->size - mbox->next);
	size_t start, end;

	mbox->from_line = cut_line(&rest);
	start = (size_t)(rest.data - mbox->text);
	end = message_end(mbox, start);
	mbox->next = end;
	/* The empty line in front of a From_ line belongs to it; that of the last message too. */
	if (end - start >= 2 && mbox->text[end - 1] == '\n' && mbox->text[end - 2] == '\n')
		end--;
	else if (end - start >= 4 && memcmp(mbox->text + end - 4, "\r\n\r\n", 4) == 0)
		end -= 2;
	mbox->body = pn_slice_make(mbox->text + start, end - start);
	rewind_message(mbox);
}

static enum pn_status mbox_next_mailbox(void *source, struct pn_arena *arena,
                                        struct pn_source_mailbox *mailbox_out,
                                        struct pn_error *error)
{
	struct mbox *mbox = source;
	const struct file *file;
	struct facts facts;

	forget_file(mbox);
	if (mbox->next_file == mbox->file_count)
		return PN_NOT_FOUND;
	file = &mbox->files[mbox->next_file++];
	if (map_file(mbox, file->path, error) != PN_OK)
		return PN_FAILED;
	mailbox_out->name = file->name;
	mailbox_out->attributes = file->attributes;
	if (mbox->size == 0)
		return PN_OK;
	if (!begins_with(pn_slice_make(mbox->text, mbox->size), "From "))
		return pn_fail(error, "%s is no mbox file (any more)", file->path);
	take_message(mbox);
	mbox->next = 0;
	read_facts(mbox->body, arena, &facts);
	mailbox_out->uid_validity = facts.uid_validity;
	return PN_OK;
}

static enum pn_status mbox_next_message(void *source, struct pn_arena *arena,
                                        struct pn_source_message *message_out,
                                        struct pn_error *error)
{
	struct mbox *mbox = source;
	struct facts facts;
	uint64_t digest;

	(void)error;
	do {
		if (mbox->next >= mbox->size)
			return PN_NOT_FOUND;
		take_message(mbox);
		read_facts(mbox->body, arena, &facts);
	} while (facts.is_internal || facts.is_expunged);
	digest = digest_message(mbox);
	message_out->key = pn_slice_of(pn_arena_print(
		arena, "%016llx:%u", (unsigned long long)digest, count_digest(mbox, digest)));
	message_out->uid = facts.uid;
	message_out->flags = (struct pn_flags){facts.system, facts.keywords, facts.keyword_count};
	(void)from_date(mbox->from_line, &message_out->internal_date_ms);
	message_out->size = mbox->body.size;
	return PN_OK;
}

static enum pn_status mbox_read(void *source, struct pn_buffer *bytes, bool *is_last,
                                struct pn_error *error)
{
	struct mbox *mbox = source;

	while (mbox->left.size > 0) {
		struct pn_slice before = mbox->left;
		bool was_in_header = mbox->in_header;
		bool was_own = mbox->in_own_field;
		struct pn_slice line = next_line(mbox);
		size_t room = bytes->limit - bytes->size;

		if (line.size <= room) {
			if (pn_buffer_append(bytes, line) != PN_OK)
				return pn_fail(error, "no room");
			continue;
		}
		/* It does not fit: the next time; one that never fits goes in pieces. */
		if (bytes->size > 0) {
			mbox->left = before;
			mbox->in_header = was_in_header;
			mbox->in_own_field = was_own;
			break;
		}
		if (pn_buffer_append(bytes, pn_slice_make(line.data, room)) != PN_OK)
			return pn_fail(error, "no room");
		mbox->left = pn_slice_make(line.data + room,
		                           (size_t)(before.data + before.size - line.data) - room);
		mbox->in_header = was_in_header;
		break;
	}
	*is_last = mbox->left.size == 0;
	return PN_OK;
}

static void mbox_close(void *source)
{
	struct mbox *mbox = source;

	forget_file(mbox);
	pn_arena_free(&mbox->arena);
	free(mbox->files);
	free(mbox);
}

const struct pn_source pn_source_mbox = {
	.struct_size = sizeof(pn_source_mbox),
	.name = "mbox",
	.usage = "FILE|DIRECTORY",
	.summary = "mbox files: flags, keywords, dates, UIDs where a server wrote them.",
	.has_unix_lines = true,
	.open = mbox_open,
	.next_mailbox = mbox_next_mailbox,
	.next_message = mbox_next_message,
	.read = mbox_read,
	.close = mbox_close,
};
