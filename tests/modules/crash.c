/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash: hooks that take down their worker, for tests. On the way in at a message
 * with the field X-Crash, whose value says where; in the queue at a recipient whose
 * name begins with "crash". One of them would fail open, were it only to fail. And a
 * transport that does so when the server has greeted it. At a recipient "stay…" the
 * worker stays until a file is gone, to be killed meanwhile; at "eat…" it takes all
 * memory there is.
 */
#include <postern/delivery.h>
#include <postern/header.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/module.h>
#include <postern/option.h>
#include <postern/protocol.h>
#include <postern/session.h>
#include <postern/text.h>
#include <postern/transaction.h>
#include <postern/transport.h>

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	LOOK_NS = 5 * 1000 * 1000,
	MOUTHFUL = 1024 * 1024,
	PAGE = 4096,
	ANSWER_MS = 20,
};

static const size_t MOST_EATEN = (size_t)512 * 1024 * 1024; /* where nobody stops it */

struct crash_config {
	const char *stays_for;
	bool at_open;
};

static const struct pn_option crash_options[] = {
	PN_OPTION_PATH(struct crash_config, stays_for, NULL,
                       .summary =
                               "A file; a worker stays at recipients \"stay…\" while it is there."),
	PN_OPTION_BOOL(
		struct crash_config, at_open, "no",
		.summary = "The transport crashes when it is connected, not when it is greeted."),
	PN_OPTION_TABLE_END,
};

/* As a wild pointer does; where a sanitizer looks on, without its report. */
static void crash(void)
{
	signal(SIGSEGV, SIG_DFL);
	kill(getpid(), SIGSEGV);
	pause();
}

/* On a thread of its own. */
static enum pn_status crash_there(void *argument, struct pn_error *error)
{
	(void)argument;
	(void)error;
	abort();
}

static enum pn_verdict crash_in_job(const struct pn_stage_call *call)
{
	const struct pn_job job = {
		.struct_size = sizeof(job), .pool = PN_POOL_MODULE, .work = crash_there};

	return pn_job_submit(&job, call->ticket) == PN_OK ? PN_VERDICT_PENDING
	                                                  : PN_VERDICT_CONTINUE;
}

static void crash_when_answered(void *user, const struct pn_answer *answer)
{
	(void)user;
	(void)answer;
	crash();
}

/* In the answer to something that it asked. */
static enum pn_verdict crash_later(const struct pn_stage_call *call)
{
	(void)pn_ticket_open(NULL, crash_when_answered, NULL, ANSWER_MS);
	(void)call;
	return PN_VERDICT_PENDING;
}

/* As long as the file is there, and says so once. */
static void stay(const char *path)
{
	const struct timespec pause = {0, LOOK_NS};

	if (path == NULL || access(path, F_OK) != 0)
		return;
	pn_log(PN_LOG_NOTICE, "crash", "staying in %d", (int)getpid());
	while (access(path, F_OK) == 0)
		nanosleep(&pause, NULL);
}

static void eat(void)
{
	for (size_t eaten = 0; eaten < MOST_EATEN; eaten += MOUTHFUL) {
		volatile char *room = malloc(MOUTHFUL);

		for (size_t i = 0; room != NULL && i < MOUTHFUL; i += PAGE)
			room[i] = 1;
	}
}

static bool is_marked(const struct pn_stage_call *call, const char *where)
{
	const struct pn_header *header = pn_transaction_header(call->transaction);
	const struct pn_header_field *field =
		header == NULL ? NULL : pn_header_find(header, PN_SLICE("X-Crash"), 0);

	return field != NULL && pn_slice_equal(pn_slice_trim(field->value), pn_slice_of(where));
}

static enum pn_verdict at_headers(const struct pn_stage_call *call)
{
	if (is_marked(call, "headers"))
		crash();
	return PN_VERDICT_CONTINUE;
}

static enum pn_verdict at_decide(const struct pn_stage_call *call)
{
	if (is_marked(call, "decide"))
		crash();
	if (is_marked(call, "job"))
		return crash_in_job(call);
	if (is_marked(call, "answer"))
		return crash_later(call);
	return PN_VERDICT_CONTINUE;
}

