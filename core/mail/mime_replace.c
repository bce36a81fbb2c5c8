/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another header for a message whose body is gone by: hooks may edit a header while
 * the body still comes in. The new one is parsed by itself, and what it says of the
 * root takes the place of what the old one said. Called at delivery.
 */
#include "mail/mime.h"

static bool spans_are_equal(const struct pn_mime_tree *one, struct pn_mime_span left,
                            const struct pn_mime_tree *other, struct pn_mime_span right)
{
	return left.size == right.size &&
	       (left.size == 0 || memcmp(one->text.data + left.offset,
	                                 other->text.data + right.offset, left.size) == 0);
}

/* Whether a body reads the same behind either header. */
static bool means_the_same(const struct pn_mime_tree *one, const struct pn_mime_tree *other)
{
	static const enum pn_part_field fields[] = {PN_PART_TYPE, PN_PART_PARAMETERS,
	                                            PN_PART_ENCODING};
	const struct pn_mime_node *left = &one->nodes[0], *right = &other->nodes[0];

	for (size_t index = 0; index < sizeof(fields) / sizeof(fields[0]); index++) {
		if (!spans_are_equal(one, left->fields[fields[index]], other,
		                     right->fields[fields[index]]))
			return false;
	}
	return left->type == right->type && left->kind == right->kind &&
	       left->encoding == right->encoding &&
	       spans_are_equal(one, left->boundary, other, right->boundary);
}

static void move_span(struct pn_mime_span *to, struct pn_mime_span from, size_t base)
{
	*to = from;
	to->offset += (uint32_t)base;
}

/* What the new root knows of itself takes the place of what the old one knew. */
static bool take_fields(struct pn_mime_tree *tree, const struct pn_mime_tree *other)
{
	struct pn_mime_node *root = &tree->nodes[0];
	const struct pn_mime_node *from = &other->nodes[0];
	size_t base = tree->text.size;

	if (pn_buffer_append(&tree->text, pn_buffer_slice(&other->text)) != PN_OK)
		return false;
	for (size_t index = 0; index < PN_PART_FIELDS; index++)
		move_span(&root->fields[index], from->fields[index], base);
	for (size_t index = 0; index < PN_ENVELOPE_FIELDS; index++)
		move_span(&root->envelope[index], from->envelope[index], base);
	root->parameter_count = from->parameter_count;
	root->address_count = from->address_count;
	root->kept = from->kept;
	root->envelope_kept = from->envelope_kept;
	root->header_has_8bit = from->header_has_8bit;
	root->header_has_nul = from->header_has_nul;
	return true;
}

bool pn_mime_replace_header(struct pn_mime_parser *parser, struct pn_slice header)
{
	struct pn_mime_parser *other = pn_mime_new();
	struct pn_mime_tree *tree = &parser->tree;
	bool has_body = parser->root_has_body;
	uint64_t shift;
	bool is_replaced = false;

	pn_mime_end(parser);
	shift = header.size - tree->nodes[0].body_offset;
	pn_mime_feed(other, header);
	if (!has_body || !other->root_has_body || pn_mime_header_size(other) != header.size ||
	    !means_the_same(tree, &other->tree) || !take_fields(tree, &other->tree))
		goto done;
	for (uint32_t index = 0; index < tree->node_count; index++) {
		if (index > 0)
			tree->nodes[index].header_offset += shift;
		tree->nodes[index].body_offset += shift;
	}
	parser->position += shift;
	is_replaced = true;
done:
	pn_mime_free(&other);
	return is_replaced;
}
