/* SPDX-License-Identifier: Apache-2.0 */
/* See depot.h. */
#include "depot.h"

#include <postern/dns.h>
#include <postern/module.h>
#include <postern/text.h>

#include "io/log.h"
#include "io/loop.h"
#include "io/world.h"
#include "session/engine.h"
#include "session/ticket.h"

#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FIRST_WALL_S = 1800000000, WAITING_MAX = 4000, LIFETIME_MS = 1000 * 1000 * 1000 };

struct depot depot;

static struct pn_arena *arena;
static bool is_started;
static struct {
	const struct pn_stage_call *call; /* as long as the ticket is open */
	struct pn_ticket ticket;
} hooks[WAITING_MAX];
static size_t hook_count;

/* ---- time ---- */

int64_t depot_now_ms(void)
{
	return (int64_t)FIRST_WALL_S * 1000 + (int64_t)pn_loop_simulated_ms();
}

/* As on a machine that was started long ago. */
static uint64_t monotonic_ns(void)
{
	return (pn_loop_simulated_ms() + 100 * 60 * 1000) * UINT64_C(1000000);
}

void depot_pass(uint64_t milliseconds)
{
	pn_loop_advance(milliseconds, false);
}

/* ---- DNS: every name leads to one host, which has one address ---- */

/* A question, answered from the top of the loop; the answer comes first: it is what is given back.
 */
struct asked {
	struct pn_dns_answer answer;
	struct pn_dns_record record;
	struct pn_ticket ticket;
	struct pn_task task;
	char name[256];
};

static void fill_answer(struct asked *asked)
{
	struct pn_dns_answer *answer = &asked->answer;
	bool is_another = depot.names == DEPOT_KNOWS_ANOTHER;

	asked->record.priority = 10;
	if (depot.names == DEPOT_IS_SILENT)
		answer->outcome = PN_DNS_TROUBLE;
	else if (answer->question.type == PN_DNS_MX)
		asked->record.value =
			is_another ? PN_SLICE("other.example.net") : PN_SLICE("mx.example.net");
	else if (answer->question.type == PN_DNS_A)
		asked->record.value = is_another ? PN_SLICE("192.0.2.9") : PN_SLICE("192.0.2.8");
	else
		answer->outcome = PN_DNS_NO_DATA;
	answer->record_count = answer->outcome == PN_DNS_FOUND ? 1 : 0;
}

static void told(struct pn_task *task)
{
	struct asked *asked = (struct asked *)(void *)((char *)task - offsetof(struct asked, task));

	fill_answer(asked);
	pn_ticket_answer(asked->ticket, PN_ANSWER_DNS, PN_OK, &asked->answer, free, NULL);
}

static void dns_ask(const struct pn_dns_question *question, struct pn_ticket ticket)
{
	struct asked *asked = calloc(1, sizeof(*asked));

	if (asked == NULL)
		abort();
	snprintf(asked->name, sizeof(asked->name), "%.*s", PN_SLICE_ARGS(question->name));
	asked->answer = (struct pn_dns_answer){
		.struct_size = sizeof(asked->answer),
		.record_size = sizeof(asked->record),
		.question = {pn_slice_of(asked->name), question->type},
		.ttl_seconds = 60,
		.records = &asked->record,
	};
	asked->ticket = ticket;
	asked->task.run = told;
	pn_task_queue(&asked->task);
}

/* ---- the store ---- */

static bool fits(const struct pn_queue_request *request, const struct pn_queue_row *row)
{
	if (row->id == 0)
		return false;
	if (request->due_before_ms != 0 &&
	    (row->state != PN_QUEUE_DUE || row->due_ms >= request->due_before_ms))
		return false;
	return request->destination.size == 0 ||
	       pn_slice_equal(request->destination, row->destination);
}

/* Whether it comes behind the one that the request goes on from. */
static bool is_behind(const struct pn_queue_request *request, const struct pn_queue_row *row)
{
	if (request->after_id == 0)
		return true;
	if (request->due_before_ms == 0)
		return row->id > request->after_id;
	return row->due_ms > request->after_due_ms ||
	       (row->due_ms == request->after_due_ms && row->id > request->after_id);
}

