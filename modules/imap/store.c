/* SPDX-License-Identifier: Apache-2.0 */
/*
 * STORE (RFC 3501 section 6.4.6), with UNCHANGEDSINCE (RFC 7162 section 3.1.3). One set
 * operation in the store; then every message of the set is told as it is now, unless
 * .SILENT was asked for. What others changed meanwhile is news.
 */
#include "imap.h"

#include <postern/text.h>

struct store_work {
	struct imap_uids uids;     /* asked for */
	struct imap_uids modified; /* refused by UNCHANGEDSINCE */
	enum pn_flags_how how;
	struct pn_flags flags;
	bool is_silent;
	bool has_unchanged_since;
	uint64_t unchanged_since;
	uint64_t modseq;   /* of the commit */
	uint32_t next_uid; /* telling goes on here */
	struct imap_told told;
};

static void forget(struct imap_session *imap)
{
	struct store_work *work = imap->work;

	imap_uids_clear(&work->uids);
	imap_uids_clear(&work->modified);
}

static enum pn_next finish(struct pn_session *session, struct imap_session *imap)
{
	struct store_work *work = imap->work;
	struct pn_buffer out;

	if (work->modified.count == 0)
		return imap_reply(session, imap, "OK done");
	/* RFC 7162 section 3.1.3: which were left alone. */
	pn_buffer_init(&out, 32 * 1024 * 1024);
	pn_session_write(session, imap->tag);
	imap_put(&out, " OK [MODIFIED ");
	if (imap->is_uid)
		imap_put_uids(&out, &work->modified);
	else
		imap_put_sequences(&out, &imap->view->uids, &work->modified);
	imap_put(&out, "] some had changed\r\n");
	imap_send(session, &out);
	return imap_end_command(session, imap);
}

/* What was told already, or need not be: .SILENT means silence about what this command did, but not
 * about what others did to the same messages before it. */
static enum pn_next tell_news(struct pn_session *session, struct imap_session *imap)
{
	struct store_work *work = imap->work;

	work->told = (struct imap_told){
		/* A client that names a modseq it was never told of is told everything. */
		.uids = work->unchanged_since > imap->view->modseq ? NULL : &work->uids,
		.modseq = work->modseq,
		/* RFC 7162 section 3.1.3: the new modseq is told even so. */
		.modseq_only = work->is_silent && (imap->enabled & IMAP_CONDSTORE) != 0,
	};
	imap_set_told(imap, &work->told);
	return imap_tell_news(session, imap, true, finish);
}

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap);

