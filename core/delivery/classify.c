/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer means: a class for each, from its code, its enhanced code (RFC 3463) and,
 * where servers say the same thing in words only, the words; and when to come again.
 * Pure; any thread.
 */
#include "delivery/scheduler.h"

#include <postern/text.h>

#include <strings.h>

static const char *const names[PN_CLASS_COUNT] = {
	[PN_CLASS_NONE] = "none",
	[PN_CLASS_CONNECTION] = "connection",
	[PN_CLASS_DNS] = "dns",
	[PN_CLASS_TLS] = "tls",
	[PN_CLASS_RATE] = "rate",
	[PN_CLASS_GREYLIST] = "greylist",
	[PN_CLASS_MAILBOX] = "mailbox",
	[PN_CLASS_TEMPORARY] = "temporary",
	[PN_CLASS_POLICY] = "policy",
	[PN_CLASS_UNKNOWN_RECIPIENT] = "unknown_recipient",
	[PN_CLASS_PERMANENT] = "permanent",
	[PN_CLASS_EXPIRED] = "expired",
	[PN_CLASS_LOOP] = "loop",
};

const char *pn_answer_class_name(enum pn_answer_class answer_class)
{
	return (unsigned)answer_class < PN_CLASS_COUNT ? names[answer_class] : names[0];
}

enum pn_answer_class pn_answer_class_of(const char *name)
{
	for (unsigned i = 0; i < PN_CLASS_COUNT; i++) {
		if (strcmp(names[i], name) == 0)
			return (enum pn_answer_class)i;
	}
	return PN_CLASS_NONE;
}

static bool says(const struct pn_reply *reply, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (strcasestr(reply->text, *words) != NULL)
			return true;
	}
	return false;
}

/* "4.7.1" begins with "4.7." */
static bool is_status(const struct pn_reply *reply, const char *prefix)
{
	return strncmp(reply->enhanced, prefix, strlen(prefix)) == 0;
}

static enum pn_answer_class temporary(const struct pn_reply *reply)
{
	static const char *const greylist[] = {"greylist", "graylist", "grey list", NULL};
	static const char *const rate[] = {"too many", "rate limit",      "throttl",
	                                   "too fast", "try again later", NULL};
	static const char *const full[] = {"mailbox full", "quota", "mailbox is full", NULL};

	/* Nobody answered; or the message could not be read here, which says nothing of the peer.
	 */
	if (reply->code == 0)
		return is_status(reply, "4.3.") ? PN_CLASS_TEMPORARY : PN_CLASS_CONNECTION;
	if (says(reply, greylist))
		return PN_CLASS_GREYLIST;
	if (reply->code == 421 || is_status(reply, "4.3.2") || is_status(reply, "4.4.5"))
		return PN_CLASS_RATE;
	if (is_status(reply, "4.2.") || says(reply, full) ||
	    (reply->code == 452 && reply->enhanced[0] == '\0'))
		return PN_CLASS_MAILBOX;
	if (reply->code == 450 && is_status(reply, "4.7."))
		return PN_CLASS_RATE;
	if (is_status(reply, "4.7.") && says(reply, rate))
		return PN_CLASS_RATE;
	return PN_CLASS_TEMPORARY;
}

/* Without a status 550 is about who was named last; to a sender or a message it says something
 * else, as do 5.1.7 and 5.1.8. */
static bool knows_nobody(const struct pn_reply *reply, const char *command)
{
	if (reply->enhanced[0] == '\0')
		return reply->code == 550 && strcmp(command, "RCPT") == 0;
	return is_status(reply, "5.1.") && strcmp(reply->enhanced, "5.1.7") != 0 &&
	       strcmp(reply->enhanced, "5.1.8") != 0;
}

static enum pn_answer_class permanent(const struct pn_reply *reply, const char *command)
{
	if (knows_nobody(reply, command))
		return PN_CLASS_UNKNOWN_RECIPIENT;
	if (is_status(reply, "5.7."))
		return PN_CLASS_POLICY;
	if (is_status(reply, "5.4.6"))
		return PN_CLASS_LOOP;
	return PN_CLASS_PERMANENT;
}

enum pn_answer_class pn_classify(const struct pn_reply *reply, enum pn_delivery_outcome outcome,
                                 const char *command)
{
	switch (outcome) {
	case PN_DELIVERY_DEFERRED:
		return temporary(reply);
	case PN_DELIVERY_REFUSED:
		return permanent(reply, command);
	default:
		return PN_CLASS_NONE;
	}
}

/* How the schedule of the configuration is read for each class, in percent. */
static unsigned stretch_of(enum pn_answer_class answer_class)
{
	switch (answer_class) {
	case PN_CLASS_GREYLIST:
		return 50; /* they say how soon: most take it after some minutes */
	case PN_CLASS_MAILBOX:
		return 400; /* somebody has to tidy up first */
	case PN_CLASS_RATE:
		return 150;
	default:
		return 100;
	}
}

int64_t pn_retry_at(const struct pn_queue_limits *limits, const struct pn_queue_row *row,
                    enum pn_answer_class answer_class, int64_t now_ms)
{
	size_t step = row->attempts < limits->retry_count ? row->attempts : limits->retry_count - 1;
	uint64_t wait = limits->retries_ms[step] / 100 * stretch_of(answer_class) +
	                limits->retries_ms[step] % 100 * stretch_of(answer_class) / 100;
	uint64_t most = limits->retries_ms[limits->retry_count - 1];
	uint64_t jitter;
	int64_t at;

	if (answer_class != PN_CLASS_MAILBOX && wait > most)
		wait = most;
	/* A tenth more or less by the row's number: what failed together does not come again
	 * together. */
	jitter = wait / 10;
	if (jitter > 0)
		wait = wait - jitter / 2 + row->id * UINT64_C(2654435761) % jitter;
	at = now_ms + (int64_t)wait;
	/* The last try is made when its time is up, not a step later. */
	return at > row->expires_ms && now_ms < row->expires_ms ? row->expires_ms : at;
}
