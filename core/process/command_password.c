/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern password [KIND …]`: reads a password from standard input and prints its hash
 * (yescrypt), and what other mechanisms need, as files of accounts want it.
 */
#include <postern/authentication.h>
#include <postern/text.h>

#include "io/digest.h"
#include "process/command.h"

#include <crypt.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static bool read_password(char *room, int size)
{
	struct termios before;
	struct termios silent;
	bool is_terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
	bool was_read;

	if (is_terminal) {
		fputs("Password: ", stderr);
		silent = before;
		silent.c_lflag &= (tcflag_t)~ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	was_read = fgets(room, size, stdin) != NULL;
	if (is_terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	room[strcspn(room, "\r\n")] = '\0';
	return was_read && room[0] != '\0';
}

/* yescrypt, as crypt(3) writes it. */
static bool put_hash(const char *password, struct pn_buffer *out)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data data = {0};
	const char *hash = NULL;

	if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) != NULL)
		hash = crypt_rn(password, setting, &data, sizeof(data));
	if (hash == NULL || pn_buffer_append(out, pn_slice_of(hash)) != PN_OK) {
		fputs("postern: this system cannot make yescrypt hashes\n", stderr);
		hash = NULL;
	}
	pn_wipe(&data, sizeof(data));
	return hash != NULL;
}

static bool put_scram(const char *mechanism, const char *password, struct pn_buffer *out)
{
	enum pn_status status =
		pn_scram_make(mechanism, pn_slice_of(password), PN_SCRAM_ITERATIONS, out);

	if (status != PN_OK)
		fputs("postern: SCRAM knows no passwords with such characters (RFC 4013)\n",
		      stderr);
	return status == PN_OK;
}

static bool put_plain(const char *password, struct pn_buffer *out)
{
	return pn_buffer_append(out, PN_SLICE("{PLAIN.B64}")) == PN_OK &&
	       pn_base64_encode(out, pn_slice_of(password)) == PN_OK;
}

static bool put_secret(const char *kind, const char *password, struct pn_buffer *out)
{
	static const char *const kinds[] = {"yescrypt", "scram-sha-256", "scram-sha-1", "plain",
	                                    NULL};
	const char *nearest;

	if (out->size > 0 && pn_buffer_append(out, PN_SLICE(" ")) != PN_OK)
		return false;
	if (strcmp(kind, kinds[0]) == 0)
		return put_hash(password, out);
	if (strcmp(kind, kinds[1]) == 0)
		return put_scram("SCRAM-SHA-256", password, out);
	if (strcmp(kind, kinds[2]) == 0)
		return put_scram("SCRAM-SHA-1", password, out);
	if (strcmp(kind, kinds[3]) == 0)
		return put_plain(password, out);
	nearest = pn_nearest_word(kind, kinds);
	fprintf(stderr,
	        "postern: password: there is no kind \"%s\"%s%s%s: yescrypt, scram-sha-256, "
	        "scram-sha-1 and plain are known\n",
	        kind, nearest == NULL ? "" : " (did you mean ", nearest == NULL ? "" : nearest,
	        nearest == NULL ? "" : "?)");
	return false;
}

int pn_command_password(const struct pn_arguments *arguments)
{
	char password[1024];
	struct pn_buffer out;
	bool is_made = true;

	if (!read_password(password, sizeof(password))) {
		fputs("postern: no password was given on standard input\n", stderr);
		return 1;
	}
	pn_buffer_init(&out, 8192);
	if (arguments->word_count == 0)
		is_made = put_secret("yescrypt", password, &out);
	for (int i = 0; i < arguments->word_count && is_made; i++)
		is_made = put_secret(arguments->words[i], password, &out);
	if (is_made)
		printf("%.*s\n", PN_SLICE_ARGS(pn_buffer_slice(&out)));
	pn_wipe(password, sizeof(password));
	if (out.data != NULL)
		pn_wipe(out.data, out.size);
	pn_buffer_clear(&out);
	return is_made ? 0 : 1;
}
