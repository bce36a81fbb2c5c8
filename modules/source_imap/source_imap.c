/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The source: mailboxes from LIST, messages from one FETCH of what is known about
 * them, bodies many at a time. A message is known by server, user, UIDVALIDITY and
 * UID, so that another run asks for new ones only.
 */
#include "source_imap.h"

#include <postern/mailbox_name.h>
#include <postern/module.h>
#include <postern/text.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	WINDOW_MESSAGES = 100,
	WINDOW_BYTES = 2 * 1024 * 1024, /* a message that is larger comes alone, piece by piece */
	BODY_MAX = 64 * 1024 * 1024,    /* of one that said it would be small */
	PASSWORD_MAX = 1024,
	ATTEMPTS = 4, /* to go on after the connection broke */
};

struct remote_mailbox {
	struct pn_slice raw;  /* as the server names it */
	struct pn_slice name; /* as it will be named here */
	uint32_t attributes;
};

struct remote_message {
	uint32_t uid;
	struct pn_flags flags;
	int64_t date_ms;
	uint64_t size;
};

/* A body that was fetched with others. */
struct fetched {
	uint32_t uid;
	bool is_there;
	struct pn_buffer bytes;
	size_t read;
};

struct remote {
	struct client client;
	const struct pn_source_request *request;
	const char *user;
	char password[PASSWORD_MAX]; /* for when the connection breaks */
	enum client_security security;
	bool insecure;
	struct pn_arena *arena;
	struct remote_mailbox *mailboxes;
	size_t mailbox_count;
	size_t mailbox_capacity;
	size_t next_mailbox;

	/* The mailbox at hand. */
	const struct remote_mailbox *mailbox;
	struct pn_arena *mailbox_arena;
	uint32_t uid_validity;
	uint32_t uid_next;
	uint64_t exists;
	struct remote_message *messages;
	size_t message_count;
	size_t message_capacity;
	size_t next_message; /* the one at hand is in front of it */

	struct fetched window[WINDOW_MESSAGES];
	size_t window_count;
	bool is_streaming;
};

/* ---- mailboxes ---- */

static uint32_t attributes_of(struct pn_slice list)
{
	static const struct {
		const char *word;
		uint32_t attribute;
	} words[] = {{"\\All", PN_MAILBOX_ALL},
	             {"\\Archive", PN_MAILBOX_ARCHIVE},
	             {"\\Drafts", PN_MAILBOX_DRAFTS},
	             {"\\Flagged", PN_MAILBOX_FLAGGED},
	             {"\\Junk", PN_MAILBOX_JUNK},
	             {"\\Sent", PN_MAILBOX_SENT},
	             {"\\Trash", PN_MAILBOX_TRASH},
	             {"\\Important", PN_MAILBOX_IMPORTANT},
	             {"\\Subscribed", PN_MAILBOX_SUBSCRIBED},
	             {"\\Noselect", PN_MAILBOX_NO_SELECT},
	             {"\\NonExistent", PN_MAILBOX_NO_SELECT}};
	uint32_t attributes = 0;

	while (list.size > 0) {
		struct pn_slice word = pn_slice_cut(&list, ' ');

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			attributes |= word_is(word, words[i].word) ? words[i].attribute : 0;
	}
	return attributes;
}

/* Without the prefix of the namespace, levels separated by '/', in UTF-8. */
static struct pn_slice local_name(struct remote *remote, struct pn_slice raw, char delimiter)
{
	struct pn_slice prefix = pn_buffer_slice(&remote->client.prefix);
	struct pn_buffer name;
	struct pn_slice kept;
	char *text;

	if (word_is(raw, "INBOX"))
		return PN_SLICE("INBOX");
	if (prefix.size > 0 && raw.size > prefix.size &&
	    pn_slice_starts_with_ignore_case(raw, prefix))
		raw = pn_slice_behind(raw, prefix.size);
	text = pn_arena_keep_text(remote->arena, raw);
	for (size_t i = 0; i < raw.size; i++) {
		if (delimiter != '/' && text[i] == '/')
			text[i] = '_';
		else if (delimiter != '\0' && text[i] == delimiter)
			text[i] = '/';
	}
	pn_buffer_init(&name, 8192);
	/* Servers that speak UTF-8 are taken at their word. */
	if (pn_utf7_decode(&name, pn_slice_make(text, raw.size)) != PN_OK) {
		name.size = 0;
		(void)!pn_buffer_append(&name, pn_slice_make(text, raw.size));
	}
	kept = pn_arena_keep(remote->arena, pn_buffer_slice(&name));
	pn_buffer_clear(&name);
	return kept;
}

