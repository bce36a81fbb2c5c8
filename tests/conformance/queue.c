/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --queue COUNT SECONDS: puts so many rows into the queue, of messages with five
 * recipients each, that are due in so many seconds. What row i (from 0) has can be computed from i,
 * see new_row(); for tests and measurements of what works on a queue.
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <postern/clock.h>
#include <postern/text.h>

enum {
	ROWS_AT_ONCE = 500,
	RECIPIENTS = 5, /* of a message */
	IN_FLIGHT = 4,
	DOMAINS = 100,
	RARE = 10007, /* one in so many rows is like few others */
	HOUR_MS = 3600000,
};

struct many {
	struct commit *commit;
	struct pn_queue_row rows[ROWS_AT_ONCE];
	struct pn_body_source bodies[ROWS_AT_ONCE / RECIPIENTS];
	struct pn_slice pieces[ROWS_AT_ONCE / RECIPIENTS];
	struct pn_mutation mutations[ROWS_AT_ONCE];
};

static struct pn_slice print(const char *format, unsigned long number)
{
	return pn_slice_of(pn_arena_print(harness_arena(), format, number));
}

/* Details are pairs, each text with its size before it. */
static void put_text(FILE *out, const char *text)
{
	uint32_t size = (uint32_t)strlen(text);

	fwrite(&size, sizeof(size), 1, out);
	fwrite(text, 1, size, out);
}

static struct pn_slice make_details(size_t size)
{
	char number[24];
	char *text;
	size_t length;
	FILE *out = open_memstream(&text, &length);
	struct pn_slice details;

	if (out == NULL)
		abort();
	snprintf(number, sizeof(number), "%zu", size);
	for (size_t i = 0; i < 4; i++) {
		static const char *const keys[] = {"key", "mail.RET", "size", "stored"};

		put_text(out, keys[i]);
		put_text(out, i == 0 ? "value" : i == 1 ? "HDRS" : number);
	}
	fclose(out);
	details = pn_arena_keep(harness_arena(), pn_slice_make(text, length));
	free(text);
	return details;
}

static void new_row(struct pn_queue_row *row, unsigned long i, int64_t now_ms, int64_t due_ms)
{
	const bool has_failed = i % 4 == 3;
	const bool is_rare = i % RARE == 0;

	*row = (struct pn_queue_row){
		.due_ms = due_ms + (int64_t)i,
		.arrived_ms = now_ms - (int64_t)(i % 100) * HOUR_MS,
		.expires_ms = now_ms + 200 * (int64_t)HOUR_MS,
		.state = i % 10 == 9 ? PN_QUEUE_HELD : PN_QUEUE_DUE,
		.attempts = has_failed ? (uint32_t)(1 + i % 3) : 0,
		.priority = 3,
		.transaction = print("t%lu", i / RECIPIENTS),
		.sender = i / RECIPIENTS % 7 == 0 ? PN_SLICE_NONE
	                                          : print("sender%lu@client.test", i / 100),
		.recipient =
			is_rare ? print("user%lu@rare.test", i)
				: pn_slice_of(pn_arena_print(harness_arena(), "user%lu@d%lu.test",
	                                                     i, i % DOMAINS)),
		.destination = is_rare ? PN_SLICE("rare.test") : print("d%lu.test", i % DOMAINS),
		.tenant = is_rare ? PN_SLICE("rare") : print("tenant%lu", i % 3),
		.reason = has_failed ? PN_SLICE("451 4.3.0 try again, \xc3\xbc later\x1b[2J")
	                             : PN_SLICE_NONE,
	};
}

static void new_body(struct many *many, size_t body, unsigned long number,
                     struct pn_slice transaction)
{
	many->pieces[body] = print(
		"Subject: message %lu\r\nX-Odd: \x1b]0;title\x07\r\n\r\nThe body.\r\n", number);
	many->bodies[body] = (struct pn_body_source){
		.pieces = &many->pieces[body],
		.piece_count = 1,
		.header_size = (uint32_t)many->pieces[body].size - 11,
		.transaction = transaction,
	};
}

static struct many *submit(unsigned long first, unsigned long count, int64_t due_ms)
{
	struct many *many = calloc(1, sizeof(*many));
	int64_t now_ms = pn_clock_wall_ms();

	if (many == NULL)
		abort();
	many->commit = commit_new();
	for (unsigned long i = 0; i < count; i++) {
		size_t body = i / RECIPIENTS;

		new_row(&many->rows[i], first + i, now_ms, due_ms);
		many->mutations[i] = (struct pn_mutation){
			.kind = PN_MUTATION_QUEUE_PUT,
			.queue_row = &many->rows[i],
			.body = {.is_new = true, .index = body},
		};
		if (i % RECIPIENTS == 0)
			new_body(many, body, (first + i) / RECIPIENTS, many->rows[i].transaction);
		many->rows[i].details = i % RECIPIENTS == 0 ? make_details(many->pieces[body].size)
		                                            : many->rows[i - 1].details;
	}
	many->commit->pn.bodies = many->bodies;
	many->commit->pn.body_count = (count + RECIPIENTS - 1) / RECIPIENTS;
	many->commit->pn.mutations = many->mutations;
	many->commit->pn.mutation_count = count;
	commit_submit(many->commit);
	return many;
}

static void finish(struct many *many)
{
	CHECK_OK(commit_wait(many->commit));
	many->commit->pn.body_count = 0;
	commit_free(many->commit);
	free(many);
}

int run_queue(const char *directory, unsigned long count, unsigned long seconds)
{
	struct many *flying[IN_FLIGHT] = {NULL};
	struct pn_error error = {0};
	const int64_t due_ms = pn_clock_wall_ms() + (int64_t)seconds * 1000;
	unsigned long next = 0;

	if (harness_start(directory, PN_WORKER_TOOL, 0, &error) != PN_OK) {
		printf("# start: %s\n", error.text);
		return 1;
	}
	for (size_t turn = 0; next < count; turn++) {
		unsigned long many = count - next < ROWS_AT_ONCE ? count - next : ROWS_AT_ONCE;

		if (flying[turn % IN_FLIGHT] != NULL)
			finish(flying[turn % IN_FLIGHT]);
		if (turn % IN_FLIGHT == 0) {
			for (size_t i = 1; i < IN_FLIGHT; i++) {
				if (flying[i] != NULL)
					finish(flying[i]);
				flying[i] = NULL;
			}
			pn_arena_reset(harness_arena());
		}
		flying[turn % IN_FLIGHT] = submit(next, many, due_ms);
		next += many;
	}
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		if (flying[i] != NULL)
			finish(flying[i]);
	}
	harness_stop();
	return 0;
}
