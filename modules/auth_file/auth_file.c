/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_file: accounts, aliases and passwords from one text file; README.md has its
 * form. It is a directory (lookups on the loop thread, from memory) and an
 * authentication module (passwords on worker threads).
 *
 * The file may change at any time: at most once a second somebody looks, and where
 * it has changed it is read anew, on a worker thread. A file with a mistake in it is
 * not used: the contents from before stay, and an error is logged.
 */
#include "table.h"

#include <postern/address.h>
#include <postern/authentication.h>
#include <postern/clock.h>
#include <postern/directory.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/module.h>
#include <postern/text.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { LOOK_EVERY_MS = 1000 };

struct auth_file_config {
	const char *path;
	const char *separator;
	const char *postmaster;
};

/* One instance in one worker. Counted: a job that reads the file may outlive stop(). */
struct accounts {
	pthread_mutex_t lock; /* for everything below it */
	struct auth_file_table *table;
	struct auth_file_stamp seen; /* the version that was looked at last, good or not */
	uint64_t looked_ms;
	bool is_reading;
	bool is_missing; /* said already */
	uint32_t references;

	struct pn_arena *arena; /* of what follows; never changes */
	const char *path;
	struct pn_slice separator;
	struct pn_slice postmaster;
};

static void drop_table_locked(struct auth_file_table **table)
{
	if (--(*table)->references == 0)
		auth_file_table_free(table);
	*table = NULL;
}

static struct auth_file_table *keep_table(struct accounts *accounts)
{
	struct auth_file_table *table;

	pthread_mutex_lock(&accounts->lock);
	table = accounts->table;
	table->references++;
	pthread_mutex_unlock(&accounts->lock);
	return table;
}

static void drop_table(struct accounts *accounts, struct auth_file_table **table)
{
	pthread_mutex_lock(&accounts->lock);
	drop_table_locked(table);
	pthread_mutex_unlock(&accounts->lock);
}

static void release(struct accounts *accounts)
{
	bool is_last;

	pthread_mutex_lock(&accounts->lock);
	is_last = --accounts->references == 0;
	if (is_last)
		drop_table_locked(&accounts->table);
	pthread_mutex_unlock(&accounts->lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&accounts->lock);
	pn_arena_free(&accounts->arena);
	free(accounts);
}

/*
 * Whether the file has changed, at most once a second; true for one caller only, who must then
 * call read_again. The look itself is one stat(2).
 */
static bool has_changed(struct accounts *accounts)
{
	uint64_t now = pn_clock_monotonic_ms();
	struct stat status;
	bool result = false;
	bool says_missing = false;

	pthread_mutex_lock(&accounts->lock);
	if (!accounts->is_reading && now - accounts->looked_ms >= LOOK_EVERY_MS) {
		accounts->looked_ms = now;
		if (stat(accounts->path, &status) == 0) {
			accounts->is_missing = false;
			result = auth_file_stamp_differs(&accounts->seen, &status);
			auth_file_stamp_take(&accounts->seen, &status);
		} else {
			says_missing = !accounts->is_missing;
			accounts->is_missing = true;
		}
		accounts->is_reading = result;
	}
	pthread_mutex_unlock(&accounts->lock);
	if (says_missing)
		pn_log(PN_LOG_ERROR, "auth_file",
		       "the account file %s is not there any more; its last contents stay in use",
		       accounts->path);
	return result;
}

/* On a worker thread. */
static void read_again(struct accounts *accounts)
{
	struct auth_file_table *table = NULL;
	struct pn_error error = {.text = ""};
	enum pn_status status = auth_file_table_read(accounts->path, &table, &error);

	if (status != PN_OK)
		pn_log(PN_LOG_ERROR, "auth_file", "%s; the contents from before stay in use",
		       error.text);
	else
		pn_log(PN_LOG_INFO, "auth_file", "%s was read anew: %zu accounts and aliases",
		       accounts->path, table->count);
	pthread_mutex_lock(&accounts->lock);
	if (status == PN_OK) {
		drop_table_locked(&accounts->table);
		accounts->table = table;
		accounts->seen = table->stamp;
	}
	accounts->is_reading = false;
	pthread_mutex_unlock(&accounts->lock);
}

