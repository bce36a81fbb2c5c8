/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `postern password`: reads a password from standard input and prints its hash
 * (yescrypt), as files of accounts want it.
 */
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

int pn_command_password(const struct pn_arguments *arguments)
{
	char password[1024];
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	struct crypt_data data = {0};
	const char *hash;

	(void)arguments;
	if (!read_password(password, sizeof(password))) {
		fputs("postern: no password was given on standard input\n", stderr);
		return 1;
	}
	if (crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) == NULL ||
	    (hash = crypt_rn(password, setting, &data, sizeof(data))) == NULL) {
		fputs("postern: this system cannot make yescrypt hashes\n", stderr);
		return 1;
	}
	puts(hash);
	pn_wipe(password, sizeof(password));
	pn_wipe(&data, sizeof(data));
	return 0;
}
