/* SPDX-License-Identifier: Apache-2.0 */
/* What the workers need of one configuration. */
#include "process/supply.h"

#include "io/digest.h"
#include "io/file.h"
#include "io/socket.h"
#include "process/child.h"
#include "process/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MAX_FILE_SIZE = 256 * 1024 * 1024, /* lookup tables are the largest */
	TRIES = 5,                         /* with a configuration that is just being written */
};

/* ---- descriptors by name ---- */

static int list_find(const struct pn_descriptor_list *list, const char *name)
{
	for (size_t i = 0; list != NULL && i < list->count; i++) {
		if (strcmp(list->items[i].name, name) == 0)
			return list->items[i].descriptor;
	}
	return -1;
}

static void list_add(struct pn_descriptor_list *list, const char *name, int descriptor)
{
	if (list->count == sizeof(list->items) / sizeof(list->items[0]))
		abort(); /* the room is for as many as a configuration may name, and our own */
	list->items[list->count].name = strdup(name);
	list->items[list->count++].descriptor = descriptor;
}

/* Closes what the other list does not have as well. */
static void list_free(struct pn_descriptor_list *list, const struct pn_descriptor_list *kept)
{
	for (size_t i = 0; i < list->count; i++) {
		if (kept == NULL ||
		    list_find(kept, list->items[i].name) != list->items[i].descriptor)
			close(list->items[i].descriptor);
		free(list->items[i].name);
	}
	list->count = 0;
}

void pn_supply_free(struct pn_supply **supply, const struct pn_supply *kept)
{
	if (*supply == NULL)
		return;
	list_free(&(*supply)->listeners, kept == NULL ? NULL : &kept->listeners);
	list_free(&(*supply)->keys, NULL);
	list_free(&(*supply)->files, NULL);
	pn_arena_free(&(*supply)->arena);
	free(*supply);
	*supply = NULL;
}

/* ---- a configuration: checked by a child, then opened ---- */

static enum pn_status bind_listener(struct pn_supply *supply, const struct pn_supply *current,
                                    const char *name, const char *address, struct pn_error *error)
{
	int descriptor = current == NULL ? -1 : list_find(&current->listeners, name);

	if (list_find(&supply->listeners, name) >= 0)
		return PN_OK;
	if (descriptor < 0)
		descriptor = pn_notify_listener(address);
	if (descriptor < 0 && pn_socket_listen(address, &descriptor, error) != PN_OK)
		return PN_FAILED;
	list_add(&supply->listeners, name, descriptor);
	return PN_OK;
}

static enum pn_status bind_control_socket(const struct pn_supply_base *base,
                                          const struct pn_supply *current, struct pn_supply *supply,
                                          struct pn_error *error)
{
	char address[PN_ADDRESS_TEXT_SIZE + 16];
	mode_t before = umask(0177);
	enum pn_status status;

	if (strlen(supply->flat.control_socket) >= PN_ADDRESS_TEXT_SIZE - 8) {
		umask(before);
		return pn_fail(error,
		               "the path of the control socket is too long: set control_socket to "
		               "one shorter than %d bytes",
		               PN_ADDRESS_TEXT_SIZE - 8);
	}
	snprintf(address, sizeof(address), "unix:%s", supply->flat.control_socket);
	status = bind_listener(supply, current, "control-socket", address, error);
	umask(before);
	if (status == PN_OK && base->user.drops &&
	    chown(supply->flat.control_socket, base->user.uid, base->user.gid) != 0)
		return pn_fail_errno(error, errno, "cannot give %s to its user",
		                     supply->flat.control_socket);
	return status;
}

static enum pn_status open_keys(struct pn_supply *supply, struct pn_error *error)
{
	const struct pn_flat_list *keys = &supply->flat.keys;

	for (size_t i = 0; i < keys->count; i++) {
		int descriptor;

		/* A copy: a key that is written over must not meet the certificate of before. */
		if (access(keys->items[i], R_OK) != 0)
			return pn_fail_errno(error, errno, "cannot read the private key %s",
			                     keys->items[i]);
		if (pn_file_snapshot(keys->items[i], MAX_FILE_SIZE, &descriptor, error) != PN_OK)
			return PN_FAILED;
		list_add(&supply->keys, keys->items[i], descriptor);
	}
	return PN_OK;
}

static enum pn_status copy_files(struct pn_supply *supply, struct pn_error *error)
{
	const struct pn_flat_list *files = &supply->flat.files;

	for (size_t i = 0; i < files->count; i++) {
		int descriptor;

		if (pn_file_snapshot(files->items[i], MAX_FILE_SIZE, &descriptor, error) != PN_OK)
			return PN_FAILED;
		list_add(&supply->files, files->items[i], descriptor);
	}
	return PN_OK;
}

/* The child read the configuration, and we copied it afterwards: somebody may have written another
 * one in between, and workers must not be given what nobody checked. */
