/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue worker from the inside. Who owns what:
 *
 *	queued       a row of the store that this worker works on: the lease. In memory from
 *	             take.c until settle.c has committed what became of it
 *	tenant       whose rows they are; each gets its share of what can be done at a time
 *	destination  where rows go (route.h); has a lane for each tenant, and the hops it
 *	             was resolved to
 *	lane         rows of one tenant for one destination, by priority, then age
 *	site         the servers behind destinations: limits, health, connections. Several
 *	             destinations with the same MX hosts are one site
 *	carrier      one connection (postern/transport.h), of a site
 *	attempt      one message on its way to a site, for one or more rows
 *
 * A row goes from take.c (read, routed) into a lane; dispatch.c takes it out when there
 * is room, makes an attempt, and settle.c writes the end down. Loop thread.
 */
#ifndef CORE_DELIVERY_SCHEDULER_H
#define CORE_DELIVERY_SCHEDULER_H

#include <postern/delivery.h>
#include <postern/transport.h>

#include "base/map.h"
#include "delivery/queue.h"
#include "delivery/route.h"
#include "delivery/transaction.h"
#include "io/loop.h"
#include "store/account.h"

enum {
	PRIORITIES = 10,
	REASON_SIZE = 400,
	HOPS_MAX = 64,        /* addresses of one destination that are tried */
	SITE_HOSTS_MAX = 16,  /* of which health is remembered */
	TAKE_ROWS = 500,      /* read from the store at a time */
};

struct queued {
	struct pn_queue_row row; /* its texts stand behind this struct */
	struct queued *next;     /* in its lane, its attempt, or on its way to the store */
	struct tenant *tenant;
	struct lane *lane;
	struct pn_transaction *transaction; /* restored for hooks; or NULL */
	struct pn_recipient *recipient;
	int64_t read_due_ms;     /* of the row, where another moment is to be written; else 0 */

	/* What became of it: for settle.c. */
	enum pn_delivery_outcome outcome;
	enum pn_answer_class answer_class;
	struct pn_reply reply;
	char command[16];
	char hop_name[256];
	char reason[REASON_SIZE];
	bool is_local_refusal;   /* our policy's, not the peer's */
	bool dsn_passed_on;
	bool by_passed_on;       /* by when: the peer knows, too */
	bool is_reported;        /* a report stands in the commit that ends it */
	bool holds;              /* a hook or too many deaths: HELD instead of anything else */
	int64_t retry_at_ms;     /* wall clock; 0: by the schedule */
	int64_t not_before_ms;   /* wall clock: nobody answers there until then */
	bool was_untried;        /* nobody was asked: it does not count as an attempt */
	uint32_t deaths;         /* to be written down */
};

struct lane {
	struct destination *destination;
	struct tenant *tenant;
	struct queued *first[PRIORITIES];
	struct queued **last[PRIORITIES];
	size_t count;                     /* rows that wait in it */
	size_t rows;                      /* of it in memory: those at work, too */
	enum { LANE_IDLE = 0, LANE_READY, LANE_PARKED } state;
	struct lane *next;                /* among the ready of its tenant, or the parked of its place */
	struct lane *next_of_destination;
};

struct tenant {
	struct pn_slice name;
	uint32_t rows;       /* in memory */
	uint32_t delivering; /* attempts at work */
	bool is_suspended;
	struct lane *ready;
	struct lane **last_ready;
	struct tenant *next_ready; /* among those with ready lanes */
	bool is_listed;
	struct lane *parked;       /* it has its share of all connections */
	struct lane **last_parked;
	struct destination *left_out; /* rows of it stayed in the store: it had its share of memory */
	struct destination **last_left_out;
};

struct hop {
	struct pn_next_hop hop;
	uint16_t preference;
};

struct destination {
	struct pn_slice name;    /* the route's text */
	struct pn_arena *arena;
	struct pn_route route;
	struct lane *lanes;
	size_t rows;             /* in memory */
	size_t at_work;          /* of them: not in a lane */
	bool has_more;           /* due rows of it were left in the store */
	bool is_refilling;
	bool is_left_out;        /* stands in line for it with a tenant */
	struct destination *next_left_out;
	bool is_suspended;       /* by an operator */

