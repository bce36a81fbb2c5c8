/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of signatures as they are written: tags, folded below 76 columns. Pure. */
#include <postern/text.h>

#include "dkim.h"

enum { COLUMNS = 76, BASE64_MAX = 64 * 1024 };

void dkim_put(struct dkim_writing *writing, struct pn_slice word)
{
	if (writing->status == PN_OK)
		writing->status = pn_buffer_append(writing->out, word);
	writing->column += word.size;
}

void dkim_break_line(struct dkim_writing *writing)
{
	dkim_put(writing, PN_SLICE("\r\n\t"));
	writing->column = 8;
}

/* A tag stays whole where it fits a line. */
void dkim_put_tag(struct dkim_writing *writing, const char *name, struct pn_slice value)
{
	size_t size = strlen(name) + 1 + value.size + 1;

	if (writing->column + 1 + size > COLUMNS)
		dkim_break_line(writing);
	else
		dkim_put(writing, PN_SLICE(" "));
	dkim_put(writing, pn_slice_of(name));
	dkim_put(writing, PN_SLICE("="));
	dkim_put(writing, value);
	dkim_put(writing, PN_SLICE(";"));
}

void dkim_put_cut(struct dkim_writing *writing, struct pn_slice text)
{
	while (text.size > 0) {
		size_t room = writing->column < COLUMNS ? COLUMNS - writing->column : 0;

		if (room == 0) {
			dkim_break_line(writing);
			continue;
		}
		if (room > text.size)
			room = text.size;
		dkim_put(writing, pn_slice_make(text.data, room));
		text = pn_slice_behind(text, room);
	}
}

struct pn_slice dkim_base64(struct pn_slice bytes, struct pn_arena *arena)
{
	struct pn_slice text = PN_SLICE_NONE;
	struct pn_buffer out;

	pn_buffer_init(&out, BASE64_MAX);
	if (pn_base64_encode(&out, bytes) == PN_OK)
		text = pn_arena_keep(arena, pn_buffer_slice(&out));
	pn_buffer_clear(&out);
	return text;
}

void dkim_put_names(struct dkim_writing *writing, const struct pn_slice *names, size_t name_count)
{
	dkim_break_line(writing);
	dkim_put(writing, PN_SLICE("h="));
	for (size_t i = 0; i < name_count; i++) {
		if (writing->column + names[i].size + 1 > COLUMNS)
			dkim_break_line(writing);
		dkim_put(writing, names[i]);
		dkim_put(writing, i + 1 < name_count ? PN_SLICE(":") : PN_SLICE(";"));
	}
}

void dkim_put_number(struct dkim_writing *writing, const char *name, int64_t seconds,
                     struct pn_arena *arena)
{
	dkim_put_tag(writing, name, pn_slice_of(pn_arena_print(arena, "%lld", (long long)seconds)));
}
