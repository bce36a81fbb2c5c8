/* SPDX-License-Identifier: Apache-2.0 */
/* Watched accounts: a list for each bucket, so that a wake-up looks at few. */
#include "store/watch.h"

#include <postern/text.h>

#include "session/session.h"
#include "store/account.h"

#include <stdlib.h>

enum { BUCKETS = 4096 };

struct watcher {
	struct pn_session *session;
	struct pn_slice account;
	uint32_t bucket;
	struct watcher *previous;
	struct watcher *next;
};

struct pn_change_bus pn_change_bus;

static struct watcher *watchers[BUCKETS];
static size_t watcher_count;

static uint32_t bucket_of(struct pn_slice account)
{
	return pn_change_bus.bucket == NULL ? 0 : pn_change_bus.bucket(account) % BUCKETS;
}

static void raise_changed(struct watcher *watcher)
{
	const struct pn_session_event_info info = {.struct_size = sizeof(info),
	                                           .kind = PN_EVENT_MAILBOX_CHANGED};

	pn_session_raise(watcher->session, &info);
}

void pn_watch_changed(struct pn_slice account, const struct pn_session *by)
{
	for (struct watcher *watcher = watchers[bucket_of(account)]; watcher != NULL;
	     watcher = watcher->next) {
		if (watcher->session != by && pn_slice_equal(watcher->account, account))
			raise_changed(watcher);
	}
	if (pn_change_bus.changed != NULL)
		pn_change_bus.changed(account);
}

void pn_watch_woken(uint32_t bucket)
{
	for (struct watcher *watcher = watchers[bucket % BUCKETS]; watcher != NULL;
	     watcher = watcher->next)
		raise_changed(watcher);
}

static void stop_watching(struct pn_session *session, void *pointer)
{
	struct watcher *watcher = pointer;

	(void)session;
	if (watcher->previous != NULL)
		watcher->previous->next = watcher->next;
	else
		watchers[watcher->bucket] = watcher->next;
	if (watcher->next != NULL)
		watcher->next->previous = watcher->previous;
	free(watcher);
	if (--watcher_count == 0 && pn_change_bus.watching != NULL)
		pn_change_bus.watching(false);
}

void pn_store_watch(struct pn_session *session, const struct pn_account *account)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));

	if (watcher == NULL)
		abort();
	if (session->watch_attachment.release != NULL)
		session->watch_attachment.release(session, session->watch_attachment.attachment);
	watcher->session = session;
	watcher->account = pn_arena_keep(session->arena, account->name);
	watcher->bucket = bucket_of(account->name);
	watcher->next = watchers[watcher->bucket];
	if (watcher->next != NULL)
		watcher->next->previous = watcher;
	watchers[watcher->bucket] = watcher;
	session->watch_attachment.release = stop_watching;
	session->watch_attachment.attachment = watcher;
	if (watcher_count++ == 0 && pn_change_bus.watching != NULL)
		pn_change_bus.watching(true);
}

void pn_store_changed(struct pn_instance *instance, struct pn_slice account)
{
	(void)instance;
	pn_watch_changed(account, NULL);
}