	enum { HOPS_NONE = 0, HOPS_ASKING, HOPS_KNOWN } hops_state;
	struct pn_arena *hops_arena;
	struct hop *hops;
	size_t hop_count;
	uint64_t hops_until_ms;  /* monotonic */
	const struct pn_instance_use *transport;
	struct site *site;
	struct lane *parked;     /* until the hops are known */
};

struct site_host {
	char address[PN_ADDRESS_TEXT_SIZE];
	uint64_t bad_until_ms; /* monotonic */
};

struct site {
	struct pn_slice key;     /* allocated with the struct */
	struct pn_slice host_names; /* as well, a line each */
	char name[256];          /* for people: the best host */
	struct pn_instance *instance; /* transport */
	const struct pn_transport *transport;
	size_t destinations;     /* that lead to it */
	size_t attempts;         /* at work */
	size_t starting;         /* of them: hooks look at them, and no carrier is theirs yet */
	size_t rows;             /* in lanes of its destinations */
	struct pn_destination_limits limits;
	size_t limits_row;       /* of the configuration; 0: that of all others */

	struct pn_carrier *carriers;
	size_t carrier_count;
	double window;           /* connections that the peer seems to like; grows and shrinks */
	double tokens;           /* messages that may be sent now */
	uint64_t tokens_at_ms;

	/* Among all queue workers: see share.c. */
	uint64_t share_key;
	uint64_t waiting_key;
	uint32_t shared;         /* connections that the others know of */
	bool waits_for_share;    /* and know that it waits */
	bool lacks_shared_token;
	uint64_t gives_way_until_ms; /* monotonic */

	bool is_answering;       /* a connection to it was ready, and none failed since */
	uint32_t failures;       /* to reach it, in a row */
	uint32_t complaints;     /* messages it put off, one soon after the other */
	uint64_t complained_ms;  /* monotonic: the last of them */
	uint32_t pauses;         /* in a row, for backing off */
	uint64_t pause_until_ms; /* monotonic: no new connection, no new message */
	uint64_t suspended_until_ms; /* monotonic: rows are put off without trying */
	char last_reason[REASON_SIZE];
	enum pn_answer_class last_class;
	struct site_host hosts[SITE_HOSTS_MAX];
	struct lane *parked;     /* until there is room */
	struct lane **last_parked;
	bool is_proven;          /* it took something, and was not unreachable since */
	struct site_line *line;  /* it waits in; or NULL */
	struct site *next_in_line;
	uint64_t used_ms;        /* monotonic */
	struct pn_timer *timer;  /* the end of a pause, the next token */
};

/* Sites in the order in which they met a limit. */
struct site_line {
	struct site *first;
	struct site **last;
	size_t count;
};

struct attempt {
	struct pn_delivery delivery;
	struct pn_arena *arena;
	struct destination *destination;
	struct site *site;
	struct tenant *tenant;
	struct pn_carrier *carrier;
	struct queued *rows;
	size_t row_count;
	size_t hop_index;        /* that is being tried */
	bool is_going_on;        /* it waits for the top of the loop */
	bool is_starting;        /* hooks look at it: a connection is kept for it */
	bool is_late;            /* its deadline passed: no other hop is tried */
	bool was_tried;          /* a hop was asked */
	bool was_sent;           /* handed to a carrier: not to be given to another */
	struct pn_timer *deadline;
	struct attempt *next;
	uint64_t started_ns;
	uint64_t skip;           /* bytes of the stored body that are not sent: Return-Path */
};

struct pn_scheduler {
	unsigned number;
	unsigned count;
	struct pn_generation *generation; /* counted */
	struct pn_account *home;
	struct pn_arena *arena;
	struct pn_map *rows;         /* by id */
	struct pn_map *tenants;
	struct pn_map *destinations;
	struct pn_map *sites;
	struct tenant *ready_tenants;
	struct tenant **last_ready_tenant;
	struct site_line waiting;    /* for one of all connections */
	struct site_line newcomers;  /* for one of the connections that may not have been answered yet */
	size_t attempts;
	size_t starting;             /* of them: see struct site */
	size_t carriers;
	size_t opening;              /* of them: not answered yet */
	size_t yielding;             /* of them: they go for the sake of sites that wait */
	bool is_running;
	bool is_finishing;
	int64_t suspensions_end_ms;  /* wall clock: the first of the operators' that ends by itself */
	void (*finished)(void);
	struct pn_task dispatch;
	struct pn_timer *tick;
	struct pn_queue_counts counts;
};