static void add_mailbox(struct remote *remote, struct pn_slice raw, char delimiter,
                        uint32_t attributes)
{
	struct remote_mailbox *mailbox;

	for (size_t i = 0; i < remote->mailbox_count; i++) {
		if (pn_slice_equal(remote->mailboxes[i].raw, raw)) {
			remote->mailboxes[i].attributes |= attributes;
			return;
		}
	}
	if (remote->mailbox_count == remote->mailbox_capacity) {
		remote->mailbox_capacity =
			remote->mailbox_capacity == 0 ? 64 : 2 * remote->mailbox_capacity;
		remote->mailboxes = reallocarray(remote->mailboxes, remote->mailbox_capacity,
		                                 sizeof(*remote->mailboxes));
		if (remote->mailboxes == NULL)
			abort();
	}
	mailbox = &remote->mailboxes[remote->mailbox_count++];
	mailbox->raw = pn_arena_keep(remote->arena, raw);
	mailbox->name = local_name(remote, raw, delimiter);
	mailbox->attributes = attributes;
}

/* "LIST (\HasNoChildren \Sent) "/" "Sent"": of LIST or LSUB. */
static void take_list(struct remote *remote, bool is_lsub)
{
	struct parser parser = client_text(&remote->client);
	struct pn_slice word = parse_word(&parser);
	struct pn_slice attributes, delimiter, name;

	if (!word_is(word, "LIST") && !word_is(word, "LSUB"))
		return;
	if (!parse_list(&parser, &attributes) ||
	    !parse_string(&parser, remote->client.arena, &delimiter) ||
	    !parse_string(&parser, remote->client.arena, &name) || name.size == 0)
		return;
	/* Such a name could not be asked for. */
	if (memchr(name.data, '\r', name.size) != NULL ||
	    memchr(name.data, '\n', name.size) != NULL ||
	    memchr(name.data, '\0', name.size) != NULL)
		return;
	if (!is_lsub) {
		add_mailbox(remote, name, delimiter.size == 1 ? delimiter.data[0] : '\0',
		            attributes_of(attributes));
		return;
	}
	for (size_t i = 0; i < remote->mailbox_count; i++) {
		if (pn_slice_equal(remote->mailboxes[i].raw, name))
			remote->mailboxes[i].attributes |= PN_MAILBOX_SUBSCRIBED;
	}
}

static enum pn_status ask_list(struct remote *remote, bool is_lsub, struct pn_error *error)
{
	struct client *client = &remote->client;
	const char *extension = client->has_list_extended && client->has_special_use
	                                ? " RETURN (SUBSCRIBED SPECIAL-USE)"
	                                : "";
	enum client_reply reply = CLIENT_UNTAGGED;

	if (client_send(client, error, is_lsub ? "LSUB \"\" \"*\"" : "LIST \"\" \"*\"%s",
	                extension) != PN_OK)
		return PN_FAILED;
	while (reply == CLIENT_UNTAGGED) {
		if (client_next(client, &reply, error) != PN_OK)
			return PN_FAILED;
		if (reply == CLIENT_UNTAGGED)
			take_list(remote, is_lsub);
	}
	return reply == CLIENT_OK ? PN_OK : client_denied(client, error);
}

static int by_name(const void *left, const void *right)
{
	const struct remote_mailbox *one = left;
	const struct remote_mailbox *other = right;
	size_t size = one->name.size < other->name.size ? one->name.size : other->name.size;
	int order = memcmp(one->name.data, other->name.data, size);

	return order != 0
	               ? order
	               : (one->name.size > other->name.size) - (one->name.size < other->name.size);
}

/* ---- opening ---- */

static bool begins(const char **text, const char *prefix)
{
	size_t size = strlen(prefix);

	if (strncmp(*text, prefix, size) != 0)
		return false;
	*text += size;
	return true;
}

/* "imaps://mail.example.org:993", or the host alone. */
static enum pn_status parse_address(const char *text, struct link *link,
                                    enum client_security *security, bool *insecure,
                                    struct pn_error *error)
{
	const char *colon;
	uint64_t port;
	size_t size;

