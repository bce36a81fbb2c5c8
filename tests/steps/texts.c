/* SPDX-License-Identifier: Apache-2.0 */
/* The texts: a beginning, a piece again and again ('#': its number), an end. */
#include "steps.h"

#include <postern/text.h>

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name;
	struct pn_slice begin;
	const char *piece;
	const char *end;
} texts[] = {
	{"one letter", PN_SLICE(""), "a", ""},
	{"spaces", PN_SLICE("Subject:"), " ", "x\r\n\r\n"},
	{"line breaks", PN_SLICE(""), "\r\n", ""},
	{"returns", PN_SLICE(""), "\r", "\n"},
	{"dots", PN_SLICE(""), "\r\n.", "\r\n.\r\n"},
	{"dots on lines", PN_SLICE(""), "..\r\n", ".\r\n"},
	{"lines of text", PN_SLICE("Subject: x\r\n\r\n"), "some text that is a line of its own\r\n",
         "\r\n.\r\n"},
	{"fields", PN_SLICE(""), "X-Field-#: value\r\n", "\r\n"},
	{"folded lines", PN_SLICE("Subject: x\r\n"), " y\r\n", "\r\n"},
	{"nested comments", PN_SLICE("From: "), "(", "a@b\r\n\r\n"},
	{"open quotes", PN_SLICE("To: "), "\"\\\"", "\r\n\r\n"},
	{"addresses", PN_SLICE("To: a@b.example"), ", \"c\" <d@e.example>", "\r\n\r\n"},
	{"groups", PN_SLICE("Cc: "), "g:a@b;,", "\r\n\r\n"},
	{"source route", PN_SLICE("<@a.example"), ",@b.example", ":c@d.example>"},
	{"labels", PN_SLICE("<a@"), "b.", "example>"},
	{"parameters", PN_SLICE("Content-Type: text/plain"), "; a#=b", "\r\n\r\n"},
	{"pieces of a parameter", PN_SLICE("Content-Type: text/plain"), "; name*#*=utf-8''%41",
         "\r\n\r\n"},
	{"parameters of MAIL", PN_SLICE("<a@b.example>"), " A#=x", ""},
	{"encoded words", PN_SLICE("Subject: "), "=?utf-8?q?=C3=BC?= ", "\r\n\r\n"},
	{"half an encoded word", PN_SLICE("Subject: "), "=?", "\r\n\r\n"},
	{"boundaries", PN_SLICE("Content-Type: multipart/mixed; boundary=b\r\n\r\n"), "--b\r\n",
         "--b--\r\n"},
	{"nested parts", PN_SLICE(""), "Content-Type: multipart/mixed; boundary=b#\r\n\r\n--b#\r\n",
         ""},
	{"nested messages", PN_SLICE(""), "Content-Type: message/rfc822\r\n\r\n", ""},
	{"almost boundaries",
         PN_SLICE("Content-Type: multipart/mixed; boundary=aaaaaaaaaaaaaaaaaaaa\r\n\r\n"),
         "--aaaaaaaaaaaaaaaaaaa\r\n", ""},
	{"base64", PN_SLICE("Content-Transfer-Encoding: base64\r\n\r\n"), "QUJD\r\n", ""},
	{"quoted printable", PN_SLICE("Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
         "=41=\r\n", ""},
	{"spaces at the end of lines",
         PN_SLICE("Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
         "                                    ", "\r\n"},
	{"xtext", PN_SLICE(""), "+41", ""},
	{"replies", PN_SLICE(""), "250-x\r\n", "250 x\r\n"},
	{"commands", PN_SLICE(""), "NOOP\r\n", "QUIT\r\n"},
	{"commands that are none", PN_SLICE(""), "A\r\n", "QUIT\r\n"},
	{"marks", PN_SLICE(""), "a\xcc\x81\xcc\x82\xcc\xa3", ""},
	{"broken UTF-8", PN_SLICE(""), "\xc3", "\r\n"},
	{"escapes of ISO 2022", PN_SLICE(""), "\x1b$B!!\x1b(B", "\r\n"},
	{"blocks of PROXY", PN_SLICE("\r\n\r\n\0\r\nQUIT\n\x21\x11\x10\0abcdABCD1212"), "\x04\x01",
         ""},
};

const char *text_name(size_t index)
{
	return index < sizeof(texts) / sizeof(texts[0]) ? texts[index].name : NULL;
}

void text_write(size_t index, size_t size, struct pn_buffer *out)
{
	unsigned number = 0;

	(void)!pn_buffer_append(out, texts[index].begin);
	while (out->size < size) {
		for (const char *at = texts[index].piece; *at != '\0'; at++) {
			if (*at == '#')
				(void)!pn_buffer_print(out, "%u", number);
			else
				(void)!pn_buffer_append(out, pn_slice_make(at, 1));
		}
		number++;
	}
	(void)!pn_buffer_append(out, pn_slice_of(texts[index].end));
}
