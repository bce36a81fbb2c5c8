/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "We are wrong": a condition that only our own mistake can break. On in release
 * builds too: says where, and aborts. Never for what a stranger sent or what the
 * world did. Any thread.
 */
#ifndef CORE_BASE_ASSERT_H
#define CORE_BASE_ASSERT_H

#include <postern/abi.h>

/* Writes one line to standard error and aborts. */
PN_NORETURN void pn_assert_failed(const char *file, int line, const char *text);

#define pn_assert(condition)                                                                       \
	(__builtin_expect(!!(condition), 1) ? (void)0                                              \
	                                    : pn_assert_failed(__FILE__, __LINE__, #condition))

#endif
