/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up root. */
#include "process/user.h"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum pn_status pn_user_find(const char *user, const char *group, struct pn_user *user_out,
                            struct pn_error *error)
{
	const struct passwd *account;
	const struct group *members;

	memset(user_out, 0, sizeof(*user_out));
	if (geteuid() != 0 || user[0] == '\0' || strcmp(user, "root") == 0)
		return PN_OK;
	account = getpwnam(user);
	if (account == NULL)
		return pn_fail(error,
		               "there is no user \"%s\" to run as: create it (adduser --system "
		               "--group %s) or set user = \"…\"",
		               user, user);
	user_out->drops = true;
	user_out->uid = account->pw_uid;
	user_out->gid = account->pw_gid;
	if (group[0] == '\0')
		return PN_OK;
	members = getgrnam(group);
	if (members == NULL)
		return pn_fail(error,
		               "there is no group \"%s\" to run as: create it or set group = \"\" "
		               "for that of the user",
		               group);
	user_out->gid = members->gr_gid;
	return PN_OK;
}

enum pn_status pn_user_become(const struct pn_user *user)
{
	if (!user->drops)
		return PN_OK;
	if (setgroups(0, NULL) != 0 || setgid(user->gid) != 0 || setuid(user->uid) != 0)
		return PN_FAILED;
	return PN_OK;
}

enum pn_status pn_user_become_reader(const struct pn_user *user)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (!user->drops)
		return PN_OK;
	data[0].permitted = 1u << CAP_DAC_READ_SEARCH;
	data[0].effective = data[0].permitted;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 || pn_user_become(user) != PN_OK)
		return PN_FAILED;
	/* Where the kernel does not give it (a container) the files must be readable by the user.
	 */
	(void)!syscall(SYS_capset, &header, data);
	return PN_OK;
}
