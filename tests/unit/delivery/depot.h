/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue worker in a world that is only told: time that stands still between calls, a
 * store that is a list, a transport that does what a test says, DNS with one answer. So
 * every order of events can be had, and none by chance.
 */
#ifndef TESTS_UNIT_DELIVERY_DEPOT_H
#define TESTS_UNIT_DELIVERY_DEPOT_H

#include <postern/store.h>
#include <postern/transport.h>

#include "delivery/queue.h"
#include "session/generation.h"

enum { DEPOT_ROWS = 4000, DEPOT_CARRIERS = 4000 };

/* What becomes of a connection, and of a message. */
enum depot_connects { DEPOT_CONNECTS = 0, DEPOT_OPENS, DEPOT_IS_DOWN };
enum depot_takes {
	DEPOT_TAKES = 0,
	DEPOT_KEEPS,
	DEPOT_PUTS_OFF,
	DEPOT_REFUSES,
	DEPOT_LEAVES_UNTRIED,
};
enum depot_names { DEPOT_KNOWS = 0, DEPOT_IS_SILENT, DEPOT_KNOWS_ANOTHER };

struct depot_carrier {
	struct pn_carrier *carrier;   /* NULL: it is closed */
	struct pn_delivery *delivery; /* at work, or NULL */
	bool is_opening;
	char address[80];
};

struct depot {
	/* Said by tests, at any time. */
	enum depot_connects connects;
	enum depot_takes takes;
	enum depot_names names;
	unsigned code;          /* with which it puts off or refuses */
	const char *enhanced;
	bool hooks_wait;        /* they keep their tickets */
	const char *sender;     /* of what is put; NULL: none */
	struct pn_generation generation; /* its limits may be set before the start, and after it */
	struct pn_destination_limits limits;
	char directory[64];

	/* Seen by tests. */
	struct pn_queue_row rows[DEPOT_ROWS]; /* of the store; id 0: it is gone */
	size_t row_count;
	struct depot_carrier carriers[DEPOT_CARRIERS]; /* as they were opened */
	size_t carrier_count;
	size_t open;            /* of them, now */
	size_t most_open;
	size_t delivered;       /* recipients that were taken */
	uint8_t times[DEPOT_ROWS]; /* how often each of them was, by its place among the rows */
	size_t handed_over;     /* messages, whatever became of them */
};

extern struct depot depot;

/* Everything as new, then options are set, then it is started. */
void depot_set_up(void);
void depot_start(void);
void depot_tear_down(void);

/* A row, due now. "hosts:192.0.2.1:25", or a domain. The worker is told. */
struct pn_queue_row *depot_put(const char *tenant, const char *destination);
void depot_put_many(const char *tenant, const char *destination, size_t count);
size_t depot_waiting(void); /* rows in the store */

/* Lets time pass, and everything happen that it brings. */
void depot_pass(uint64_t milliseconds);

/* A hook at that stage. Before the start. */
void depot_watch(enum pn_stage stage);

/* What waits (DEPOT_OPENS, DEPOT_KEEPS, hooks_wait) is answered as things stand by now: messages that
 * are on their way to that address, or all of them. */
void depot_answer_connections(void);
void depot_say_connections(void); /* when time passes next */
void depot_answer_messages(const char *address);
void depot_answer_hooks(void);
size_t depot_hooks_waiting(void);

/* A server closes a connection that has no message; the number-th of those. */
void depot_close_idle(size_t number);
/* Connections to that address, now. */
size_t depot_open_to(const char *address);

/* An operator suspends a tenant, until then (wall clock; INT64_MAX: until he resumes it); or nobody. */
void depot_suspend(const char *tenant, int64_t until_ms);
int64_t depot_now_ms(void);

#endif