static enum pn_verdict at_decide_open(const struct pn_stage_call *call)
{
	if (is_marked(call, "open"))
		crash();
	return PN_VERDICT_CONTINUE;
}

static enum pn_verdict at_start(const struct pn_stage_call *call)
{
	const struct pn_address *address = pn_recipient_address(call->recipient);
	const struct crash_config *config = call->config;

	if (pn_slice_starts_with_ignore_case(address->local_part, PN_SLICE("crash")))
		crash();
	if (pn_slice_starts_with_ignore_case(address->local_part, PN_SLICE("stay")))
		stay(config->stays_for);
	if (pn_slice_starts_with_ignore_case(address->local_part, PN_SLICE("eat")))
		eat();
	if (pn_slice_starts_with_ignore_case(address->local_part, PN_SLICE("job")))
		return crash_in_job(call);
	if (pn_slice_starts_with_ignore_case(address->local_part, PN_SLICE("answer")))
		return crash_later(call);
	return PN_VERDICT_CONTINUE;
}

/* ---- the transport ---- */

static enum pn_next connected(struct pn_session *session, void *state,
                              const struct pn_answer *answer)
{
	struct pn_carrier *carrier = pn_session_user(session);
	const struct crash_config *config = pn_session_config(session);

	(void)state;
	if (config->at_open)
		crash();
	if (answer->kind == PN_ANSWER_CONNECT && answer->status == PN_OK)
		return PN_NEXT_LINE;
	pn_carrier_closed(carrier, PN_CARRIER_UNREACHABLE, NULL);
	return PN_NEXT_CLOSE;
}

static enum pn_next greeted(struct pn_session *session, void *state, const struct pn_line *line)
{
	(void)session;
	(void)state;
	(void)line;
	crash();
	return PN_NEXT_CLOSE;
}

static const struct pn_protocol crash_protocol = {
	.struct_size = sizeof(struct pn_protocol),
	.name = "crash",
	.open = connected,
	.line = greeted,
};

static enum pn_status open_carrier(void *instance, struct pn_carrier *carrier,
                                   struct pn_error *error)
{
	const struct pn_connect request = {
		.struct_size = sizeof(request),
		.protocol = &crash_protocol,
		.address = pn_carrier_hop(carrier)->address,
		.deadline_ms = 5000,
		.user = carrier,
	};

	(void)instance;
	return pn_connect(pn_carrier_instance(carrier), &request, error);
}

static void deliver(struct pn_carrier *carrier, struct pn_delivery *delivery)
{
	(void)carrier;
	pn_delivery_done(delivery);
}

static void close_carrier(struct pn_carrier *carrier, bool now)
{
	(void)now;
	pn_carrier_closed(carrier, PN_CARRIER_FINISHED, NULL);
}

static const struct pn_transport crash_transport = {
	.struct_size = sizeof(struct pn_transport),
	.default_port = 25,
	.max_recipients = 1,
	.open = open_carrier,
	.deliver = deliver,
	.close = close_carrier,
};

/* ---- the module ---- */

static const struct pn_hook crash_hooks[] = {
	{.stage = PN_STAGE_MESSAGE_HEADERS,
         .name = "headers",
         .run = at_headers,
         .summary = "Crashes at X-Crash: headers."},
	{.stage = PN_STAGE_MESSAGE_DECIDE,
         .name = "decide",
         .run = at_decide,
         .summary = "Crashes at X-Crash: decide."},
	{.stage = PN_STAGE_MESSAGE_DECIDE,
         .name = "open",
         .run = at_decide_open,
         .on_error = PN_ON_ERROR_CONTINUE,
         .summary = "Crashes at X-Crash: open."},
	{.stage = PN_STAGE_DELIVERY_START,
         .name = "start",
         .run = at_start,
         .summary = "Crashes at recipients that are called so."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(crash, .version = "1.0", .summary = "Hooks that crash.", .options = crash_options,
          .config_size = sizeof(struct crash_config), .hooks = crash_hooks,
          .transport = &crash_transport, );
