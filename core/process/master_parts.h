/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the master share: its one state, and what each part does for
 * the others. Everything runs on the master's one thread, from its one loop
 * (master.c).
 */
#ifndef CORE_PROCESS_MASTER_PARTS_H
#define CORE_PROCESS_MASTER_PARTS_H

#include "process/shared.h"
#include "process/supply.h"
#include "process/worker.h"

enum pn_member_state {
	WORKER_ABSENT = 0, /* to be started at start_at_ms */
	WORKER_STARTING,   /* was told to prepare */
	WORKER_READY,      /* has prepared the next generation */
	WORKER_SERVING,
	WORKER_LEAVING,    /* was told to stop */
};

/* A worker as the master knows it; its place in the table is the number of its slot. */
struct pn_member {
	enum pn_member_state state;
	enum pn_worker_kind kind;
	unsigned number;
	bool is_wanted;       /* is to be replaced when it ends */
	pid_t pid;            /* 0: none runs */
	int channel;
	uint64_t started_ms;
	uint64_t start_at_ms;
	uint64_t delay_ms;
	uint64_t abort_sent_ms;
	const char *ended_for; /* why we ended it at once; or NULL */
	bool said_replace;    /* in answer to prepare: it cannot use what is new, a fresh one could */
	bool wants_replacing; /* and that is in use now */
	pid_t replaces;       /* whom it stands in for once it serves; or 0 */
	bool is_returning;    /* it was stopped to be started afresh, and does not serve again yet */
};

/* Who asked for a reload or a stop: a client of that control worker. */
struct pn_asker {
	pid_t worker;  /* 0: nobody who waits for an answer */
	char id[32];   /* of the client there */
};

struct pn_master {
	struct pn_supply_base base;   /* what the master stands on, whatever is reloaded */
	struct pn_supply *current;
	struct pn_supply *next;       /* while a reload is under way */
	uint64_t reload_deadline_ms;
	struct pn_asker reload_asker; /* until it was answered */
	struct pn_member workers[PN_MAX_SLOTS];
	struct pn_shared *shared;
	int shared_descriptor;
	int events[PN_MAX_SLOTS];
	int signals;
	bool is_stopping;
	bool has_served;
	uint64_t stop_deadline_ms;
	uint64_t tls_turned_ms; /* when the keys of TLS sessions were made anew */
	int exit_status;
};

extern struct pn_master pn_master;

/* master.c */
uint64_t pn_master_now_ms(void);
void pn_master_say(const char *format, ...) PN_PRINTF(1, 2); /* to the log of the operator */
void pn_master_read_channel(struct pn_member *worker);
void pn_master_stop(const struct pn_asker *asker); /* NULL: nobody waits for an answer */

/* crew.c: who there is, and what they are told. A worker that takes no packets is ended. */
void pn_crew_tell_prepare(struct pn_member *worker, const struct pn_supply *supply);
void pn_crew_tell(struct pn_member *worker, const char *word, uint32_t number);
void pn_crew_dismiss(struct pn_member *worker);
void pn_crew_end(struct pn_member *worker, const char *why); /* at once */
struct pn_member *pn_crew_add(enum pn_worker_kind kind, unsigned number); /* NULL: no place */
void pn_crew_want(const struct pn_flat *flat);   /* as many as the configuration wants */
void pn_crew_deal_out_anew(const struct pn_flat *old, const struct pn_flat *flat);
bool pn_crew_may_start(const struct pn_member *worker);
void pn_crew_start_due(void);

/* replacing.c */
void pn_replacing_next(void);
void pn_replacing_served(struct pn_member *successor); /* whom it replaces may go */

/* reload.c */
void pn_reload_begin(const struct pn_asker *asker); /* NULL: nobody waits for an answer */
bool pn_reload_all_are_ready(void);
void pn_reload_finish(void);
void pn_reload_give_up(const char *format, ...) PN_PRINTF(1, 2);
void pn_reload_end_late(void); /* one that takes longer than it may */
void pn_reload_answer(const struct pn_asker *asker, const char *text);
void pn_reload_answer_asker(const char *text);
void pn_reload_answer_when_used(void);

/* deaths.c */
void pn_deaths_reap(void);
void pn_deaths_watch_heartbeats(void);

#endif
