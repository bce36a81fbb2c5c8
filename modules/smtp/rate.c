/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a message comes. A deadline for each byte is no defence: a client that sends
 * one every minute holds a session for days. So bytes are counted, and when a window of
 * time is over there must have been enough of them. Time in which the client waited for
 * us is not counted. Pure; times are monotonic.
 */
#include "smtp.h"

void smtp_rate_begin(struct smtp_rate *rate, uint64_t now_ms)
{
	rate->bytes = 0;
	rate->started_ms = now_ms;
	rate->paused_ms = 0;
}

bool smtp_rate_is_low(struct smtp_rate *rate, uint64_t now_ms, uint64_t bytes,
                      const struct smtp_config *config)
{
	uint64_t elapsed = now_ms - rate->started_ms;
	bool is_low;

	rate->bytes += bytes;
	if (elapsed < config->data_rate_window)
		return false;
	/* At most 10M by an hour by option; a session does not last long enough to overflow. */
	is_low = rate->bytes * 1000 < config->min_data_rate * elapsed;
	smtp_rate_begin(rate, now_ms);
	return is_low;
}

void smtp_rate_pause(struct smtp_rate *rate, uint64_t now_ms)
{
	rate->paused_ms = now_ms;
}

uint64_t smtp_rate_resume(struct smtp_rate *rate, uint64_t now_ms)
{
	uint64_t pause = rate->paused_ms == 0 ? 0 : now_ms - rate->paused_ms;

	rate->paused_ms = 0;
	rate->started_ms += pause;
	return pause;
}