extern struct pn_scheduler pn_scheduler;

static inline bool pn_queue_has_hooks(enum pn_stage stage)
{
	return pn_scheduler.generation->chains[stage].count > 0;
}

/* queue.c: look for due rows at that moment */
void pn_wait_until(int64_t wall_ms);

/* ---- take.c: rows come into memory, and leave it ---- */
void pn_take_start(void);
void pn_take_stop(void);
void pn_take_new(void);                 /* there may be rows with new ids */
void pn_take_due(bool from_beginning);  /* rows may have become due */
void pn_take_refill(struct destination *destination);
void pn_take_left_out(void);            /* tenants may have room for what was left in the store */
void pn_take_forget_idle(void);         /* what waits in lanes is read again */
void pn_queued_free(struct queued *queued); /* out of memory; the row stays as it is */

/* ---- routing.c: where a row goes now; then into a lane, or to its end ---- */
void pn_route_row(struct queued *queued);
struct pn_recipient *pn_queued_restore(struct queued *queued);
struct pn_stage_request pn_queued_stage(struct queued *queued, enum pn_stage stage,
					struct pn_attempt *attempt, struct pn_arena *arena);
void pn_suspect_check(struct queued *queued);

/* ---- lanes.c ---- */
struct tenant *pn_tenant_of(struct pn_slice name);
struct destination *pn_destination_of(struct pn_slice name); /* NULL: the text is no route */
void pn_lane_add(struct queued *queued, struct destination *destination, struct tenant *tenant);
struct queued *pn_lane_take(struct lane *lane);
/* Its rows are counted for its site. */
void pn_lane_count(struct lane *lane, ptrdiff_t change);
/* Others of the lane that go with this one: the same message. Appends at most `max`, returns how many. */
size_t pn_lane_take_same(struct lane *lane, const struct queued *queued, struct queued **last,
			 size_t max);
void pn_lane_ready(struct lane *lane);
void pn_lane_put_back(struct queued *queued); /* untried: in front of its lane */
struct lane *pn_lane_next_ready(void);        /* of the tenant whose turn it is */
void pn_lanes_unpark(struct lane **parked);
/* Frees it where nothing stands in it, and it in no line. */
void pn_lane_release(struct lane *lane);
/* Whether a tenant has its share of all connections: the more are free, the more it may have. */
bool pn_tenant_has_enough(const struct tenant *tenant);
void pn_tenant_park(struct tenant *tenant, struct lane *lane);
void pn_tenant_wake(struct tenant *tenant);
/* Those that are not suspended any more have their turns again. */
void pn_tenants_resume(void);
void pn_destination_release(struct destination *destination); /* frees it where nothing needs it */
void pn_tenant_release(struct tenant *tenant);

/* ---- resolve.c: hops of a destination ---- */
void pn_destination_resolve(struct destination *destination);
void pn_destination_forget_hops(struct destination *destination);

/* ---- site.c ---- */
/* `host_names`: the best first, a line each. */
struct site *pn_site_of(struct pn_slice key, struct pn_slice host_names,
			const struct pn_instance_use *use);
/* A domain leads there: the limits that the configuration has for it count, unless better ones do. */
void pn_site_use_limits_of(struct site *site, struct pn_slice domain);
void pn_site_release(struct site *site);
/* Whether a message could go there now: a free carrier, or room for one. */
bool pn_site_has_room(struct site *site);
bool pn_site_is_suspended(const struct site *site);
bool pn_site_take_token(struct site *site);
void pn_site_park(struct site *site, struct lane *lane);
void pn_site_wake(struct site *site);
/* A connection is free, or may be: those that wait for one try again. */
void pn_sites_wake_waiting(void);
void pn_site_succeeded(struct site *site);
/* It put a message off, for no reason that is known: many of those are a way to say "too many". */
void pn_site_complained(struct site *site, enum pn_answer_class answer_class, const char *reason);
void pn_site_slow_down(struct site *site, enum pn_answer_class answer_class, const char *reason);
void pn_site_unreachable(struct site *site, enum pn_answer_class answer_class, const char *reason);
void pn_site_host_failed(struct site *site, const char *address);
bool pn_site_host_is_bad(const struct site *site, const char *address);
int64_t pn_site_good_at_ms(const struct site *site); /* wall clock: when it may be tried again */
void pn_sites_use_limits(void);
void pn_sites_free(void);

