/* SPDX-License-Identifier: Apache-2.0 */
/* The table of stages and verdicts of <postern/stage.h>, as questions. Any thread. */
#include <postern/stage.h>

#include <string.h>

static const struct {
	const char *name;
	const char *summary;
	uint32_t verdicts;
} stages[PN_STAGE_COUNT] = {[PN_STAGE_NONE] = {"none", "", 0},
#define STAGE_ROW(identifier, stage_name, allowed, text)                                           \
	[PN_STAGE_##identifier] = {stage_name, text, allowed},
                            PN_STAGE_TABLE(STAGE_ROW)
#undef STAGE_ROW
};

static const char *const verdict_names[] = {
	[PN_VERDICT_CONTINUE] = "continue",
	[PN_VERDICT_ACCEPT] = "accept",
	[PN_VERDICT_REJECT] = "reject",
	[PN_VERDICT_DEFER] = "defer",
	[PN_VERDICT_DROP] = "drop",
	[PN_VERDICT_DISCARD] = "discard",
	[PN_VERDICT_QUARANTINE] = "quarantine",
	[PN_VERDICT_HOLD] = "hold",
	[PN_VERDICT_REDIRECT] = "redirect",
	[PN_VERDICT_GREYLIST] = "greylist",
	[PN_VERDICT_PENDING] = "pending",
};

const char *pn_stage_name(enum pn_stage stage)
{
	return (unsigned)stage < PN_STAGE_COUNT ? stages[stage].name : "none";
}

enum pn_stage pn_stage_of(const char *name)
{
	for (int stage = 1; stage < PN_STAGE_COUNT; stage++) {
		if (strcmp(stages[stage].name, name) == 0)
			return (enum pn_stage)stage;
	}
	return PN_STAGE_NONE;
}

const char *pn_stage_summary(enum pn_stage stage)
{
	return (unsigned)stage < PN_STAGE_COUNT ? stages[stage].summary : "";
}

const char *pn_verdict_name(enum pn_verdict verdict)
{
	return (unsigned)verdict <= PN_VERDICT_PENDING ? verdict_names[verdict] : "unknown";
}

bool pn_stage_allows(enum pn_stage stage, enum pn_verdict verdict)
{
	return (unsigned)stage < PN_STAGE_COUNT && (unsigned)verdict < PN_VERDICT_PENDING &&
	       (stages[stage].verdicts & (1u << verdict)) != 0;
}
