/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPABILITY (RFC 3501 section 6.1.1): what holds now. A word can be hidden by the
 * option hidden_capabilities (of the instance, and so of its listeners) or by a policy
 * that sets the session's note "imap.hidden_capabilities" (of an account, a client).
 */
#include "imap.h"

#include <postern/text.h>

/* Behind the login; in front of it only the words up to the first that needs one. */
static const char *const always[] = {"IMAP4rev1", "SASL-IR", "ID", "ENABLE", NULL};

static const char *const with_login[] = {
	"IDLE",        "NAMESPACE",          "CHILDREN",      "UNSELECT",    "UIDPLUS",   "MOVE",
	"SPECIAL-USE", "CREATE-SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS", "CONDSTORE", "QRESYNC",
	"ESEARCH",     "SEARCHRES",          "WITHIN",        "STATUS=SIZE", NULL,
};

static bool list_has(struct pn_slice list, struct pn_slice word)
{
	while (list.size > 0) {
		if (pn_slice_equal_ignore_case(pn_slice_cut(&list, ' '), word))
			return true;
	}
	return false;
}

bool imap_offers(struct pn_session *session, const struct imap_session *imap, const char *word)
{
	const struct pn_text_list *hidden = &imap->config->hidden_capabilities;

	for (size_t i = 0; i < hidden->count; i++) {
		if (pn_slice_equal_ignore_case(pn_slice_of(hidden->items[i]), pn_slice_of(word)))
			return false;
	}
	return !list_has(pn_session_note(session, PN_SLICE("imap.hidden_capabilities")),
	                 pn_slice_of(word));
}

static void put_words(struct pn_session *session, struct imap_session *imap, struct pn_buffer *out,
                      const char *const *words)
{
	for (; *words != NULL; words++) {
		if (!imap_offers(session, imap, *words))
			continue;
		if (out->size > 0)
			imap_put(out, " ");
		imap_put(out, *words);
	}
}

static void put_early_words(struct pn_session *session, struct pn_buffer *out)
{
	struct pn_slice mechanisms = pn_slice_of(pn_sasl_mechanisms(session));

	if (pn_session_can_start_tls(session))
		imap_put(out, " STARTTLS");
	if (!pn_sasl_takes_passwords(session))
		imap_put(out, " LOGINDISABLED");
	while (mechanisms.size > 0) {
		struct pn_slice word = pn_slice_cut(&mechanisms, ' ');

		(void)!pn_buffer_print(out, " AUTH=%.*s", PN_SLICE_ARGS(word));
	}
}

void imap_put_capabilities(struct pn_session *session, struct imap_session *imap,
                           struct pn_buffer *out)
{
	const char *literals =
		imap->config->literals == IMAP_LITERALS_PLUS ? "LITERAL+" : "LITERAL-";

	put_words(session, imap, out, always);
	if (imap_offers(session, imap, literals))
		(void)!pn_buffer_print(out, " %s", literals);
	if (imap->state == IMAP_NOT_AUTHENTICATED) {
		put_early_words(session, out);
		return;
	}
	put_words(session, imap, out, with_login);
	if (imap_offers(session, imap, "APPENDLIMIT"))
		(void)!pn_buffer_print(out, " APPENDLIMIT=%llu",
		                       (unsigned long long)imap->config->max_message_size);
}

enum pn_next imap_capability(struct pn_session *session, struct imap_session *imap,
                             struct imap_parser *parser)
{
	struct pn_buffer out;

	if (!imap_parse_end(parser))
		return imap_syntax(session, imap, parser);
	pn_buffer_init(&out, 4096);
	imap_put_capabilities(session, imap, &out);
	imap_untagged(session, "CAPABILITY %.*s", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_buffer_clear(&out);
	return imap_finish(session, imap, "OK that is all");
}
