/* SPDX-License-Identifier: Apache-2.0 */
/* What a client may be told, line by line; see imap_client.h. */
#include "imap_client.h"

#include <postern/text.h>

#include "fuzz.h"

/* A reader of one response. */
struct response {
	struct pn_slice text; /* with its CRLF */
	size_t at;
};

static bool is_tag_char(char byte)
{
	return byte > ' ' && byte < 0x7f && strchr("(){%*\"\\+", byte) == NULL;
}

static struct pn_slice take_word(struct response *response)
{
	size_t start = response->at;

	while (response->at < response->text.size && response->text.data[response->at] != ' ' &&
	       response->text.data[response->at] != '\r')
		response->at++;
	return pn_slice_make(response->text.data + start, response->at - start);
}

static bool skip(struct response *response, const char *text)
{
	struct pn_slice rest = pn_slice_behind(response->text, response->at);

	if (rest.size < strlen(text) || memcmp(rest.data, text, strlen(text)) != 0)
		return false;
	response->at += strlen(text);
	return true;
}

static bool take_number(struct response *response, uint64_t *number)
{
	struct pn_slice rest = pn_slice_behind(response->text, response->at);
	size_t size = 0;

	*number = 0;
	while (size < rest.size && rest.data[size] >= '0' && rest.data[size] <= '9') {
		require(*number < UINT64_MAX / 10);
		*number = *number * 10 + (uint64_t)(rest.data[size++] - '0');
	}
	response->at += size;
	return size > 0;
}

void client_sends(struct imap_client *client, struct pn_slice line)
{
	struct response command = {.text = line};

	require(!client->in_command && !client->is_over);
	client->in_command = true;
	client->was_told_of_expunge = false;
	client->tag = take_word(&command);
	client->has_tag = client->tag.size > 0 && client->tag.size <= 200 &&
	                  client->tag.size < line.size && line.data[client->tag.size] == ' ';
	for (size_t i = 0; i < client->tag.size; i++)
		client->has_tag = client->has_tag && is_tag_char(client->tag.data[i]);
	(void)skip(&command, " ");
	client->verb = take_word(&command);
	client->is_uid = pn_slice_equal_ignore_case(client->verb, PN_SLICE("UID"));
	if (client->is_uid && skip(&command, " "))
		client->verb = take_word(&command);
}

static bool is_verb(const struct imap_client *client, const char *word)
{
	return pn_slice_equal_ignore_case(client->verb, pn_slice_of(word));
}

/* {n} at the end of a line: how many bytes come behind it; or -1. */
static long literal_size(struct pn_slice line)
{
	size_t start = line.size;
	long size = 0;

	if (line.size < 3 || line.data[line.size - 1] != '}')
		return -1;
	for (start = line.size - 1;
	     start > 0 && line.data[start - 1] >= '0' && line.data[start - 1] <= '9';)
		start--;
	if (start == line.size - 1 || start == 0 || line.data[start - 1] != '{')
		return -1;
	for (size_t i = start; i < line.size - 1; i++)
		size = size * 10 + (line.data[i] - '0');
	return size;
}

/* The first response, with its literals; it must be whole. */
static struct pn_slice cut_response(struct pn_slice bytes)
{
	size_t at = 0;

	for (;;) {
		struct pn_slice rest = pn_slice_behind(bytes, at);
		size_t end = pn_slice_find(rest, '\n');
		long size;

		require(end < rest.size && end > 0 && rest.data[end - 1] == '\r');
		size = literal_size(pn_slice_make(rest.data, end - 1));
		at += end + 1;
		if (size < 0)
			return pn_slice_make(bytes.data, at);
		/* The end of the line has to come behind it. */
		require((size_t)size < bytes.size - at);
		require(memchr(bytes.data + at, '\0', (size_t)size) == NULL);
		at += (size_t)size;
	}
}

/* Goes over a quoted string or a literal. */
static void skip_string(struct response *response)
{
	const struct pn_slice text = response->text;
	long size;
	size_t end;

	if (text.data[response->at] == '{') {
		end = response->at + pn_slice_find(pn_slice_behind(text, response->at), '\r');
		size = literal_size(pn_slice_make(text.data + response->at, end - response->at));
		require(size >= 0);
		response->at = end + 2 + (size_t)size;
		return;
	}
	for (response->at++; text.data[response->at] != '"'; response->at++) {
		require(text.data[response->at] != '\r');
		if (text.data[response->at] == '\\') {
			response->at++;
			require(text.data[response->at] == '"' || text.data[response->at] == '\\');
		}
	}
	response->at++;
}

/* Printable ASCII outside of literals. Data responses have balanced parentheses and closed strings;
 * in a FETCH the UID is found. */
static void check_text(struct response response, bool is_data, uint32_t *uid)
{
	size_t end = response.text.size - 2;
	int depth = 0;

	while (response.at < end) {
		char byte = response.text.data[response.at];

		require(byte >= ' ' && byte <= '~');
		if (is_data && (byte == '"' || byte == '{')) {
			skip_string(&response);
			continue;
		}
		depth += byte == '(' ? 1 : byte == ')' ? -1 : 0;
		require(!is_data || depth >= 0);
		response.at++;
		if (uid != NULL && depth == 1 && (byte == ' ' || byte == '(') &&
		    skip(&response, "UID ")) {
			uint64_t number;

			require(take_number(&response, &number) && number > 0);
			require(number <= UINT32_MAX);
			*uid = (uint32_t)number;
		}
	}
	require(response.at == end && (!is_data || depth == 0));
}

/* ---- what numbers mean ---- */