/* ---- carrier.c ---- */
struct pn_carrier *pn_carrier_idle(struct site *site); /* ready for a message; or NULL */
size_t pn_carriers_idle(const struct site *site, size_t max); /* how many are, at most `max` */
/* A new one for the attempt's next hop. PN_FAILED: no hop is left, with the reason in the rows. */
PN_MUST_CHECK enum pn_status pn_carrier_open(struct attempt *attempt);
void pn_carrier_give(struct pn_carrier *carrier, struct attempt *attempt);
void pn_carriers_close_idle(struct site *site);
void pn_carriers_make_room(void); /* the one that has been idle for longest goes */
void pn_carrier_abandon(struct pn_carrier *carrier); /* a deadline passed: it ends now */
void pn_carrier_write_dialogue(const struct pn_carrier *carrier, struct pn_event *event);
const char *pn_carrier_hop_name(const struct pn_carrier *carrier);

/* ---- dispatch.c ---- */
void pn_dispatch(void); /* soon, from the top of the loop */
void pn_dispatch_run(struct pn_task *task);
void pn_dispatch_stop(void);
void pn_dispatch_tick(void); /* lanes of sites that are left alone may be put off, or are tried again */
/* Its carrier is ready, or gone: it goes on from the top of the loop. */
void pn_attempt_go_on(struct attempt *attempt);
void pn_attempt_take_outcomes(struct attempt *attempt);
void pn_attempt_record(const struct attempt *attempt, const struct pn_carrier *carrier);
size_t pn_attempt_max_recipients(const struct destination *destination);
/* The same outcome for every row of it that has none. */
void pn_attempt_fail(struct attempt *attempt, enum pn_delivery_outcome outcome,
		     enum pn_answer_class answer_class, const struct pn_reply *reply,
		     const char *command, const char *reason);

/* ---- local.c: rows that go to accounts of ours ---- */
void pn_deliver_local(struct queued *queued);

/* ---- classify.c, retry.c: pure ---- */
enum pn_answer_class pn_classify(const struct pn_reply *reply, enum pn_delivery_outcome outcome,
				 const char *command);
int64_t pn_retry_at(const struct pn_queue_limits *limits, const struct pn_queue_row *row,
		    enum pn_answer_class answer_class, int64_t now_ms);

/* ---- settle.c: outcomes become mutations ---- */
void pn_settle(struct queued *queued);       /* by its outcome; the row leaves memory after it */
void pn_settle_with(struct queued *rows, struct pn_commit *commit); /* a commit that ends them */
/* The mutation that ends the row, or puts it off, by its outcome. */
void pn_settle_add(const struct queued *queued, struct pn_commit *commit);
bool pn_settle_is_busy(void);
void pn_settle_stop(void);

/* ---- share.c: what all queue workers together have of a site ---- */
void pn_share_init(struct site *site);
/* Before an attempt: true where an idle connection will do, or one more is within the limit of all.
 * It is taken then, until pn_share_settle() finds that it was not needed. */
PN_MUST_CHECK bool pn_share_claim(struct site *site);
void pn_share_settle(struct site *site); /* its connections became more or fewer */
PN_MUST_CHECK bool pn_share_take_token(struct site *site);
uint64_t pn_share_again_ms(const struct site *site); /* when to ask again; 0: nothing is awaited */
/* Others wait, and a connection that has sent so many messages is one too many here, or had its
 * turn. */
bool pn_share_must_give_way(struct site *site, uint32_t messages);
void pn_share_wait_no_more(struct site *site);
void pn_share_end(struct site *site);

/* ---- bounce.c ---- */
/* Rows (linked by `next`) of one transaction that failed for good, or whose sender is to be told
 * something: writes a DSN where one is due, and ends (or updates) the rows in the same commit. */
void pn_bounce(struct queued *rows);
bool pn_bounce_is_busy(void); /* a report is being written: its rows are in no commit yet */
void pn_bounce_stop(void);
bool pn_warns_of_delay(const struct queued *queued, int64_t now_ms);

#endif
