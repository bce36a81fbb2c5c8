/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a message as they open and close: what a part is once its header is
 * known, how deep and how many there may be, where bodies end. Whatever was in the
 * message, every multipart has a part and every message inside has a content.
 * Called by mime_parser.c alone.
 */
#include "mail/mime.h"

#include "base/assert.h"

#include <stdatomic.h>
#include <stdlib.h>

static _Atomic uint32_t limit_of_depth = PN_MIME_MAX_DEPTH;
static _Atomic uint32_t limit_of_parts = PN_MIME_MAX_PARTS;

void pn_mime_limit(uint32_t depth, uint32_t parts)
{
	pn_assert(depth >= 1 && depth <= PN_MIME_MAX_DEPTH);
	pn_assert(parts >= 1 && parts <= PN_MIME_MAX_PARTS);
	atomic_store_explicit(&limit_of_depth, depth, memory_order_relaxed);
	atomic_store_explicit(&limit_of_parts, parts, memory_order_relaxed);
}

void pn_mime_tree_init(struct pn_mime_tree *tree)
{
	pn_buffer_init(&tree->text, PN_MIME_MAX_TEXT);
	pn_buffer_init(&tree->value, PN_MIME_MAX_FIELD + 1);
	pn_buffer_init(&tree->scratch, 2 * PN_MIME_MAX_FIELD + 2);
	pn_mime_tree_reset(tree);
}

void pn_mime_tree_reset(struct pn_mime_tree *tree)
{
	/* One message is read by one measure. */
	tree->max_depth = atomic_load_explicit(&limit_of_depth, memory_order_relaxed);
	tree->max_parts = atomic_load_explicit(&limit_of_parts, memory_order_relaxed);
	tree->node_count = 0;
	tree->open_count = 0;
	tree->text.size = 0;
	pn_mime_boundaries_reset(&tree->boundaries);
}

void pn_mime_tree_clear(struct pn_mime_tree *tree)
{
	free(tree->nodes);
	tree->nodes = NULL;
	tree->node_capacity = 0;
	pn_buffer_clear(&tree->text);
	pn_buffer_clear(&tree->value);
	pn_buffer_clear(&tree->scratch);
}

struct pn_mime_node *pn_mime_tree_at(const struct pn_mime_tree *tree)
{
	return &tree->nodes[tree->open[tree->open_count - 1]];
}

/* The nodes are many or few, and live as long as the parser: not in an arena. */
static struct pn_mime_node *add_node(struct pn_mime_tree *tree)
{
	struct pn_mime_node *node;

	if (tree->node_count == tree->node_capacity) {
		uint32_t capacity = tree->node_capacity == 0 ? 4 : 2 * tree->node_capacity;
		struct pn_mime_node *nodes = realloc(tree->nodes, capacity * sizeof(*nodes));

		if (nodes == NULL)
			pn_assert_failed(__FILE__, __LINE__, "out of memory");
		tree->nodes = nodes;
		tree->node_capacity = capacity;
	}
	node = &tree->nodes[tree->node_count++];
	memset(node, 0, sizeof(*node));
	return node;
}

void pn_mime_tree_open(struct pn_mime_tree *tree, uint64_t offset)
{
	struct pn_mime_node *node = add_node(tree);

	pn_assert(tree->open_count <= PN_MIME_MAX_DEPTH);
	node->header_offset = offset;
	node->is_message = true;
	if (tree->open_count > 0) {
		struct pn_mime_node *parent = pn_mime_tree_at(tree);

		node->parent = tree->open[tree->open_count - 1];
		node->depth = tree->open_count;
		node->is_message = parent->kind == PN_MIME_MESSAGE;
		parent->child_count++;
	}
	tree->open[tree->open_count++] = tree->node_count - 1;
}

bool pn_mime_tree_has_room(const struct pn_mime_tree *tree, bool in_header)
{
	const struct pn_mime_node *node = pn_mime_tree_at(tree);
	/* What is closed for the new part may have to be given one first. */
	uint32_t needed = in_header || (node->kind == PN_MIME_MULTIPART && node->child_count == 0);

	return tree->node_count + needed < tree->max_parts &&
	       tree->text.size <= PN_MIME_MAX_TEXT / 2;
}

