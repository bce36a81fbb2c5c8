/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one seam to the world: clock, randomness, DNS and requests to web servers go
 * through this table. Tests and replay put something else behind it before anything
 * runs.
 */
#ifndef CORE_IO_WORLD_H
#define CORE_IO_WORLD_H

#include <postern/dns.h>
#include <postern/http.h>
#include <postern/types.h>

struct pn_world {
	int64_t (*wall_ms)(void);
	uint64_t (*monotonic_ns)(void);
	void (*random)(void *bytes, size_t size);
	void (*dns_ask)(const struct pn_dns_question *question, struct pn_ticket ticket);
	void (*http_ask)(const struct pn_http_request *request, struct pn_ticket ticket);
};

/* The world as it is; and the one in use. */
extern const struct pn_world pn_world_real;
extern struct pn_world pn_world;

/* 20 letters and digits without order or meaning, and a NUL. Any thread. */
#define PN_ID_SIZE 21
void pn_id_make(char id_out[PN_ID_SIZE]);

#endif
