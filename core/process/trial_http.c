/* SPDX-License-Identifier: Apache-2.0 */
/* The web of a trial: pages that the spec tells, by their address. */
#include "process/trial_http.h"

#include <postern/text.h>

#include <string.h>

struct page {
	const char *url;
	const struct pn_http_response *response; /* NULL: trouble */
	struct page *next;
};

struct asked {
	const char *line;
	struct asked *next;
};

static struct {
	struct pn_arena *arena; /* of the case */
	struct page *pages;
	struct asked *first;
	struct asked **last;
} here;

void pn_trial_http_begin(struct pn_arena *arena)
{
	memset(&here, 0, sizeof(here));
	here.arena = arena;
	here.last = &here.first;
}

void pn_trial_http_tell(const char *url, const struct pn_http_response *response)
{
	struct page *page = PN_ARENA_NEW(here.arena, struct page);

	page->url = pn_arena_keep_text(here.arena, pn_slice_of(url));
	page->response = response;
	page->next = here.pages;
	here.pages = page;
}

static void remember(const struct pn_http_request *request)
{
	struct asked *asked = PN_ARENA_NEW(here.arena, struct asked);
	const char *method = request->method != NULL      ? request->method
	                     : request->body.data != NULL ? "POST"
	                                                  : "GET";

	asked->line =
		pn_arena_print(here.arena, "%s %.*s%s%.*s", method, PN_SLICE_ARGS(request->url),
	                       request->body.size > 0 ? " " : "", PN_SLICE_ARGS(request->body));
	*here.last = asked;
	here.last = &asked->next;
}

const char *pn_trial_http_request(size_t index)
{
	const struct asked *asked = here.first;

	while (asked != NULL && index-- > 0)
		asked = asked->next;
	return asked == NULL ? NULL : asked->line;
}

void pn_trial_http_ask(const struct pn_http_request *request, struct pn_ticket ticket)
{
	const struct page *page = here.pages;
	struct pn_error error;

	remember(request);
	while (page != NULL && !pn_slice_equal(pn_slice_of(page->url), request->url))
		page = page->next;
	if (page != NULL && page->response != NULL &&
	    page->response->body.size <= request->max_body) {
		pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_OK, (void *)(uintptr_t)page->response,
		                 NULL, NULL);
		return;
	}
	(void)pn_fail(&error, "%s",
	              page == NULL             ? "the spec says nothing of this address"
	              : page->response == NULL ? "trouble"
	                                       : "the answer is too large");
	pn_ticket_answer(ticket, PN_ANSWER_CUSTOM, PN_FAILED, NULL, NULL, &error);
}