static enum pn_status read_work(void *argument, struct pn_error *error)
{
	(void)error;
	read_again(argument);
	return PN_OK;
}

static void read_done(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct accounts *accounts = argument;

	(void)error;
	/* The gateway stopped before the work was done. */
	if (status != PN_OK) {
		pthread_mutex_lock(&accounts->lock);
		accounts->is_reading = false;
		pthread_mutex_unlock(&accounts->lock);
	}
	release(accounts);
}

/* On the loop thread: has the file read anew where it changed. True while that goes on. */
static bool refresh(struct accounts *accounts)
{
	const struct pn_job job = {
		.struct_size = sizeof(job),
		.pool = PN_POOL_MODULE,
		.work = read_work,
		.done = read_done,
		.argument = accounts,
	};
	bool is_reading;

	if (has_changed(accounts)) {
		pthread_mutex_lock(&accounts->lock);
		accounts->references++;
		pthread_mutex_unlock(&accounts->lock);
		if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK) {
			/* Too many jobs wait: the next look finds the change again. */
			pthread_mutex_lock(&accounts->lock);
			memset(&accounts->seen, 0, sizeof(accounts->seen));
			pthread_mutex_unlock(&accounts->lock);
			read_done(accounts, PN_FAILED, NULL);
			return true;
		}
	}
	pthread_mutex_lock(&accounts->lock);
	is_reading = accounts->is_reading;
	pthread_mutex_unlock(&accounts->lock);
	return is_reading;
}

/* ---- directory ---- */

static void fill_in(const struct auth_file_entry *found, struct pn_arena *arena,
                    struct pn_directory_entry *entry)
{
	struct pn_slice *targets;

	entry->account = pn_arena_keep(arena, found->name);
	entry->store = pn_arena_keep(arena, found->store);
	entry->quota_bytes = found->quota_bytes;
	entry->is_disabled = found->is_disabled;
	if (found->target_count == 0)
		return;
	targets = PN_ARENA_ARRAY(arena, found->target_count, struct pn_slice);
	for (size_t i = 0; i < found->target_count; i++)
		targets[i] = pn_arena_keep(arena, found->targets[i]);
	entry->aliases_to = targets;
	entry->alias_count = found->target_count;
}

/* "alice" of "alice+tag"; all of it where there is no tag. */
static struct pn_slice without_tag(const struct accounts *accounts, struct pn_slice local_part)
{
	struct pn_slice separator = accounts->separator;

	for (size_t i = 1; separator.size > 0 && i + separator.size <= local_part.size; i++) {
		if (memcmp(local_part.data + i, separator.data, separator.size) == 0)
			return pn_slice_make(local_part.data, i);
	}
	return local_part;
}

static const struct auth_file_entry *find(const struct accounts *accounts,
                                          const struct auth_file_table *table,
                                          const struct pn_address *address, struct pn_arena *arena)
{
	const struct auth_file_entry *entry =
		auth_file_table_find(table, auth_file_lower(arena, address->text));
	struct pn_slice base = without_tag(accounts, address->local_part);

	if (entry == NULL && base.size < address->local_part.size) {
		const char *text = pn_arena_print(arena, "%.*s@%.*s", PN_SLICE_ARGS(base),
		                                  PN_SLICE_ARGS(address->domain));

		entry = auth_file_table_find(table, auth_file_lower(arena, pn_slice_of(text)));
	}
	return entry;
}

static enum pn_status lookup(void *instance, const struct pn_address *address,
                             struct pn_arena *arena, struct pn_directory_entry *entry_out,
                             struct pn_error *error)
{
	struct accounts *accounts = instance;
	bool is_reading = refresh(accounts);
	struct auth_file_table *table = keep_table(accounts);
	const struct auth_file_entry *found = find(accounts, table, address, arena);
	enum pn_status status = PN_OK;

