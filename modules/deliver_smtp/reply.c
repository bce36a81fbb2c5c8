/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of a server (RFC 5321 section 4.2), line by line: code, enhanced code
 * (RFC 2034, RFC 3463) and text apart, the lines of one joined. Strict in what
 * decides (codes, and that they agree), easy on the text. Pure.
 */
#include "deliver.h"

#include <postern/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

/* Size of 1 to 3 digits at `at`; 0 where there are none, or more. */
static size_t number_size(struct pn_slice text, size_t at)
{
	size_t size = 0;

	while (at + size < text.size && is_digit(text.data[at + size]) && size < 4)
		size++;
	return size <= 3 ? size : 0;
}

/* "5.7.1" at the beginning, of the class of the code, with a space or the end behind it; its size,
 * or 0. */
static size_t enhanced_size(struct pn_slice text, char code_class)
{
	size_t subject, detail;

	if (text.size < 5 || text.data[0] != code_class || text.data[1] != '.' ||
	    (code_class != '2' && code_class != '4' && code_class != '5'))
		return 0;
	subject = number_size(text, 2);
	if (subject == 0 || 2 + subject >= text.size || text.data[2 + subject] != '.')
		return 0;
	detail = number_size(text, 3 + subject);
	if (detail == 0)
		return 0;
	detail += 3 + subject;
	return detail == text.size || text.data[detail] == ' ' ? detail : 0;
}

static void join_text(struct pn_reply *reply, struct pn_slice text)
{
	size_t size = strlen(reply->text);

	text = pn_slice_trim(text);
	if (text.size == 0 || size + 2 >= sizeof(reply->text))
		return;
	if (size > 0)
		reply->text[size++] = ' ';
	pn_text_printable(reply->text + size, sizeof(reply->text) - size, text);
}

static void take_text(struct deliver_reply *reply, struct pn_slice text)
{
	size_t size = enhanced_size(text, (char)('0' + reply->reply.code / 100));

	if (size > 0 && size < sizeof(reply->reply.enhanced)) {
		if (reply->reply.enhanced[0] == '\0')
			memcpy(reply->reply.enhanced, text.data, size);
		text = pn_slice_behind(text, size);
	}
	join_text(&reply->reply, text);
}

enum deliver_reply_state deliver_reply_take(struct deliver_reply *reply, struct pn_slice line,
                                            struct pn_slice *text_out)
{
	struct pn_slice text;
	unsigned code;

	if (line.size < 3 || line.data[0] < '2' || line.data[0] > '5' || !is_digit(line.data[1]) ||
	    !is_digit(line.data[2]) ||
	    (line.size > 3 && line.data[3] != ' ' && line.data[3] != '-'))
		return DELIVER_REPLY_BROKEN;
	code = (unsigned)(line.data[0] - '0') * 100 + (unsigned)(line.data[1] - '0') * 10 +
	       (unsigned)(line.data[2] - '0');
	if ((reply->lines > 0 && code != reply->reply.code) ||
	    ++reply->lines > DELIVER_REPLY_LINES_MAX)
		return DELIVER_REPLY_BROKEN;
	reply->reply.code = (uint16_t)code;
	text = line.size > 3 ? pn_slice_behind(line, 4) : PN_SLICE("");
	if (text_out != NULL)
		*text_out = text;
	take_text(reply, text);
	return line.size > 3 && line.data[3] == '-' ? DELIVER_REPLY_MORE : DELIVER_REPLY_WHOLE;
}

void deliver_reply_say(struct pn_reply *reply, const char *enhanced, const char *format, ...)
{
	char text[PN_ERROR_TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	memset(reply, 0, sizeof(*reply));
	snprintf(reply->enhanced, sizeof(reply->enhanced), "%s", enhanced);
	pn_text_printable(reply->text, sizeof(reply->text), pn_slice_of(text));
}
