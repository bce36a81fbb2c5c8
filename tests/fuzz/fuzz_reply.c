/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers of servers, line by line, and what a hello offers: any bytes are either no
 * answer, or one whose code, enhanced code and text are clean.
 */
#include "fuzz.h"

#include <postern/text.h>

#include "../../modules/deliver_smtp/deliver.h"

static void is_clean(const struct pn_reply *reply)
{
	size_t size = strlen(reply->text);

	require(reply->code >= 200 && reply->code <= 599);
	require(size < sizeof(reply->text));
	for (size_t i = 0; i < size; i++)
		require(reply->text[i] >= ' ' && reply->text[i] <= '~');
	size = strlen(reply->enhanced);
	require(size < sizeof(reply->enhanced));
	require(size == 0 || (size >= 5 && reply->enhanced[0] == (char)('0' + reply->code / 100)));
	for (size_t i = 0; i < size; i++)
		require(reply->enhanced[i] == '.' ||
		        (reply->enhanced[i] >= '0' && reply->enhanced[i] <= '9'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice rest = rest_of(data, size);
	struct deliver_reply reply = {.lines = 0};
	struct deliver_offer offer = {.extensions = 0};

	while (rest.size > 0) {
		struct pn_slice line = exact_copy(pn_slice_cut(&rest, '\n'));
		struct pn_slice text = PN_SLICE_NONE;
		enum deliver_reply_state state = deliver_reply_take(&reply, line, &text);

		if (state != DELIVER_REPLY_BROKEN) {
			is_clean(&reply.reply);
			deliver_offer_take(&offer, text);
			require(reply.lines <= DELIVER_REPLY_LINES_MAX);
		}
		if (state != DELIVER_REPLY_MORE)
			memset(&reply, 0, sizeof(reply));
		free((void *)(uintptr_t)line.data);
	}
	return 0;
}