static int by_due(const void *left, const void *right)
{
	const struct pn_queue_row *one = left, *other = right;

	if (one->due_ms != other->due_ms)
		return one->due_ms < other->due_ms ? -1 : 1;
	return one->id < other->id ? -1 : one->id > other->id;
}

static enum pn_status select_rows(void *instance, struct pn_store_call *call,
                                  const struct pn_queue_request *request,
                                  struct pn_queue_rows *result)
{
	struct pn_queue_row *rows =
		PN_ARENA_ARRAY(call->arena, depot.row_count, struct pn_queue_row);

	(void)instance;
	result->row_size = sizeof(*rows);
	result->rows = rows;
	result->last_id = depot.row_count;
	result->total = depot_waiting();
	for (size_t i = 0; i < depot.row_count; i++) {
		if (fits(request, &depot.rows[i]) && is_behind(request, &depot.rows[i]))
			rows[result->count++] = depot.rows[i];
	}
	if (request->due_before_ms != 0)
		qsort(rows, result->count, sizeof(*rows), by_due);
	result->is_complete = result->count <= request->max_rows;
	if (!result->is_complete)
		result->count = request->max_rows;
	return PN_OK;
}

static enum pn_status read_body(void *instance, struct pn_store_call *call,
                                const struct pn_body_request *request, struct pn_body_piece *result)
{
	(void)instance, (void)call, (void)request, (void)result;
	return PN_NOT_FOUND;
}

static void put(const struct pn_queue_row *row)
{
	struct pn_queue_row *kept = &depot.rows[depot.row_count++];

	ck_assert_uint_le(depot.row_count, DEPOT_ROWS);
	*kept = *row;
	kept->id = depot.row_count;
	kept->transaction = pn_arena_keep(arena, row->transaction);
	kept->sender = pn_arena_keep(arena, row->sender);
	kept->recipient = pn_arena_keep(arena, row->recipient);
	kept->destination = pn_arena_keep(arena, row->destination);
	kept->tenant = pn_arena_keep(arena, row->tenant);
	kept->details = pn_arena_keep(arena, row->details);
	kept->reason = pn_arena_keep(arena, row->reason);
}

static void apply(const struct pn_mutation *mutation, struct pn_mutation_result *result)
{
	struct pn_queue_row *row;

	if (mutation->kind == PN_MUTATION_QUEUE_PUT) {
		put(mutation->queue_row);
		return;
	}
	row = &depot.rows[mutation->queue_row->id - 1];
	result->was_there =
		row->id != 0 && (mutation->kind == PN_MUTATION_QUEUE_DONE ||
	                         (row->state == PN_QUEUE_DUE &&
	                          (mutation->unchanged_since == 0 ||
	                           mutation->unchanged_since == (uint64_t)row->due_ms)));
	if (!result->was_there)
		return;
	if (mutation->kind == PN_MUTATION_QUEUE_DONE) {
		row->id = 0;
		return;
	}
	row->due_ms = mutation->queue_row->due_ms;
	row->state = mutation->queue_row->state;
	row->attempts = mutation->queue_row->attempts;
	row->reason = pn_arena_keep(arena, mutation->queue_row->reason);
}

static void take_commit(void *instance, struct pn_commit *commit)
{
	(void)instance;
	commit->results =
		PN_ARENA_ARRAY(commit->arena, commit->mutation_count, struct pn_mutation_result);
	for (size_t i = 0; i < commit->mutation_count; i++)
		apply(&commit->mutations[i], &commit->results[i]);
	pn_commit_done(commit, PN_OK);
}

size_t depot_waiting(void)
{
	size_t count = 0;

	for (size_t i = 0; i < depot.row_count; i++)
		count += depot.rows[i].id != 0;
	return count;
}

/* ---- the transport: what it says it says from the top of the loop ---- */

struct saying {
	struct pn_task task;
	struct depot_carrier *at;
};

