/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello_stage: a hook that waits. When a client says its name, it asks DNS whether
 * there is such a name, and refuses the client, or writes it down, if not.
 *
 * The gateway has one thread for sessions, so a hook never blocks. It asks, keeps
 * its ticket, returns PN_VERDICT_PENDING, and answers when it knows. Meanwhile
 * everybody else is served, and nothing more is read from this client.
 */
#include <postern/address.h>
#include <postern/dns.h>
#include <postern/module.h>
#include <postern/session.h>

struct hello_stage_config {
	uint64_t patience;
	uint32_t unknown_names;
};

enum { NOTE_THEM = 0, REFUSE_THEM };

static const char *const unknown_names_choices[] = {"note", "refuse", NULL};

static const struct pn_option hello_stage_options[] = {
	PN_OPTION_DURATION(
		struct hello_stage_config, patience, "3s", .minimum_text = "100ms",
		.maximum_text = "8s", .flags = PN_OPTION_RELOADABLE,
		.summary = "How long the DNS may take; a client whose answer is late is let in."),
	PN_OPTION_CHOICE(struct hello_stage_config, unknown_names, "note",
                         .choices = unknown_names_choices, .flags = PN_OPTION_RELOADABLE,
                         .summary = "What becomes of clients whose name is not in the DNS."),
	PN_OPTION_TABLE_END,
};

/* What must still be known when the answer comes. */
struct lookup {
	const struct pn_stage_call *call;
	struct pn_ticket hook_ticket; /* a copy: valid even when the call is not any more */
};

/* 3. The answer, from the top of the loop. Any ticket may have become stale while it travelled. */
static void looked_up(void *user, const struct pn_answer *answer)
{
	const struct lookup *lookup = user;
	const struct pn_stage_call *call = lookup->call;
	const struct pn_dns_answer *dns = answer->status == PN_OK ? answer->result : NULL;
	const struct hello_stage_config *config;
	enum pn_verdict verdict = PN_VERDICT_CONTINUE;

	/* The hook's own budget ran out first: the call is gone, and nobody waits. */
	if (!pn_ticket_is_open(lookup->hook_ticket))
		return;
	config = call->config;
	/* Only a clear "no such name" counts. Trouble and lateness are never a no. */
	if (dns != NULL && dns->outcome == PN_DNS_NO_NAME) {
		pn_session_set_note(call->session, PN_SLICE("hello_stage"), PN_SLICE("unknown"));
		if (config->unknown_names == REFUSE_THEM)
			verdict = pn_refuse(call, 550, "5.7.1", "there is no such name in the DNS");
	}
	pn_hook_answer(call, verdict);
}

/* 2. The question. */
static enum pn_verdict check_name(const struct pn_stage_call *call)
{
	const struct hello_stage_config *config = call->config;
	struct pn_dns_question question = {.name = pn_session_hello(call->session),
	                                   .type = PN_DNS_A};
	struct lookup *lookup;

	/* "[192.0.2.1]" is a good name too, and what is no domain cannot be asked for. */
	if (!pn_domain_is_valid(question.name, false))
		return PN_VERDICT_CONTINUE;

	/* In the session's memory, because the DNS may answer after this stage gave up on us. */
	lookup = PN_ARENA_NEW(pn_session_arena(call->session), struct lookup);
	lookup->call = call;
	lookup->hook_ticket = call->ticket;
	pn_dns_ask(&question, pn_ticket_open(call->session, looked_up, lookup, config->patience));
	return PN_VERDICT_PENDING;
}

/* 1. When: the client said EHLO. The budget is longer than the longest patience. */
static const struct pn_hook hello_stage_hooks[] = {
	{.stage = PN_STAGE_CLIENT_HELLO,
         .run = check_name,
         .wall_budget_ms = 10000,
         .on_error = PN_ON_ERROR_CONTINUE,
         .summary = "Ask the DNS for the name of the client."},
	{.stage = PN_STAGE_NONE},
};

PN_MODULE(hello_stage, .version = "1.0", .summary = "Looks up the name that a client gives.",
          .options = hello_stage_options, .config_size = sizeof(struct hello_stage_config),
          .hooks = hello_stage_hooks, );
