/* SPDX-License-Identifier: Apache-2.0 */
/*
 * abyss: a thin store for tests. It takes every message, says how many there were,
 * and keeps none; whoever looks into it finds nothing. "full" in an account's name
 * is a full mailbox, one with "late" takes its mail when the gate is open, and one with
 * "torn" has an INBOX that can be opened, and then fails whoever asks what is new.
 */
#include <postern/arena.h>
#include <postern/job.h>
#include <postern/log.h>
#include <postern/module.h>
#include <postern/store.h>

#include "gate.h"

#include <stdlib.h>
#include <string.h>

struct abyss {
	uint32_t fallen;
	struct gate gate;
};

struct late_commit {
	struct abyss *abyss;
	struct pn_commit *commit;
};

static bool has_account(const struct pn_commit *commit, const char *word)
{
	const struct pn_mutation *first = (const struct pn_mutation *)commit->mutations;

	return commit->mutation_count > 0 &&
	       memmem(first->account.data, first->account.size, word, strlen(word)) != NULL;
}

static void take(struct abyss *abyss, struct pn_commit *commit)
{
	commit->results =
		PN_ARENA_ARRAY(commit->arena, commit->mutation_count, struct pn_mutation_result);
	for (size_t i = 0; i < commit->mutation_count; i++) {
		const struct pn_mutation *mutation =
			(const struct pn_mutation *)((const char *)commit->mutations +
		                                     i * commit->mutation_size);

		if (memmem(mutation->account.data, mutation->account.size, "full", 4) != NULL) {
			commit->failed_index = i;
			(void)pn_fail(&commit->error, "the mailbox is full");
			pn_commit_done(commit, PN_LIMIT);
			return;
		}
		commit->results[i] = (struct pn_mutation_result){.mailbox = 1,
		                                                 .uid_validity = 1,
		                                                 .first_uid = ++abyss->fallen,
		                                                 .uid_count = 1};
	}
	pn_commit_done(commit, PN_OK);
}

static enum pn_status wait_at_gate(void *argument, struct pn_error *error)
{
	const struct late_commit *late = argument;

	(void)error;
	gate_pass(&late->abyss->gate);
	return PN_OK;
}

static void gate_passed(void *argument, enum pn_status status, const struct pn_error *error)
{
	struct late_commit *late = argument;

	(void)error;
	if (status == PN_OK)
		take(late->abyss, late->commit);
	else
		pn_commit_done(late->commit, status);
	free(late);
}

static void commit(void *instance, struct pn_commit *commit)
{
	struct late_commit *late;
	struct pn_job job = {.struct_size = sizeof(job), .work = wait_at_gate, .done = gate_passed};

	if (!has_account(commit, "late")) {
		take(instance, commit);
		return;
	}
	late = malloc(sizeof(*late));
	if (late == NULL)
		abort();
	*late = (struct late_commit){instance, commit};
	job.argument = late;
	if (pn_job_submit(&job, (struct pn_ticket){0, 0}) != PN_OK)
		gate_passed(late, PN_FAILED, NULL);
}

static bool is_torn(struct pn_slice account)
{
	return memmem(account.data, account.size, "torn", 4) != NULL;
}

static const struct pn_mailbox_info torn_inbox = {
	.id = 1,
	.name = {"INBOX", 5},
	.uid_validity = 1,
	.uid_next = 1,
	.highest_modseq = 1,
};

static enum pn_status mailboxes(void *instance, struct pn_store_call *call,
                                const struct pn_mailboxes_request *request,
                                struct pn_mailboxes *result)
{
	(void)instance;
	(void)call;
	if (!is_torn(request->account))
		return PN_NOT_FOUND;
	result->mailbox_size = sizeof(torn_inbox);
	result->mailboxes = &torn_inbox;
	result->count = 1;
	result->modseq = 1;
	return PN_OK;
}

static enum pn_status view(void *instance, struct pn_store_call *call,
                           const struct pn_view_request *request, struct pn_view *result)
{
	(void)instance;
	(void)call;
	if (!is_torn(request->account))
		return PN_NOT_FOUND;
	result->mailbox = torn_inbox;
	result->modseq = 1;
	return PN_OK;
}

static enum pn_status changes(void *instance, struct pn_store_call *call,
                              const struct pn_changes_request *request, struct pn_changes *result)
{
	(void)instance;
	(void)request;
	(void)result;
	return pn_fail(&call->error, "the abyss looks back");
}

static enum pn_status rows(void *instance, struct pn_store_call *call,
                           const struct pn_rows_request *request, struct pn_rows *result)
{
	(void)instance;
	(void)call;
	(void)request;
	(void)result;
	return PN_NOT_FOUND;
}

static enum pn_status body_read(void *instance, struct pn_store_call *call,
                                const struct pn_body_request *request, struct pn_body_piece *result)
{
	(void)instance;
	(void)call;
	(void)request;
	(void)result;
	return PN_NOT_FOUND;
}

static enum pn_status body_new(void *instance, struct pn_body_writer **writer_out,
                               struct pn_error *error)
{
	(void)instance;
	(void)writer_out;
	return pn_fail(error, "the abyss takes no large bodies");
}

static enum pn_status body_append(void *instance, struct pn_body_writer *writer,
                                  struct pn_slice bytes, struct pn_error *error)
{
	(void)instance;
	(void)writer;
	(void)bytes;
	return pn_fail(error, "the abyss takes no large bodies");
}

static void body_discard(void *instance, struct pn_body_writer *writer)
{
	(void)instance;
	(void)writer;
}

static const struct pn_store abyss_store = {
	.struct_size = sizeof(struct pn_store),
	.mailboxes = mailboxes,
	.view = view,
	.rows = rows,
	.changes = changes,
	.body_read = body_read,
	.body_new = body_new,
	.body_append = body_append,
	.body_discard = body_discard,
	.commit = commit,
};

static enum pn_status start(const struct pn_start *begin, void **instance_out,
                            struct pn_error *error)
{
	struct abyss *abyss = calloc(1, sizeof(*abyss));

	(void)error;
	if (abyss == NULL)
		abort();
	gate_start(&abyss->gate, begin);
	*instance_out = abyss;
	return PN_OK;
}

static void stop(void *instance)
{
	free(instance);
}

static const struct pn_option abyss_options[] = {GATE_OPTION, PN_OPTION_TABLE_END};

PN_MODULE(abyss, .version = "1.0", .summary = "A store that keeps nothing.", .store = &abyss_store,
          .options = abyss_options, .config_size = sizeof(struct gate_config), .start = start,
          .stop = stop, );
