/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logging in at a smarthost (RFC 4954): AUTH PLAIN, or LOGIN where there is only
 * that. Only where the credentials name the host, and over TLS unless an option
 * allows otherwise. Secrets go to the wire and nowhere else.
 */
#include "deliver.h"

#include <postern/text.h>

#include <stdio.h>
#include <string.h>

enum { SECRET_ROOM = 4 * DELIVER_SECRET_MAX };

enum login_step { LOGIN_PLAIN = 0, LOGIN_ASKED, LOGIN_USER_SENT, LOGIN_PASSWORD_SENT };

static bool find_login(const struct deliver_dialogue *dialogue, struct deliver_login *login_out)
{
	return deliver_credentials_find(dialogue->instance->credentials,
	                                pn_carrier_hop(dialogue->carrier)->name, login_out);
}

bool deliver_has_login(const struct deliver_dialogue *dialogue)
{
	struct deliver_login login;

	return find_login(dialogue, &login);
}

static bool may_be_heard(const struct deliver_dialogue *dialogue)
{
	if (dialogue->is_secured)
		return true;
	switch (dialogue->config->plaintext_login) {
	case DELIVER_PLAINTEXT_ALWAYS:
		return true;
	case DELIVER_PLAINTEXT_LOOPBACK:
		return pn_session_peer_is_loopback(dialogue->session);
	default:
		return false;
	}
}

/* Says `word` and the secret in base64 behind it; leaves no copy. */
static void say_secret(struct deliver_dialogue *dialogue, const char *word, struct pn_slice secret,
                       const char *shown)
{
	struct pn_buffer line;

	pn_buffer_init(&line, SECRET_ROOM);
	if (pn_buffer_append(&line, pn_slice_of(word)) != PN_OK ||
	    pn_base64_encode(&line, secret) != PN_OK)
		line.size = 0; /* cannot be: the file's lines are limited */
	deliver_say(dialogue, pn_buffer_slice(&line), shown);
	explicit_bzero(line.data, line.capacity);
	pn_buffer_clear(&line);
}

/* RFC 4616: no other identity, the user, the password. */
static void say_plain(struct deliver_dialogue *dialogue, const struct deliver_login *login)
{
	char secret[2 * DELIVER_SECRET_MAX + 2];
	size_t user_size = strnlen(login->user, DELIVER_SECRET_MAX);
	size_t password_size = strnlen(login->password, DELIVER_SECRET_MAX);

	secret[0] = '\0';
	memcpy(secret + 1, login->user, user_size);
	secret[1 + user_size] = '\0';
	memcpy(secret + 2 + user_size, login->password, password_size);
	say_secret(dialogue, "AUTH PLAIN ", pn_slice_make(secret, 2 + user_size + password_size),
	           "AUTH PLAIN ****");
	explicit_bzero(secret, sizeof(secret));
}

static enum pn_next await_login(struct deliver_dialogue *dialogue, enum login_step step)
{
	dialogue->login_step = (uint8_t)step;
	return deliver_await(dialogue, DELIVER_LOGIN, "AUTH", dialogue->config->hello_timeout);
}

enum pn_next deliver_log_in(struct deliver_dialogue *dialogue)
{
	struct deliver_login login;
	struct pn_reply reply;

	if (!find_login(dialogue, &login))
		return deliver_ready(dialogue);
	if (!may_be_heard(dialogue)) {
		deliver_reply_say(&reply, "4.7.11", "there is no TLS to log in over");
		return deliver_leave(dialogue, PN_CARRIER_NOT_SECURE, &reply);
	}
	if ((dialogue->offer.extensions & DELIVER_AUTH_PLAIN) != 0) {
		say_plain(dialogue, &login);
		return await_login(dialogue, LOGIN_PLAIN);
	}
	if ((dialogue->offer.extensions & DELIVER_AUTH_LOGIN) != 0) {
		deliver_say(dialogue, PN_SLICE("AUTH LOGIN"), NULL);
		return await_login(dialogue, LOGIN_ASKED);
	}
	deliver_reply_say(&reply, "4.7.4", "the server offers neither AUTH PLAIN nor AUTH LOGIN");
	return deliver_leave(dialogue, PN_CARRIER_NOT_NOW, &reply);
}

/* 334: the server asks for the next part. */
static enum pn_next go_on(struct deliver_dialogue *dialogue)
{
	struct deliver_login login;

	/* The file may have been read anew, without this host. */
	if (find_login(dialogue, &login) && dialogue->login_step == LOGIN_ASKED) {
		say_secret(dialogue, "", pn_slice_of(login.user), "****");
		return await_login(dialogue, LOGIN_USER_SENT);
	}
	if (find_login(dialogue, &login) && dialogue->login_step == LOGIN_USER_SENT) {
		say_secret(dialogue, "", pn_slice_of(login.password), "****");
		return await_login(dialogue, LOGIN_PASSWORD_SENT);
	}
	return deliver_nonsense(dialogue, "the server asks for more than user and password");
}

enum pn_next deliver_login_answered(struct deliver_dialogue *dialogue, const struct pn_reply *reply)
{
	if (reply->code == 334)
		return go_on(dialogue);
	switch (deliver_reply_class(reply)) {
	case 2:
		if (dialogue->login_step == LOGIN_PLAIN ||
		    dialogue->login_step == LOGIN_PASSWORD_SENT)
			return deliver_ready(dialogue);
		break;
	case 4:
		return deliver_leave(dialogue, PN_CARRIER_NOT_NOW, reply);
	case 5:
		return deliver_leave(dialogue, PN_CARRIER_NEVER, reply);
	default:
		break;
	}
	return deliver_nonsense(dialogue, "the server answered AUTH with nonsense");
}