static bool is_what_was_checked(const struct pn_supply *supply)
{
	char digest[PN_SHA256_HEX_SIZE] = "";
	struct stat status;
	int descriptor = list_find(&supply->files, supply->flat.file);
	void *bytes;

	if (descriptor < 0 || fstat(descriptor, &status) != 0 || status.st_size == 0)
		return false;
	bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, descriptor, 0);
	if (bytes == MAP_FAILED)
		return false;
	pn_sha256_hex(pn_slice_make(bytes, (size_t)status.st_size), digest);
	munmap(bytes, (size_t)status.st_size);
	return strcmp(digest, supply->flat.digest) == 0;
}

/* Who the workers are. Once, at start. */
static enum pn_status choose_user(struct pn_supply_base *base, const struct pn_flat *flat,
                                  struct pn_error *error)
{
	if (pn_user_find(flat->user, flat->group, &base->user, error) != PN_OK)
		return PN_FAILED;
	if (geteuid() == 0 && !base->user.drops)
		fputs("postern: warning: workers run as root; set user = \"…\" to an account of "
		      "their own\n",
		      stderr);
	return PN_OK;
}

static enum pn_status make_data_directory(struct pn_supply_base *base, const struct pn_flat *flat,
                                          struct pn_error *error)
{
	char path[1024];

	if (mkdir(flat->data_directory, 0750) != 0 && errno != EEXIST)
		return pn_fail_errno(error, errno, "cannot make the data directory %s",
		                     flat->data_directory);
	if (base->user.drops && chown(flat->data_directory, base->user.uid, base->user.gid) != 0)
		return pn_fail_errno(error, errno, "cannot give %s to its user",
		                     flat->data_directory);
	snprintf(path, sizeof(path), "%s/postern.lock", flat->data_directory);
	base->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (base->lock < 0)
		return pn_fail_errno(error, errno, "cannot open %s", path);
	if (flock(base->lock, LOCK_EX | LOCK_NB) != 0)
		return pn_fail(error,
		               "another gateway runs on %s: stop it first (postern stop), or give "
		               "this one a data_directory of its own",
		               flat->data_directory);
	return PN_OK;
}

/* What the master itself stands on stays as it was when it started. */
static enum pn_status check_unchanged(const struct pn_supply *current, const struct pn_flat *flat,
                                      struct pn_error *error)
{
	const struct pn_flat *running = &current->flat;
	const struct {
		const char *name;
		const char *old_value;
		const char *new_value;
	} fixed[] = {{"data_directory", running->data_directory, flat->data_directory},
	             {"control_socket", running->control_socket, flat->control_socket},
	             {"user", running->user, flat->user},
	             {"group", running->group, flat->group}};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (strcmp(fixed[i].old_value, fixed[i].new_value) != 0)
			return pn_fail(error,
			               "%s cannot change while the gateway runs (\"%s\" to "
			               "\"%s\"): stop it and start it again",
			               fixed[i].name, fixed[i].old_value, fixed[i].new_value);
	}
	return PN_OK;
}

/* PN_NOT_FOUND: the configuration changed meanwhile. */
static enum pn_status load_once(struct pn_supply_base *base, const struct pn_supply *current,
                                uint32_t number, struct pn_supply **supply_out,
                                struct pn_error *error)
{
	struct pn_supply *supply = calloc(1, sizeof(*supply));
	enum pn_status status;

	if (supply == NULL)
		abort();
	supply->number = number;
	supply->arena = pn_arena_new();
	status = pn_child_check(base->config_path, supply->arena, &supply->flat, error);
	if (status == PN_OK && current != NULL)
		status = check_unchanged(current, &supply->flat, error);
	if (status == PN_OK && current == NULL)
		status = choose_user(base, &supply->flat, error);
	if (status == PN_OK && current == NULL && base->lock <= 0)
		status = make_data_directory(base, &supply->flat, error);
	for (size_t i = 0; status == PN_OK && i < supply->flat.listeners.count; i++)
		status = bind_listener(supply, current, supply->flat.listeners.items[i],
		                       supply->flat.listeners.items[i], error);
	if (status == PN_OK && supply->flat.control[0] != '\0')
		status = bind_listener(supply, current, supply->flat.control, supply->flat.control,
		                       error);
	if (status == PN_OK)
		status = bind_control_socket(base, current, supply, error);
	if (status == PN_OK)
		status = open_keys(supply, error);
	if (status == PN_OK)
		status = copy_files(supply, error);
	if (status == PN_OK && !is_what_was_checked(supply))
		status = pn_fail_with(PN_NOT_FOUND, error,
		                      "%s was written again and again while it was read: reload "
		                      "when it is whole",
		                      supply->flat.file);
	if (status != PN_OK)
		pn_supply_free(&supply, current);
	*supply_out = supply;
	return status;
}

enum pn_status pn_supply_load(struct pn_supply_base *base, const struct pn_supply *current,
                              uint32_t number, struct pn_supply **supply_out,
                              struct pn_error *error)
{
	enum pn_status status = PN_NOT_FOUND;

	for (int tries = 0; tries < TRIES && status == PN_NOT_FOUND; tries++)
		status = load_once(base, current, number, supply_out, error);
	return status == PN_OK ? PN_OK : PN_FAILED;
}
