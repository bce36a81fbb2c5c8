/* SPDX-License-Identifier: Apache-2.0 */
/* Arming fault points, once at start. See <postern/fault.h> for the text. */
#ifndef CORE_IO_FAULT_H
#define CORE_IO_FAULT_H

void pn_fault_arm(const char *specification);

#endif
