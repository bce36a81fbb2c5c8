/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is under suspicion: messages that were at work when a worker died, and hooks
 * that died of very many messages. The master writes the table when a worker ends;
 * workers read it; the control worker keeps it in a file, so that a message that
 * took down the whole gateway has its first death counted all the same.
 */
#ifndef CORE_PROCESS_SUSPECTS_H
#define CORE_PROCESS_SUSPECTS_H

#include <postern/error.h>
#include <postern/module.h>

#include "session/running.h"

#include <stdatomic.h>

enum {
	PN_SUSPECTS = 1024,         /* the oldest goes first */
	PN_SUSPECT_DEATHS = 2,      /* then the message is set aside */
	PN_KILLS_A_DEATH = 4,       /* so many kills from outside count as one death of its own */
	PN_DISABLED_HOOKS = 32,
	PN_BLAME_MESSAGES = 20,     /* different ones … */
	PN_BLAME_WINDOW_MS = 60000, /* … within this time: then the hook is disabled */
};

/* How a worker died. */
enum pn_death_cause {
	PN_DEATH_CRASH,  /* a signal of its own, or it ended */
	PN_DEATH_HANG,   /* the watchdog ended it */
	PN_DEATH_MEMORY, /* SIGKILL, when the kernel killed for want of memory; or that is not known */
	PN_DEATH_KILLED, /* SIGKILL, and that was not the reason: somebody's, and chance what it hit */
};

struct pn_death {
	enum pn_worker_kind kind;
	enum pn_death_cause cause;
	const char *how; /* "signal 11, Segmentation fault" */
};

/* A message. Written by one process; `key` is set last, and is 0 while the rest is written. */
struct pn_suspect {
	_Atomic uint64_t key;      /* of the digest, or of the transaction's id */
	_Atomic uint32_t deaths;
	_Atomic uint32_t kills;    /* from outside, when it was at work */
	_Atomic int64_t last_ms;   /* wall clock */
	char transaction[24];      /* in the queue; "": it was on its way in */
	char what[144];            /* "module judges, hook crash (signal 11, Segmentation fault)" */
};

/* Places are used from the first one on, and stay in use: nobody need look behind the last. */
struct pn_suspect_table {
	_Atomic uint32_t used;
	struct pn_suspect rows[PN_SUSPECTS];
};

struct pn_disabled_hook {
	_Atomic uint32_t is_disabled; /* set last */
	char module[32];
	char hook[48];
};

struct pn_suspects {
	struct pn_suspect_table seen;       /* since the gateway was started; by the master */
	struct pn_suspect_table remembered; /* of the file; by the control worker, once */
	_Atomic uint32_t is_remembered;
	_Atomic uint32_t changes;           /* counts up; the control worker saves then */
	_Atomic uint32_t moves;             /* odd while a death goes from its slot into the table */
	struct pn_disabled_hook disabled[PN_DISABLED_HOOKS];
	_Atomic uint32_t disabled_count;
};

/* ---- the master ---- */

/* A worker ended that nobody had asked to, while it ran this. True where a message is to blame: another
 * of it will be set aside, so a new worker may start at once. `text` says what is loud. */
bool pn_suspects_death(struct pn_suspects *suspects, const struct pn_death *death,
		       const struct pn_running *running, char *text, size_t text_size);

/* Around the above and the clearing of the slot: nobody sees the death in both places, or in none. */
void pn_suspects_begin_move(struct pn_suspects *suspects);
void pn_suspects_end_move(struct pn_suspects *suspects);

/* Another configuration is in use: hooks have another chance. */
void pn_suspects_enable_hooks(struct pn_suspects *suspects);

/* ---- workers ---- */

/* Asks of pn_suspicion are answered from this table, and from the slots of workers that died a moment
 * ago: who sends a message again at once must not be faster than the master. */
struct pn_shared;
void pn_suspects_use(struct pn_shared *shared);

/* Tells the queue of all that is known, before it starts. The file is read where nobody did yet. */
void pn_suspects_tell_queue(struct pn_suspects *suspects, const char *data_directory);

/* suspects_file.c. The control worker reads the file, once, and writes it where something changed. */
PN_MUST_CHECK enum pn_status pn_suspects_load(struct pn_suspects *suspects,
					      const char *data_directory, struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_suspects_save(struct pn_suspects *suspects,
					      const char *data_directory, struct pn_error *error);

PN_MUST_CHECK enum pn_status pn_suspects_read(struct pn_suspect_table *table, const char *data_directory,
					      struct pn_error *error);

/* Messages that are set aside: they took down two workers. */
uint32_t pn_suspects_count(const struct pn_suspects *suspects);

/* Between the two files: looking up, counting, putting into a table, and texts of foreign origin. */
const struct pn_suspect *pn_suspect_find(const struct pn_suspect_table *table, uint64_t key);
void pn_suspect_put(struct pn_suspect_table *table, const struct pn_suspect *suspect);
void pn_suspect_copy_text(char *room, size_t room_size, const char *text, size_t text_size);
struct pn_suspect_count {
	uint32_t deaths;
	uint32_t kills;
};
struct pn_suspect_count pn_suspect_counts(const struct pn_suspects *suspects, uint64_t key);

#endif
