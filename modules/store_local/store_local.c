/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_local: mail on the disk of this machine, shared by all workers. Bodies
 * are appended to segments, an LMDB index says what is where. Read README.md
 * first, then commit.c.
 *
 * This file opens and closes the store. Read it from the bottom.
 */
#include "store_local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const uint64_t full_check_ms = 1000;
static const uint64_t house_interval_ms = 60 * 1000;

static const struct pn_option local_options[] = {
	PN_OPTION_PATH(
		struct local_config, path, NULL, .flags = PN_OPTION_WRITES,
		.summary = "Directory of the store; the instance's name in data_directory where "
			   "none is given."),
	PN_OPTION_SIZE(struct local_config, segment_size, "1G", .minimum_text = "64k",
                       .maximum_text = "64G",
                       .summary = "A segment that has grown so large is followed by another."),
	PN_OPTION_SIZE(struct local_config, map_size, "1024G", .minimum_text = "16M",
                       .maximum_text = "65536G",
                       .summary = "Largest size of the index; address space, not memory or disk."),
	PN_OPTION_DURATION(
		struct local_config, expunge_retention, "1d", .minimum_text = "0s",
		.maximum_text = "365d",
		.summary = "For so long sessions that were not told can read expunged messages."),
	PN_OPTION_DURATION(
		struct local_config, change_retention, "30d", .minimum_text = "0s",
		.maximum_text = "3650d",
		.summary = "For so long after that the change log knows that they were expunged."),
	PN_OPTION_DURATION(struct local_config, once_retention, "14d", .minimum_text = "1s",
                           .maximum_text = "3650d",
                           .summary = "For so long a repeated delivery is recognised."),
	PN_OPTION_SIZE(struct local_config, quota, "1024G", .minimum_text = "1",
                       .maximum_text = "65536G",
                       .summary = "Bytes that an account without a quota of its own may hold."),
	PN_OPTION_SIZE(struct local_config, reserve, "64M", .minimum_text = "1",
                       .maximum_text = "65536G",
                       .summary = "New messages are refused while less space than this is free."),
	PN_OPTION_DURATION(
		struct local_config, checkpoint_interval, "1h", .minimum_text = "1s",
		.maximum_text = "365d",
		.summary = "A copy of the index is made so often; the last three are kept."),
	PN_OPTION_TABLE_END,
};

static bool local_is_nearly_full(void *instance)
{
	struct local_store *store = instance;
	uint64_t now_ms = pn_clock_monotonic_ms();
	struct statvfs space;

	if (store->full_checked_ms != 0 && now_ms - store->full_checked_ms < full_check_ms)
		return store->is_full;
	store->full_checked_ms = now_ms;
	if (statvfs(store->path, &space) != 0) {
		pn_log(PN_LOG_ERROR, "store.space", "cannot see how much of %s is free: %s",
		       store->path, strerror(errno));
		return store->is_full = true;
	}
	store->is_full = (uint64_t)space.f_bavail * space.f_frsize < store->config.reserve;
	return store->is_full;
}

/* ------------------------------------------------------------------ housekeeping */

static void plan_house(struct local_store *store);

static enum pn_status keep_house(void *argument, struct pn_error *error)
{
	(void)error;
	local_keep_house(argument);
	return PN_OK;
}

static void house_kept(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct local_store *store = argument;

	(void)status;
	(void)error;
	store->is_keeping_house = false;
	if (!store->is_stopping)
		plan_house(store);
}

static void house_due(void *user, const struct pn_answer *answer)
{
	struct local_store *store = user;
	struct pn_job job = {.struct_size = sizeof(job),
	                     .lane = store->lane,
	                     .work = keep_house,
	                     .done = house_kept,
	                     .argument = store};

	(void)answer;
	if (store->is_stopping)
		return;
	store->is_keeping_house = true;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK)
		house_kept(store, PN_LIMIT, NULL);
}

static void plan_house(struct local_store *store)
{
	store->tick = pn_ticket_open(NULL, house_due, store, house_interval_ms);
}

/* --------------------------------------------------------------- start and stop */

static enum pn_status make_directories(struct local_store *store, struct pn_error *error)
{
	static const char *const names[] = {"segments", "index", "checkpoints", "set_aside"};
	enum pn_status status = file_make_directory(store->path, error);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && status == PN_OK; i++) {
		char *path = file_path(store->path, names[i]);

		status = file_make_directory(path, error);
		free(path);
	}
	/* Their entries, and that of the store itself in the directory above. */
	if (status == PN_OK)
		status = file_flush_directory(store->path, "store.directory", error);
	if (status == PN_OK) {
		char *above = file_path(store->path, "..");

		status = file_flush_directory(above, "store.directory", error);
		free(above);
	}
	return status;
}

