/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from bytes to pointers: open addressing, keys copied, values the caller's.
 * Seeded, so that strangers who choose keys cannot choose collisions. One thread.
 */
#ifndef CORE_BASE_MAP_H
#define CORE_BASE_MAP_H

#include <postern/types.h>

struct pn_map;

struct pn_map *pn_map_new(uint64_t seed);
void pn_map_free(struct pn_map **map);
size_t pn_map_count(const struct pn_map *map);

/* The value, or NULL. */
void *pn_map_get(const struct pn_map *map, struct pn_slice key);

/* Sets it (value not NULL) and returns the one before, or NULL. */
void *pn_map_set(struct pn_map *map, struct pn_slice key, void *value);

/* Takes it out and returns it, or NULL. */
void *pn_map_remove(struct pn_map *map, struct pn_slice key);

/* Walks: *position starts at 0. False at the end. Not while the map is changed. */
bool pn_map_next(const struct pn_map *map, size_t *position, struct pn_slice *key_out,
		 void **value_out);

#endif
