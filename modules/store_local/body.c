/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies in the index: where each lies, and how many rows refer to it. A body without an entry in
 * the table `references` has one; there stands how many more.
 */
#include "store_local.h"

#include <string.h>

static void body_key(struct index_key *key, struct pn_body_id id)
{
	key_start(key);
	key_bytes(key, id.bytes, sizeof(id.bytes));
}

char *body_text(struct pn_body_id id, char room[33])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(id.bytes); i++) {
		room[2 * i] = digits[id.bytes[i] >> 4];
		room[2 * i + 1] = digits[id.bytes[i] & 15];
	}
	room[32] = '\0';
	return room;
}

enum pn_status body_load(struct index_access *access, struct pn_body_id id, struct body_row *row,
                         struct pn_slice *summary_out)
{
	struct index_key key;
	MDB_val value;
	char text[33];
	enum pn_status status;

	body_key(&key, id);
	status = index_get(access, TABLE_BODIES, &key, &value);
	if (status == PN_NOT_FOUND)
		return pn_fail_with(PN_NOT_FOUND, access->error, "there is no body %s",
		                    body_text(id, text));
	if (status != PN_OK)
		return status;
	if (value.mv_size < sizeof(*row))
		return pn_fail(access->error, "the index %s has a damaged row for body %s",
		               access->index->path, body_text(id, text));
	memcpy(row, value.mv_data, sizeof(*row));
	if (row->summary_size != value.mv_size - sizeof(*row))
		return pn_fail(access->error, "the index %s has a damaged row for body %s",
		               access->index->path, body_text(id, text));
	if (summary_out != NULL)
		*summary_out = pn_slice_make((const char *)value.mv_data + sizeof(*row),
		                             row->summary_size);
	return PN_OK;
}

/* Counts a body of that size into its segment (sign 1), or out (-1). */
static enum pn_status count_segment(struct index_access *access, uint64_t segment, int sign,
                                    const struct body_row *body)
{
	struct segment_row row = {0};
	struct index_key key;
	enum pn_status status;

	key_start(&key);
	key_u64(&key, segment);
	status = index_get_fixed(access, TABLE_SEGMENTS, &key, &row, sizeof(row));
	if (status != PN_OK && status != PN_NOT_FOUND)
		return status;
	row.live_count += (uint64_t)(int64_t)sign;
	row.live_bytes += (uint64_t)(int64_t)sign * body->record_size;
	if (row.committed_end < body->offset + body->record_size)
		row.committed_end = body->offset + body->record_size;
	return index_put(access, TABLE_SEGMENTS, &key, &row, sizeof(row));
}

enum pn_status body_add(struct index_access *access, struct new_body *body)
{
	struct index_key key;
	enum pn_status status;

	body->row.summary_size = (uint32_t)body->summary.size;
	body_key(&key, body->id);
	status = index_put_two(access, TABLE_BODIES, &key, &body->row, sizeof(body->row),
	                       body->summary);
	if (status == PN_OK)
		status = count_segment(access, body->row.segment, 1, &body->row);
	body->is_indexed = status == PN_OK;
	return status;
}

enum pn_status body_keep(struct index_access *access, struct pn_body_id id)
{
	struct index_key key;
	uint32_t more = 0;
	enum pn_status status;

	body_key(&key, id);
	status = index_get_fixed(access, TABLE_REFERENCES, &key, &more, sizeof(more));
	if (status == PN_FAILED)
		return status;
	if (more == UINT32_MAX)
		return pn_fail_with(PN_LIMIT, access->error, "a body has too many references");
	more++;
	return index_put(access, TABLE_REFERENCES, &key, &more, sizeof(more));
}

/* The last reference takes the body out of the index; its bytes go when the segment does. */
enum pn_status body_release(struct index_access *access, struct pn_body_id id)
{
	struct body_row row;
	struct index_key key;
	uint32_t more = 0;
	enum pn_status status;

	body_key(&key, id);
	status = index_get_fixed(access, TABLE_REFERENCES, &key, &more, sizeof(more));
	if (status == PN_OK && more > 1) {
		more--;
		return index_put(access, TABLE_REFERENCES, &key, &more, sizeof(more));
	}
	if (status == PN_OK)
		return index_delete(access, TABLE_REFERENCES, &key);
	if (status != PN_NOT_FOUND)
		return status;
	status = body_load(access, id, &row, NULL);
	if (status == PN_OK)
		status = index_delete(access, TABLE_BODIES, &key);
	return status == PN_OK ? count_segment(access, row.segment, -1, &row) : status;
}