static void say(struct depot_carrier *at, void (*run)(struct pn_task *task))
{
	struct saying *saying = calloc(1, sizeof(*saying));

	if (saying == NULL)
		abort();
	saying->at = at;
	saying->task.run = run;
	pn_task_queue(&saying->task);
}

static struct depot_carrier *heard(struct pn_task *task)
{
	struct saying *saying = (struct saying *)(void *)task;
	struct depot_carrier *at = saying->at;

	free(saying);
	return at;
}

static void end_carrier(struct depot_carrier *at, enum pn_carrier_end end)
{
	struct pn_carrier *carrier = at->carrier;

	if (carrier == NULL)
		return;
	at->carrier = NULL;
	depot.open--;
	if (at->delivery != NULL) {
		struct pn_delivery *delivery = at->delivery;

		at->delivery = NULL;
		for (size_t i = 0; i < delivery->recipient_count; i++) {
			delivery->recipients[i].outcome = PN_DELIVERY_DEFERRED;
			pn_reply_set(&delivery->recipients[i].reply, 451, "4.4.2", "it was ended");
			delivery->recipients[i].reply.code = 0;
		}
		pn_delivery_done(delivery);
	}
	pn_carrier_closed(carrier, end, NULL);
}

static void finish_message(struct depot_carrier *at)
{
	static const enum pn_delivery_outcome outcomes[] = {
		[DEPOT_TAKES] = PN_DELIVERY_DONE,
		[DEPOT_PUTS_OFF] = PN_DELIVERY_DEFERRED,
		[DEPOT_REFUSES] = PN_DELIVERY_REFUSED,
		[DEPOT_LEAVES_UNTRIED] = PN_DELIVERY_UNTRIED,
	};
	struct pn_delivery *delivery = at->delivery;

	at->delivery = NULL;
	for (size_t i = 0; i < delivery->recipient_count; i++) {
		struct pn_delivery_recipient *recipient = &delivery->recipients[i];

		recipient->outcome = outcomes[depot.takes];
		pn_reply_set(&recipient->reply, depot.code, depot.enhanced, "so it said");
		recipient->reply.code = (uint16_t)(depot.takes == DEPOT_TAKES ? 250 : depot.code);
		snprintf(recipient->command, sizeof(recipient->command), "RCPT");
		depot.delivered += depot.takes == DEPOT_TAKES;
	}
	if (depot.takes == DEPOT_TAKES)
		depot.times[strtoul(delivery->transaction_id + 1, NULL, 10)]++;
	pn_delivery_done(delivery);
	if (at->carrier != NULL)
		pn_carrier_ready(at->carrier);
}

static void message_said(struct pn_task *task)
{
	struct depot_carrier *at = heard(task);

	if (at->delivery != NULL && depot.takes != DEPOT_KEEPS)
		finish_message(at);
}

static void connection_said(struct pn_task *task)
{
	struct depot_carrier *at = heard(task);

	if (at->carrier == NULL || !at->is_opening || depot.connects == DEPOT_OPENS)
		return;
	at->is_opening = false;
	if (depot.connects == DEPOT_IS_DOWN)
		end_carrier(at, PN_CARRIER_UNREACHABLE);
	else
		pn_carrier_ready(at->carrier);
}

static void closing_said(struct pn_task *task)
{
	end_carrier(heard(task), PN_CARRIER_FINISHED);
}

static enum pn_status open_carrier(void *instance, struct pn_carrier *carrier,
                                   struct pn_error *error)
{
	struct depot_carrier *at = &depot.carriers[depot.carrier_count++];

	(void)instance, (void)error;
	ck_assert_uint_le(depot.carrier_count, DEPOT_CARRIERS);
	at->carrier = carrier;
	snprintf(at->address, sizeof(at->address), "%s", pn_carrier_hop(carrier)->address);
	pn_carrier_set_state(carrier, at);
	depot.open++;
	if (depot.open > depot.most_open)
		depot.most_open = depot.open;
	at->is_opening = true;
	say(at, connection_said);
	return PN_OK;
}

