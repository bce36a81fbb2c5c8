/* SPDX-License-Identifier: Apache-2.0 */
/* Answers about tokens, by the digest of the token: a table of a fixed size, in which the oldest
 * makes room. Tokens themselves are not kept. */
#include "oauth.h"

#include <stdlib.h>

struct entry {
	uint8_t digest[OAUTH_DIGEST_SIZE];
	char *account; /* NULL: free */
	uint64_t until_ms;
	uint32_t next; /* in its bucket; index + 1 */
};

struct oauth_cache {
	struct entry *entries;
	uint32_t *buckets; /* index + 1 */
	uint32_t count;
	uint32_t oldest;
};

struct oauth_cache *oauth_cache_new(uint32_t entries)
{
	struct oauth_cache *cache = calloc(1, sizeof(*cache));

	if (cache == NULL || (cache->entries = calloc(entries, sizeof(*cache->entries))) == NULL ||
	    (cache->buckets = calloc(entries, sizeof(*cache->buckets))) == NULL)
		abort();
	cache->count = entries;
	return cache;
}

void oauth_cache_free(struct oauth_cache **cache)
{
	if (*cache == NULL)
		return;
	for (uint32_t i = 0; i < (*cache)->count; i++)
		free((*cache)->entries[i].account);
	free((*cache)->entries);
	free((*cache)->buckets);
	free(*cache);
	*cache = NULL;
}

static uint32_t *bucket_of(const struct oauth_cache *cache, const uint8_t *digest)
{
	uint32_t hash;

	memcpy(&hash, digest, sizeof(hash));
	return &cache->buckets[hash % cache->count];
}

static struct entry *find(const struct oauth_cache *cache, const uint8_t *digest)
{
	uint32_t at = *bucket_of(cache, digest);

	while (at != 0 && memcmp(cache->entries[at - 1].digest, digest, OAUTH_DIGEST_SIZE) != 0)
		at = cache->entries[at - 1].next;
	return at == 0 ? NULL : &cache->entries[at - 1];
}

static void forget(struct oauth_cache *cache, struct entry *entry)
{
	uint32_t *link = bucket_of(cache, entry->digest);

	while (&cache->entries[*link - 1] != entry)
		link = &cache->entries[*link - 1].next;
	*link = entry->next;
	free(entry->account);
	entry->account = NULL;
}

void oauth_cache_put(struct oauth_cache *cache, const uint8_t digest[OAUTH_DIGEST_SIZE],
                     const char *account, uint64_t until_ms)
{
	struct entry *entry = find(cache, digest);
	uint32_t *bucket;

	if (entry != NULL)
		forget(cache, entry);
	entry = &cache->entries[cache->oldest];
	cache->oldest = (cache->oldest + 1) % cache->count;
	if (entry->account != NULL)
		forget(cache, entry);
	memcpy(entry->digest, digest, OAUTH_DIGEST_SIZE);
	entry->account = strdup(account);
	entry->until_ms = until_ms;
	bucket = bucket_of(cache, digest);
	entry->next = *bucket;
	*bucket = (uint32_t)(entry - cache->entries) + 1;
}

const char *oauth_cache_get(const struct oauth_cache *cache,
                            const uint8_t digest[OAUTH_DIGEST_SIZE], uint64_t now_ms)
{
	const struct entry *entry = find(cache, digest);

	return entry == NULL || entry->until_ms <= now_ms ? NULL : entry->account;
}