	if (found != NULL) {
		fill_in(found, arena, entry_out);
	} else if (is_reading) {
		/* It may be in the new one: "no such user" would be for good. */
		status = pn_fail(error, "%s has changed and is being read", accounts->path);
	} else if (accounts->postmaster.size > 0 &&
	           pn_slice_equal_ignore_case(address->local_part, PN_SLICE("postmaster"))) {
		struct pn_slice *target = PN_ARENA_NEW(arena, struct pn_slice);

		*target = pn_arena_keep(arena, accounts->postmaster);
		entry_out->account = pn_arena_keep(arena, address->text);
		entry_out->aliases_to = target;
		entry_out->alias_count = 1;
	} else {
		status = PN_NOT_FOUND;
	}
	drop_table(accounts, &table);
	return status;
}

static enum pn_status list(void *instance,
                           void (*found)(void *user, const struct pn_directory_entry *entry),
                           void *user, struct pn_error *error)
{
	struct accounts *accounts = instance;
	struct auth_file_table *table = keep_table(accounts);
	struct pn_arena *arena = pn_arena_new();

	(void)error;
	for (size_t i = 0; i < table->count; i++) {
		struct pn_directory_entry entry = {.struct_size = sizeof(entry)};

		if (table->entries[i].target_count > 0)
			continue;
		pn_arena_reset(arena);
		fill_in(&table->entries[i], arena, &entry);
		found(user, &entry);
	}
	pn_arena_free(&arena);
	drop_table(accounts, &table);
	return PN_OK;
}

static const struct pn_directory auth_file_directory = {
	.struct_size = sizeof(struct pn_directory),
	.lookup = lookup,
	.list = list,
};

/* ---- authentication ---- */

static void look_again(struct accounts *accounts)
{
	pn_assert_on_worker();
	if (has_changed(accounts))
		read_again(accounts);
}

/* Whether the password is that of the entry, which may be NULL. Unknown names and accounts without
 * a password cost a hash like any other. */
static enum pn_status check_password(const struct auth_file_table *table,
                                     const struct auth_file_entry *entry, struct pn_slice password,
                                     struct pn_error *error)
{
	bool is_slow = entry != NULL && auth_file_is_slow(entry);
	enum pn_status status =
		auth_file_verify(is_slow ? entry : &table->stand_in, password, error);
	struct pn_slice plain = entry == NULL ? PN_SLICE_NONE : entry->secrets[AUTH_FILE_PLAIN];

	if (is_slow || status == PN_FAILED)
		return status;
	return plain.size > 0 && pn_equal_constant_time(plain, password) ? PN_OK : PN_DENIED;
}

/* On a worker thread. */
static enum pn_status verify(void *instance, const struct pn_credentials *credentials,
                             struct pn_error *error)
{
	struct accounts *accounts = instance;
	const struct auth_file_entry *entry;
	struct auth_file_table *table;
	enum pn_status status;

	look_again(accounts);
	table = keep_table(accounts);
	entry = auth_file_table_find(table, credentials->identity);
	if (entry != NULL && entry->target_count > 0)
		entry = NULL;
	status = check_password(table, entry, credentials->secret, error);
	if (entry == NULL && status != PN_FAILED)
		status = PN_NOT_FOUND;
	else if (status == PN_OK && entry->is_disabled)
		status = PN_DENIED;
	drop_table(accounts, &table);
	return status;
}

static bool find_kind(const char *mechanism, enum auth_file_secret *kind_out)
{
	static const char *const names[] = {"SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5"};

	for (size_t i = 0; i < AUTH_FILE_SECRET_COUNT; i++) {
		if (strcmp(names[i], mechanism) == 0) {
			*kind_out = (enum auth_file_secret)i;
			return true;
		}
	}
	return false;
}

/* On a worker thread. For a name without a verifier somebody else's says what one looks like here;
 * a secret is shown to nobody. */
static enum pn_status verifier(void *instance, struct pn_slice identity, const char *mechanism,
                               struct pn_arena *arena, struct pn_slice *verifier_out,
                               struct pn_error *error)
{
	struct accounts *accounts = instance;
	const struct auth_file_entry *entry;
	struct auth_file_table *table;
	enum auth_file_secret kind;
	enum pn_status status = PN_NOT_FOUND;
	struct pn_slice found;