	*insecure = begins(&text, "insecure+");
	*security = CLIENT_IMPLICIT_TLS;
	if (begins(&text, "imap+plain://"))
		*security = CLIENT_PLAIN;
	else if (begins(&text, "imap://"))
		*security = CLIENT_STARTTLS;
	else
		(void)begins(&text, "imaps://");
	colon = strrchr(text, ':');
	if (text[0] == '[' ? strstr(text, "]:") == NULL : strchr(text, ':') != colon)
		colon = NULL; /* an IPv6 address without a port */
	size = colon == NULL ? strlen(text) : (size_t)(colon - text);
	if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
		text++;
		size -= 2;
	}
	if (size == 0 || size >= sizeof(link->host) || strchr(text, '/') != NULL)
		return pn_fail(error,
		               "\"%s\" is no server: say HOST, imaps://HOST:PORT, "
		               "imap://HOST (with STARTTLS) or imap+plain://HOST",
		               text);
	snprintf(link->host, sizeof(link->host), "%.*s", (int)size, text);
	link->port = *security == CLIENT_IMPLICIT_TLS ? 993 : 143;
	if (colon != NULL && (pn_parse_count(pn_slice_of(colon + 1), &port) != PN_OK || port == 0 ||
	                      port > UINT16_MAX))
		return pn_fail(error, "\"%s\" is no port", colon + 1);
	if (colon != NULL)
		link->port = (uint16_t)port;
	return PN_OK;
}

static enum pn_status read_password(const char *path, char *room, size_t size,
                                    struct pn_error *error)
{
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	char *line;

	if (path == NULL)
		return pn_fail(error, "the password is missing: put it into a file that only you "
		                      "can read, and name it with --password-file");
	if (file == NULL)
		return pn_fail_errno(error, errno, "cannot read %s", path);
	line = fgets(room, (int)size, file);
	fclose(file);
	if (line == NULL)
		return pn_fail(error, "there is no password in %s", path);
	room[strcspn(room, "\r\n")] = '\0';
	return PN_OK;
}

static enum pn_status remote_open(const struct pn_source_request *request, void **source_out,
                                  struct pn_error *error)
{
	struct remote *remote = calloc(1, sizeof(*remote));
	enum pn_status status;

	if (remote == NULL)
		abort();
	*source_out = remote;
	remote->request = request;
	remote->arena = pn_arena_new();
	remote->mailbox_arena = pn_arena_new();
	if (request->argument_count != 2)
		return pn_fail(error, "say which server and which user there: postern import imap "
		                      "ACCOUNT HOST USER --password-file FILE");
	remote->user = request->arguments[1];
	if (parse_address(request->arguments[0], &remote->client.link, &remote->security,
	                  &remote->insecure, error) != PN_OK ||
	    read_password(request->password_file, remote->password, sizeof(remote->password),
	                  error) != PN_OK)
		return PN_FAILED;
	status = client_open(&remote->client, remote->security, remote->insecure, remote->user,
	                     remote->password, error);
	if (status == PN_OK)
		status = ask_list(remote, false, error);
	if (status == PN_OK &&
	    !(remote->client.has_list_extended && remote->client.has_special_use))
		status = ask_list(remote, true, error);
	if (status == PN_OK && remote->mailbox_count > 0)
		qsort(remote->mailboxes, remote->mailbox_count, sizeof(*remote->mailboxes),
		      by_name);
	return status == PN_OK ? PN_OK : PN_FAILED;
}

/* ---- the messages of a mailbox ---- */

static void forget_window(struct remote *remote)
{
	for (size_t i = 0; i < remote->window_count; i++)
		pn_buffer_clear(&remote->window[i].bytes);
	remote->window_count = 0;
}

/* "3 EXISTS", "OK [UIDVALIDITY 5]". */
static void take_examine(struct remote *remote)
{
	struct parser parser = client_text(&remote->client);
	struct pn_slice first = parse_word(&parser);
	struct pn_slice second;
	uint64_t number;

	if (parse_number(first, &number) && word_is(parse_word(&parser), "EXISTS")) {
		remote->exists = number;
		return;
	}
	if (!word_is(first, "OK") || !parse_byte(&parser, '['))
		return;
	first = pn_slice_cut(&parser.rest, ' ');
	second = parser.rest;
	second.size = pn_slice_find(second, ']');
	if (!parse_number(second, &number) || number > UINT32_MAX)
		return;
	if (word_is(first, "UIDVALIDITY"))
		remote->uid_validity = (uint32_t)number;
	else if (word_is(first, "UIDNEXT"))
		remote->uid_next = (uint32_t)number;
}

