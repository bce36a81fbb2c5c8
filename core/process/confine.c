/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement by the kernel's own means. Landlock's numbers are those of its documentation
 * (landlock(7)): the headers of a distribution know fewer of them than its kernel.
 */
#include "process/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- what can be reached ---- */

void pn_reach_add(struct pn_reach *reach, const char *path, bool may_write)
{
	struct pn_reach_entry *entry;

	if (path == NULL || path[0] != '/' || reach->count == PN_REACH_MAX)
		return;
	for (size_t i = 0; i < reach->count; i++) {
		if (strcmp(reach->entries[i].path, path) == 0) {
			reach->entries[i].may_write |= may_write;
			return;
		}
	}
	entry = &reach->entries[reach->count++];
	entry->path = strdup(path);
	entry->may_write = may_write;
	if (entry->path == NULL)
		abort();
}

static bool has(const struct pn_reach *held, const struct pn_reach_entry *wanted)
{
	for (size_t i = 0; i < held->count; i++) {
		if (strcmp(held->entries[i].path, wanted->path) == 0)
			return held->entries[i].may_write || !wanted->may_write;
	}
	return false;
}

bool pn_reach_has(const struct pn_reach *held, const struct pn_reach *wanted)
{
	for (size_t i = 0; i < wanted->count; i++) {
		if (!has(held, &wanted->entries[i]))
			return false;
	}
	return true;
}

void pn_reach_clear(struct pn_reach *reach)
{
	while (reach->count > 0)
		free(reach->entries[--reach->count].path);
}

/* ---- Landlock ---- */

enum {
	ACCESS_READ = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	ACCESS_TRUNCATE = 1 << 14, /* since the third version */
	ACCESS_WRITE_FILE = LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE,
	ACCESS_CHANGE_DIRECTORY = LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
	                          LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	                          LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
	                          1 << 13, /* between directories, since the second version */
	ACCESS_ALL = (1 << 15) - 1,
	ACCESS_OF_FILES = LANDLOCK_ACCESS_FS_READ_FILE | ACCESS_WRITE_FILE,
	BIND_TCP = 1 << 0,
	RULE_NET_PORT = 2,
	SCOPE_ALL = 1 << 0 | 1 << 1, /* abstract sockets, signals */
	OLDEST_VERSION = 2,
};

/* As the sixth version has it; an older kernel is given as much as it knows. */
struct ruleset {
	uint64_t files;
	uint64_t network;
	uint64_t scope;
};

struct port_rule {
	uint64_t access;
	uint64_t port;
};

static int landlock_version(void)
{
	return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t accesses_of(int version)
{
	return version >= 3 ? ACCESS_ALL : ACCESS_ALL & ~ACCESS_TRUNCATE;
}

static int new_ruleset(int version)
{
	const struct ruleset rules = {
		.files = accesses_of(version),
		.network = version >= 4 ? BIND_TCP : 0,
		.scope = version >= 6 ? SCOPE_ALL : 0,
	};
	size_t size = version >= 6   ? sizeof(rules)
	              : version >= 4 ? offsetof(struct ruleset, scope)
	                             : offsetof(struct ruleset, network);

	return (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0u);
}

/* What is not there, or may not be opened, is not reached either way. */
static void allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = {.allowed_access =
	                                                  access & accesses_of(landlock_version())};
	struct stat status;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return;
	if (fstat(rule.parent_fd, &status) == 0 && !S_ISDIR(status.st_mode))
		rule.allowed_access &= ACCESS_OF_FILES;
	if (rule.allowed_access != 0)
		(void)!syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule,
		               0u);
	close(rule.parent_fd);
}

/* The directory that a file is in, or the nearest that is there. */
static void allow_around(int ruleset, const char *path, uint64_t access)
{
	char above[PATH_MAX];
	struct stat status;
	char *slash;

	snprintf(above, sizeof(above), "%s", path);
	while (stat(above, &status) != 0 || !S_ISDIR(status.st_mode)) {
		slash = strrchr(above, '/');
		if (slash == NULL || slash == above)
			return; /* never all there is */
		*slash = '\0';
	}
	allow(ruleset, above, access);
}

static void allow_system(int ruleset)
{
	static const char *const readable[] = {
		"/usr", "/lib", "/lib32", "/lib64", "/opt",
		/* names and addresses */
		"/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf",
		"/etc/gai.conf", "/etc/services", "/etc/protocols", "/run/systemd/resolve",
		/* what certificates are judged by, and the time of day */
		"/etc/ssl", "/etc/ca-certificates", "/etc/pki", "/etc/crypto-policies",
		"/etc/localtime", "/etc/timezone",
		/* libraries */
		"/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
		"/etc/alternatives",
		/* the machine and ourselves */
		"/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/sys/devices/system/cpu",
		"/proc/meminfo", "/proc/sys/vm", "/proc/self"};

	for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
		allow(ruleset, readable[i], ACCESS_READ);
	allow(ruleset, "/dev/null", ACCESS_READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
}

/* A connection that we make may name its address, and no port; nobody listens anew. */
static void allow_ports(int ruleset)
{
	const struct port_rule any = {.access = BIND_TCP, .port = 0};

	(void)!syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &any, 0u);
}

static enum pn_status confine_files(const struct pn_reach *reach, int version,
                                    struct pn_error *error)
{
	int ruleset = new_ruleset(version);
	long result;

	if (ruleset < 0)
		return pn_fail_errno(error, errno, "cannot confine files with Landlock");
	allow_system(ruleset);
	if (version >= 4)
		allow_ports(ruleset);
	for (size_t i = 0; i < reach->count; i++)
		allow_around(ruleset, reach->entries[i].path,
		             reach->entries[i].may_write
		                     ? ACCESS_READ | ACCESS_WRITE_FILE | ACCESS_CHANGE_DIRECTORY
		                     : ACCESS_READ);
	result = syscall(SYS_landlock_restrict_self, ruleset, 0u);
	close(ruleset);
	return result == 0 ? PN_OK
	                   : pn_fail_errno(error, errno, "cannot confine files with Landlock");
}

/* ---- all of it ---- */

/* Who was root keeps nothing of it but the name. */
static enum pn_status drop_capabilities(struct pn_error *error)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	const struct __user_cap_data_struct none[2] = {{0}};

	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		(void)prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (syscall(SYS_capset, &header, none) != 0)
		return pn_fail_errno(error, errno, "cannot give up capabilities");
	return PN_OK;
}

enum pn_status pn_confine(enum pn_confinement way, const struct pn_reach *reach,
                          const char **missing_out, struct pn_error *error)
{
	int version = landlock_version();

	*missing_out = NULL;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return pn_fail_errno(error, errno, "cannot give up new privileges");
	if (way == PN_CONFINEMENT_OFF)
		return PN_OK;
	if (drop_capabilities(error) != PN_OK)
		return PN_FAILED;
	if (version < OLDEST_VERSION && way == PN_CONFINEMENT_REQUIRED)
		return pn_fail(error,
		               "this kernel has no Landlock (version 2 or later): boot it with "
		               "lsm=landlock,… or set confinement = \"auto\" to go without");
	if (version < OLDEST_VERSION)
		*missing_out = "this kernel has no Landlock (version 2 or later): workers reach "
			       "every file that their user does";
	else if (confine_files(reach, version, error) != PN_OK)
		return PN_FAILED;
	return pn_confine_calls(error);
}
