/* SPDX-License-Identifier: Apache-2.0 */
/* people: a directory for tests that blocks. Whoever's name begins with "pat" exists; "pat-off"
 * must not be used now, "pat-all" stands for two others, nobody can say whether "pat-lost" exists,
 * and "pat-slow" is found when the gate is open. */
#include <postern/directory.h>
#include <postern/job.h>
#include <postern/module.h>
#include <postern/text.h>

#include "gate.h"

#include <stdlib.h>

static bool begins(struct pn_slice text, const char *start)
{
	struct pn_slice head = pn_slice_of(start);

	return text.size >= head.size && pn_slice_equal(pn_slice_make(text.data, head.size), head);
}

static enum pn_status lookup(void *instance, const struct pn_address *address,
                             struct pn_arena *arena, struct pn_directory_entry *entry_out,
                             struct pn_error *error)
{
	static const struct pn_slice both[] = {{"pat-one@people.test", 19},
	                                       {"pat-two@people.test", 19}};

	pn_assert_on_worker();
	if (!begins(address->local_part, "pat"))
		return PN_NOT_FOUND;
	if (begins(address->local_part, "pat-slow"))
		gate_pass(instance);
	if (begins(address->local_part, "pat-lost"))
		return pn_fail(error, "the list of people was lost");
	*entry_out = (struct pn_directory_entry){.struct_size = sizeof(*entry_out)};
	entry_out->account = pn_arena_keep(arena, address->text);
	entry_out->is_disabled = begins(address->local_part, "pat-off");
	if (begins(address->local_part, "pat-all")) {
		entry_out->account = PN_SLICE("");
		entry_out->aliases_to = both;
		entry_out->alias_count = 2;
	}
	return PN_OK;
}

static const struct pn_directory people_directory = {
	.struct_size = sizeof(struct pn_directory),
	.lookup = lookup,
	.blocks = true,
};

static const struct pn_option people_options[] = {GATE_OPTION, PN_OPTION_TABLE_END};

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

PN_MODULE(people, .version = "1.0", .summary = "A directory in which everybody is called Pat.",
          .directory = &people_directory, .options = people_options,
          .config_size = sizeof(struct gate_config), .start = start, .stop = stop, );
