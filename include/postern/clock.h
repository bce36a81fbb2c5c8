/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time and randomness, through the gateway's one seam to the world: tests and
 * replay put a clock that they move and a seeded generator behind it, so modules
 * use these and never time() or getrandom(). Any thread.
 */
#ifndef POSTERN_CLOCK_H
#define POSTERN_CLOCK_H

#include <postern/types.h>

/* Room for "Sat, 21 Nov 2026 20:43:00 +0000" and its NUL, with space to spare. */
#define PN_DATE_SIZE 40

PN_DECLARATIONS_BEGIN

/* Wall clock, milliseconds since 1970 UTC. May jump. For what people read. */
int64_t pn_clock_wall_ms(void);

/* Monotonic, milliseconds from an arbitrary start. For deadlines. */
uint64_t pn_clock_monotonic_ms(void);

/* Monotonic, nanoseconds. For costs. */
uint64_t pn_clock_monotonic_ns(void);

/* Cryptographically strong bytes. Never fails (the process ends if the system cannot). */
void pn_random(void *bytes_out, size_t size);

/* RFC 5322 section 3.3 date-time in UTC ("+0000"); `room` is PN_DATE_SIZE bytes. Returns room. */
const char *pn_date_rfc5322(int64_t wall_ms, char *room);

/* "2026-11-21T20:43:00.123Z" (RFC 3339); `room` is PN_DATE_SIZE bytes. Returns room. */
const char *pn_date_rfc3339(int64_t wall_ms, char *room);

PN_DECLARATIONS_END

#endif