static struct remote_message *add_message(struct remote *remote)
{
	if (remote->message_count == remote->message_capacity) {
		remote->message_capacity =
			remote->message_capacity == 0 ? 1024 : 2 * remote->message_capacity;
		remote->messages = reallocarray(remote->messages, remote->message_capacity,
		                                sizeof(*remote->messages));
		if (remote->messages == NULL)
			abort();
	}
	memset(&remote->messages[remote->message_count], 0, sizeof(*remote->messages));
	return &remote->messages[remote->message_count++];
}

/* "12 FETCH (UID 5 FLAGS (\Seen) INTERNALDATE "…" RFC822.SIZE 100)": in any order. */
static void take_facts(struct remote *remote)
{
	struct parser parser = client_text(&remote->client);
	struct remote_message found = {0};
	struct pn_slice text;
	uint64_t number;
	bool is_whole = false;

	if (!parse_number(parse_word(&parser), &number) || !word_is(parse_word(&parser), "FETCH") ||
	    !parse_byte(&parser, '('))
		return;
	while (!is_whole && parser.rest.size > 0) {
		struct pn_slice word = parse_word(&parser);

		if (word_is(word, "UID") && parse_number(parse_word(&parser), &number))
			found.uid = (uint32_t)number;
		else if (word_is(word, "RFC822.SIZE") && parse_number(parse_word(&parser), &number))
			found.size = number;
		else if (word_is(word, "INTERNALDATE") &&
		         parse_string(&parser, remote->client.arena, &text))
			(void)parse_date(pn_slice_trim(text), &found.date_ms);
		else if (word_is(word, "FLAGS") && parse_list(&parser, &text))
			parse_flags(text, remote->mailbox_arena, &found.flags);
		else if (word.size == 0 || !parse_skip(&parser))
			is_whole = true;
	}
	if (found.uid != 0)
		*add_message(remote) = found;
}

static int by_uid(const void *left, const void *right)
{
	const struct remote_message *one = left;
	const struct remote_message *other = right;

	return (one->uid > other->uid) - (one->uid < other->uid);
}

static enum pn_status ask_facts(struct remote *remote, struct pn_error *error)
{
	struct client *client = &remote->client;
	enum client_reply reply = CLIENT_UNTAGGED;
	size_t kept = 0;

	remote->message_count = 0;
	if (remote->exists == 0)
		return PN_OK;
	if (client_send(client, error, "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)") !=
	    PN_OK)
		return PN_FAILED;
	while (reply == CLIENT_UNTAGGED) {
		if (client_next(client, &reply, error) != PN_OK)
			return PN_FAILED;
		if (reply == CLIENT_UNTAGGED)
			take_facts(remote);
	}
	if (reply != CLIENT_OK)
		return client_denied(client, error);
	if (remote->message_count > 0)
		qsort(remote->messages, remote->message_count, sizeof(*remote->messages), by_uid);
	for (size_t i = 0; i < remote->message_count; i++) {
		if (i == 0 || remote->messages[i].uid != remote->messages[kept - 1].uid)
			remote->messages[kept++] = remote->messages[i];
	}
	remote->message_count = kept;
	return PN_OK;
}

static enum pn_status examine(struct remote *remote, const struct remote_mailbox *mailbox,
                              struct pn_error *error)
{
	struct client *client = &remote->client;
	enum client_reply reply = CLIENT_UNTAGGED;

	remote->exists = 0;
	remote->uid_validity = 0;
	remote->uid_next = 0;
	if (client_send(client, error, "EXAMINE %s",
	                client_quote(remote->mailbox_arena, mailbox->raw)) != PN_OK)
		return PN_FAILED;
	while (reply == CLIENT_UNTAGGED) {
		if (client_next(client, &reply, error) != PN_OK)
			return PN_FAILED;
		if (reply == CLIENT_UNTAGGED)
			take_examine(remote);
	}
	return reply == CLIENT_OK ? PN_OK : client_denied(client, error);
}

/*
 * Whether the connection, which broke, stands again, with the mailbox open as it was. Waits longer
 * each time; a server that does not let us in any more is not asked for long.
 */
