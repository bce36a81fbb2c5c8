/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway of straw: its store, what it answers, and who else changes it. See imap_straw.h. */
#include "imap_straw.h"

#include <postern/mime.h>
#include <postern/module.h>
#include <postern/text.h>

#include "../../modules/store_memory/store_memory.h"
#include "fuzz.h"

extern const struct pn_module imap_LTX_pn_module;
extern const struct pn_module store_memory_LTX_pn_module;

/* There is a NUL in it. */
static const char odd[] =
	"From: \xe4\"\\ group: a@b, c; <>\r\nSubject: \xff{5}\r\nNoColon\r\n\r\n\0x\r\n";

static const char *const messages[] = {
	"From: Alice <alice@example.test>\r\nTo: b@c, \"d\" <e@f>\r\nSubject: plain\r\n"
	"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <1@a>\r\n\r\nbody\r\n",
	"Subject: =?utf-8?q?caf=C3=A9?=\r\nMIME-Version: 1.0\r\n"
	"Content-Type: multipart/mixed; boundary=\"x y\"\r\n\r\npre\r\n--x y\r\n\r\none\r\n"
	"--x y\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n"
	"Content-Type: multipart/alternative; boundary=q\r\n\r\n--q\r\n\r\na\r\n--q--\r\n"
	"--x y\r\nContent-Type: text/html; charset=iso-8859-1; name*0=a; name*1=b\r\n"
	"Content-Transfer-Encoding: quoted-printable\r\n"
	"Content-Disposition: attachment; filename=\"a\\\"b\"\r\n\r\n<b>=E4</b>\r\n--x y--\r\n",
	odd,
	"\r\n",
	"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nX: y\r\n\r\nz",
};

enum pn_status straw_commit(struct pn_session *session, struct pn_commit *commit)
{
	for (size_t i = 0; i < commit->mutation_count; i++) {
		struct pn_arena *arena = pn_arena_new();

		require(pn_slice_equal(commit->mutations[i].account, straw_account));
		(void)straw_keep_uids(arena, commit->mutations[i].uids);
		pn_arena_free(&arena);
	}
	memory_commit(session->store, commit);
	return session->commit_status;
}

static void set_flags(struct pn_commit *commit, struct pn_flags *flags, struct pn_slice words)
{
	struct pn_slice *keywords = PN_ARENA_ARRAY(commit->arena, words.size + 1, struct pn_slice);

	flags->keywords = keywords;
	while (words.size > 0) {
		struct pn_slice word = pn_slice_cut(&words, ' ');

		if (pn_slice_equal_ignore_case(word, PN_SLICE("\\Seen")))
			flags->system |= PN_FLAG_SEEN;
		else if (word.size > 0 && word.data[0] != '\\')
			keywords[flags->keyword_count++] = pn_arena_keep(commit->arena, word);
	}
}

/* A commit that appends a message, with or without the summary that deliveries have. */
static struct pn_commit *new_append(struct pn_slice mailbox, struct pn_slice text, bool has_summary)
{
	struct pn_commit *commit = pn_commit_new(1, 1);
	struct pn_body_source *body = &commit->bodies[commit->body_count++];
	struct pn_mutation *append = pn_commit_add(commit, PN_MUTATION_APPEND);
	struct pn_slice *pieces = PN_ARENA_ARRAY(commit->arena, 1, struct pn_slice);
	struct pn_mime_parser *parser = pn_mime_new();
	struct pn_buffer summary;

	pieces[0] = pn_arena_keep(commit->arena, text);
	body->pieces = pieces;
	body->piece_count = 1;
	pn_buffer_init(&summary, PN_MIME_MAX_SUMMARY);
	pn_mime_feed(parser, text);
	require(pn_mime_finish(parser, &summary) == PN_OK);
	body->header_size = (uint32_t)pn_mime_header_size(parser);
	if (has_summary)
		body->summary = pn_arena_keep(commit->arena, pn_buffer_slice(&summary));
	pn_mime_free(&parser);
	pn_buffer_clear(&summary);
	append->account = straw_account;
	append->name = pn_arena_keep(commit->arena, mailbox);
	append->body.is_new = true;
	append->internal_date_ms = 760000000000;
	return commit;
}

/* ---- answers ---- */

static enum pn_next tell(struct pn_session *session, struct pn_answer *answer)
{
	answer->struct_size = sizeof(*answer);
	return imap_LTX_pn_module.protocol->answered(session, &session->imap, answer);
}

static enum pn_next answer_deposit(struct pn_session *session)
{
	/* It goes with the message. */
	struct pn_stage_result *verdict =
		PN_ARENA_NEW(session->deposit_arena, struct pn_stage_result);
	struct pn_answer answer = {.kind = PN_ANSWER_ACCEPTED, .result = verdict};
	struct pn_deposit_result *result = &session->deposit_result;
	struct pn_commit *commit;

