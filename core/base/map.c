/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from bytes to pointers: one array of places, at most half of it in use;
 * a key that finds its place taken goes to the next free one. Taking a key out
 * moves those behind it up, so that there are no gravestones. One thread.
 */
#include "base/map.h"

#include "base/assert.h"

#include <stdlib.h>

struct place {
	uint64_t hash;
	char *key; /* owned; NULL where the place is free */
	size_t key_size;
	void *value;
};

struct pn_map {
	uint64_t seed;
	struct place *places;
	size_t place_count; /* 0 or a power of two */
	size_t count;
};

enum { FIRST_PLACE_COUNT = 16 };

static uint64_t rotate(uint64_t word, int bits)
{
	return word << bits | word >> (64 - bits);
}

struct sip_state {
	uint64_t a, b, c, d;
};

static void sip_round(struct sip_state *state)
{
	state->a += state->b;
	state->b = rotate(state->b, 13) ^ state->a;
	state->a = rotate(state->a, 32);
	state->c += state->d;
	state->d = rotate(state->d, 16) ^ state->c;
	state->a += state->d;
	state->d = rotate(state->d, 21) ^ state->a;
	state->c += state->b;
	state->b = rotate(state->b, 17) ^ state->c;
	state->c = rotate(state->c, 32);
}

/* SipHash-1-3, a keyed hash: who does not know the seed cannot make keys that collide. */
static uint64_t hash_of(uint64_t seed, struct pn_slice key)
{
	struct sip_state state = {seed ^ 0x736f6d6570736575u, ~seed ^ 0x646f72616e646f6du,
	                          seed ^ 0x6c7967656e657261u, ~seed ^ 0x7465646279746573u};
	uint64_t last = (uint64_t)key.size << 56;
	size_t index = 0;

	for (; key.size - index >= 8; index += 8) {
		uint64_t word;

		memcpy(&word, key.data + index, 8);
		state.d ^= word;
		sip_round(&state);
		state.a ^= word;
	}
	for (int shift = 0; index < key.size; index++, shift += 8)
		last |= (uint64_t)(unsigned char)key.data[index] << shift;
	state.d ^= last;
	sip_round(&state);
	state.a ^= last;
	state.c ^= 0xff;
	for (int count = 0; count < 3; count++)
		sip_round(&state);
	return state.a ^ state.b ^ state.c ^ state.d;
}

struct pn_map *pn_map_new(uint64_t seed)
{
	struct pn_map *map = calloc(1, sizeof(*map));

	if (map == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	map->seed = seed;
	return map;
}

void pn_map_free(struct pn_map **map)
{
	if (*map == NULL)
		return;
	for (size_t index = 0; index < (*map)->place_count; index++)
		free((*map)->places[index].key);
	free((*map)->places);
	free(*map);
	*map = NULL;
}

size_t pn_map_count(const struct pn_map *map)
{
	return map->count;
}

/* Where the key is, or the free place where it would go. The map has places. */
static struct place *find(const struct pn_map *map, struct pn_slice key, uint64_t hash)
{
	size_t index = hash & (map->place_count - 1);

	for (;; index = (index + 1) & (map->place_count - 1)) {
		struct place *place = &map->places[index];

		if (place->key == NULL ||
		    (place->hash == hash && place->key_size == key.size &&
		     (key.size == 0 || memcmp(place->key, key.data, key.size) == 0)))
			return place;
	}
}

void *pn_map_get(const struct pn_map *map, struct pn_slice key)
{
	struct place *place;

	if (map->count == 0)
		return NULL;
	place = find(map, key, hash_of(map->seed, key));
	return place->key == NULL ? NULL : place->value;
}

static void grow(struct pn_map *map)
{
	size_t new_count = map->place_count == 0 ? FIRST_PLACE_COUNT : 2 * map->place_count;
	struct place *old = map->places;
	size_t old_count = map->place_count;

	map->places = calloc(new_count, sizeof(*map->places));
	if (map->places == NULL)
		pn_assert_failed(__FILE__, __LINE__, "out of memory");
	map->place_count = new_count;
	for (size_t index = 0; index < old_count; index++) {
		struct pn_slice key = pn_slice_make(old[index].key, old[index].key_size);

		if (old[index].key != NULL)
			*find(map, key, old[index].hash) = old[index];
	}
	free(old);
}

void *pn_map_set(struct pn_map *map, struct pn_slice key, void *value)
{
	uint64_t hash = hash_of(map->seed, key);
	struct place *place;
	void *before;

	pn_assert(value != NULL);
	if (map->count >= map->place_count / 2)
		grow(map);
	place = find(map, key, hash);
	before = place->value;
	if (place->key == NULL) {
		place->key = malloc(key.size > 0 ? key.size : 1);
		if (place->key == NULL)
			pn_assert_failed(__FILE__, __LINE__, "out of memory");
		if (key.size > 0)
			memcpy(place->key, key.data, key.size);
		place->key_size = key.size;
		place->hash = hash;
		map->count++;
	}
	place->value = value;
	return before;
}

void *pn_map_remove(struct pn_map *map, struct pn_slice key)
{
	const size_t mask = map->place_count - 1;
	struct place *place;
	size_t hole;
	void *value;

	if (map->count == 0)
		return NULL;
	place = find(map, key, hash_of(map->seed, key));
	if (place->key == NULL)
		return NULL;
	value = place->value;
	free(place->key);
	map->count--;
	hole = (size_t)(place - map->places);
	for (size_t index = (hole + 1) & mask; map->places[index].key != NULL;
	     index = (index + 1) & mask) {
		size_t home = map->places[index].hash & mask;

		/* It may move up only if its own place does not lie behind the hole. */
		if (((index - home) & mask) >= ((index - hole) & mask)) {
			map->places[hole] = map->places[index];
			hole = index;
		}
	}
	map->places[hole] = (struct place){0};
	return value;
}

bool pn_map_next(const struct pn_map *map, size_t *position, struct pn_slice *key_out,
                 void **value_out)
{
	while (*position < map->place_count) {
		const struct place *place = &map->places[(*position)++];

		if (place->key == NULL)
			continue;
		*key_out = pn_slice_make(place->key, place->key_size);
		*value_out = place->value;
		return true;
	}
	return false;
}