static void deliver(struct pn_carrier *carrier, struct pn_delivery *delivery)
{
	struct depot_carrier *at = pn_carrier_state(carrier);

	at->delivery = delivery;
	depot.handed_over++;
	if (depot.takes != DEPOT_KEEPS)
		say(at, message_said);
}

static void close_carrier(struct pn_carrier *carrier, bool now)
{
	(void)now;
	say(pn_carrier_state(carrier), closing_said);
}

void depot_say_connections(void)
{
	for (size_t i = 0; i < depot.carrier_count; i++) {
		if (depot.carriers[i].is_opening)
			say(&depot.carriers[i], connection_said);
	}
}

void depot_answer_connections(void)
{
	depot_say_connections();
	depot_pass(0);
}

void depot_answer_messages(const char *address)
{
	for (size_t i = 0; i < depot.carrier_count; i++) {
		struct depot_carrier *at = &depot.carriers[i];

		if (at->delivery != NULL && (address == NULL || strcmp(at->address, address) == 0))
			say(at, message_said);
	}
	depot_pass(0);
}

void depot_close_idle(size_t number)
{
	for (size_t i = 0; i < depot.carrier_count; i++) {
		struct depot_carrier *at = &depot.carriers[i];

		if (at->carrier != NULL && at->delivery == NULL && number-- == 0)
			say(at, closing_said);
	}
	depot_pass(0);
}

size_t depot_open_to(const char *address)
{
	size_t count = 0;

	for (size_t i = 0; i < depot.carrier_count; i++)
		count += depot.carriers[i].carrier != NULL &&
		         strcmp(depot.carriers[i].address, address) == 0;
	return count;
}

static const struct pn_store store = {
	.struct_size = sizeof(store),
	.queue = select_rows,
	.body_read = read_body,
	.commit = take_commit,
};

static const struct pn_transport transport = {
	.struct_size = sizeof(transport),
	.default_port = 25,
	.serves_mx = true,
	.max_recipients = 100,
	.open = open_carrier,
	.deliver = deliver,
	.close = close_carrier,
};

static const struct pn_module store_module = {.name = "store", .store = &store};
static const struct pn_module transport_module = {.name = "carries", .transport = &transport};
static struct pn_instance store_instance = {.module = &store_module, .name = "store"};
static struct pn_instance transport_instance = {.module = &transport_module, .name = "carries"};
static struct pn_instance_use uses[] = {{.instance = &store_instance},
                                        {.instance = &transport_instance}};

/* ---- a hook ---- */

static enum pn_verdict look(void *user, const struct pn_stage_call *call)
{
	(void)user;
	if (!depot.hooks_wait)
		return PN_VERDICT_CONTINUE;
	hooks[hook_count].call = call;
	hooks[hook_count++].ticket = call->ticket;
	return PN_VERDICT_PENDING;
}

static const struct pn_chain_hook hook = {
	.label = "test",
	.summary = "",
	.module = "test",
	.mode = PN_HOOK_DECIDE,
	.wall_budget_ms = 60 * 1000,
	.run = look,
};

size_t depot_hooks_waiting(void)
{
	return hook_count;
}

void depot_answer_hooks(void)
{
	size_t count = hook_count;

	hook_count = 0;
	for (size_t i = 0; i < count; i++) {
		if (pn_ticket_is_open(hooks[i].ticket))
			(void)pn_hook_answer(hooks[i].call, PN_VERDICT_CONTINUE);
	}
	depot_pass(0);
}

void depot_watch(enum pn_stage stage)
{
	depot.generation.chains[stage] = (struct pn_chain){&hook, 1};
}

/* ---- life ---- */

