/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: copies of the index from which it can be made anew with the
 * segments that came after. Taken while the store is in use; the newest three
 * are kept. A checkpoint is a directory with a data.mdb in it.
 */
#include "store_local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int newest_first(const void *left, const void *right)
{
	return strcmp(*(char *const *)right, *(char *const *)left);
}

/* Their names are times in hexadecimal, all of one length. */
char **checkpoint_list(const struct local_store *store)
{
	char *path = file_path(store->path, "checkpoints");
	DIR *directory = opendir(path);
	struct dirent *entry;
	size_t count = 0;
	char **paths = calloc(1, sizeof(*paths));

	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.' || strchr(entry->d_name, '-') != NULL)
			continue;
		paths = reallocarray(paths, count + 2, sizeof(*paths));
		if (paths == NULL)
			abort();
		paths[count++] = file_path(path, entry->d_name);
		paths[count] = NULL;
	}
	if (directory != NULL)
		closedir(directory);
	free(path);
	if (paths == NULL)
		abort();
	qsort(paths, count, sizeof(*paths), newest_first);
	return paths;
}

static void remove_checkpoint(const char *path)
{
	char *data = file_path(path, "data.mdb");
	char *lock = file_path(path, "lock.mdb");

	unlink(data);
	unlink(lock);
	if (rmdir(path) != 0 && errno != ENOENT)
		pn_log(PN_LOG_WARNING, "store.checkpoint", "cannot remove %s: %s", path,
		       strerror(errno));
	free(data);
	free(lock);
}

static enum pn_status copy_index(struct local_store *store, const char *path,
                                 struct pn_error *error)
{
	char *data = file_path(path, "data.mdb");
	int descriptor = open(data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int number = 0;
	int result;
	enum pn_status status = PN_OK;

	if (descriptor < 0) {
		status = pn_fail_errno(error, errno, "cannot make %s", data);
		goto done;
	}
	if (pn_fault("store.checkpoint.copy", &number) == PN_FAULT_ERROR)
		result = number;
	else
		result = mdb_env_copyfd2(store->index.environment, descriptor, MDB_CP_COMPACT);
	if (result != 0)
		status = pn_fail(error, "cannot copy the index to %s: %s", data,
		                 mdb_strerror(result));
	else if (fsync(descriptor) != 0)
		status = pn_fail_errno(error, errno, "cannot flush %s", data);
	close(descriptor);
	if (status == PN_OK)
		status = file_flush_directory(path, "store.checkpoint.directory", error);
done:
	free(data);
	return status;
}

static void remove_old(const struct local_store *store)
{
	char **paths = checkpoint_list(store);

	for (size_t i = 0; paths[i] != NULL; i++) {
		if (i >= LOCAL_CHECKPOINTS_KEPT)
			remove_checkpoint(paths[i]);
		free(paths[i]);
	}
	free(paths);
}

enum pn_status local_checkpoint(void *instance, struct pn_error *error)
{
	struct local_store *store = instance;
	char *directory = file_path(store->path, "checkpoints");
	char name[64];
	char *unfinished;
	char *path;
	int number = 0;
	enum pn_status status;

	if (store->index.environment == NULL) {
		free(directory);
		return pn_fail(error, "%s", store->index_trouble);
	}
	snprintf(name, sizeof(name), "%012llx", (unsigned long long)pn_clock_wall_ms());
	path = file_path(directory, name);
	snprintf(name, sizeof(name), "%012llx-%d", (unsigned long long)pn_clock_wall_ms(),
	         (int)getpid());
	unfinished = file_path(directory, name);
	status = file_make_directory(unfinished, error);
	if (status == PN_OK)
		status = copy_index(store, unfinished, error);
	if (status == PN_OK && (pn_fault("store.checkpoint.rename", &number) == PN_FAULT_ERROR ||
	                        rename(unfinished, path) != 0))
		status = pn_fail_errno(error, number ? number : errno, "cannot rename %s to %s",
		                       unfinished, path);
	if (status == PN_OK)
		status = file_flush_directory(directory, "store.checkpoint.directory", error);
	if (status == PN_OK)
		remove_old(store);
	else
		remove_checkpoint(unfinished);
	free(unfinished);
	free(path);
	free(directory);
	return status;
}
