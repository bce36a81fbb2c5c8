/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small questions about text, on slices. Letters are ASCII letters: what is
 * case-insensitive in the protocols is so in ASCII only. Pure functions.
 */
#ifndef POSTERN_TEXT_H
#define POSTERN_TEXT_H

#include <postern/buffer.h>
#include <postern/error.h>
#include <postern/types.h>

PN_DECLARATIONS_BEGIN

bool pn_slice_equal(struct pn_slice left, struct pn_slice right);
bool pn_slice_equal_ignore_case(struct pn_slice left, struct pn_slice right);
bool pn_slice_starts_with_ignore_case(struct pn_slice slice, struct pn_slice prefix);

/* Without spaces and tabs at either end. */
struct pn_slice pn_slice_trim(struct pn_slice slice);

/*
 * Cuts *rest at the first `separator`: returns what is before it, and leaves in
 * *rest what is behind. Without a separator everything is returned, *rest empty.
 */
struct pn_slice pn_slice_cut(struct pn_slice *rest, char separator);

/* Index of the byte, or slice.size where there is none. */
size_t pn_slice_find(struct pn_slice slice, char byte);

/*
 * A whole decimal number, digits only, no sign, no overflow.
 * PN_OK, or PN_FAILED where the text is not one.
 */
PN_MUST_CHECK enum pn_status pn_parse_count(struct pn_slice text, uint64_t *value_out);

/* "50M", "16k", "1G" (powers of 1024) or plain bytes. */
PN_MUST_CHECK enum pn_status pn_parse_size(struct pn_slice text, uint64_t *bytes_out);

/* "30s", "5m", "2h", "1d", "250ms". A number without a unit is refused. */
PN_MUST_CHECK enum pn_status pn_parse_duration(struct pn_slice text, uint64_t *milliseconds_out);

/*
 * Appends the bytes as a JSON string with its quotes. Control characters, DEL and bytes
 * that are not valid UTF-8 become \uXXXX escapes (bytes as U+0080..U+00FF), so that a
 * line of JSON is a line and holds nothing a terminal would act on.
 */
PN_MUST_CHECK enum pn_status pn_json_append_string(struct pn_buffer *buffer, struct pn_slice text);

/*
 * A copy in `room` (always NUL-terminated, cut to fit) in which every byte outside
 * printable ASCII is '?': for putting a stranger's text into a reply or a header.
 */
const char *pn_text_printable(char *room, size_t room_size, struct pn_slice text);

/* The word of `words` (NULL-terminated) nearest to `text`, or NULL where none is near. */
const char *pn_nearest_word(const char *text, const char *const *words);

/*
 * Base64 (RFC 4648 section 4), without line breaks. Decoding is strict: padding
 * required, no other byte tolerated; PN_FAILED otherwise. Both append to `out`.
 */
PN_MUST_CHECK enum pn_status pn_base64_encode(struct pn_buffer *out, struct pn_slice bytes);
PN_MUST_CHECK enum pn_status pn_base64_decode(struct pn_buffer *out, struct pn_slice text);

/* Equal, in a time that depends on the sizes only. For secrets. */
bool pn_equal_constant_time(struct pn_slice left, struct pn_slice right);

PN_DECLARATIONS_END

#endif
