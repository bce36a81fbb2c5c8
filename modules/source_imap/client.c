/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of a session: commands, responses, login. */
#include "source_imap.h"

#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { COMMAND_MAX = 64 * 1024, LITERAL_IN_RESPONSE = 256 * 1024 };

enum pn_status client_send(struct client *client, struct pn_error *error, const char *format, ...)
{
	struct pn_buffer command;
	char text[COMMAND_MAX];
	va_list arguments;
	enum pn_status status;
	int size;

	va_start(arguments, format);
	size = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (size < 0 || (size_t)size >= sizeof(text))
		return pn_fail(error, "a command is too long");
	pn_buffer_init(&command, (size_t)COMMAND_MAX + 32);
	(void)!pn_buffer_print(&command, "p%u %s\r\n", ++client->tag, text);
	status = pn_link_write(client->link.connection, pn_buffer_slice(&command), error);
	explicit_bzero(text, sizeof(text)); /* one of them has the password */
	explicit_bzero(command.data, command.size);
	pn_buffer_clear(&command);
	return status;
}

/* The size of the literal that the line ends with; false: with none. */
static bool ends_with_literal(struct pn_slice line, uint64_t *size_out)
{
	size_t begin = line.size;

	if (line.size < 3 || line.data[line.size - 1] != '}')
		return false;
	while (begin > 0 && line.data[begin - 1] != '{')
		begin--;
	return begin > 0 && pn_parse_count(pn_slice_make(line.data + begin, line.size - 1 - begin),
	                                   size_out) == PN_OK;
}

/* "BODY[] {1234}" */
static bool ends_with_body(struct pn_slice line)
{
	while (line.size > 0 && line.data[line.size - 1] != '{')
		line.size--;
	line.size -= line.size > 0 ? 1 : 0;
	while (line.size > 0 && line.data[line.size - 1] == ' ')
		line.size--;
	return line.size >= 6 &&
	       pn_slice_equal_ignore_case(pn_slice_make(line.data + line.size - 6, 6),
	                                  PN_SLICE("BODY[]"));
}

/* Lines and literals up to the end of the response, or to a body. */
static enum pn_status read_on(struct client *client, struct pn_error *error)
{
	for (;;) {
		size_t start = client->response.size;
		struct pn_slice line;
		uint64_t size;

		if (link_read_line(&client->link, &client->response, error) != PN_OK)
			return PN_FAILED;
		line = pn_slice_behind(pn_buffer_slice(&client->response), start);
		if (!ends_with_literal(line, &size))
			return PN_OK;
		if (size > 0 && ends_with_body(line)) {
			client->literal_left = size;
			return PN_OK;
		}
		if (size > LITERAL_IN_RESPONSE)
			return pn_fail(error, "%s sent a literal that is too large",
			               client->link.host);
		if (pn_buffer_append(&client->response, PN_SLICE("\r\n")) != PN_OK)
			return pn_fail(error, "%s sent too long a response", client->link.host);
		for (uint64_t left = size; left > 0;) {
			size_t before = client->response.size;

			if (link_read(&client->link, &client->response, (size_t)left, error) !=
			    PN_OK)
				return PN_FAILED;
			left -= client->response.size - before;
		}
	}
}

static struct pn_slice status_word(const struct client *client, size_t *skip_out)
{
	struct pn_slice rest = pn_buffer_slice(&client->response);
	size_t before = rest.size;
	struct pn_slice word;

	(void)pn_slice_cut(&rest, ' ');
	word = pn_slice_cut(&rest, ' ');
	*skip_out = before - rest.size;
	return word;
}

enum pn_status client_next(struct client *client, enum client_reply *reply_out,
                           struct pn_error *error)
{
	char tag[16];
	struct pn_slice word;
	size_t skip;

	client->response.size = 0;
	client->literal_left = 0;
	pn_arena_reset(client->arena);
	if (read_on(client, error) != PN_OK)
		return PN_FAILED;
	*reply_out = CLIENT_UNTAGGED;
	if (client->response.size > 0 && client->response.data[0] == '+')
		*reply_out = CLIENT_CONTINUE;
	snprintf(tag, sizeof(tag), "p%u ", client->tag);
	if (client->response.size < strlen(tag) ||
	    memcmp(client->response.data, tag, strlen(tag)) != 0)
		return PN_OK;
	word = status_word(client, &skip);
	*reply_out = word_is(word, "OK") ? CLIENT_OK : word_is(word, "NO") ? CLIENT_NO : CLIENT_BAD;
	return PN_OK;
}

enum pn_status client_go_on(struct client *client, struct pn_error *error)
{
	/* Where the body was stands its beginning, "{n}": a string of no bytes takes its place. */
	while (client->response.size > 0 && client->response.data[client->response.size - 1] != '{')
		client->response.size--;
	client->response.size -= client->response.size > 0 ? 1 : 0;
	if (pn_buffer_append(&client->response, PN_SLICE("\"\"")) != PN_OK)
		return pn_fail(error, "%s sent too long a response", client->link.host);
	return read_on(client, error);
}

