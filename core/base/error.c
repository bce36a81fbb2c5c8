/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error texts: written where something failed, prefixed on the way up, logged
 * once where it is handled. What they quote may be a stranger's, so they are
 * made clean here. Any thread.
 */
#include <postern/error.h>

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

/* Control characters, and what is not UTF-8 (a character that was cut in two, too), become '?'. */
static void make_clean(char *text)
{
	struct pn_slice rest = pn_slice_of(text);

	while (rest.size > 0) {
		uint32_t code_point = 0;
		size_t size = pn_utf8_next(rest, &code_point);

		if (size == 0 || pn_utf8_is_control(code_point)) {
			size = size == 0 ? 1 : size;
			memset(text, '?', size);
		}
		text += size;
		rest.data += size;
		rest.size -= size;
	}
}

enum pn_status pn_error_set(struct pn_error *error, const char *file, int line, int system_error,
                            enum pn_status status, const char *format, ...)
{
	char text[PN_ERROR_TEXT_SIZE]; /* the arguments may point into the error itself */
	va_list arguments;
	size_t size;

	if (error == NULL)
		return status;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	size = strlen(text);
	if (system_error != 0) {
		char room[128];

		snprintf(text + size, sizeof(text) - size, ": %s",
		         strerror_r(system_error, room, sizeof(room)));
	}
	make_clean(text);
	memcpy(error->text, text, sizeof(text));
	error->file = file;
	error->line = line;
	error->system_error = system_error;
	return status;
}

void pn_error_prefix(struct pn_error *error, const char *format, ...)
{
	char text[2 * PN_ERROR_TEXT_SIZE];
	va_list arguments;
	size_t size;

	if (error == NULL)
		return;
	va_start(arguments, format);
	vsnprintf(text, PN_ERROR_TEXT_SIZE, format, arguments);
	va_end(arguments);
	size = strlen(text);
	snprintf(text + size, sizeof(text) - size, ": %s", error->text);
	memcpy(error->text, text, PN_ERROR_TEXT_SIZE);
	error->text[PN_ERROR_TEXT_SIZE - 1] = '\0';
	make_clean(error->text);
}

const char *pn_status_name(enum pn_status status)
{
	switch (status) {
	case PN_OK:
		return "ok";
	case PN_FAILED:
		return "failed";
	case PN_NOT_FOUND:
		return "not found";
	case PN_LIMIT:
		return "limit";
	case PN_CONFLICT:
		return "conflict";
	case PN_TIMEOUT:
		return "timeout";
	case PN_PENDING:
		return "pending";
	case PN_DENIED:
		return "denied";
	}
	return "unknown";
}
