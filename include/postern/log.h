/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: one JSON object each, appended to the history by the log thread; the
 * log is a selection of them. An event is built field by field and then sent.
 * Values are escaped; control characters never reach a file or a terminal.
 *
 *	pn_log(PN_LOG_WARNING, "disk", "segment %s is damaged", name);
 *
 *	struct pn_event *event = pn_event_new(PN_LOG_INFO, "greeting");
 *	pn_event_text(event, "word", pn_slice_of(word));
 *	pn_event_send(&event);
 *
 * Any thread. Never blocks: when the log thread cannot keep up, events are
 * counted and the loss is logged.
 */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include <postern/types.h>

enum pn_log_level {
	PN_LOG_DEBUG = 0,
	PN_LOG_INFO,
	PN_LOG_NOTICE,
	PN_LOG_WARNING,
	PN_LOG_ERROR,
};

struct pn_event;

PN_DECLARATIONS_BEGIN

/* One event with a sentence. `what` is its short name, a constant. */
void pn_log(enum pn_log_level level, const char *what, const char *format, ...) PN_PRINTF(3, 4);

/* A new event; carries time, worker and `what`. Never NULL. Send it with pn_event_send. */
struct pn_event *pn_event_new(enum pn_log_level level, const char *what);

/* Fields. `key` is a constant in lower_case; a key is used once. */
void pn_event_text(struct pn_event *event, const char *key, struct pn_slice text);
void pn_event_number(struct pn_event *event, const char *key, int64_t number);
void pn_event_bool(struct pn_event *event, const char *key, bool value);

/* Takes the event, and sets *event to NULL. */
void pn_event_send(struct pn_event **event);

PN_DECLARATIONS_END

#endif