struct parser client_text(const struct client *client)
{
	struct pn_slice rest = pn_buffer_slice(&client->response);
	size_t skip;

	if (client->response.size > 0 && client->response.data[0] == 'p')
		(void)status_word(client, &skip);
	else
		skip = pn_slice_find(rest, ' ') + 1;
	return (struct parser){skip > rest.size ? PN_SLICE("") : pn_slice_behind(rest, skip)};
}

enum pn_status client_denied(struct client *client, struct pn_error *error)
{
	char text[300];

	pn_text_printable(text, sizeof(text), client_text(client).rest);
	return pn_fail_with(PN_DENIED, error, "%s said: %s", client->link.host, text);
}

enum pn_status client_finish(struct client *client, struct pn_error *error)
{
	enum client_reply reply = CLIENT_UNTAGGED;
	struct pn_buffer dropped;

	pn_buffer_init(&dropped, READ_SIZE);
	while (reply == CLIENT_UNTAGGED || reply == CLIENT_CONTINUE) {
		if (client_next(client, &reply, error) != PN_OK)
			break;
		while (client->literal_left > 0) {
			dropped.size = 0;
			if (link_read(&client->link, &dropped,
			              client->literal_left < READ_SIZE
			                      ? (size_t)client->literal_left
			                      : (size_t)READ_SIZE,
			              error) != PN_OK)
				break;
			client->literal_left -= dropped.size;
			if (client->literal_left == 0 && client_go_on(client, error) != PN_OK)
				break;
		}
	}
	pn_buffer_clear(&dropped);
	if (reply == CLIENT_OK)
		return PN_OK;
	return reply == CLIENT_NO || reply == CLIENT_BAD ? client_denied(client, error) : PN_FAILED;
}

/* ---- login ---- */

static void take_capabilities(struct client *client, struct pn_slice words)
{
	while (words.size > 0) {
		struct pn_slice word = pn_slice_cut(&words, ' ');

		if (word.size > 0 && word.data[word.size - 1] == ']')
			words.size = 0, word.size--;
		client->has_list_extended |= word_is(word, "LIST-EXTENDED");
		client->has_special_use |= word_is(word, "SPECIAL-USE");
		client->has_namespace |= word_is(word, "NAMESPACE");
		client->has_plain |= word_is(word, "AUTH=PLAIN");
		client->has_sasl_ir |= word_is(word, "SASL-IR");
		client->has_starttls |= word_is(word, "STARTTLS");
	}
}

static enum pn_status ask_capabilities(struct client *client, struct pn_error *error)
{
	enum client_reply reply = CLIENT_UNTAGGED;

	client->has_list_extended = client->has_special_use = client->has_namespace = false;
	client->has_plain = client->has_sasl_ir = client->has_starttls = false;
	if (client_send(client, error, "CAPABILITY") != PN_OK)
		return PN_FAILED;
	while (reply == CLIENT_UNTAGGED) {
		struct parser parser;

		if (client_next(client, &reply, error) != PN_OK)
			return PN_FAILED;
		parser = client_text(client);
		if (reply == CLIENT_UNTAGGED && word_is(parse_word(&parser), "CAPABILITY"))
			take_capabilities(client, parser.rest);
	}
	return reply == CLIENT_OK ? PN_OK : client_denied(client, error);
}

static enum pn_status start_tls(struct client *client, bool insecure, struct pn_error *error)
{
	enum pn_status status = ask_capabilities(client, error);

	if (status == PN_OK && !client->has_starttls)
		status = pn_fail(error,
		                 "%s offers no TLS on port %u: try imaps://%s, or say "
		                 "imap+plain://%s to send the password in the clear",
		                 client->link.host, client->link.port, client->link.host,
		                 client->link.host);
	if (status == PN_OK)
		status = client_send(client, error, "STARTTLS");
	if (status == PN_OK)
		status = client_finish(client, error);
	/* What came before TLS must not act after it. */
	client->link.at = client->link.end = 0;
	return status == PN_OK ? pn_link_secure(client->link.connection, !insecure, error) : status;
}

const char *client_quote(struct pn_arena *arena, struct pn_slice text)
{
	char *quoted = pn_arena_allocate(arena, 2 * text.size + 3);
	size_t size = 0;

	quoted[size++] = '"';
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '"' || text.data[i] == '\\')
			quoted[size++] = '\\';
		quoted[size++] = text.data[i];
	}
	quoted[size] = '"';
	return quoted;
}

static enum pn_status log_in(struct client *client, const char *user, const char *password,
                             struct pn_error *error)
{
	struct pn_arena *arena = pn_arena_new();
	struct pn_buffer text, secret;
	enum client_reply reply = CLIENT_UNTAGGED;
	enum pn_status status;