static enum pn_next rows_came(struct pn_session *session, struct imap_session *imap,
                              const struct pn_answer *answer)
{
	struct store_work *work = imap->work;
	const struct pn_rows *rows = answer->result;
	bool with_uid = imap->is_uid || (imap->enabled & IMAP_QRESYNC) != 0;
	struct pn_buffer out;

	if (answer->status != PN_OK || rows == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	pn_buffer_init(&out, 8 * 1024 * 1024);
	for (size_t i = 0; i < rows->count; i++) {
		const struct pn_row *row = imap_row(rows->rows, rows->row_size, i);
		uint32_t sequence = imap_uids_sequence(&imap->view->uids, row->uid);

		if (sequence == 0)
			continue;
		imap_learn_keywords(session, imap, &out, &row->flags);
		imap_put_flags_line(imap, &out, sequence, row, with_uid, true);
	}
	imap_send(session, &out);
	work->next_uid = rows->next_uid;
	if (rows->next_uid == 0)
		return tell_news(session, imap);
	if (imap_must_drain(session, imap, ask_rows))
		return PN_NEXT_DRAIN;
	return ask_rows(session, imap);
}

static enum pn_next ask_rows(struct pn_session *session, struct imap_session *imap)
{
	struct store_work *work = imap->work;
	struct pn_arena *arena = pn_arena_new();
	const struct pn_rows_request request = {
		.struct_size = sizeof(request),
		.mailbox = imap->view->mailbox,
		.uids = imap_uids_set_from(&work->uids, work->next_uid, arena),
		.fields = PN_ROW_FLAGS,
		.with_expunged = true,
		.max_rows = IMAP_ROWS_AT_ONCE,
	};

	pn_store_rows(pn_session_account(session), &request, imap_wait(session, imap, rows_came));
	pn_arena_free(&arena);
	return PN_NEXT_ANSWER;
}

static enum pn_next stored(struct pn_session *session, struct imap_session *imap,
                           const struct pn_answer *answer)
{
	struct store_work *work = imap->work;
	const struct pn_commit *commit = answer->result;
	struct imap_uids changed_before = {0};

	if (answer->status == PN_LIMIT)
		return imap_finish(session, imap, "NO [LIMIT] the mailbox has too many keywords");
	if (answer->status != PN_OK || commit == NULL)
		return imap_store_refused(session, imap, answer, "the mailbox");
	work->modseq = commit->results[0].modseq;
	imap_uids_take(&changed_before, commit->results[0].modified);
	if (work->has_unchanged_since)
		imap_uids_copy(&work->modified, &changed_before);
	if (work->is_silent)
		imap_uids_take(&work->uids, commit->results[0].uids);
	if (work->is_silent || work->has_unchanged_since)
		imap_uids_remove(&work->uids, &changed_before);
	imap_uids_clear(&changed_before);
	return work->is_silent ? tell_news(session, imap) : ask_rows(session, imap);
}

static enum pn_next commit_flags(struct pn_session *session, struct imap_session *imap)
{
	struct store_work *work = imap->work;
	struct pn_mutation *mutation;
	struct pn_commit *commit =
		imap_commit_new(session, PN_MUTATION_FLAGS, imap->view->mailbox, &mutation);
	struct pn_slice *keywords =
		PN_ARENA_ARRAY(commit->arena, work->flags.keyword_count, struct pn_slice);

	for (size_t i = 0; i < work->flags.keyword_count; i++)
		keywords[i] = pn_arena_keep(commit->arena, work->flags.keywords[i]);
	mutation->uids = imap_uids_set(&work->uids, commit->arena);
	mutation->how = work->how;
	mutation->flags = work->flags;
	mutation->flags.keywords = keywords;
	mutation->unchanged_since = work->unchanged_since;
	mutation->known_modseq = imap->view->modseq;
	return imap_commit(session, imap, commit, stored);
}

/* "[+|-]FLAGS[.SILENT]" */
static bool parse_how(struct imap_parser *parser, struct store_work *work)
{
	work->how = imap_skip_char(parser, '+')   ? PN_FLAGS_ADD
	            : imap_skip_char(parser, '-') ? PN_FLAGS_REMOVE
	                                          : PN_FLAGS_REPLACE;
	work->is_silent = imap_skip_word(parser, "FLAGS.SILENT");
	if (work->is_silent || imap_skip_word(parser, "FLAGS"))
		return true;
	parser->expected = "FLAGS";
	return false;
}

static bool parse_store(struct imap_parser *parser, struct store_work *work, struct imap_set *set)
{
	if (!imap_parse_space(parser) || !imap_parse_set(parser, set) || !imap_parse_space(parser))
		return false;
	if (imap_skip_char(parser, '(')) {
		if (!imap_skip_word(parser, "UNCHANGEDSINCE")) {
			parser->expected = "UNCHANGEDSINCE";
			return false;
		}
		if (!imap_parse_space(parser) ||
		    !imap_parse_number64(parser, &work->unchanged_since) ||
		    !imap_parse_char(parser, ')') || !imap_parse_space(parser))
			return false;
		work->has_unchanged_since = true;
	}
	return parse_how(parser, work) && imap_parse_space(parser) &&
	       imap_parse_flags(parser, parser->arena, false, &work->flags) &&
	       imap_parse_end(parser);
}

enum pn_next imap_store(struct pn_session *session, struct imap_session *imap,
                        struct imap_parser *parser)
{
	struct store_work *work = PN_ARENA_NEW(imap->arena, struct store_work);
	struct imap_set set;

	if (!parse_store(parser, work, &set))
		return imap_syntax(session, imap, parser);
	imap->work = work;
	imap->forget = forget;
	imap->hold_expunges = !imap->is_uid;
	if (!imap_view_resolve(imap, &set, imap->is_uid, imap->arena, &work->uids))
		return imap_bad(session, imap, "there is no message of that number");
	if (imap->view->is_read_only)
		return imap_finish(session, imap, "NO [READ-ONLY] the mailbox is read-only");
	if (work->has_unchanged_since)
		imap_enable(session, imap, IMAP_CONDSTORE);
	/* Every message has changed since 0, and 0 means "whatever it is" to the store. */
	if (work->has_unchanged_since && work->unchanged_since == 0) {
		imap_uids_copy(&work->modified, &work->uids);
		return imap_tell_news(session, imap, true, finish);
	}
	if (work->uids.count == 0)
		return imap_finish(session, imap, "OK there is no such message");
	return commit_flags(session, imap);
}
