/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Summaries written. A summary is a magic byte and a version; flags, sizes and counts;
 * the envelope of the message; then each part in the order of the message with the
 * fields it has. Numbers are little-endian groups of seven bits; texts begin with
 * their size. mime_open.c reads it back.
 */
#include "mail/mime.h"

enum { LARGEST_FIXED_PART = 64 }; /* what is written of a part besides its fields */

enum pn_status pn_wire_number(struct pn_buffer *out, uint64_t number)
{
	char bytes[10];
	size_t size = 0;

	while (number >= 0x80) {
		bytes[size++] = (char)(number | 0x80);
		number >>= 7;
	}
	bytes[size++] = (char)number;
	return pn_buffer_append(out, pn_slice_make(bytes, size));
}

enum pn_status pn_wire_text(struct pn_buffer *out, struct pn_slice text)
{
	enum pn_status status = pn_wire_number(out, text.size);

	return status == PN_OK ? pn_buffer_append(out, text) : status;
}

/* What is written: parts no deeper than this, so that the summary has the size it may. */
static uint32_t depth_that_fits(const struct pn_mime_tree *tree)
{
	size_t sizes[PN_MIME_MAX_DEPTH + 1] = {0};
	size_t total = 0;
	uint32_t depth = 0;

	for (uint32_t index = 0; index < tree->node_count; index++) {
		const struct pn_mime_node *node = &tree->nodes[index];

		sizes[node->depth] += (size_t)node->kept + node->envelope_kept + LARGEST_FIXED_PART;
	}
	while (depth <= PN_MIME_MAX_DEPTH && total + sizes[depth] <= PN_MIME_MAX_SUMMARY)
		total += sizes[depth++];
	return depth == 0 ? 0 : depth - 1;
}

static enum pn_status put_spans(struct pn_buffer *out, const struct pn_mime_tree *tree,
                                const struct pn_mime_span *spans, size_t count)
{
	uint32_t bits = 0;
	char head[2];
	enum pn_status status;

	for (size_t index = 0; index < count; index++)
		bits |= spans[index].size > 0 ? 1u << index : 0;
	head[0] = (char)(bits & 0xff);
	head[1] = (char)(bits >> 8);
	status = pn_buffer_append(out, pn_slice_make(head, sizeof(head)));
	for (size_t index = 0; index < count && status == PN_OK; index++) {
		if (spans[index].size > 0)
			status = pn_buffer_append(
				out, pn_slice_make(tree->text.data + spans[index].offset,
			                           spans[index].size));
	}
	return status;
}

static enum pn_status put_numbers(struct pn_buffer *out, const uint64_t *numbers, size_t count)
{
	enum pn_status status = PN_OK;

	for (size_t index = 0; index < count && status == PN_OK; index++)
		status = pn_wire_number(out, numbers[index]);
	return status;
}

static enum pn_status put_part(struct pn_buffer *out, const struct pn_mime_tree *tree,
                               const struct pn_mime_node *node, uint32_t parent, bool is_cut)
{
	struct pn_mime_node part = *node;
	const struct pn_mime_node *around = &tree->nodes[node->parent];
	bool is_root = node == around;
	const uint64_t numbers[] = {
		parent,
		is_root ? 0 : node->header_offset - around->body_offset,
		node->body_offset - node->header_offset,
		node->body_size,
		node->line_count,
	};
	char head[3];
	enum pn_status status;

	if (is_cut) {
		part.kind = PN_MIME_LEAF;
		part.type = PN_TYPE_OCTET_STREAM;
		part.fields[PN_PART_TYPE].size = 0;
	}
	head[0] = (char)((int)part.kind | (part.has_8bit ? 4 : 0) | (part.has_nul ? 8 : 0));
	head[1] = (char)part.type;
	head[2] = (char)part.encoding;
	status = pn_buffer_append(out, pn_slice_make(head, sizeof(head)));
	if (status == PN_OK)
		status = put_numbers(out, numbers, sizeof(numbers) / sizeof(numbers[0]));
	if (status == PN_OK)
		status = put_spans(out, tree, part.fields, PN_PART_FIELDS);
	if (status == PN_OK && part.is_message && !is_root)
		status = put_spans(out, tree, part.envelope, PN_ENVELOPE_FIELDS);
	return status;
}

static enum pn_status put_parts(struct pn_buffer *out, const struct pn_mime_tree *tree,
                                uint32_t depth)
{
	uint32_t written[PN_MIME_MAX_PARTS]; /* of each node, which part it is now */
	uint32_t count = 0;
	enum pn_status status = PN_OK;

	for (uint32_t index = 0; index < tree->node_count && status == PN_OK; index++) {
		const struct pn_mime_node *node = &tree->nodes[index];
		bool is_cut = node->depth == depth && node->kind != PN_MIME_LEAF;

		if (node->depth > depth)
			continue;
		written[index] = count++;
		status = put_part(out, tree, node, written[node->parent], is_cut);
	}
	return status;
}

enum pn_status pn_mime_summary_write(const struct pn_mime_tree *tree, uint64_t size,
                                     struct pn_buffer *out)
{
	const size_t before = out->size;
	const struct pn_mime_node *root = &tree->nodes[0];
	uint32_t depth = depth_that_fits(tree);
	char head[] = {(char)PN_MIME_MAGIC, PN_MIME_VERSION,
	               root->header_has_8bit ? PN_MIME_HEADER_8BIT : 0};
	/* size, parts, envelopes of messages inside, parameters, addresses */
	uint64_t numbers[] = {size, 0, 0, 0, 0};
	enum pn_status status;

	for (uint32_t index = 0; index < tree->node_count; index++) {
		const struct pn_mime_node *node = &tree->nodes[index];

		if (node->depth > depth)
			continue;
		numbers[1]++;
		numbers[2] += node->is_message && index > 0 ? 1 : 0;
		numbers[3] += node->parameter_count + (node->type == PN_TYPE_DEFAULT ? 1 : 0);
		numbers[4] += node->address_count;
	}
	status = pn_buffer_append(out, pn_slice_make(head, sizeof(head)));
	if (status == PN_OK)
		status = put_numbers(out, numbers, sizeof(numbers) / sizeof(numbers[0]));
	if (status == PN_OK)
		status = put_spans(out, tree, root->envelope, PN_ENVELOPE_FIELDS);
	if (status == PN_OK)
		status = put_parts(out, tree, depth);
	if (status != PN_OK)
		out->size = before;
	return status;
}
