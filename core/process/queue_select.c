/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows of the queue an operator means. One attribute that the store has an
 * index for is asked of the store, the one that selects most as a rule; the others
 * are compared here. Rows come in pages that grow, so that the first ones are seen
 * at once. Main thread.
 */
#include "process/queue_tool.h"

#include <postern/text.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIRST_PAGE = 20, LARGEST_PAGE = 2000 };

const char *const pn_queue_options[] = {
	"--sender=", "--recipient=",   "--domain=", "--destination=", "--tenant=", "--state=",
	"--older=",  "--younger=",     "--reason=", "--attempts=",    "--limit=",  "--id=",
	"--route=",  "--transaction=", "--for=",    "--because=",     "--dry-run", "--body",
	NULL,
};

const char *pn_queue_option(const struct pn_arguments *arguments, const char *name)
{
	for (int i = 0; i < arguments->option_count; i++) {
		if (strcmp(arguments->options[i].name, name) == 0)
			return arguments->options[i].value;
	}
	return NULL;
}

/* ---- the options ---- */

static int wrong(const char *name, const char *value, const char *wanted)
{
	fprintf(stderr, "postern: %s %s: it must be %s\n", name, value, wanted);
	return 2;
}

static struct pn_slice text_option(const struct pn_arguments *arguments, const char *name)
{
	return pn_slice_of(pn_queue_option(arguments, name));
}

static int read_count(const struct pn_arguments *arguments, const char *name, uint64_t *count_out)
{
	const char *value = pn_queue_option(arguments, name);

	if (value != NULL &&
	    (pn_parse_count(pn_slice_of(value), count_out) != PN_OK || *count_out == 0))
		return wrong(name, value, "a number above 0");
	return 0;
}

/* "2h": what arrived before or after now - 2h. */
static int read_age(const struct pn_arguments *arguments, const char *name, int64_t now_ms,
                    int64_t *time_out)
{
	const char *value = pn_queue_option(arguments, name);
	uint64_t age;

	if (value == NULL)
		return 0;
	if (pn_parse_duration(pn_slice_of(value), &age) != PN_OK || age >= (uint64_t)now_ms)
		return wrong(name, value, "a duration: 30m, 2h, 3d");
	*time_out = now_ms - (int64_t)age;
	return 0;
}

static int read_state(const struct pn_arguments *arguments, struct pn_queue_selection *selection)
{
	const char *value = pn_queue_option(arguments, "--state");

	if (value == NULL)
		return 0;
	selection->has_state = true;
	selection->state = strcmp(value, "held") == 0 ? PN_QUEUE_HELD : PN_QUEUE_DUE;
	if (strcmp(value, "held") == 0 || strcmp(value, "due") == 0)
		return 0;
	return wrong("--state", value, "due or held");
}

/* "3" or "3+". */
static int read_attempts(const struct pn_arguments *arguments, struct pn_queue_selection *selection)
{
	const char *value = pn_queue_option(arguments, "--attempts");
	struct pn_slice text = pn_slice_of(value);

	if (value == NULL)
		return 0;
	if (text.size > 0 && text.data[text.size - 1] == '+') {
		selection->or_more_attempts = true;
		text.size--;
	}
	selection->has_attempts = true;
	if (pn_parse_count(text, &selection->attempts) != PN_OK)
		return wrong("--attempts", value, "a number, or one with a + for \"or more\": 3+");
	return 0;
}

/* An option that was given with nothing in it would select everything. */
static int refuse_empty(const struct pn_arguments *arguments)
{
	static const char *const names[] = {"--sender",      "--recipient", "--domain",
	                                    "--destination", "--tenant",    "--reason",
	                                    "--transaction"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = pn_queue_option(arguments, names[i]);

		if (value != NULL && value[0] == '\0')
			return wrong(names[i], "\"\"",
			             "something (the empty sender is written \"<>\")");
	}
	return 0;
}

int pn_queue_selection_read(const struct pn_arguments *arguments, int64_t now_ms,
                            struct pn_queue_selection *selection_out)
{
	struct pn_queue_selection *selection = selection_out;
	int status = refuse_empty(arguments);

