/* SPDX-License-Identifier: Apache-2.0 */
/* sesame: authentication for tests. It knows the people of people.test and one secret; "open
 * slowly" is as good once the gate is open. */
#include <postern/authentication.h>
#include <postern/job.h>
#include <postern/module.h>
#include <postern/text.h>

#include "gate.h"

#include <stdlib.h>
#include <string.h>

static enum pn_status verify(void *instance, const struct pn_credentials *credentials,
                             struct pn_error *error)
{
	static const char domain[] = "@people.test";
	struct pn_slice identity = credentials->identity;

	pn_assert_on_worker();
	if (identity.size < sizeof(domain) ||
	    memcmp(identity.data + identity.size - (sizeof(domain) - 1), domain,
	           sizeof(domain) - 1) != 0)
		return PN_NOT_FOUND;
	if (pn_slice_equal(credentials->secret, PN_SLICE("thunder")))
		return pn_fail(error, "the cave is shut");
	if (pn_slice_equal(credentials->secret, PN_SLICE("open slowly"))) {
		gate_pass(instance);
		return PN_OK;
	}
	return pn_slice_equal(credentials->secret, PN_SLICE("open sesame")) ? PN_OK : PN_DENIED;
}

static const struct pn_authentication sesame_authentication = {
	.struct_size = sizeof(struct pn_authentication),
	.verify = verify,
};

static const struct pn_option sesame_options[] = {GATE_OPTION, PN_OPTION_TABLE_END};

static enum pn_status start(const struct pn_start *begin, void **instance_out,
                            struct pn_error *error)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	(void)error;
	if (gate == NULL)
		abort();
	gate_start(gate, begin);
	*instance_out = gate;
	return PN_OK;
}

static void stop(void *instance)
{
	free(instance);
}

PN_MODULE(sesame, .version = "1.0", .summary = "Opens to one secret.",
          .authentication = &sesame_authentication, .options = sesame_options,
          .config_size = sizeof(struct gate_config), .start = start, .stop = stop, );
