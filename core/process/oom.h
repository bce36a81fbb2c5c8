/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the kernel killed for want of memory lately. Who sent a SIGKILL cannot be
 * seen; but the kernel counts its own for that reason, of the whole machine and of
 * groups alike, before it sends them. Master only.
 */
#ifndef CORE_PROCESS_OOM_H
#define CORE_PROCESS_OOM_H

enum pn_oom {
	PN_OOM_NONE,   /* it did not: whoever was killed was killed by somebody else */
	PN_OOM_RECENT,
	PN_OOM_UNKNOWN /* it does not tell here */
};

/* Looks, now and then; at least once before the other is of use. */
void pn_oom_watch(void);

/* Looks at once. Kills of other processes count, too: rather one too many. */
enum pn_oom pn_oom_lately(void);

#endif