static void check_uid(struct imap_client *client, uint32_t sequence, uint32_t uid)
{
	uint32_t *known = &client->uids[sequence - 1];

	require(*known == 0 || *known == uid);
	require(sequence == 1 || known[-1] < uid);
	require(sequence == client->exists || known[1] == 0 || known[1] > uid);
	*known = uid;
}

static void forget(struct imap_client *client, uint32_t sequence)
{
	require(sequence >= 1 && sequence <= client->exists);
	memmove(&client->uids[sequence - 1], &client->uids[sequence],
	        (client->exists - sequence) * sizeof(client->uids[0]));
	client->exists--;
	client->uids[client->exists] = 0;
	client->was_told_of_expunge = true;
}

static void read_vanished(struct imap_client *client, struct response *response)
{
	uint64_t first;
	uint64_t last;
	bool is_earlier = skip(response, "(EARLIER) ");

	do {
		require(take_number(response, &first) && first > 0 && first <= UINT32_MAX);
		last = first;
		require(!skip(response, ":") || take_number(response, &last));
		require(last >= first && last <= UINT32_MAX);
		for (uint64_t uid = first; uid <= last && !is_earlier; uid++) {
			uint32_t sequence = 1;

			while (sequence <= client->exists && client->uids[sequence - 1] != uid)
				sequence++;
			forget(client, sequence);
		}
		for (uint32_t i = 0; i < client->exists && is_earlier; i++)
			require(client->uids[i] < first || client->uids[i] > last);
	} while (skip(response, ","));
	require(skip(response, "\r\n"));
}

/* Numbers of SEARCH, up to what says the modseq; ESEARCH has words between them. */
static void read_search(const struct imap_client *client, struct response *response)
{
	uint64_t number;
	uint64_t before = 0;

	while (skip(response, " ") && take_number(response, &number)) {
		require(number > before);
		require(client->is_uid ? number <= UINT32_MAX : number <= client->exists);
		before = number;
	}
}

static void read_numbered(struct imap_client *client, struct response *response, uint64_t number)
{
	struct response whole = {.text = response->text};
	struct pn_slice word;
	uint32_t uid = 0;

	require(number <= UINT32_MAX);
	require(skip(response, " "));
	word = take_word(response);
	if (pn_slice_equal(word, PN_SLICE("EXISTS"))) {
		require(client->in_command && number < CLIENT_MESSAGES);
		require(number >= client->exists);
		client->exists = (uint32_t)number;
	} else if (pn_slice_equal(word, PN_SLICE("RECENT"))) {
		require(client->in_command && number <= client->exists);
	} else if (pn_slice_equal(word, PN_SLICE("EXPUNGE"))) {
		require(client->in_command && number > 0);
		forget(client, (uint32_t)number);
	} else {
		require(pn_slice_equal(word, PN_SLICE("FETCH")));
		require(client->in_command && number > 0 && number <= client->exists);
		check_text(whole, true, &uid);
		require(uid != 0 || !client->is_uid || !is_verb(client, "FETCH"));
		if (uid != 0)
			check_uid(client, (uint32_t)number, uid);
	}
}

static void read_untagged(struct imap_client *client, struct response *response)
{
	static const char *const data[] = {"FLAGS",  "LIST",      "LSUB",       "STATUS",
	                                   "SEARCH", "ESEARCH",   "CAPABILITY", "ENABLED",
	                                   "ID",     "NAMESPACE", "VANISHED"};
	struct response whole = {.text = response->text};
	struct pn_slice word;
	uint64_t number;
	bool is_data = false;

	if (take_number(response, &number)) {
		read_numbered(client, response, number);
		return;
	}
	word = take_word(response);
	for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++)
		is_data = is_data || pn_slice_equal(word, pn_slice_of(data[i]));
	check_text(whole, is_data, NULL);
	if (is_data) {
		require(client->in_command);
		if (pn_slice_equal(word, PN_SLICE("SEARCH")))
			read_search(client, response);
		if (pn_slice_equal(word, PN_SLICE("VANISHED"))) {
			require(skip(response, " "));
			read_vanished(client, response);
		}
		return;
	}
	require(pn_slice_equal(word, PN_SLICE("OK")) || pn_slice_equal(word, PN_SLICE("NO")) ||
	        pn_slice_equal(word, PN_SLICE("BAD")) || pn_slice_equal(word, PN_SLICE("BYE")));
	if (pn_slice_equal(word, PN_SLICE("BYE")))
		client->is_over = true;
	if (skip(response, " [CLOSED]")) {
		client->exists = 0;
		memset(client->uids, 0, sizeof(client->uids));
	}
	/* The reply to what has no tag. */
	if (pn_slice_equal(word, PN_SLICE("BAD"))) {
		require(client->in_command && !client->has_tag);
		client->in_command = false;
	}
}

static void read_tagged(struct imap_client *client, struct response *response)
{
	require(client->in_command && client->has_tag);
	require(pn_slice_equal(take_word(response), client->tag));
	require(skip(response, " OK ") || skip(response, " NO ") || skip(response, " BAD "));
	check_text(*response, false, NULL);
	if (!client->is_uid &&
	    (is_verb(client, "FETCH") || is_verb(client, "STORE") || is_verb(client, "SEARCH")))
		require(!client->was_told_of_expunge);
	client->in_command = false;
}

void client_reads(struct imap_client *client, struct pn_slice bytes)
{
	while (bytes.size > 0) {
		struct response response = {.text = cut_response(bytes)};

		bytes = pn_slice_behind(bytes, response.text.size);
		if (skip(&response, "* ")) {
			read_untagged(client, &response);
		} else if (skip(&response, "+ ")) {
			check_text(response, false, NULL);
		} else {
			read_tagged(client, &response);
		}
	}
}