	pn_buffer_init(&text, 8192);
	pn_buffer_init(&secret, 16384);
	if (!client->has_plain) {
		status = client_send(client, error, "LOGIN %s %s",
		                     client_quote(arena, pn_slice_of(user)),
		                     client_quote(arena, pn_slice_of(password)));
	} else {
		(void)!pn_buffer_append(&text, pn_slice_make("", 1));
		(void)!pn_buffer_append(&text, pn_slice_of(user));
		(void)!pn_buffer_append(&text, pn_slice_make("", 1));
		(void)!pn_buffer_append(&text, pn_slice_of(password));
		(void)!pn_base64_encode(&secret, pn_buffer_slice(&text));
		(void)!pn_buffer_append(&secret, PN_SLICE("\r\n"));
		status = client_send(client, error, "AUTHENTICATE PLAIN%s%.*s",
		                     client->has_sasl_ir ? " " : "",
		                     client->has_sasl_ir ? (int)secret.size - 2 : 0, secret.data);
		while (status == PN_OK && !client->has_sasl_ir && reply == CLIENT_UNTAGGED)
			status = client_next(client, &reply, error);
		if (status == PN_OK && !client->has_sasl_ir && reply != CLIENT_CONTINUE)
			status = client_denied(client, error);
		else if (status == PN_OK && !client->has_sasl_ir)
			status = pn_link_write(client->link.connection, pn_buffer_slice(&secret),
			                       error);
	}
	if (status == PN_OK)
		status = client_finish(client, error);
	if (text.data != NULL)
		explicit_bzero(text.data, text.size);
	if (secret.data != NULL)
		explicit_bzero(secret.data, secret.size);
	pn_buffer_clear(&text);
	pn_buffer_clear(&secret);
	pn_arena_free(&arena);
	if (status == PN_DENIED)
		pn_error_prefix(error, "%s cannot log in", user);
	return status == PN_OK ? PN_OK : PN_FAILED;
}

/* NAMESPACE (("INBOX." ".")) NIL NIL (RFC 2342): what every name of the user begins with. */
static enum pn_status ask_namespace(struct client *client, struct pn_error *error)
{
	enum client_reply reply = CLIENT_UNTAGGED;

	if (!client->has_namespace)
		return PN_OK;
	if (client_send(client, error, "NAMESPACE") != PN_OK)
		return PN_FAILED;
	while (reply == CLIENT_UNTAGGED) {
		struct parser parser;
		struct pn_slice prefix;

		if (client_next(client, &reply, error) != PN_OK)
			return PN_FAILED;
		parser = client_text(client);
		if (reply == CLIENT_UNTAGGED && word_is(parse_word(&parser), "NAMESPACE") &&
		    parse_byte(&parser, '(') && parse_byte(&parser, '(') &&
		    parse_string(&parser, client->arena, &prefix)) {
			client->prefix.size = 0;
			(void)!pn_buffer_append(&client->prefix, prefix);
		}
	}
	return PN_OK;
}

enum pn_status client_open(struct client *client, enum client_security security, bool insecure,
                           const char *user, const char *password, struct pn_error *error)
{
	enum client_reply reply;
	struct parser parser;

	client->tag = 0;
	client->literal_left = 0;
	client->link.at = client->link.end = 0;
	client->arena = pn_arena_new();
	pn_buffer_init(&client->response, LINE_MAX_BYTES);
	pn_buffer_init(&client->prefix, 1000);
	if (pn_link_open(client->link.host, client->link.port, &client->link.connection, error) !=
	            PN_OK ||
	    (security == CLIENT_IMPLICIT_TLS &&
	     pn_link_secure(client->link.connection, !insecure, error) != PN_OK) ||
	    client_next(client, &reply, error) != PN_OK)
		return PN_FAILED;
	parser = client_text(client);
	if (!word_is(parse_word(&parser), "OK"))
		return pn_fail(error, "%s does not greet as an IMAP server does",
		               client->link.host);
	if ((security == CLIENT_STARTTLS && start_tls(client, insecure, error) != PN_OK) ||
	    ask_capabilities(client, error) != PN_OK ||
	    log_in(client, user, password, error) != PN_OK ||
	    ask_capabilities(client, error) != PN_OK || ask_namespace(client, error) != PN_OK)
		return PN_FAILED;
	return PN_OK;
}

void client_close(struct client *client)
{
	struct pn_error unused;

	/* Nobody needs the answer, and who is no such server might never give one. */
	if (client->link.connection != NULL)
		(void)!client_send(client, &unused, "LOGOUT");
	pn_link_close(&client->link.connection);
	pn_buffer_clear(&client->response);
	pn_buffer_clear(&client->prefix);
	pn_arena_free(&client->arena);
}
