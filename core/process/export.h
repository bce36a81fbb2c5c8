/* SPDX-License-Identifier: Apache-2.0 */
/* Export of a whole store as Maildirs, one for each account: ACCOUNT/.Level.Name/cur. */
#ifndef CORE_PROCESS_EXPORT_H
#define CORE_PROCESS_EXPORT_H

#include <postern/store.h>

/* The directory is made; it must not exist or be empty. Questions are asked at once: a tool waits. */
PN_MUST_CHECK enum pn_status pn_export_maildir(const struct pn_store *store, void *state,
					       const char *directory, struct pn_error *error);

#endif
