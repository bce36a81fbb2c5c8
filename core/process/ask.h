/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a gateway that runs: one line through its control socket, and the answer
 * as a whole or a sentence that says why there is none. For the commands of
 * `postern`; blocks.
 */
#ifndef CORE_PROCESS_ASK_H
#define CORE_PROCESS_ASK_H

#include <postern/buffer.h>
#include <postern/error.h>

struct pn_ask {
	const char *control_socket; /* path */
	const char *command;        /* without its line end */
	uint64_t deadline_ms;       /* how long an answer may take */
	bool may_repeat;            /* a question: asked again where a connection ended without an answer */
};

/*
 * PN_OK: `answer_out` has all of it, with its line end. PN_NOT_FOUND: no gateway listens there.
 * PN_TIMEOUT, PN_FAILED: it did not answer; PN_FAILED also where it refused ("failed …"): then the text
 * is its reason.
 */
PN_MUST_CHECK enum pn_status pn_ask(const struct pn_ask *ask, struct pn_buffer *answer_out,
				    struct pn_error *error);

#endif