	(void)error;
	look_again(accounts);
	if (!find_kind(mechanism, &kind))
		return PN_NOT_FOUND;
	table = keep_table(accounts);
	entry = auth_file_table_find(table, identity);
	found = kind == AUTH_FILE_PLAIN ? PN_SLICE_NONE
	                                : auth_file_table_somebody(table, kind, identity);
	if (entry != NULL && !entry->is_disabled && entry->secrets[kind].size > 0) {
		found = entry->secrets[kind];
		status = PN_OK;
	}
	*verifier_out = pn_arena_keep(arena, found);
	drop_table(accounts, &table);
	return status;
}

/* On the loop thread. */
static bool offers(void *instance, const char *mechanism)
{
	struct accounts *accounts = instance;
	struct auth_file_table *table;
	enum auth_file_secret kind;
	bool has_any;

	if (!find_kind(mechanism, &kind))
		return false;
	refresh(accounts);
	table = keep_table(accounts);
	has_any = table->having_count[kind] > 0;
	drop_table(accounts, &table);
	return has_any;
}

static const struct pn_authentication auth_file_authentication = {
	.struct_size = sizeof(struct pn_authentication),
	.verify = verify,
	.verifier = verifier,
	.offers = offers,
};

/* ---- module ---- */

static enum pn_status check_config(const void *pointer, struct pn_error *error)
{
	const struct auth_file_config *config = pointer;
	struct pn_slice postmaster = pn_slice_of(config->postmaster);
	struct auth_file_table *table = NULL;
	struct pn_arena *arena = pn_arena_new();
	struct pn_address address;
	enum pn_status status = PN_OK;

	if (postmaster.size > 0 && pn_address_parse(postmaster, true, arena, &address) != PN_OK)
		status = pn_fail(error, "postmaster = \"%s\" is not an address: write name@domain",
		                 config->postmaster);
	pn_arena_free(&arena);
	if (status == PN_OK)
		status = auth_file_table_read(config->path, &table, error);
	auth_file_table_free(&table);
	return status;
}

static void stop(void *instance)
{
	release(instance);
}

static enum pn_status start(const struct pn_start *begin, void **instance_out,
                            struct pn_error *error)
{
	const struct auth_file_config *config = begin->config;
	struct accounts *accounts = calloc(1, sizeof(*accounts));
	struct auth_file_table *table = NULL;
	enum pn_status status;

	if (accounts == NULL)
		return pn_fail(error, "out of memory");
	status = auth_file_table_read(config->path, &table, error);
	if (status != PN_OK) {
		free(accounts);
		return status;
	}
	pthread_mutex_init(&accounts->lock, NULL);
	accounts->references = 1;
	accounts->table = table;
	accounts->seen = table->stamp;
	accounts->looked_ms = pn_clock_monotonic_ms();
	accounts->arena = pn_arena_new();
	accounts->path = pn_arena_keep_text(accounts->arena, pn_slice_of(config->path));
	accounts->separator = pn_arena_keep(accounts->arena, pn_slice_of(config->separator));
	accounts->postmaster = pn_arena_keep(accounts->arena, pn_slice_of(config->postmaster));
	*instance_out = accounts;
	return PN_OK;
}

static const struct pn_option auth_file_options[] = {
	PN_OPTION_PATH(struct auth_file_config, path, NULL, .flags = PN_OPTION_REQUIRED,
                       .summary = "The account file; it is read again whenever it changes."),
	PN_OPTION_STRING(struct auth_file_config, separator, "+",
                         .summary = "What stands between name and tag in alice+tag@example.org; "
                                    "empty for no tags."),
	PN_OPTION_STRING(struct auth_file_config, postmaster, "",
                         .summary = "Where mail to postmaster goes in domains that have no "
                                    "postmaster of their own; empty for nowhere."),
	PN_OPTION_TABLE_END,
};

PN_MODULE(auth_file, .version = "1.0",
          .summary = "Accounts, aliases and passwords from a text file.",
          .options = auth_file_options, .config_size = sizeof(struct auth_file_config),
          .directory = &auth_file_directory, .authentication = &auth_file_authentication,
          .check_config = check_config, .start = start, .stop = stop, );
