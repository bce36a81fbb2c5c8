/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of DNS that this thread has had lately: the resolver has a cache of its own, but it lives on another
 * thread, and the way there and back costs ten times what the answer does. Bounded: 512 answers of at most 4 kB,
 * a newer one takes the place of an older; none is kept longer than its TTL, or a minute. Loop thread.
 */
#ifndef CORE_IO_ANSWERS_H
#define CORE_IO_ANSWERS_H

#include <postern/arena.h>
#include <postern/dns.h>

/* Keeps a copy of an answer that has found something. Others, and those that are too large, are not kept. */
void pn_answers_keep(const struct pn_dns_answer *answer, uint64_t now_ms);

/* Whether the answer to that question (names in any case) is known; then it is filled in, but for the question,
 * with the TTL that is left, and records in the arena. */
bool pn_answers_find(const struct pn_dns_question *question, uint64_t now_ms, struct pn_arena *arena,
		     struct pn_dns_answer *answer_out);

void pn_answers_forget(void);

#endif
