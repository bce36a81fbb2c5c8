/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 (RFC 3629), as far as this house needs it: is the next character whole
 * and well-formed, and which one is it. Pure.
 */
#ifndef CORE_BASE_UTF8_H
#define CORE_BASE_UTF8_H

#include <postern/types.h>

/*
 * Bytes of the character at the beginning of `text` (1 to 4), or 0 where there is none or it is
 * malformed: overlong forms, surrogates and what lies above U+10FFFF included. *code_point_out is
 * set where the result is not 0; it may be NULL.
 */
size_t pn_utf8_next(struct pn_slice text, uint32_t *code_point_out);

/* Whether the character would act on a terminal or on the direction of text: controls (C0, DEL,
 * C1), line and paragraph separators, directional marks. */
bool pn_utf8_is_control(uint32_t code_point);

#endif
