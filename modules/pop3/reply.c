/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies (RFC 1939 section 3), the one place where they are written. Response
 * codes are those of RFC 2449 section 8 and RFC 3206: [AUTH], [SYS/TEMP], [SYS/PERM].
 */
#include "pop3.h"

#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 440 }; /* RFC 2449 section 4: a reply is at most 512 bytes */

void pop3_ok(struct pn_session *session, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pn_session_print(session, "+OK %s\r\n", text);
}

enum pn_next pop3_refuse(struct pn_session *session, const char *code, const char *text)
{
	char clean[TEXT_MAX];
	bool has_code = code[0] != '\0';

	pn_text_printable(clean, sizeof(clean), pn_slice_of(text));
	pn_session_print(session, "-ERR %s%s%s%s\r\n", has_code ? "[" : "", code,
	                 has_code ? "] " : "", clean);
	return PN_NEXT_LINE;
}

enum pn_next pop3_farewell(struct pn_session *session, const char *code, const char *text)
{
	(void)pop3_refuse(session, code, text);
	return PN_NEXT_CLOSE;
}

enum pn_next pop3_error(struct pn_session *session, struct pop3_session *pop3, const char *text)
{
	if (++pop3->errors > pop3->config->max_errors)
		return pop3_farewell(session, "", "too many errors");
	return pop3_refuse(session, "", text);
}
