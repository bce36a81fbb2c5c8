/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Details of a queue row: pairs of key and value, each with its size before it, so
 * that any byte may stand in them. See queue.h. What crosses into the queue with a
 * message is listed in restore.c, and in no other place. Pure, any thread.
 */
#include "delivery/details.h"

#include <postern/text.h>

#include <stdio.h>

enum { SIZE_BYTES = 4, DETAILS_MAX = 1024 * 1024 };

static bool take(struct pn_slice details, size_t *at, struct pn_slice *out)
{
	uint32_t size;

	if (details.size < SIZE_BYTES || *at > details.size - SIZE_BYTES)
		return false;
	memcpy(&size, details.data + *at, SIZE_BYTES);
	if (size > details.size - *at - SIZE_BYTES)
		return false;
	*out = pn_slice_make(details.data + *at + SIZE_BYTES, size);
	*at += SIZE_BYTES + size;
	return true;
}

bool pn_queue_detail_next(struct pn_slice details, size_t *at, struct pn_queue_detail *detail_out)
{
	return take(details, at, &detail_out->key) && take(details, at, &detail_out->value);
}

struct pn_slice pn_queue_detail_of(struct pn_slice details, struct pn_slice key)
{
	struct pn_queue_detail detail;
	size_t at = 0;

	while (pn_queue_detail_next(details, &at, &detail)) {
		if (pn_slice_equal(detail.key, key))
			return detail.value;
	}
	return PN_SLICE_NONE;
}

static enum pn_status put(struct pn_buffer *out, struct pn_slice text)
{
	uint32_t size = (uint32_t)text.size;
	enum pn_status status;

	if (text.size > DETAILS_MAX)
		return PN_LIMIT;
	status = pn_buffer_append(out, pn_slice_make((const char *)&size, SIZE_BYTES));
	return status == PN_OK ? pn_buffer_append(out, text) : status;
}

enum pn_status pn_details_add(struct pn_buffer *out, struct pn_slice key, struct pn_slice value)
{
	size_t before = out->size;
	enum pn_status status = put(out, key);

	if (status == PN_OK)
		status = put(out, value);
	if (status != PN_OK)
		out->size = before; /* the pair whole, or not at all */
	return status;
}

void pn_details_init(struct pn_buffer *out)
{
	pn_buffer_init(out, DETAILS_MAX);
}

struct pn_slice pn_queue_detail_set(struct pn_arena *arena, struct pn_slice details,
                                    struct pn_slice key, struct pn_slice value)
{
	struct pn_queue_detail detail;
	struct pn_slice result = details;
	struct pn_buffer out;
	enum pn_status status = PN_OK;
	size_t at = 0;

	pn_details_init(&out);
	while (status == PN_OK && pn_queue_detail_next(details, &at, &detail)) {
		if (!pn_slice_equal(detail.key, key))
			status = pn_details_add(&out, detail.key, detail.value);
	}
	if (status == PN_OK && value.size > 0)
		status = pn_details_add(&out, key, value);
	if (status == PN_OK)
		result = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return result;
}

bool pn_notify_has(struct pn_slice notify, const char *word)
{
	if (notify.size == 0)
		return strcmp(word, "SUCCESS") != 0;
	while (notify.size > 0) {
		if (pn_slice_equal_ignore_case(pn_slice_trim(pn_slice_cut(&notify, ',')),
		                               pn_slice_of(word)))
			return true;
	}
	return false;
}

enum pn_status pn_details_add_by(struct pn_buffer *out, const struct pn_deliver_by *by)
{
	char text[40];

	if (by->mode == PN_DELIVER_BY_NEVER)
		return PN_OK;
	snprintf(text, sizeof(text), "%c%lld%s", by->mode == PN_DELIVER_BY_RETURN ? 'R' : 'N',
	         (long long)(by->moment_ms < 0 ? 0 : by->moment_ms), by->traces ? "T" : "");
	return pn_details_add(out, PN_SLICE("by"), pn_slice_of(text));
}

struct pn_deliver_by pn_details_by(struct pn_slice details)
{
	const struct pn_deliver_by none = {.mode = PN_DELIVER_BY_NEVER};
	struct pn_slice text = pn_queue_detail_of(details, PN_SLICE("by"));
	struct pn_deliver_by by = none;
	uint64_t moment;

	if (text.size < 2 || (text.data[0] != 'R' && text.data[0] != 'N'))
		return none;
	by.mode = text.data[0] == 'R' ? PN_DELIVER_BY_RETURN : PN_DELIVER_BY_NOTIFY;
	by.traces = text.data[text.size - 1] == 'T';
	text = pn_slice_make(text.data + 1, text.size - 1 - (by.traces ? 1 : 0));
	if (pn_parse_count(text, &moment) != PN_OK || moment > INT64_MAX)
		return none;
	by.moment_ms = (int64_t)moment;
	return by;
}

enum pn_route_tls pn_details_tls(struct pn_slice details)
{
	struct pn_slice word = pn_queue_detail_of(details, PN_SLICE("tls"));

	if (pn_slice_equal(word, PN_SLICE("required")))
		return PN_ROUTE_TLS_VERIFIED;
	return pn_slice_equal(word, PN_SLICE("optional")) ? PN_ROUTE_TLS_OPPORTUNISTIC
	                                                  : PN_ROUTE_TLS_DEFAULT;
}
