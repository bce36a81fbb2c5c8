/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records: a body as it stands in a segment, with all that is needed to bring it
 * back without the index: what it is, where it was delivered, and three
 * checksums (header, meta, body). Pure but for record_verify().
 */
#include "store_local.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <postern/buffer.h>

enum { VERIFY_STEP = 256 << 10 };

uint64_t record_padded(uint64_t size)
{
	return (size + RECORD_ALIGNMENT - 1) / RECORD_ALIGNMENT * RECORD_ALIGNMENT;
}

void record_checksum(const void *bytes, size_t size, uint8_t checksum[CHECKSUM_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(&canonical, XXH3_128bits(size == 0 ? "" : bytes, size));
	memcpy(checksum, canonical.digest, CHECKSUM_SIZE);
}

/*
 * The sum of a body. Of a large body the rest is written long before its front (the header of the
 * message, as edited last), and a sum cannot be continued to the front: then it is the sum of the
 * two sums.
 */
void record_join_checksums(const uint8_t front[CHECKSUM_SIZE], const uint8_t rest[CHECKSUM_SIZE],
                           uint8_t checksum[CHECKSUM_SIZE])
{
	uint8_t both[2 * CHECKSUM_SIZE];

	memcpy(both, front, CHECKSUM_SIZE);
	memcpy(both + CHECKSUM_SIZE, rest, CHECKSUM_SIZE);
	record_checksum(both, sizeof(both), checksum);
}

bool record_body_is_good(const struct record_header *header, const void *bytes)
{
	size_t front_size = (size_t)header->front_size;
	uint8_t front[CHECKSUM_SIZE];
	uint8_t checksum[CHECKSUM_SIZE];

	record_checksum((const char *)bytes + front_size, (size_t)header->body_size - front_size,
	                checksum);
	if (front_size != 0) {
		record_checksum(bytes, front_size, front);
		record_join_checksums(front, checksum, checksum);
	}
	return memcmp(checksum, header->body_checksum, CHECKSUM_SIZE) == 0;
}

static void header_checksum(const struct record_header *header, uint64_t salt,
                            uint8_t checksum[CHECKSUM_SIZE])
{
	XXH128_canonical_t canonical;

	XXH128_canonicalFromHash(
		&canonical,
		XXH3_128bits_withSeed(header, offsetof(struct record_header, checksum), salt));
	memcpy(checksum, canonical.digest, CHECKSUM_SIZE);
}

void record_header_seal(struct record_header *header, uint64_t salt)
{
	header_checksum(header, salt, header->checksum);
}

bool record_header_is_good(const struct record_header *header, uint64_t salt)
{
	uint8_t checksum[CHECKSUM_SIZE];

	if (header->magic != RECORD_MAGIC || header->version != LOCAL_FORMAT)
		return false;
	header_checksum(header, salt, checksum);
	return memcmp(checksum, header->checksum, CHECKSUM_SIZE) == 0;
}

/* ---------------------------------------------------------------------- meta */

static void put(struct pn_buffer *buffer, const void *bytes, size_t size)
{
	if (pn_buffer_append(buffer, pn_slice_make(bytes, size)) != PN_OK)
		abort(); /* the buffer's limit is SIZE_MAX */
}

static void put_u32(struct pn_buffer *buffer, uint32_t number)
{
	put(buffer, &number, sizeof(number));
}

static void put_text(struct pn_buffer *buffer, struct pn_slice text)
{
	put_u32(buffer, (uint32_t)text.size);
	if (text.size != 0)
		put(buffer, text.data, text.size);
}

static void put_queue_row(struct pn_buffer *buffer, const struct pn_queue_row *row)
{
	put(buffer, &row->due_ms, sizeof(row->due_ms));
	put(buffer, &row->arrived_ms, sizeof(row->arrived_ms));
	put(buffer, &row->expires_ms, sizeof(row->expires_ms));
	put_u32(buffer, row->priority);
	put_text(buffer, row->transaction);
	put_text(buffer, row->sender);
	put_text(buffer, row->recipient);
	put_text(buffer, row->destination);
	put_text(buffer, row->tenant);
	put_text(buffer, row->details);
}

/* In the arena. */
struct pn_slice record_meta_write(struct pn_arena *arena, const struct record_meta *meta)
{
	struct pn_buffer buffer;
	struct pn_slice bytes;

	pn_buffer_init(&buffer, SIZE_MAX);
	put_text(&buffer, meta->transaction);
	put_text(&buffer, meta->summary);
	put_u32(&buffer, (uint32_t)meta->delivery_count);
	for (size_t i = 0; i < meta->delivery_count; i++) {
		const struct record_delivery *delivery = &meta->deliveries[i];

		put_u32(&buffer, delivery->is_queued);
		if (delivery->is_queued) {
			put_queue_row(&buffer, &delivery->queue_row);
			continue;
		}
		put_text(&buffer, delivery->account);
		put_text(&buffer, delivery->mailbox);
		put_text(&buffer, delivery->once_key);
		put_u32(&buffer, delivery->flags.system);
		put_u32(&buffer, (uint32_t)delivery->flags.keyword_count);
		for (size_t k = 0; k < delivery->flags.keyword_count; k++)
			put_text(&buffer, delivery->flags.keywords[k]);
		put(&buffer, &delivery->internal_date_ms, sizeof(delivery->internal_date_ms));
	}
	bytes = pn_arena_keep(arena, pn_buffer_slice(&buffer));
	pn_buffer_clear(&buffer);
	return bytes;
}

/* Takes from the front; false where there is not enough. */
static bool take(struct pn_slice *rest, void *bytes, size_t size)
{
	if (rest->size < size)
		return false;
	memcpy(bytes, rest->data, size);
	*rest = pn_slice_make(rest->data + size, rest->size - size);
	return true;
}

static bool take_text(struct pn_slice *rest, struct pn_slice *text)
{
	uint32_t size;

	if (!take(rest, &size, sizeof(size)) || rest->size < size)
		return false;
	*text = pn_slice_make(rest->data, size);
	*rest = pn_slice_make(rest->data + size, rest->size - size);
	return true;
}

static bool take_queue_row(struct pn_slice *rest, struct pn_queue_row *row)
{
	return take(rest, &row->due_ms, sizeof(row->due_ms)) &&
	       take(rest, &row->arrived_ms, sizeof(row->arrived_ms)) &&
	       take(rest, &row->expires_ms, sizeof(row->expires_ms)) &&
	       take(rest, &row->priority, sizeof(row->priority)) &&
	       take_text(rest, &row->transaction) && take_text(rest, &row->sender) &&
	       take_text(rest, &row->recipient) && take_text(rest, &row->destination) &&
	       take_text(rest, &row->tenant) && take_text(rest, &row->details);
}

static bool take_delivery(struct pn_arena *arena, struct pn_slice *rest,
                          struct record_delivery *delivery)
{
	uint32_t is_queued;
	uint32_t count;
	struct pn_slice *words;

	if (!take(rest, &is_queued, sizeof(is_queued)))
		return false;
	delivery->is_queued = is_queued != 0;
	if (delivery->is_queued)
		return take_queue_row(rest, &delivery->queue_row);
	if (!take_text(rest, &delivery->account) || !take_text(rest, &delivery->mailbox) ||
	    !take_text(rest, &delivery->once_key) ||
	    !take(rest, &delivery->flags.system, sizeof(uint32_t)) ||
	    !take(rest, &count, sizeof(count)) || count > rest->size / sizeof(uint32_t))
		return false;
	words = PN_ARENA_ARRAY(arena, count, struct pn_slice);
	for (uint32_t i = 0; i < count; i++)
		if (!take_text(rest, &words[i]))
			return false;
	delivery->flags.keywords = words;
	delivery->flags.keyword_count = count;
	return take(rest, &delivery->internal_date_ms, sizeof(delivery->internal_date_ms));
}

/* Texts point into `bytes`. */
bool record_meta_read(struct pn_arena *arena, struct pn_slice bytes, struct record_meta *meta)
{
	struct record_delivery *deliveries;
	uint32_t count;

	if (!take_text(&bytes, &meta->transaction) || !take_text(&bytes, &meta->summary) ||
	    !take(&bytes, &count, sizeof(count)) || count > bytes.size / sizeof(uint32_t))
		return false;
	deliveries = PN_ARENA_ARRAY(arena, count, struct record_delivery);
	for (uint32_t i = 0; i < count; i++)
		if (!take_delivery(arena, &bytes, &deliveries[i]))
			return false;
	meta->deliveries = deliveries;
	meta->delivery_count = count;
	return true;
}

static enum pn_status sum_part(int descriptor, uint64_t offset, uint64_t size,
                               uint8_t checksum[CHECKSUM_SIZE], const char *what,
                               struct pn_error *error)
{
	XXH3_state_t *state = XXH3_createState();
	char *bytes = malloc(VERIFY_STEP);
	XXH128_canonical_t canonical;
	enum pn_status status = PN_OK;

	if (state == NULL || bytes == NULL)
		abort();
	XXH3_128bits_reset(state);
	while (size != 0 && status == PN_OK) {
		size_t step = size < VERIFY_STEP ? (size_t)size : VERIFY_STEP;

		status = file_read(descriptor, bytes, step, offset, what, error);
		if (status == PN_OK)
			XXH3_128bits_update(state, bytes, step);
		offset += step;
		size -= step;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
	memcpy(checksum, canonical.digest, CHECKSUM_SIZE);
	XXH3_freeState(state);
	free(bytes);
	return status == PN_NOT_FOUND ? PN_FAILED
	                              : status; /* the text says that it ends too early */
}

enum pn_status record_verify(int descriptor, const struct record_header *header, uint64_t offset,
                             const char *what, struct pn_error *error)
{
	uint64_t body = offset + header->body_offset;
	uint8_t meta[CHECKSUM_SIZE];
	uint8_t front[CHECKSUM_SIZE];
	uint8_t rest[CHECKSUM_SIZE];
	enum pn_status status = sum_part(descriptor, offset + header->meta_offset,
	                                 header->meta_size, meta, what, error);

	if (status == PN_OK && header->front_size != 0)
		status = sum_part(descriptor, body, header->front_size, front, what, error);
	if (status == PN_OK)
		status = sum_part(descriptor, body + header->front_size,
		                  header->body_size - header->front_size, rest, what, error);
	if (status != PN_OK)
		return status;
	if (header->front_size != 0)
		record_join_checksums(front, rest, rest);
	if (memcmp(meta, header->meta_checksum, CHECKSUM_SIZE) != 0 ||
	    memcmp(rest, header->body_checksum, CHECKSUM_SIZE) != 0)
		return pn_fail(error, "%s is damaged: the checksum differs", what);
	return PN_OK;
}
