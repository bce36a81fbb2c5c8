/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log thread behind <postern/log.h>: it writes the history (a file for each
 * worker and hour, with an index by id) and the log, a selection of it. Without a
 * log thread (tools, the master before it serves) events go to standard error as
 * plain sentences. Any thread, but for start and stop.
 */
#ifndef CORE_IO_LOG_H
#define CORE_IO_LOG_H

#include <postern/error.h>
#include <postern/log.h>

struct pn_log_settings {
	const char *history_directory; /* absolute; NULL: no history */
	const char *log_file;          /* "": standard error */
	enum pn_log_level level;       /* of the log; history takes info and above */
	const char *worker;            /* "edge-0"; part of every event and file name */
};

PN_MUST_CHECK enum pn_status pn_log_start(const struct pn_log_settings *settings,
					  struct pn_error *error);
void pn_log_set_level(enum pn_log_level level);

/* Writes what is queued and ends the thread. */
void pn_log_stop(void);

/* Gives an event an id under which `explain` finds it ("session", "transaction"). */
void pn_event_id(struct pn_event *event, const char *key, const char *id);

/* Appends a field whose value is JSON already. */
void pn_event_json(struct pn_event *event, const char *key, struct pn_slice json);

/* Whether an event of that level would be written anywhere. */
bool pn_log_wants(enum pn_log_level level);

/* One entry of an index file: where events with an id stand. */
struct pn_history_index_entry {
	uint64_t id_hash;
	uint64_t offset;
};

uint64_t pn_history_hash(struct pn_slice id);

#endif