	verdict->struct_size = sizeof(*verdict);
	verdict->verdict = PN_VERDICT_ACCEPT;
	memset(result, 0, sizeof(*result));
	result->status = PN_LIMIT;
	if (session->message_size <= session->deposit.max_size) {
		commit = new_append(session->deposit.mailbox, pn_buffer_slice(&session->message),
		                    straw_choose(session, 4) != 1);
		set_flags(commit, (struct pn_flags *)(uintptr_t)&commit->mutations[0].flags,
		          session->deposit.flags);
		result->status = straw_commit(session, commit);
		if (result->status == PN_OK) {
			result->uid = commit->results[0].first_uid;
			result->uid_validity = commit->results[0].uid_validity;
		}
		pn_commit_free(&commit);
	}
	if (straw_choose(session, 16) == 1) {
		result->status = PN_CONFLICT;
		verdict->verdict = PN_VERDICT_REJECT;
		snprintf(verdict->reply.text, sizeof(verdict->reply.text), "no {3}");
	}
	return tell(session, &answer);
}

static enum pn_next answer_commit(struct pn_session *session)
{
	struct pn_commit *commit = session->commit;
	struct pn_answer answer = {.kind = PN_ANSWER_STORE, .result = commit};
	unsigned chance = straw_choose(session, 32);
	enum pn_next next;

	session->commit = NULL;
	answer.status = chance == 1 ? PN_FAILED : straw_commit(session, commit);
	if (chance == 2) { /* it happened, and nobody heard of it */
		answer.status = PN_TIMEOUT;
		answer.result = NULL;
	}
	straw_disturb(session);
	next = tell(session, &answer);
	pn_commit_free(&commit);
	return next;
}

static enum pn_next answer_store(struct pn_session *session, enum straw_question question)
{
	struct pn_store_call call = {.struct_size = sizeof(call), .arena = session->arena};
	union {
		struct pn_mailboxes mailboxes;
		struct pn_view view;
		struct pn_rows rows;
		struct pn_changes changes;
		struct pn_body_piece body;
		struct pn_bodies bodies;
	} result;
	struct pn_answer answer = {.kind = PN_ANSWER_STORE, .result = &result};
	struct pn_arena *arena = session->arena;
	enum pn_next next;

	session->arena = NULL;
	memset(&result, 0, sizeof(result));
	if (straw_choose(session, 32) == 1)
		answer.status = PN_FAILED;
	else if (question == STRAW_MAILBOXES)
		answer.status = memory_mailboxes(session->store, &call, &session->request.mailboxes,
		                                 &result.mailboxes);
	else if (question == STRAW_VIEW)
		answer.status =
			memory_view(session->store, &call, &session->request.view, &result.view);
	else if (question == STRAW_ROWS)
		answer.status =
			memory_rows(session->store, &call, &session->request.rows, &result.rows);
	else if (question == STRAW_CHANGES)
		answer.status = memory_changes(session->store, &call, &session->request.changes,
		                               &result.changes);
	else if (question == STRAW_BODY)
		answer.status = memory_body_read(session->store, &call, &session->request.body,
		                                 &result.body);
	else
		answer.status = memory_bodies(session->store, &call, &session->request.bodies,
		                              &result.bodies);
	if (straw_choose(session, 64) == 1) {
		answer.status = PN_TIMEOUT;
		answer.result = NULL;
	}
	straw_disturb(session);
	next = tell(session, &answer);
	pn_arena_free(&arena);
	return next;
}

enum pn_next straw_answer(struct pn_session *session)
{
	enum straw_question question = session->question;
	struct pn_stage_result verdict = {.struct_size = sizeof(verdict)};
	struct pn_sasl_step step = {.struct_size = sizeof(step), .outcome = PN_SASL_PROVEN};
	struct pn_answer answer = {.kind = PN_ANSWER_NONE};

	require(question != STRAW_NOTHING);
	straw_disturb(session);
	session->question = STRAW_NOTHING;
	if (question == STRAW_COMMIT)
		pn_arena_free(&session->arena);
	switch (question) {
	case STRAW_SASL:
		if (straw_choose(session, 3) == 1)
			step.outcome =
				(enum pn_sasl_outcome)straw_choose(session, PN_SASL_DROP + 1);
		answer.kind = PN_ANSWER_SASL;
		answer.result = &step;
		return tell(session, &answer);
	case STRAW_STAGE:
		if (straw_choose(session, 8) == 1)
			verdict.verdict = PN_VERDICT_REJECT;
		answer.kind = PN_ANSWER_VERDICT;
		answer.result = &verdict;
		return tell(session, &answer);
	case STRAW_TIMER:
		answer.status = PN_TIMEOUT;
		return tell(session, &answer);
	case STRAW_ROOM:
		answer.kind = PN_ANSWER_BODY;
		return tell(session, &answer);
	case STRAW_COMMIT:
		return answer_commit(session);
	case STRAW_DEPOSIT:
		return answer_deposit(session);
	default:
		return answer_store(session, question);
	}
}

/* ---- somebody else ---- */

