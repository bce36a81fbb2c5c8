/* SPDX-License-Identifier: Apache-2.0 */
/* The what-is-running slot. */
#include "session/running.h"

static struct pn_running unshared;

struct pn_running *pn_running = &unshared;

static void put(char *room, size_t size, const char *text)
{
	size_t length = text == NULL ? 0 : strnlen(text, size - 1);

	if (length > 0)
		memcpy(room, text, length);
	room[length] = '\0';
}

void pn_running_enter(const char *module, const char *hook, const char *session,
                      const char *transaction)
{
	put(pn_running->session, sizeof(pn_running->session), session);
	put(pn_running->transaction, sizeof(pn_running->transaction), transaction);
	put(pn_running->hook, sizeof(pn_running->hook), hook);
	put(pn_running->module, sizeof(pn_running->module), module);
}

void pn_running_leave(void)
{
	pn_running->module[0] = '\0';
	pn_running->hook[0] = '\0';
	pn_running->session[0] = '\0';
	pn_running->transaction[0] = '\0';
}