static bool stands_again(struct remote *remote, unsigned attempt, struct pn_error *error)
{
	uint32_t uid_validity = remote->uid_validity;
	struct pn_error why;
	char line[1000];

	if (attempt >= ATTEMPTS)
		return false;
	snprintf(line, sizeof(line), "%s; trying again", error->text);
	remote->request->say(line);
	sleep(attempt * attempt);
	client_close(&remote->client);
	remote->is_streaming = false;
	if (client_open(&remote->client, remote->security, remote->insecure, remote->user,
	                remote->password, &why) != PN_OK) {
		*error = why;
		return stands_again(remote, attempt + 1, error);
	}
	if (remote->mailbox == NULL)
		return true;
	if (examine(remote, remote->mailbox, &why) != PN_OK) {
		*error = why;
		return stands_again(remote, attempt + 1, error);
	}
	if (remote->uid_validity == uid_validity)
		return true;
	(void)pn_fail(error, "the mailbox \"%.*s\" was made anew while it was read: begin again",
	              PN_SLICE_ARGS(remote->mailbox->name));
	return false;
}

static enum pn_status open_mailbox(struct remote *remote, const struct remote_mailbox *mailbox,
                                   struct pn_error *error)
{
	enum pn_status status;
	unsigned attempt = 1;

	do {
		remote->mailbox = NULL; /* for now: a new connection need not open any */
		pn_arena_reset(remote->mailbox_arena);
		status = examine(remote, mailbox, error);
		if (status == PN_OK)
			status = ask_facts(remote, error);
	} while (status == PN_FAILED && stands_again(remote, attempt++, error));
	remote->mailbox = mailbox;
	return status;
}

static enum pn_status remote_next_mailbox(void *source, struct pn_arena *arena,
                                          struct pn_source_mailbox *mailbox_out,
                                          struct pn_error *error)
{
	struct remote *remote = source;
	enum pn_status status = PN_DENIED;
	const struct remote_mailbox *mailbox = NULL;
	char line[2000];

	(void)arena;
	forget_window(remote);
	while (status == PN_DENIED) {
		if (remote->next_mailbox == remote->mailbox_count)
			return PN_NOT_FOUND;
		mailbox = &remote->mailboxes[remote->next_mailbox++];
		if ((mailbox->attributes & PN_MAILBOX_NO_SELECT) != 0)
			continue;
		status = open_mailbox(remote, mailbox, error);
		if (status != PN_DENIED)
			break;
		snprintf(line, sizeof(line), "the mailbox \"%.*s\" was passed over: %s",
		         PN_SLICE_ARGS(mailbox->name), error->text);
		remote->request->say(line);
	}
	if (status != PN_OK)
		return status;
	remote->next_message = 0;
	mailbox_out->name = mailbox->name;
	mailbox_out->attributes = mailbox->attributes;
	mailbox_out->uid_validity = remote->uid_validity;
	mailbox_out->uid_next = remote->uid_next;
	mailbox_out->message_count = remote->message_count;
	return PN_OK;
}

static enum pn_status remote_next_message(void *source, struct pn_arena *arena,
                                          struct pn_source_message *message_out,
                                          struct pn_error *error)
{
	struct remote *remote = source;
	const struct remote_message *message;

	(void)error;
	if (remote->next_message == remote->message_count)
		return PN_NOT_FOUND;
	message = &remote->messages[remote->next_message++];
	message_out->key = pn_slice_of(pn_arena_print(arena, "%s@%s:%u:%u", remote->user,
	                                              remote->client.link.host,
	                                              remote->uid_validity, message->uid));
	message_out->uid = message->uid;
	message_out->flags = message->flags;
	message_out->internal_date_ms = message->date_ms;
	message_out->size = message->size;
	return PN_OK;
}

/* ---- bodies ---- */

/* Reads the literal of a body into the buffer, and the rest of its response. */
static enum pn_status take_literal(struct client *client, struct pn_buffer *bytes,
                                   struct pn_error *error)
{
	if (client->literal_left > BODY_MAX)
		return pn_fail(error, "%s sent a message that is larger than it said",
		               client->link.host);
	while (client->literal_left > 0) {
		size_t before = bytes->size;

		if (link_read(&client->link, bytes, (size_t)client->literal_left, error) != PN_OK)
			return PN_FAILED;
		client->literal_left -= bytes->size - before;
	}
	return client_go_on(client, error);
}

