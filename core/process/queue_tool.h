/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files of `postern queue`: which rows are meant, walking them, and
 * showing them. Everything works on the store itself, beside the gateway that may
 * be running; who works on a row meanwhile passes over what was changed here.
 * Main thread.
 */
#ifndef CORE_PROCESS_QUEUE_TOOL_H
#define CORE_PROCESS_QUEUE_TOOL_H

#include "process/tool.h"

#include <stdio.h>

/* Which rows are meant: all that fit everything that is set. */
struct pn_queue_selection {
	struct pn_slice sender;       /* "<>" is the null sender */
	struct pn_slice recipient;
	struct pn_slice domain;       /* of the recipient */
	struct pn_slice destination;
	struct pn_slice tenant;
	struct pn_slice transaction;
	struct pn_slice reason;       /* part of it, in any case of letters */
	bool has_state;
	enum pn_queue_state state;
	int64_t arrived_before_ms;    /* 0: any time */
	int64_t arrived_after_ms;
	uint64_t attempts;
	bool or_more_attempts;
	bool has_attempts;
	uint64_t id;                  /* 0: any */
	uint64_t limit;               /* at most so many rows; UINT64_MAX: all */
};

/* A walk: `take` is called for each row that fits (its texts live during the call) and says whether to
 * go on; `rest` when the rows that are known are through, and the store is asked for more. */
struct pn_queue_walk {
	bool (*take)(void *user, const struct pn_queue_row *row);
	void (*rest)(void *user); /* may be NULL */
	void *user;
};

/* queue_select.c: the options of the command as a selection; 0, or the exit status of wrong usage,
 * which was told. */
int pn_queue_selection_read(const struct pn_arguments *arguments, int64_t now_ms,
			    struct pn_queue_selection *selection_out);
bool pn_queue_selects_all(const struct pn_queue_selection *selection);
PN_MUST_CHECK enum pn_status pn_queue_walk_rows(const struct pn_account *queue,
						const struct pn_queue_selection *selection,
						const struct pn_queue_walk *walk,
						struct pn_error *error);

/* The value of an option of the command, or NULL. */
const char *pn_queue_option(const struct pn_arguments *arguments, const char *name);

/* The row of that id. PN_NOT_FOUND with a sentence. Its texts live in the arena. */
PN_MUST_CHECK enum pn_status pn_queue_row_read(const struct pn_account *queue, uint64_t id,
					       struct pn_arena *arena,
					       struct pn_queue_row *row_out, struct pn_error *error);

/* queue_print.c: for people, and as one JSON object a line */
struct pn_queue_table {
	int64_t now_ms;
	size_t columns;   /* of the terminal; 0: lines may be as long as they are */
	bool as_json;
	uint64_t count;   /* of rows printed */
};
void pn_queue_table_begin(struct pn_queue_table *table, bool as_json);
void pn_queue_table_row(struct pn_queue_table *table, const struct pn_queue_row *row);
void pn_queue_row_json(struct pn_buffer *out, const struct pn_queue_row *row);

/* "3h", "12d"; "now" for what is past. Returns room. */
enum { PN_QUEUE_AGE_ROOM = 24 };
const char *pn_queue_age(int64_t milliseconds, char *room);

/* A stranger's text for a terminal: what would act on it is shown as '?'. At most `columns` wide, cut
 * with "…"; filled up with blanks where `fill`. */
void pn_queue_print_text(struct pn_slice text, size_t columns, bool fill);

/* queue_summary.c: what waits, by destination; queue_show.c: everything of one row */
PN_MUST_CHECK enum pn_status pn_queue_summary(struct pn_tool *tool, const struct pn_account *queue,
					      const struct pn_queue_selection *selection,
					      bool as_json, struct pn_error *error);
PN_MUST_CHECK enum pn_status pn_queue_show(const struct pn_account *queue,
					   const struct pn_arguments *arguments,
					   struct pn_error *error);

/* queue_act.c: hold, release, retry, requeue, bounce, delete. Returns the exit status. */
bool pn_queue_is_action(const char *word);
int pn_queue_act(struct pn_tool *tool, const struct pn_account *queue,
		 const struct pn_queue_selection *selection, const struct pn_arguments *arguments,
		 uid_t caller);

/* queue_suspend.c: suspend and resume. Returns the exit status. */
int pn_queue_suspend(struct pn_tool *tool, const struct pn_queue_selection *selection,
		     const struct pn_arguments *arguments, uid_t caller);
/* Every suspension, as lines; those that are over are left out. Returns how many. */
size_t pn_queue_suspensions_print(const char *data_directory, bool as_json);

/* command_queue.c: an event of what an operator did. The caller adds to it and sends it. */
struct pn_event *pn_queue_event(const char *action, uid_t caller);
/* "Delete all 12 recipients? [y/N]"; --yes answers. False: no, or nobody can be asked (told). */
bool pn_queue_confirm(const struct pn_arguments *arguments, const char *question);

#endif
