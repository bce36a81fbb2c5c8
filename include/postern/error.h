/* SPDX-License-Identifier: Apache-2.0 */
/*
 * struct pn_error: what we were doing, why it failed, and where in the source.
 * Always the last parameter; may be NULL where the caller does not care for the
 * text. An error is logged once, where it is handled.
 */
#ifndef POSTERN_ERROR_H
#define POSTERN_ERROR_H

#include <postern/types.h>

#define PN_ERROR_TEXT_SIZE 512

struct pn_error {
	char text[PN_ERROR_TEXT_SIZE]; /* a sentence for people; names place and remedy */
	const char *file;              /* source file and line that failed */
	int line;
	int system_error;              /* errno of the cause, or 0 */
};

PN_DECLARATIONS_BEGIN

/* Use the macros below. Control characters in the text become '?'. Any thread. */
enum pn_status pn_error_set(struct pn_error *error, const char *file, int line, int system_error,
			    enum pn_status status, const char *format, ...) PN_PRINTF(6, 7);

/* Puts "text: " before what the error already says; the first cause stays last. Any thread. */
void pn_error_prefix(struct pn_error *error, const char *format, ...) PN_PRINTF(2, 3);

PN_DECLARATIONS_END

/* return pn_fail(error, "cannot open %s", path);  gives PN_FAILED */
#define pn_fail(error, ...)                                                                        \
	pn_error_set(error, __FILE__, __LINE__, 0, PN_FAILED, __VA_ARGS__)

/* The same, with errno's text appended: "cannot open x: No such file or directory". */
#define pn_fail_errno(error, number, ...)                                                          \
	pn_error_set(error, __FILE__, __LINE__, number, PN_FAILED, __VA_ARGS__)

/* Any other status with a text: return pn_fail_with(PN_LIMIT, error, "…"); */
#define pn_fail_with(status, error, ...)                                                           \
	pn_error_set(error, __FILE__, __LINE__, 0, status, __VA_ARGS__)

#endif