/* The UID of a FETCH response with a body, and the body where it was no literal. 0: another one. */
static uint32_t body_uid(struct client *client, struct pn_buffer *bytes, bool *has_body)
{
	struct parser parser = client_text(client);
	struct pn_slice text;
	uint64_t number;
	uint32_t uid = 0;

	if (!parse_number(parse_word(&parser), &number) || !word_is(parse_word(&parser), "FETCH") ||
	    !parse_byte(&parser, '('))
		return 0;
	while (parser.rest.size > 0) {
		struct pn_slice word = parse_word(&parser);

		if (word.size == 0)
			break;
		if (word_is(word, "UID") && parse_number(parse_word(&parser), &number)) {
			uid = (uint32_t)number;
		} else if (word_is(word, "BODY[]")) {
			if (!parse_string(&parser, client->arena, &text))
				break;
			*has_body = true;
			(void)!pn_buffer_append(bytes, text);
		} else if (!parse_skip(&parser)) {
			break;
		}
	}
	return uid;
}

static void keep_body(struct remote *remote, uint32_t uid, struct pn_buffer *bytes)
{
	for (size_t i = 0; i < remote->window_count; i++) {
		struct fetched *fetched = &remote->window[i];

		if (fetched->uid != uid || fetched->is_there)
			continue;
		fetched->bytes = *bytes;
		fetched->is_there = true;
		pn_buffer_init(bytes, BODY_MAX);
		return;
	}
	bytes->size = 0;
}

/* The message at hand and those behind it, as many as are small. */
static void choose_window(struct remote *remote, size_t count, struct pn_buffer *set)
{
	uint64_t size = 0;

	forget_window(remote);
	for (size_t i = remote->next_message - 1;
	     i < remote->message_count && remote->window_count < count; i++) {
		const struct remote_message *message = &remote->messages[i];
		struct fetched *fetched = &remote->window[remote->window_count];

		size += message->size;
		if (remote->window_count > 0 && size > WINDOW_BYTES)
			break;
		memset(fetched, 0, sizeof(*fetched));
		fetched->uid = message->uid;
		(void)!pn_buffer_print(set, "%s%u", remote->window_count == 0 ? "" : ",",
		                       message->uid);
		remote->window_count++;
	}
}

static enum pn_status fetch_window(struct remote *remote, size_t count, struct pn_error *error)
{
	struct client *client = &remote->client;
	enum client_reply reply = CLIENT_UNTAGGED;
	enum pn_status status;
	struct pn_buffer set, bytes;

	pn_buffer_init(&set, (size_t)WINDOW_MESSAGES * 12);
	pn_buffer_init(&bytes, BODY_MAX);
	choose_window(remote, count, &set);
	status = client_send(client, error, "UID FETCH %.*s (UID BODY.PEEK[])",
	                     PN_SLICE_ARGS(pn_buffer_slice(&set)));
	while (status == PN_OK && reply == CLIENT_UNTAGGED) {
		bool has_body = false;
		uint32_t uid;

		status = client_next(client, &reply, error);
		if (status != PN_OK || reply != CLIENT_UNTAGGED)
			break;
		bytes.size = 0;
		if (client->literal_left > 0)
			status = take_literal(client, &bytes, error);
		uid = status == PN_OK ? body_uid(client, &bytes, &has_body) : 0;
		if (uid != 0 && has_body)
			keep_body(remote, uid, &bytes);
	}
	pn_buffer_clear(&set);
	pn_buffer_clear(&bytes);
	if (status != PN_OK)
		return PN_FAILED;
	/* One that the server cannot give keeps the others from coming: they are asked for anew. */
	return reply == CLIENT_OK ? PN_OK : client_denied(client, error);
}

static struct fetched *find_fetched(struct remote *remote, uint32_t uid)
{
	for (size_t i = 0; i < remote->window_count; i++) {
		if (remote->window[i].uid == uid && remote->window[i].is_there)
			return &remote->window[i];
	}
	return NULL;
}

/* A large message: its response is read up to the body. */
static enum pn_status begin_stream(struct remote *remote, uint32_t uid, struct pn_error *error)
{
	struct client *client = &remote->client;
	enum client_reply reply = CLIENT_UNTAGGED;