static void change(struct pn_session *session)
{
	struct pn_commit *commit = pn_commit_new(0, 1);
	struct pn_mutation *mutation;
	struct pn_uid_range range = {1 + straw_choose(session, 12), 0};
	static const struct pn_slice word = PN_SLICE("$Else");

	range.last = range.first + straw_choose(session, 3);
	mutation = pn_commit_add(commit, straw_choose(session, 2) == 0 ? PN_MUTATION_FLAGS
	                                                               : PN_MUTATION_EXPUNGE);
	if (straw_choose(session, 16) == 0)
		mutation->kind = PN_MUTATION_MAILBOX_DELETE;
	else if (straw_choose(session, 8) == 0)
		mutation->kind = PN_MUTATION_MAILBOX_RENAME;
	mutation->account = straw_account;
	mutation->name = PN_SLICE("INBOX");
	mutation->uids = (struct pn_uid_set){&range, 1};
	mutation->flags.system = 1u << straw_choose(session, 5);
	mutation->flags.keywords = &word;
	mutation->flags.keyword_count = straw_choose(session, 2);
	mutation->how = (enum pn_flags_how)straw_choose(session, 3);
	if (straw_choose(session, 4) == 0 || mutation->kind == PN_MUTATION_MAILBOX_DELETE ||
	    mutation->kind == PN_MUTATION_MAILBOX_RENAME) {
		mutation->mailbox = 1 + straw_choose(session, 5);
		mutation->name = PN_SLICE("Elsewhere");
	}
	(void)straw_commit(session, commit);
	pn_commit_free(&commit);
}

void straw_disturb(struct pn_session *session)
{
	struct pn_commit *commit;

	if (!session->is_wild)
		return;
	while (straw_choose(session, 3) == 1) {
		if (straw_choose(session, 2) == 0) {
			change(session);
		} else {
			commit = new_append(PN_SLICE("INBOX"),
			                    pn_slice_of(messages[straw_choose(session, 5)]),
			                    straw_choose(session, 2) == 0);
			(void)straw_commit(session, commit);
			pn_commit_free(&commit);
		}
		session->has_changed = session->is_watched;
	}
}

/* ---- the store ---- */

/* Larger than what FETCH and SEARCH read at once. */
static void add_large(struct pn_session *session)
{
	enum { LARGE_SIZE = 300 * 1024 };
	static char text[LARGE_SIZE];
	struct pn_commit *commit;
	int size = snprintf(text, sizeof(text),
	                    "Subject: large\r\nContent-Type: multipart/mixed; boundary=z\r\n\r\n"
	                    "--z\r\n\r\n");

	for (size_t i = (size_t)size; i + 2 <= sizeof(text); i += 2)
		memcpy(text + i, i % 64 < 2 ? "\r\n" : "ab", 2);
	memcpy(text + sizeof(text) - 12, "\r\nlast\r\n--z", 12);
	commit = new_append(PN_SLICE("INBOX"), pn_slice_make(text, sizeof(text)), false);
	require(straw_commit(session, commit) == PN_OK);
	pn_commit_free(&commit);
}

static void fill(struct pn_session *session)
{
	struct pn_uid_range gone = {4, 4};
	struct pn_commit *commit = pn_commit_new(0, 3);
	struct pn_mutation *mutation = pn_commit_add(commit, PN_MUTATION_ACCOUNT_CREATE);

	mutation->account = straw_account;
	mutation = pn_commit_add(commit, PN_MUTATION_MAILBOX_CREATE);
	mutation->account = straw_account;
	mutation->name = PN_SLICE("A & \xc3\xa4/\"b");
	mutation->attributes = PN_MAILBOX_TRASH;
	mutation = pn_commit_add(commit, PN_MUTATION_SUBSCRIBE);
	mutation->account = straw_account;
	mutation->name = PN_SLICE("gone/for ever");
	mutation->on = true;
	require(straw_commit(session, commit) == PN_OK);
	pn_commit_free(&commit);
	for (size_t i = 0; i < 6; i++) {
		struct pn_slice text =
			i == 2 ? pn_slice_make(odd, sizeof(odd) - 1) : pn_slice_of(messages[i % 5]);

		commit = new_append(PN_SLICE("INBOX"), text, i % 3 != 1);
		require(straw_commit(session, commit) == PN_OK);
		pn_commit_free(&commit);
	}
	if (session->has_large)
		add_large(session);
	commit = pn_commit_new(0, 1);
	mutation = pn_commit_add(commit, PN_MUTATION_EXPUNGE);
	mutation->account = straw_account;
	mutation->name = PN_SLICE("INBOX");
	mutation->uids = (struct pn_uid_set){&gone, 1};
	require(straw_commit(session, commit) == PN_OK);
	pn_commit_free(&commit);
}

void straw_begin(struct pn_session *session)
{
	static const struct memory_config config = {.quota = 1u << 30};
	struct pn_start start = {.struct_size = sizeof(start), .config = &config};
	struct pn_error error;

	straw_random = 1;
	straw_session = session;
	pn_buffer_init(&session->output, 64 * 1024 * 1024);
	require(store_memory_LTX_pn_module.start(&start, &session->store, &error) == PN_OK);
	fill(session);
}

void straw_end(struct pn_session *session)
{
	pn_transaction_end(session);
	if (session->commit != NULL)
		pn_commit_free(&session->commit);
	pn_arena_free(&session->arena);
	store_memory_LTX_pn_module.stop(session->store);
	pn_buffer_clear(&session->output);
}