/* Whoever works with the store shares this lock; who makes it anew needs it alone. */
static enum pn_status take_lock(struct local_store *store, struct pn_error *error)
{
	char *path = file_path(store->path, "lock");
	enum pn_status status = PN_OK;

	store->lock_descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock_descriptor < 0)
		status = pn_fail_errno(error, errno, "cannot open %s", path);
	else if (flock(store->lock_descriptor, LOCK_SH | LOCK_NB) != 0)
		status = pn_fail(error, "the store %s is being rebuilt", store->path);
	free(path);
	return status;
}

/* An index that is missing beside segments is lost, not new. */
static enum pn_status open_index(struct local_store *store, struct pn_error *error)
{
	char *path = file_path(store->path, "index");
	char *data = file_path(path, "data.mdb");
	uint64_t *ids = NULL;
	size_t count = 0;
	enum pn_status status = PN_OK;

	if (access(data, F_OK) != 0) {
		status = segment_list(store, &ids, &count, error);
		free(ids);
		if (status == PN_OK && count != 0)
			status = pn_fail(error,
			                 "the store %s has segments but no index: run "
			                 "'postern store rebuild'",
			                 store->path);
	}
	if (status == PN_OK)
		status = index_open(&store->index, path, store->config.map_size, false, error);
	/* The index must not be gone after a power cut when bodies are there. */
	if (status == PN_OK)
		status = file_flush_directory(path, "store.directory", error);
	free(data);
	free(path);
	return status;
}

static void local_stop(void *instance)
{
	struct local_store *store = instance;

	if (store == NULL)
		return;
	store->is_stopping = true;
	pn_ticket_cancel(store->tick);
	if (store->lane != NULL)
		pn_lane_free(&store->lane);
	segment_close(store);
	index_close(&store->index);
	readers_stop(&store->readers);
	if (store->lock_descriptor >= 0)
		close(store->lock_descriptor);
	free(store->withdrawn);
	free(store->path);
	free(store);
}

static enum pn_status local_start(const struct pn_start *start, void **instance_out,
                                  struct pn_error *error)
{
	struct local_store *store = calloc(1, sizeof(*store));
	enum pn_status status;

	if (store == NULL)
		abort();
	store->config = *(const struct local_config *)start->config;
	store->start = start;
	store->segment.descriptor = -1;
	store->lock_descriptor = -1;
	readers_start(&store->readers);
	if (store->config.path != NULL && store->config.path[0] != '\0')
		store->path = strdup(store->config.path);
	else
		store->path = file_path(start->data_directory, start->instance_name);
	if (store->path == NULL)
		abort();
	store->config.path = NULL; /* the configuration may be replaced */
	status = make_directories(store, error);
	if (status == PN_OK)
		status = take_lock(store, error);
	if (status == PN_OK) {
		struct pn_error trouble = {0};

		status = open_index(store, &trouble);
		if (status != PN_OK && start->worker_kind == PN_WORKER_TOOL) {
			memcpy(store->index_trouble, trouble.text, sizeof(store->index_trouble));
			status = PN_OK;
		} else if (status != PN_OK && error != NULL) {
			*error = trouble;
		}
	}
	if (status == PN_OK)
		status = pn_lane_new("store-commit", &store->lane, error);
	if (status != PN_OK) {
		local_stop(store);
		return status;
	}
	if (start->worker_kind == PN_WORKER_CONTROL)
		plan_house(store);
	*instance_out = store;
	return PN_OK;
}

static const struct pn_store local_entries = {
	.struct_size = sizeof(struct pn_store),
	.capabilities = PN_STORE_BODIES_BLOCK,
	.accounts = local_accounts,
	.mailboxes = local_mailboxes,
	.view = local_view,
	.rows = local_rows,
	.changes = local_changes,
	.body_read = local_body_read,
	.queue = local_queue,
	.body_new = local_body_new,
	.body_append = local_body_append,
	.body_discard = local_body_discard,
	.commit = local_commit,
	.bodies = local_bodies,
	.body_ready = local_body_ready,
	.is_nearly_full = local_is_nearly_full,
	.verify = local_verify,
	.rebuild = local_rebuild,
	.checkpoint = local_checkpoint,
	.compact = local_compact,
};

PN_MODULE(store_local, .version = "0.1",
          .summary = "Keeps mail in checksummed segments with an LMDB index, on this machine.",
          .options = local_options, .config_size = sizeof(struct local_config),
          .store = &local_entries, .start = local_start, .stop = local_stop, );
