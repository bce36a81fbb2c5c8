/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who watches which account, and who is told of changes. The process layer says
 * how other workers are woken, and calls back when they woke us. Loop thread.
 */
#ifndef CORE_STORE_WATCH_H
#define CORE_STORE_WATCH_H

#include <postern/store.h>

/* How changes leave this worker; set once at start. */
struct pn_change_bus {
	void (*changed)(struct pn_slice account);   /* tell the others */
	uint32_t (*bucket)(struct pn_slice account); /* what pn_watch_woken is called with */
	void (*watching)(bool any);                  /* whether this worker wants to be woken */
	void (*queued)(void);                        /* rows were put into the queue: tell its workers */
	void (*edited)(void);                        /* rows of it were changed by others than its workers */
};

extern struct pn_change_bus pn_change_bus;

/* An account was changed here: its watchers in this worker hear of it, and the other workers; but not
 * `by`, the session that did it and knows (NULL: nobody's doing). */
void pn_watch_changed(struct pn_slice account, const struct pn_session *by);

/* Accounts of a bucket may have been changed by another worker. */
void pn_watch_woken(uint32_t bucket);

#endif
