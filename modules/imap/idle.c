/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDLE (RFC 2177): news as they come, until DONE. Between them nothing is kept but the
 * tag, and a timer that says now and then that somebody is still here, for the sake of
 * routers that forget connections.
 */
#include "imap.h"

#include <postern/text.h>

static enum pn_next wait_on(struct pn_session *session, struct imap_session *imap);
static enum pn_next told(struct pn_session *session, struct imap_session *imap);

static enum pn_next still_here(struct pn_session *session, struct imap_session *imap,
                               const struct pn_answer *answer)
{
	(void)answer;
	imap_untagged(session, "OK Still here");
	/* News that could not be had: once more. */
	if (imap->view != NULL && imap->is_stale)
		return imap_tell_news(session, imap, true, told);
	return wait_on(session, imap);
}

static enum pn_next done(struct pn_session *session, struct imap_session *imap)
{
	if (imap->errors > imap->config->max_errors)
		return imap_bye(session, "too many errors");
	return imap_reply(session, imap, "%.*s", PN_SLICE_ARGS(imap->reply));
}

/* The news were told. */
static enum pn_next told(struct pn_session *session, struct imap_session *imap)
{
	if (imap->reading != IMAP_READING_IDLE)
		return done(session, imap);
	/* More came meanwhile. A store that fails is not asked again at once. */
	if (imap->is_stale && !imap->news_failed)
		return imap_tell_news(session, imap, true, told);
	pn_arena_free(&imap->arena);
	return wait_on(session, imap);
}

static enum pn_next wait_on(struct pn_session *session, struct imap_session *imap)
{
	imap->timer = pn_session_ticket(session, imap->config->idle_interval);
	imap->on_answer = still_here;
	return PN_NEXT_ANSWER_OR_LINE;
}

/* Called from an event: what it returns is not asked for, the session waits as it did. */
void imap_idle_changed(struct pn_session *session, struct imap_session *imap)
{
	if (imap->sync != NULL || imap->reading != IMAP_READING_IDLE || imap->view == NULL)
		return;
	pn_ticket_cancel(imap->timer);
	(void)imap_tell_news(session, imap, true, told);
}

enum pn_next imap_idle_line(struct pn_session *session, struct imap_session *imap,
                            const struct pn_line *line)
{
	pn_ticket_cancel(imap->timer);
	imap->reading = IMAP_READING_COMMAND;
	imap->reply = PN_SLICE("OK enough");
	if (!pn_slice_equal_ignore_case(line->text, PN_SLICE("DONE"))) {
		imap->reply = PN_SLICE("BAD expected DONE");
		imap->errors++;
	}
	/* What is being told is told to its end. */
	if (imap->sync != NULL)
		return PN_NEXT_ANSWER;
	return imap_tell_news(session, imap, false, done);
}

/* The tag is all that is kept of the command. */
static void keep_tag(struct imap_session *imap)
{
	struct pn_buffer tag;

	pn_buffer_init(&tag, IMAP_TAG_MAX);
	imap_put_slice(&tag, imap->tag);
	pn_buffer_clear(&imap->input);
	imap->input = tag;
	imap->tag = pn_buffer_slice(&imap->input);
	pn_arena_free(&imap->arena);
}

enum pn_next imap_idle(struct pn_session *session, struct imap_session *imap,
                       struct imap_parser *parser)
{
	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	keep_tag(imap);
	imap->reading = IMAP_READING_IDLE;
	pn_session_write(session, PN_SLICE("+ idling\r\n"));
	if (imap->view != NULL && imap->is_stale)
		return imap_tell_news(session, imap, true, told);
	return wait_on(session, imap);
}