	*selection = (struct pn_queue_selection){
		.sender = text_option(arguments, "--sender"),
		.recipient = text_option(arguments, "--recipient"),
		.domain = text_option(arguments, "--domain"),
		.destination = text_option(arguments, "--destination"),
		.tenant = text_option(arguments, "--tenant"),
		.transaction = text_option(arguments, "--transaction"),
		.reason = text_option(arguments, "--reason"),
		.limit = UINT64_MAX,
	};
	if (status == 0)
		status = read_count(arguments, "--limit", &selection->limit);
	if (status == 0)
		status = read_count(arguments, "--id", &selection->id);
	if (status == 0)
		status = read_age(arguments, "--older", now_ms, &selection->arrived_before_ms);
	if (status == 0)
		status = read_age(arguments, "--younger", now_ms, &selection->arrived_after_ms);
	if (status == 0)
		status = read_state(arguments, selection);
	return status == 0 ? read_attempts(arguments, selection) : status;
}

bool pn_queue_selects_all(const struct pn_queue_selection *selection)
{
	return selection->sender.size == 0 && selection->recipient.size == 0 &&
	       selection->domain.size == 0 && selection->destination.size == 0 &&
	       selection->tenant.size == 0 && selection->transaction.size == 0 &&
	       selection->reason.size == 0 && !selection->has_state && !selection->has_attempts &&
	       selection->arrived_before_ms == 0 && selection->arrived_after_ms == 0 &&
	       selection->id == 0;
}

/* ---- comparing ---- */

static bool text_fits(struct pn_slice wanted, struct pn_slice text)
{
	return wanted.size == 0 || pn_slice_equal_ignore_case(wanted, text);
}

static struct pn_slice domain_of(struct pn_slice address)
{
	size_t at = address.size;

	while (at > 0 && address.data[at - 1] != '@')
		at--;
	return at == 0 ? PN_SLICE_NONE : pn_slice_behind(address, at);
}

static bool has_part(struct pn_slice text, struct pn_slice part)
{
	for (size_t at = 0; part.size <= text.size && at <= text.size - part.size; at++) {
		if (pn_slice_equal_ignore_case(pn_slice_make(text.data + at, part.size), part))
			return true;
	}
	return part.size == 0;
}

static bool sender_fits(struct pn_slice wanted, struct pn_slice sender)
{
	if (pn_slice_equal(wanted, PN_SLICE("<>")))
		return sender.size == 0;
	return text_fits(wanted, sender);
}

static bool row_fits(const struct pn_queue_selection *selection, const struct pn_queue_row *row)
{
	if ((selection->has_state && row->state != selection->state) ||
	    (selection->id != 0 && row->id != selection->id) ||
	    (selection->arrived_before_ms != 0 && row->arrived_ms > selection->arrived_before_ms) ||
	    (selection->arrived_after_ms != 0 && row->arrived_ms < selection->arrived_after_ms))
		return false;
	if (selection->has_attempts &&
	    (selection->or_more_attempts ? row->attempts < selection->attempts
	                                 : row->attempts != selection->attempts))
		return false;
	return sender_fits(selection->sender, row->sender) &&
	       text_fits(selection->recipient, row->recipient) &&
	       text_fits(selection->domain, domain_of(row->recipient)) &&
	       text_fits(selection->destination, row->destination) &&
	       text_fits(selection->tenant, row->tenant) &&
	       text_fits(selection->transaction, row->transaction) &&
	       has_part(row->reason, selection->reason);
}

/* ---- walking ---- */

/* What the store is asked for. */
static struct pn_queue_request make_request(const struct pn_queue_selection *selection)
{
	struct pn_queue_request request = {.struct_size = sizeof(request), .max_rows = FIRST_PAGE};

	if (selection->id != 0) {
		request.after_id = selection->id - 1;
		request.max_rows = 1;
	} else if (selection->sender.size > 0 &&
	           !pn_slice_equal(selection->sender, PN_SLICE("<>"))) {
		request.sender = selection->sender;
	} else if (selection->recipient.size > 0 && domain_of(selection->recipient).size > 0) {
		request.recipient_domain = domain_of(selection->recipient);
	} else if (selection->domain.size > 0) {
		request.recipient_domain = selection->domain;
	} else if (selection->destination.size > 0) {
		/* In the order of due; what is due and what is held are asked for one after the
		 * other, so that each has an order that stays while we walk. */
		request.destination = selection->destination;
		request.has_state = true;
		request.state = selection->has_state ? selection->state : PN_QUEUE_DUE;
	} else if (selection->tenant.size > 0) {
		request.tenant = selection->tenant;
	} else if (selection->has_state) {
		request.has_state = true;
		request.state = selection->state;
	}
	return request;
}