/* RFC 2045 section 5.2, RFC 2046 section 5.1.5 */
static void set_defaults(const struct pn_mime_tree *tree, struct pn_mime_node *node)
{
	const struct pn_mime_node *parent = &tree->nodes[node->parent];

	if (!node->has_type)
		node->type = PN_TYPE_DEFAULT;
	if (!node->has_type && node != parent && parent->type == PN_TYPE_MULTIPART_DIGEST &&
	    parent->kind == PN_MIME_MULTIPART) {
		node->type = PN_TYPE_MESSAGE_RFC822;
		node->kind = PN_MIME_MESSAGE;
	}
	if (!node->has_encoding)
		node->encoding = PN_ENCODING_7BIT;
}

/* A message that is encoded (RFC 2045 section 6.4 forbids it) is not looked into, nor is what lies
 * past a limit. */
static bool is_opaque(const struct pn_mime_tree *tree, const struct pn_mime_node *node)
{
	if (node->kind == PN_MIME_LEAF)
		return false;
	if (node->kind == PN_MIME_MESSAGE && node->encoding != PN_ENCODING_7BIT &&
	    node->encoding != PN_ENCODING_8BIT && node->encoding != PN_ENCODING_BINARY)
		return true;
	return node->depth >= tree->max_depth || tree->node_count >= tree->max_parts;
}

bool pn_mime_tree_end_header(struct pn_mime_tree *tree, uint64_t offset, uint64_t lines)
{
	struct pn_mime_node *node = pn_mime_tree_at(tree);

	node->body_offset = offset;
	node->first_line = lines;
	set_defaults(tree, node);
	if (is_opaque(tree, node)) {
		/* Nobody is to take it for a multipart or a message without what is in it. */
		node->kind = PN_MIME_LEAF;
		node->type = PN_TYPE_OCTET_STREAM;
		node->fields[PN_PART_TYPE].size = 0;
	}
	if (node->kind == PN_MIME_MULTIPART && node->boundary.size > 0)
		pn_mime_boundary_push(&tree->boundaries, &tree->text, node->boundary,
		                      tree->open_count - 1);
	if (tree->listener != NULL && tree->listener->header_end != NULL)
		tree->listener->header_end(tree->listener->user, node);
	if (node->kind != PN_MIME_MESSAGE)
		return false;
	pn_mime_tree_open(tree, offset);
	return true;
}

static uint64_t count_lines(const struct pn_mime_node *node, struct pn_mime_end end)
{
	uint64_t lines = end.lines - node->first_line;

	if (node->body_size == 0)
		return 0;
	return lines - (end.without_break ? 1 : 0) + (end.has_rest ? 1 : 0);
}

static void close_one(struct pn_mime_tree *tree, struct pn_mime_end end)
{
	struct pn_mime_node *node = pn_mime_tree_at(tree);
	struct pn_mime_node *parent = &tree->nodes[node->parent];

	node->body_size = end.offset - node->body_offset;
	node->line_count = count_lines(node, end);
	if (node != parent) {
		parent->has_8bit = parent->has_8bit || node->has_8bit || node->header_has_8bit;
		parent->has_nul = parent->has_nul || node->has_nul || node->header_has_nul;
	}
	tree->open_count--;
	pn_mime_boundary_pop(&tree->boundaries, tree->open_count);
	if (tree->listener != NULL && tree->listener->body_end != NULL)
		tree->listener->body_end(tree->listener->user, node);
}

void pn_mime_tree_close(struct pn_mime_tree *tree, uint32_t level, struct pn_mime_end end,
                        bool in_header)
{
	while (in_header)
		in_header = pn_mime_tree_end_header(tree, end.offset, end.lines);
	while (tree->open_count > level) {
		const struct pn_mime_node *node = pn_mime_tree_at(tree);

		if (node->kind == PN_MIME_MULTIPART && node->child_count == 0) {
			/* Who describes the structure has no words for a multipart of nothing. */
			pn_mime_tree_open(tree, end.offset);
			pn_mime_tree_at(tree)->has_type = true;
			pn_mime_tree_at(tree)->type = PN_TYPE_DEFAULT;
			pn_mime_tree_end_header(tree, end.offset, end.lines);
		}
		close_one(tree, end);
	}
}
