/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading modules, in the order that lets nothing run before it was judged: who
 * may write the file, its note, its symbols, and only then libltdl. Called by
 * core/config and the tools from the main thread; modules and their copies live
 * until the process ends.
 */
#include "module/loader.h"

#include "module/note.h"
#include "module/table.h"

#include <postern/text.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ltdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct pn_loader {
	struct pn_arena *arena;
	const char *const *directories;
	struct pn_loaded_module *loaded;
	lt_dladvise advice;
	struct pn_loader *next;
};

/* So that what lives as long as the process can be reached from it. */
static struct pn_loader *loaders;

static const char suffix[] = ".so";

/* ---- may we trust it? ---- */

static enum pn_status check_owner(const struct stat *status, const char *path,
                                  struct pn_error *error)
{
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return pn_fail(error,
		               "%s belongs to user %lu; modules are loaded only from what root or "
		               "the gateway's own user owns",
		               path, (unsigned long)status->st_uid);
	if ((status->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return pn_fail(error,
		               "%s may be written by %s; take that right away (chmod go-w %s) and "
		               "see what is in it",
		               path, (status->st_mode & S_IWOTH) != 0 ? "everybody" : "its group",
		               path);
	return PN_OK;
}

/* The directory part of an absolute path. */
static const char *directory_of(struct pn_arena *arena, const char *path)
{
	size_t size = (size_t)(strrchr(path, '/') - path);

	return size == 0 ? "/" : pn_arena_keep_text(arena, pn_slice_make(path, size));
}

/* Opens the file if it and its directory are trusted. PN_OK, PN_NOT_FOUND or PN_FAILED. */
static enum pn_status open_trusted(struct pn_loader *loader, const char *path, int *file_out,
                                   struct pn_error *error)
{
	const char *directory = directory_of(loader->arena, path);
	int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;
	int file = -1;
	enum pn_status result = PN_FAILED;

	if (directory_fd < 0 || fstat(directory_fd, &status) != 0) {
		result = errno == ENOENT ? PN_NOT_FOUND : PN_FAILED;
		pn_fail_errno(error, errno, "cannot open %s", directory);
		goto done;
	}
	if (check_owner(&status, directory, error) != PN_OK)
		goto done;
	file = openat(directory_fd, strrchr(path, '/') + 1,
	              O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (file < 0 && errno == ELOOP) {
		pn_fail(error, "%s is a symbolic link; name the file itself", path);
		goto done;
	}
	if (file < 0 || fstat(file, &status) != 0) {
		result = errno == ENOENT ? PN_NOT_FOUND : PN_FAILED;
		pn_fail_errno(error, errno, "cannot open %s", path);
		goto done;
	}
	if (!S_ISREG(status.st_mode)) {
		pn_fail(error, "%s is not a regular file", path);
		goto done;
	}
	if (check_owner(&status, path, error) != PN_OK)
		goto done;
	*file_out = file;
	file = -1;
	result = PN_OK;
done:
	if (file >= 0)
		close(file);
	if (directory_fd >= 0)
		close(directory_fd);
	return result;
}

/* ---- what does its note say? ---- */

static enum pn_status read_note(int file, const char *path, struct pn_module_note *note,
                                struct pn_error *error)
{
	struct stat status;
	void *bytes = NULL;
	size_t size;
	enum pn_status result;

	if (fstat(file, &status) != 0)
		return pn_fail_errno(error, errno, "cannot read %s", path);
	size = (size_t)status.st_size;
	if (size > 0) {
		bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
		if (bytes == MAP_FAILED)
			return pn_fail_errno(error, errno, "cannot read %s", path);
	}
	result = pn_note_read(pn_slice_make(bytes, size), note, error);
	if (size > 0)
		munmap(bytes, size);
	if (result != PN_OK) {
		pn_error_prefix(error, "cannot load %s", path);
		return result;
	}
	return pn_note_check(note, error);
}

/* Everything that can be known of a file before any of its code runs. */
static enum pn_status judge(struct pn_loader *loader, const char *path, struct pn_module_note *note,
                            struct pn_error *error)
{
	size_t size = strlen(path);
	int file = -1;
	enum pn_status status;

	if (path[0] != '/')
		return pn_fail(error, "the path of a module must be absolute, is %s", path);
	if (size < sizeof(suffix) || strcmp(path + size - (sizeof(suffix) - 1), suffix) != 0)
		return pn_fail(error, "%s is not a module: its name does not end in %s", path,
		               suffix);
	status = open_trusted(loader, path, &file, error);
	if (status != PN_OK)
		return status;
	status = read_note(file, path, note, error);
	close(file);
	return status;
}

/* ---- loading ---- */

/* What dlerror() says begins with the path, which stands in our sentence already. */
static const char *reason_without_path(const char *reason, const char *path)
{
	size_t size = strlen(path);

	if (reason == NULL)
		return "for a reason that the dynamic linker does not tell";
	if (strncmp(reason, path, size) == 0 && strncmp(reason + size, ": ", 2) == 0)
		return reason + size + 2;
	return reason;
}

/*
 * libltdl binds lazily, and says "file not found" where a symbol is missing. So the file is loaded
 * directly first, with RTLD_NOW: the dynamic linker resolves everything before it calls a
 * constructor, and knows the reason where it cannot. The handle is kept: modules stay loaded.
 */
static enum pn_status open_module(struct pn_loader *loader, const char *path,
                                  lt_dlhandle *handle_out, struct pn_error *error)
{
	void *direct = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (direct == NULL)
		return pn_fail(error, "cannot load %s: %s", path,
		               reason_without_path(dlerror(), path));
	*handle_out = lt_dlopenadvise(path, loader->advice);
	if (*handle_out == NULL) {
		const char *reason = lt_dlerror();

		dlclose(direct);
		return pn_fail(error, "cannot load %s: %s", path,
		               reason == NULL ? "libltdl refused" : reason);
	}
	return PN_OK;
}

/* The struct behind the handle; it must agree with the note, which was judged. */
static enum pn_status find_struct(lt_dlhandle handle, const struct pn_module_note *note,
                                  const struct pn_module **module_out, struct pn_error *error)
{
	char symbol[PN_NOTE_NAME_SIZE + 32];
	const struct pn_module *module;

	snprintf(symbol, sizeof(symbol), "%s_LTX_pn_module", note->name);
	module = lt_dlsym(handle, symbol);
	if (module == NULL)
		return pn_fail(error, "it has a note for %s and no symbol %s", note->name, symbol);
	if (module->abi_major != note->abi_major || module->abi_minor != note->abi_minor ||
	    module->struct_size != note->struct_size)
		return pn_fail(error, "its note and its description do not agree");
	*module_out = module;
	return PN_OK;
}

static enum pn_status load(struct pn_loader *loader, const char *path,
                           const struct pn_module_note *note,
                           const struct pn_loaded_module **loaded_out, struct pn_error *error)
{
	struct pn_loaded_module *loaded = PN_ARENA_NEW(loader->arena, struct pn_loaded_module);
	const struct pn_module *module = NULL;
	lt_dlhandle handle;

	if (open_module(loader, path, &handle, error) != PN_OK)
		return PN_FAILED;
	if (find_struct(handle, note, &module, error) != PN_OK ||
	    pn_module_copy(module, loader->arena, &loaded->module, error) != PN_OK ||
	    pn_module_check(&loaded->module, error) != PN_OK) {
		pn_error_prefix(error, "cannot load %s", path);
		return PN_FAILED;
	}
	if (strcmp(loaded->module.name, note->name) != 0)
		return pn_fail(error, "cannot load %s: it calls itself %s, and its note says %s",
		               path, loaded->module.name, note->name);
	loaded->path = pn_arena_keep_text(loader->arena, pn_slice_of(path));
	loaded->next = loader->loaded;
	loader->loaded = loaded;
	*loaded_out = loaded;
	return PN_OK;
}

static const struct pn_loaded_module *find_loaded(const struct pn_loader *loader, const char *path)
{
	for (const struct pn_loaded_module *loaded = loader->loaded; loaded != NULL;
	     loaded = loaded->next) {
		if (strcmp(loaded->path, path) == 0)
			return loaded;
	}
	return NULL;
}

enum pn_status pn_loader_file(struct pn_loader *loader, const char *path,
                              const struct pn_loaded_module **module_out, struct pn_error *error)
{
	const struct pn_loaded_module *loaded = find_loaded(loader, path);
	struct pn_module_note note;
	enum pn_status status;

	if (loaded != NULL) {
		*module_out = loaded;
		return PN_OK;
	}
	status = judge(loader, path, &note, error);
	if (status != PN_OK)
		return PN_FAILED;
	return load(loader, path, &note, module_out, error);
}

/* ---- by name ---- */

static bool is_module_name(const char *name)
{
	size_t size =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	return size > 0 && size < PN_NOTE_NAME_SIZE && name[size] == '\0';
}

static int compare_names(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The name of the module in a directory entry, or NULL. */
static const char *name_of_entry(const char *entry, struct pn_arena *arena)
{
	size_t size = strlen(entry);
	const char *name;

	if (size < sizeof(suffix) || strcmp(entry + size - (sizeof(suffix) - 1), suffix) != 0)
		return NULL;
	name = pn_arena_keep_text(arena, pn_slice_make(entry, size - (sizeof(suffix) - 1)));
	return is_module_name(name) ? name : NULL;
}

/* Adds the loadable modules of a directory to names[0..count-1]; returns the new count. */
static size_t add_names(struct pn_loader *loader, const char *directory, struct pn_arena *arena,
                        const char **names, size_t count, size_t max_count)
{
	DIR *entries = opendir(directory);
	const struct dirent *entry;

	while (entries != NULL && count < max_count && (entry = readdir(entries)) != NULL) {
		const char *name = name_of_entry(entry->d_name, arena);
		struct pn_module_note note;
		bool is_new = name != NULL;

		for (size_t index = 0; index < count && is_new; index++)
			is_new = strcmp(names[index], name) != 0;
		if (is_new &&
		    judge(loader, pn_arena_print(arena, "%s/%s", directory, entry->d_name), &note,
		          NULL) == PN_OK &&
		    strcmp(note.name, name) == 0)
			names[count++] = name;
	}
	if (entries != NULL)
		closedir(entries);
	return count;
}

const char *const *pn_loader_names(struct pn_loader *loader, struct pn_arena *arena)
{
	enum { MAX_NAMES = 1000 };
	const char **names = PN_ARENA_ARRAY(arena, MAX_NAMES + 1, const char *);
	size_t count = 0;

	for (const char *const *directory = loader->directories; *directory != NULL; directory++)
		count = add_names(loader, *directory, arena, names, count, MAX_NAMES);
	qsort(names, count, sizeof(names[0]), compare_names);
	return names;
}

static enum pn_status say_not_found(struct pn_loader *loader, const char *name,
                                    struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	const char *nearest = pn_nearest_word(name, pn_loader_names(loader, arena));
	const char *places = "";

	for (const char *const *directory = loader->directories; *directory != NULL; directory++)
		places = pn_arena_print(arena, "%s%s%s", places, places[0] == '\0' ? "" : ", ",
		                        *directory);
	pn_fail_with(PN_NOT_FOUND, error, "there is no module \"%s\" in %s%s%s%s", name,
	             places[0] == '\0' ? "any directory" : places,
	             nearest == NULL ? "" : "; did you mean \"", nearest == NULL ? "" : nearest,
	             nearest == NULL ? "" : "\"?");
	pn_arena_free(&arena);
	return PN_NOT_FOUND;
}

enum pn_status pn_loader_module(struct pn_loader *loader, const char *name,
                                const struct pn_loaded_module **module_out, struct pn_error *error)
{
	if (!is_module_name(name))
		return pn_fail(error,
		               "\"%s\" is no name of a module: those are letters, digits and "
		               "'_'",
		               name);
	for (const char *const *directory = loader->directories; *directory != NULL; directory++) {
		const char *path =
			pn_arena_print(loader->arena, "%s/%s%s", *directory, name, suffix);
		const struct pn_loaded_module *loaded = find_loaded(loader, path);
		struct pn_module_note note;
		enum pn_status status;

		if (loaded != NULL) {
			*module_out = loaded;
			return PN_OK;
		}
		status = judge(loader, path, &note, error);
		if (status == PN_NOT_FOUND)
			continue;
		if (status != PN_OK)
			return status;
		if (strcmp(note.name, name) != 0)
			return pn_fail(error, "cannot load %s: it holds the module %s; rename it",
			               path, note.name);
		return load(loader, path, &note, module_out, error);
	}
	return say_not_found(loader, name, error);
}

/* ---- the loader itself ---- */

enum pn_status pn_loader_new(const char *const *directories, struct pn_loader **loader_out,
                             struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_loader *loader = PN_ARENA_NEW(arena, struct pn_loader);
	size_t count = 0;
	const char **kept;

	loader->arena = arena;
	while (directories[count] != NULL) {
		if (directories[count][0] != '/') {
			pn_fail(error, "a directory of modules must be absolute, is %s",
			        directories[count]);
			goto failed;
		}
		count++;
	}
	kept = PN_ARENA_ARRAY(arena, count + 1, const char *);
	for (size_t index = 0; index < count; index++)
		kept[index] = pn_arena_keep_text(arena, pn_slice_of(directories[index]));
	loader->directories = kept;

	/* Nobody's environment chooses what code we run. */
	unsetenv("LTDL_LIBRARY_PATH");
	if (lt_dlinit() != 0 || lt_dlsetsearchpath("") != 0 ||
	    lt_dladvise_init(&loader->advice) != 0 || lt_dladvise_local(&loader->advice) != 0 ||
	    lt_dladvise_resident(&loader->advice) != 0) {
		pn_fail(error, "cannot start libltdl: %s", lt_dlerror());
		goto failed;
	}
	loader->next = loaders;
	loaders = loader;
	*loader_out = loader;
	return PN_OK;
failed:
	pn_arena_free(&arena);
	return PN_FAILED;
}