	if (client_send(client, error, "UID FETCH %u (UID BODY.PEEK[])", uid) != PN_OK)
		return PN_FAILED;
	while (reply == CLIENT_UNTAGGED) {
		if (client_next(client, &reply, error) != PN_OK)
			return PN_FAILED;
		if (reply == CLIENT_UNTAGGED && client->literal_left > 0) {
			remote->is_streaming = true;
			return PN_OK;
		}
	}
	if (reply != CLIENT_OK)
		return client_denied(client, error);
	return pn_fail_with(PN_DENIED, error, "the server does not have it any more");
}

static enum pn_status stream(struct remote *remote, struct pn_buffer *bytes, bool *is_last,
                             struct pn_error *error)
{
	struct client *client = &remote->client;
	size_t room = bytes->limit - bytes->size;
	size_t before = bytes->size;
	enum pn_status status;

	if (room > client->literal_left)
		room = (size_t)client->literal_left;
	if (link_read(&client->link, bytes, room, error) != PN_OK)
		return PN_FAILED;
	client->literal_left -= bytes->size - before;
	*is_last = client->literal_left == 0;
	if (!*is_last)
		return PN_OK;
	remote->is_streaming = false;
	status = client_go_on(client, error);
	return status == PN_OK ? client_finish(client, error) : status;
}

static enum pn_status remote_read(void *source, struct pn_buffer *bytes, bool *is_last,
                                  struct pn_error *error)
{
	struct remote *remote = source;
	const struct remote_message *message = &remote->messages[remote->next_message - 1];
	struct fetched *fetched = find_fetched(remote, message->uid);
	enum pn_status status = PN_OK;
	unsigned attempt = 1;
	struct pn_slice rest;
	size_t size;

	if (remote->is_streaming) {
		status = stream(remote, bytes, is_last, error);
		/* Its beginning was given away: it is left to the next run, and the others come. */
		if (status == PN_FAILED && stands_again(remote, attempt, error))
			status = pn_fail_with(PN_DENIED, error,
			                      "the connection broke while it was read");
		return status;
	}
	if (fetched == NULL && message->size > WINDOW_BYTES) {
		do
			status = begin_stream(remote, message->uid, error);
		while (status == PN_FAILED && stands_again(remote, attempt++, error));
		return status == PN_OK ? remote_read(source, bytes, is_last, error) : status;
	}
	if (fetched == NULL) {
		/* After a break it is asked for alone; where that breaks too, it is what breaks. */
		do
			status = fetch_window(remote, attempt == 1 ? WINDOW_MESSAGES : 1, error);
		while (status == PN_FAILED && attempt < 3 &&
		       stands_again(remote, attempt++, error));
		if (status == PN_FAILED && attempt == 3 && stands_again(remote, attempt, error))
			status = pn_fail_with(PN_DENIED, error,
			                      "the connection breaks when it is read");
		fetched = find_fetched(remote, message->uid);
		if (status == PN_OK && fetched == NULL)
			status = pn_fail_with(PN_DENIED, error,
			                      "the server does not have it any more");
	}
	if (fetched == NULL)
		return status;
	size = bytes->limit - bytes->size;
	if (size > fetched->bytes.size - fetched->read)
		size = fetched->bytes.size - fetched->read;
	rest = pn_slice_behind(pn_buffer_slice(&fetched->bytes), fetched->read);
	if (pn_buffer_append(bytes, pn_slice_make(rest.data, size)) != PN_OK)
		return pn_fail(error, "no room");
	fetched->read += size;
	*is_last = fetched->read == fetched->bytes.size;
	return PN_OK;
}

static void remote_close(void *source)
{
	struct remote *remote = source;

	forget_window(remote);
	if (remote->client.arena != NULL)
		client_close(&remote->client);
	explicit_bzero(remote->password, sizeof(remote->password));
	pn_arena_free(&remote->arena);
	pn_arena_free(&remote->mailbox_arena);
	free(remote->mailboxes);
	free(remote->messages);
	free(remote);
}

static const struct pn_source remote_source = {
	.struct_size = sizeof(remote_source),
	.name = "imap",
	.usage = "[insecure+][imaps://|imap://|imap+plain://]HOST[:PORT] USER --password-file FILE",
	.summary = "Another IMAP server: all mailboxes, flags, keywords, dates, UIDs.",
	.open = remote_open,
	.next_mailbox = remote_next_mailbox,
	.next_message = remote_next_message,
	.read = remote_read,
	.close = remote_close,
};

PN_MODULE(source_imap, .version = "0.1", .summary = "Takes mail from another IMAP server.",
          .source = &remote_source, );
