/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts as their users hold them. */
#include "store/account.h"

#include "session/generation.h"

struct pn_account *pn_account_new(struct pn_arena *arena, struct pn_slice name,
                                  struct pn_instance *store)
{
	struct pn_account *account = PN_ARENA_NEW(arena, struct pn_account);

	account->name = pn_arena_keep(arena, name);
	account->store = store;
	account->entries = store->module->store;
	account->state = store->state;
	return account;
}

struct pn_slice pn_account_name(const struct pn_account *account)
{
	return account->name;
}
