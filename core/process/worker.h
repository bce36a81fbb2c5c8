/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: a process of its own, executed by the master, that runs sessions
 * (edge), delivers what waits (queue) or keeps house (control). It does what the
 * channel says. Loop thread.
 */
#ifndef CORE_PROCESS_WORKER_H
#define CORE_PROCESS_WORKER_H

#include "process/assemble.h"
#include "process/channel.h"
#include "process/shared.h"

#include <stdio.h>

enum { PN_MAX_LISTENERS = 128 };

/* What the parts of a worker share. */
struct pn_worker {
	enum pn_worker_kind kind;
	unsigned number;
	unsigned slot_index;
	const char *name;             /* "edge-0" */
	const char *config_path;
	struct pn_shared *shared;
	struct pn_slot *slot;
	struct pn_assembly *current;  /* in use */
	struct pn_assembly *prepared; /* built, not yet in use */
	uint32_t prepared_number;
	bool is_stopping;
};

extern struct pn_worker pn_worker;

/* The whole life of a worker process; returns its exit status. */
int pn_worker_main(enum pn_worker_kind kind, unsigned number, unsigned slot_index,
		   const char *config_path);

/* "edge", "queue", "control". */
const char *pn_worker_kind_name(enum pn_worker_kind kind);

/* listening.c: sockets that came from the master, and what to do with them */
void pn_listening_add(const char *address, int descriptor);
int pn_listening_descriptor(const char *address); /* or -1 */
PN_MUST_CHECK enum pn_status pn_listening_use(const struct pn_assembly *assembly,
					      struct pn_error *error);
void pn_listening_keep_only(const char *first, const char *second); /* closes all others */
void pn_listening_drop_unused(void); /* closes what the generation in use does not listen to */
void pn_listening_resume(void);
size_t pn_listening_limit(void); /* most sessions of this worker */
void pn_listening_stop(void);

/* bus.c: changes of accounts and of the queue, across workers */
PN_MUST_CHECK enum pn_status pn_bus_start(struct pn_error *error);
void pn_bus_edited(void); /* an operator changed the queue: its workers hear of it */
void pn_bus_stop(void);

/* control.c: the control worker's socket, and its house */
PN_MUST_CHECK enum pn_status pn_control_use(const struct pn_assembly *assembly,
					    struct pn_error *error);
void pn_control_save_suspects(void); /* where something changed */
void pn_control_result(const char *id, const char *text);
void pn_control_finish(void (*finished)(void)); /* once who is being served has been */
void pn_control_stop(void);

/* control_page.c: its web server */
PN_MUST_CHECK enum pn_status pn_control_page_use(const char *address, struct pn_error *error);
void pn_control_page_close(void (*idle)(void)); /* no more connections; `idle` when the last ended */
bool pn_control_page_is_idle(void);
void pn_control_page_stop(void);

/* status.c: what `postern status` and /metrics say */
void pn_status_write(const struct pn_shared *shared, bool as_json, struct pn_buffer *out);
void pn_metrics_write(const struct pn_shared *shared, struct pn_buffer *out);
bool pn_status_is_healthy(const struct pn_shared *shared);

/* top.c: what hooks cost, for `postern top` and /metrics */
void pn_top_write(const struct pn_shared *shared, struct pn_buffer *out);
void pn_top_metrics(const struct pn_shared *shared, struct pn_buffer *out);

/* history.c: old files of the history go */
void pn_history_keep_house(const char *directory, uint64_t max_age_ms, uint64_t max_bytes);
/* `postern explain`: prints the events of an id. Returns how many. */
size_t pn_history_explain(const char *directory, const char *id, bool as_json, FILE *out);

#endif
