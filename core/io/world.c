/* SPDX-License-Identifier: Apache-2.0 */
/* The world as it is. Any thread. */
#include "io/world.h"

#include <postern/clock.h>

#include "io/http.h"
#include "io/resolver.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

static int64_t real_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t real_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void random_from_kernel(char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t got = getrandom(bytes, size, 0);

		if (got < 0)
			abort();
		bytes += got;
		size -= (size_t)got;
	}
}

static void real_random(void *bytes, size_t size)
{
	/* One system call for some hundred ids. Used bytes are wiped. */
	static _Thread_local char pool[4096];
	static _Thread_local size_t left;

	if (size > sizeof(pool) / 4) {
		random_from_kernel(bytes, size);
		return;
	}
	if (left < size) {
		random_from_kernel(pool, sizeof(pool));
		left = sizeof(pool);
	}
	left -= size;
	memcpy(bytes, pool + left, size);
	memset(pool + left, 0, size);
}

const struct pn_world pn_world_real = {
	.wall_ms = real_wall_ms,
	.monotonic_ns = real_monotonic_ns,
	.random = real_random,
	.dns_ask = pn_resolver_ask,
	.http_ask = pn_http_client_ask,
};

struct pn_world pn_world = {
	.wall_ms = real_wall_ms,
	.monotonic_ns = real_monotonic_ns,
	.random = real_random,
	.dns_ask = pn_resolver_ask,
	.http_ask = pn_http_client_ask,
};

int64_t pn_clock_wall_ms(void)
{
	return pn_world.wall_ms();
}

uint64_t pn_clock_monotonic_ms(void)
{
	return pn_world.monotonic_ns() / 1000000u;
}

uint64_t pn_clock_monotonic_ns(void)
{
	return pn_world.monotonic_ns();
}

void pn_random(void *bytes_out, size_t size)
{
	pn_world.random(bytes_out, size);
}

void pn_dns_ask(const struct pn_dns_question *question, struct pn_ticket ticket)
{
	pn_world.dns_ask(question, ticket);
}

void pn_http_ask(const struct pn_http_request *request, struct pn_ticket ticket)
{
	pn_world.http_ask(request, ticket);
}

void pn_id_make(char id_out[PN_ID_SIZE])
{
	/* 32 of the 36 letters and digits, 5 bits each: 100 bits, and nothing to confuse. */
	static const char letters[] = "abcdefghjkmnpqrstuvwxyz023456789";
	uint8_t bytes[PN_ID_SIZE - 1];

	pn_random(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		id_out[i] = letters[bytes[i] & 31];
	id_out[sizeof(bytes)] = '\0';
}