void depot_set_up(void)
{
	struct pn_error error;

	memset(&depot, 0, sizeof(depot));
	hook_count = 0;
	depot.code = 451;
	depot.enhanced = "4.3.0";
	arena = pn_arena_new();
	snprintf(depot.directory, sizeof(depot.directory), "/tmp/postern-depot-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(depot.directory));
	ck_assert_int_eq(pn_loop_new(&error), PN_OK);
	pn_loop_simulate();
	pn_world.wall_ms = depot_now_ms;
	pn_world.monotonic_ns = monotonic_ns;
	pn_world.dns_ask = dns_ask;
	pn_log_set_level(PN_LOG_ERROR);
	depot.limits = (struct pn_destination_limits){
		.name = "",
		.connections = 20,
		.messages_per_connection = 1000,
		.messages_per_minute = 1000000,
	};
	depot.generation = (struct pn_generation){
		.references = 1,
		.hostname = "mx.example.test",
		.data_directory = depot.directory,
		.instances = uses,
		.instance_count = 2,
		.home = &store_instance,
		.relay = "",
		.queue =
			{
				.connections = 100,
				.memory_rows = 5000,
				.lifetime_ms = LIFETIME_MS,
				.bounce_lifetime_ms = LIFETIME_MS,
				.delay_warning_ms = LIFETIME_MS,
				.delivery_deadline_ms = 60 * 60 * 1000,
				.idle_ms = 5000,
				.retries_ms = {60 * 1000},
				.retry_count = 1,
				.suspend_after = 3,
				.destinations = &depot.limits,
				.destination_count = 1,
				.max_recipients = 1,
			},
	};
	pn_generation_current = &depot.generation;
}

void depot_start(void)
{
	struct pn_error error;

	ck_assert_int_eq(pn_queue_start(0, 1, &error), PN_OK);
	is_started = true;
	depot_pass(0);
}

/* Everything that is open is closed, as by a worker that ends. */
void depot_tear_down(void)
{
	char path[128];

	for (size_t i = 0; i < depot.carrier_count; i++)
		end_carrier(&depot.carriers[i], PN_CARRIER_FINISHED);
	if (is_started)
		pn_queue_stop();
	is_started = false;
	depot_pass(0);
	pn_tickets_stop();
	pn_loop_free();
	pn_world = pn_world_real;
	pn_generation_current = NULL;
	pn_arena_free(&arena);
	snprintf(path, sizeof(path), "%s/suspensions", depot.directory);
	unlink(path);
	ck_assert_int_eq(rmdir(depot.directory), 0);
}

static void put_one(const char *tenant, const char *destination)
{
	const char *sender = depot.sender == NULL ? "" : depot.sender;
	int64_t now = depot_now_ms();
	char transaction[24];
	char recipient[64];
	struct pn_queue_row row;

	snprintf(transaction, sizeof(transaction), "t%zu", depot.row_count);
	snprintf(recipient, sizeof(recipient), "%s@example.net", tenant);
	row = (struct pn_queue_row){
		.due_ms = now,
		.arrived_ms = now,
		.expires_ms = now + 2 * LIFETIME_MS,
		.state = PN_QUEUE_DUE,
		.priority = 4,
		.transaction = pn_slice_of(transaction),
		.sender = pn_slice_of(sender),
		.recipient = pn_slice_of(recipient),
		.destination = pn_slice_of(destination),
		.tenant = pn_slice_of(tenant),
	};

	put(&row);
}

struct pn_queue_row *depot_put(const char *tenant, const char *destination)
{
	depot_put_many(tenant, destination, 1);
	return &depot.rows[depot.row_count - 1];
}

void depot_put_many(const char *tenant, const char *destination, size_t count)
{
	while (count-- > 0)
		put_one(tenant, destination);
	pn_queue_woken();
	depot_pass(0);
}

void depot_suspend(const char *tenant, int64_t until_ms)
{
	struct pn_suspension suspension = {
		.kind = PN_SUSPEND_TENANT,
		.name = tenant == NULL ? PN_SLICE_NONE : pn_slice_of(tenant),
		.until_ms = until_ms,
	};
	struct pn_error error;

	ck_assert_int_eq(
		pn_suspensions_write(depot.directory, &suspension, tenant == NULL ? 0 : 1, &error),
		PN_OK);
	pn_queue_edited();
	depot_pass(0);
}