struct walking {
	const struct pn_queue_selection *selection;
	const struct pn_queue_walk *walk;
	struct pn_queue_request request;
	uint64_t taken;
	bool is_over;
};

static void take_page(struct walking *walking, const struct pn_queue_rows *rows)
{
	const struct pn_queue_selection *selection = walking->selection;

	for (size_t i = 0; i < rows->count && !walking->is_over; i++) {
		const struct pn_queue_row *row =
			(const struct pn_queue_row *)((const char *)rows->rows +
		                                      i * rows->row_size);

		walking->request.after_id = row->id;
		walking->request.after_due_ms = row->due_ms;
		if (!row_fits(selection, row))
			continue;
		walking->taken++;
		walking->is_over = !walking->walk->take(walking->walk->user, row) ||
		                   walking->taken >= selection->limit;
	}
}

/* A page was the last one: of everything, or of what is due with a destination. */
static void go_on(struct walking *walking, bool is_complete)
{
	struct pn_queue_request *request = &walking->request;

	if (request->max_rows < LARGEST_PAGE && walking->selection->id == 0)
		request->max_rows =
			request->max_rows * 4 > LARGEST_PAGE ? LARGEST_PAGE : request->max_rows * 4;
	if (!is_complete && walking->selection->id == 0)
		return;
	if (request->destination.size > 0 && !walking->selection->has_state &&
	    request->state == PN_QUEUE_DUE) {
		request->state = PN_QUEUE_HELD;
		request->after_id = 0;
		request->after_due_ms = 0;
		return;
	}
	walking->is_over = true;
}

enum pn_status pn_queue_walk_rows(const struct pn_account *queue,
                                  const struct pn_queue_selection *selection,
                                  const struct pn_queue_walk *walk, struct pn_error *error)
{
	struct walking walking = {
		.selection = selection, .walk = walk, .request = make_request(selection)};
	enum pn_status status = PN_OK;

	while (status == PN_OK && !walking.is_over) {
		struct pn_tool_answer answer;

		pn_store_queue(queue, &walking.request, pn_tool_ticket(&answer));
		status = pn_tool_wait(&answer);
		if (status == PN_OK) {
			const struct pn_queue_rows *rows = answer.result;

			take_page(&walking, rows);
			if (!walking.is_over)
				go_on(&walking, rows->is_complete || rows->count == 0);
		} else {
			*error = answer.error;
		}
		pn_tool_release(&answer);
		if (walk->rest != NULL)
			walk->rest(walk->user);
	}
	return status;
}

/* ---- one row ---- */

struct reading {
	struct pn_arena *arena;
	struct pn_queue_row *row;
	bool is_there;
};

static bool keep_row(void *user, const struct pn_queue_row *row)
{
	struct reading *reading = user;
	struct pn_arena *arena = reading->arena;

	*reading->row = *row;
	reading->row->transaction = pn_arena_keep(arena, row->transaction);
	reading->row->sender = pn_arena_keep(arena, row->sender);
	reading->row->recipient = pn_arena_keep(arena, row->recipient);
	reading->row->destination = pn_arena_keep(arena, row->destination);
	reading->row->tenant = pn_arena_keep(arena, row->tenant);
	reading->row->details = pn_arena_keep(arena, row->details);
	reading->row->reason = pn_arena_keep(arena, row->reason);
	reading->is_there = true;
	return false;
}

enum pn_status pn_queue_row_read(const struct pn_account *queue, uint64_t id,
                                 struct pn_arena *arena, struct pn_queue_row *row_out,
                                 struct pn_error *error)
{
	const struct pn_queue_selection selection = {.id = id, .limit = 1};
	struct reading reading = {.arena = arena, .row = row_out};
	const struct pn_queue_walk walk = {.take = keep_row, .user = &reading};
	enum pn_status status = pn_queue_walk_rows(queue, &selection, &walk, error);

	if (status == PN_OK && !reading.is_there)
		return pn_fail_with(PN_NOT_FOUND, error,
		                    "there is no row %llu in the queue (any more)",
		                    (unsigned long long)id);
	return status;
}
