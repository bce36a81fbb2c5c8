/* SPDX-License-Identifier: Apache-2.0 */
/* Charsets that stay open from message to message: opening one costs more than decoding a small
 * message. For searching. */
#include "mail/charset.h"

#include <postern/text.h>

struct pn_charset *pn_charset_cached(struct pn_charset_cache *cache, struct pn_slice name)
{
	struct pn_cached_charset *cached;

	if (name.size == 0 || name.size >= PN_CHARSET_NAME_SIZE)
		return NULL;
	for (size_t index = 0; index < PN_CHARSETS_CACHED; index++) {
		cached = &cache->charsets[index];
		if (pn_slice_equal_ignore_case(name,
		                               pn_slice_make(cached->name, cached->name_size)))
			goto found;
	}
	cached = &cache->charsets[cache->next];
	cache->next = (cache->next + 1) % PN_CHARSETS_CACHED;
	pn_charset_close(&cached->charset);
	memcpy(cached->name, name.data, name.size);
	cached->name_size = name.size;
	cached->is_known = pn_charset_open(&cached->charset, name) == PN_OK;
found:
	if (!cached->is_known || cached->charset.kind == PN_CHARSET_UTF8)
		return NULL;
	pn_charset_restart(&cached->charset);
	return &cached->charset;
}

void pn_charset_cache_clear(struct pn_charset_cache *cache)
{
	for (size_t index = 0; index < PN_CHARSETS_CACHED; index++)
		pn_charset_close(&cache->charsets[index].charset);
	*cache = (struct pn_charset_cache){.next = 0};
}
